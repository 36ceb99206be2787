"""A transformer exported to ONNX as the encoder of a collection.

Put `model.onnx` and `tokenizer.json` of a bi-encoder into the folder bge-small, for example the
files of BAAI/bge-small-en-v1.5.

python transformer.py
"""

import json
import time
from pathlib import Path

from qdrant_static import load_encoder, open_collection

FOLDER = Path("bge-small")
SETTINGS = """
pooling = "cls"
query_prefix = "Represent this sentence for searching relevant passages: "
"""
TEXTS = [
    "The moon raises the sea: a tide.",
    "Yeast leavens the bread.",
    "A whale is a mammal of the sea. " * 20,
]


def main() -> None:
    # A file elsewhere, since the folder may belong to someone else.
    Path("bge.toml").write_text(f'folder = "{FOLDER}"{SETTINGS}')
    name = "onnx:bge.toml"
    encoder = load_encoder(name)
    print(f"{encoder.info.name}: {encoder.info.dimension}-d, {encoder.info.fingerprint}")

    texts = (
        TEXTS * 20
    )  # long and short ones mixed: they are sorted by length, and put back in order
    started = time.perf_counter()
    encoder.encode(texts)
    print(f"{len(texts) / (time.perf_counter() - started):,.0f} texts per second")

    lines = [json.dumps({"id": number, "text": text}) for number, text in enumerate(TEXTS)]
    Path("articles.jsonl").write_text("\n".join(lines))
    with open_collection("./data", "articles", encoder=name) as articles:
        print(articles.ingest("articles.jsonl"))
        for hit in articles.search("why is there a tide", limit=2):  # with the prefix of queries
            print(f"{hit.score:.3f}  {hit.payload['text'][:60]}")


if __name__ == "__main__":
    main()
