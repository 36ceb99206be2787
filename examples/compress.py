"""Shorter vectors: a head for vectors that another model made, and a shorter static model.

The passages are Python's own documentation, and WordLlama stands for the other model.

pip install "qdrant-static[offline]"
python compress.py
"""

from pydoc_data.topics import topics

import pyarrow as pa
import pyarrow.parquet as pq

from qdrant_static import CollectionSpec, SourceOptions, load_encoder, open_collection
from qdrant_static.training import HeadEncoder, SmecSettings, compress, read_vectors

QUESTION = "how do I catch an exception"


def main() -> None:
    passages = [
        {"topic": name, "text": " ".join(paragraph.split())}
        for name, text in sorted(topics.items())
        for paragraph in text.split("\n\n")
        if len(paragraph) > 100
    ]
    texts = list(dict.fromkeys(row["text"] for row in passages))[:1200]
    maker = load_encoder("wordllama")
    vectors = maker.encode(texts)
    table = pa.table({"id": range(len(texts)), "text": texts, "vector": vectors.tolist()})
    pq.write_table(table, "passages.parquet")

    # 1. A head for the vectors of a Parquet column. A few epochs are enough for an example.
    quick = SmecSettings(max_epochs=5, selection_epochs=2)
    report = compress(
        read_vectors("passages.parquet", "vector"),
        sizes=(64, 32),
        out="head.json",
        encoder=maker,
        settings=quick,
        progress=True,
    )
    print(report)

    # 2. Ingest shortens the full vectors of the column; search shortens the queries'.
    encoder = HeadEncoder("head.json", maker)
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(32,))
    with open_collection("./data", "passages", encoder=encoder, spec=spec) as collection:
        collection.ingest("passages.parquet", source_options=SourceOptions(vectors="vector"))
        for hit in collection.search(QUESTION, limit=3):
            print(f"{hit.score:.2f} {hit.payload['text'][:70]}")

    # 3. A static model needs no head: its table becomes shorter.
    report = compress(
        "wordllama", texts, sizes=(64, 32), out="models/python-64", settings=quick, progress=True
    )
    short = load_encoder("models/python-64")
    print(f"{short.info.dimension} dimensions instead of {report.inputs}, by the same call:")
    print(short.encode([QUESTION]).shape)


if __name__ == "__main__":
    main()
