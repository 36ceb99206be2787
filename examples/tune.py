"""Which search plan is the cheapest that finds what exact search finds, on your own data?

pip install "qdrant-static[offline]"
python tune.py
"""

import tempfile
from contextlib import closing
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qdrant_static import CollectionSpec, connect, ingest, load_encoder, search, tune

THINGS = ("tides", "bread", "volcanoes", "compilers", "whales", "bridges", "clocks", "rivers")
SIDES = ("history", "physics", "economics", "chemistry", "repair", "measurement")
PLACES = ("Norway", "Chile", "Japan", "Kenya", "Canada", "Italy", "Iceland", "Peru", "Oman")


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    texts = [f"The {a} of {b} in {c}" for a, b, c in product(SIDES, THINGS, PLACES)]
    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), folder / "a.parquet")

    encoder = load_encoder("wordllama")
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(64,), sparse=None)
    with closing(connect(folder / "db")) as client:
        ingest(client, "articles", folder / "a.parquet", spec=spec, encoder=encoder)

        # Real queries are best; without any, points of the collection ask.
        queries = [f"how does the {a} of {b} work" for a, b in product(SIDES, THINGS)] + [
            f"{b} from {c}" for b, c in product(THINGS, PLACES)
        ]
        report = tune(client, "articles", target_recall=0.95, queries=queries, encoder=encoder)
        print(report)

        # From now on a search by the collection's name alone takes that plan.
        for hit in search(client, "articles", "whale watching off Iceland", limit=3):
            print(f"{hit.score:.3f}  {hit.text}")


if __name__ == "__main__":
    main()
