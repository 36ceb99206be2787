"""Static encoding by itself: lists and Arrow arrays, Matryoshka sizes, statistics, BM25.

pip install "qdrant-static[offline]"
python encode.py
"""

import time

import numpy as np
import pyarrow as pa

from qdrant_static import Bm25Encoder, load_encoder

PASSAGE = "Static models look their vectors up, word by word, and take the mean. " * 20


def main() -> None:
    encoder = load_encoder("wordllama")
    info = encoder.info
    print(f"{info.name}: {info.dimension}-d, route {info.route}, fingerprint {info.fingerprint}")

    vectors = encoder.encode(["the tide", "the moon raises the sea", "sourdough"])
    print("nearest to 'the tide':", ["moon", "bread"][int(np.argmax(vectors[1:] @ vectors[0]))])

    # Arrow buffers are read where they lie: no Python string per row. A null is an empty text.
    column = pa.chunked_array([pa.array([PASSAGE, None]), pa.array([PASSAGE] * 20_000)])
    encoder.compile_kernels(on_start=print)
    started = time.perf_counter()
    batch = encoder.encode_batch(column, sizes=(64,), statistics=True)
    seconds = time.perf_counter() - started
    print({size: matrix.shape for size, matrix in batch.vectors.items()})
    print(f"{len(column) / seconds:,.0f} passages of {len(PASSAGE):,} characters per second")
    seen = batch.statistics
    print(f"{seen.tokens:,} tokens, {seen.unknown_tokens} unknown, {seen.empty_rows} empty text")

    bm25 = Bm25Encoder(language="english", avg_len=12.0)
    print("BM25:", bm25.encode_documents(["compress the files, then compress again"]).row(0).values)
    print("query:", bm25.encode_query("compress compress file").values)


if __name__ == "__main__":
    main()
