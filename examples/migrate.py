"""Move a collection to another model while an application reads and writes, with proof and a way
back.

pip install "qdrant-static[offline]"
python migrate.py
"""

import tempfile
import threading
from contextlib import closing
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qdrant_static import (
    CollectionSpec,
    LiveSearcher,
    LiveWriter,
    Migration,
    Record,
    connect,
    ingest,
    load_encoder,
    point_alias,
)

THINGS = ("tides", "bread", "volcanoes", "compilers", "whales", "bridges", "clocks", "rivers")
SIDES = ("history", "physics", "economics", "chemistry", "repair", "measurement")
PLACES = ("Norway", "Chile", "Japan", "Kenya", "Canada", "Italy", "Iceland", "Peru", "Oman")


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    texts = [f"The {a} of {b} in {c}" for a, b, c in product(SIDES, THINGS, PLACES)]
    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), folder / "a.parquet")
    encoder = load_encoder("wordllama")
    with closing(connect(folder / "db")) as client:
        spec = CollectionSpec.for_encoder(encoder, matryoshka=(64,), sparse=None)
        ingest(client, "articles__v1", folder / "a.parquet", spec=spec, encoder=encoder)
        point_alias(client, "articles", "articles__v1")

        # The application: it asks and writes all the while.
        writer = LiveWriter(client, "articles", encoders=[encoder])
        searcher = LiveSearcher(client, "articles", encoders=[encoder], shadow=0.2)
        ended, answers = threading.Event(), []

        def serve() -> None:
            while not ended.wait(0.01):
                number = len(answers)
                writer.upsert(Record(key=5000 + number % 50, text=f"Note {number} on tides"))
                answers.append(len(searcher.search(texts[number % len(texts)])))

        application = threading.Thread(target=serve)
        application.start()

        # Here another layout of the same model; `encoder` may as well be another model.
        with Migration(client, "articles", encoders=[encoder]) as migration:
            wanted = CollectionSpec.for_encoder(encoder, quantization="int8", sparse="bm25")
            migration.start(encoder, spec=wanted)
            # BM25 changes the order of hits on purpose; latency is no matter here.
            print(migration.verify(accept=["overlap", "ranks", "latency", "recall"]))
            print(migration.cutover())
            print(migration.rollback())
            migration.verify(accept=["overlap", "ranks", "latency", "recall"])
            print(migration.cutover())
            print(migration.status())
            ended.set()
            application.join()
            print("deleted:", migration.retire(after_s=0))
        searcher.close()
        print(f"{len(answers)} searches meanwhile, none of them empty: {min(answers) > 0}")
        assert min(answers) > 0


if __name__ == "__main__":
    main()
