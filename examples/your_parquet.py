"""Your own Parquet file: columns chosen, a filter, one question by every plan.

python your_parquet.py                 a small table made here
python your_parquet.py books.parquet   yours, with the columns named below
"""

import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qdrant_static import CollectionSpec, connect, ingest, load_encoder, search

KEY = "isbn"
TEXT = ("title", "blurb")
QUESTION = "a ship hunts a whale"


def sample(path: Path) -> Path:
    """A table as it comes out of a data frame: typed columns, a null, a binary column."""
    table = pa.table(
        {
            "isbn": ["0142437247", "0451524934", "0141439556", "0486280616"],
            "title": ["Moby-Dick", "1984", "Wuthering Heights", "Huckleberry Finn"],
            "blurb": [
                "A captain pursues the white whale that took his leg.",
                "A clerk rewrites the past for a state that watches everyone.",
                None,
                "A boy and a runaway slave drift down a river on a raft.",
            ],
            "year": pa.array([1851, 1949, 1847, 1884], pa.int16()),
            "cover": [b"\x89PNG", b"\x89PNG", b"\x89PNG", b"\x89PNG"],
        }
    )
    pq.write_table(table, path)
    return path


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    books = Path(sys.argv[1]) if len(sys.argv) > 1 else sample(folder / "books.parquet")

    encoder = load_encoder("wordllama")
    spec = CollectionSpec.for_encoder(encoder, payload_indexes={"year": "integer"})
    with closing(connect(folder / "db")) as client:
        print(ingest(client, "books", books, spec=spec, encoder=encoder, key=KEY, text=TEXT))

        for plan in ("exact", "dense", "bm25", "hybrid"):
            hits = search(client, "books", QUESTION, plan=plan, limit=2)
            print(plan, [(hit.key, round(hit.score, 3)) for hit in hits])

        hits = search(client, "books", QUESTION, filter="year>=1900")
        print("since 1900:", [(hit.key, hit.payload["year"]) for hit in hits])


if __name__ == "__main__":
    main()
