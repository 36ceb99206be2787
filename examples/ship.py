"""Build a collection here, ship it to a server with its indexes, and copy it back.

pip install "qdrant-static[offline]"
QDRANT_URL=http://localhost:6333 python ship.py

Without a server it shows the shards that would be sent. On the server it makes and deletes a
collection ``example_articles__v1`` and an alias ``example_articles``.
"""

import os
import tempfile
from contextlib import closing
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qdrant_static import (
    CollectionSpec,
    EdgeClient,
    connect,
    create_collection,
    ingest,
    load_encoder,
    pull,
    search,
    shard_of,
    ship,
)

THINGS = ("tides", "bread", "volcanoes", "compilers", "whales", "bridges", "clocks", "rivers")
SIDES = ("history", "physics", "economics", "chemistry", "repair", "measurement")
PLACES = ("Norway", "Chile", "Japan", "Kenya", "Canada", "Italy", "Iceland", "Peru", "Oman")
NAME, ALIAS, SHARDS = "example_articles__v1", "example_articles", 2


def build(folder: Path) -> None:
    """Build an embedded collection of two shards from a file, indexes included."""
    texts = [f"The {a} of {b} in {c}" for a, b, c in product(SIDES, THINGS, PLACES)]
    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), folder / "a.parquet")
    encoder = load_encoder("wordllama")
    # Without BM25: its word frequencies are those of a shard, and the copy below will be one shard.
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(64,), sparse=None)
    with EdgeClient(folder / "db") as local:
        create_collection(local, NAME, spec, shards=SHARDS)
        print(ingest(local, NAME, folder / "a.parquet", spec=spec, encoder=encoder))


def show(folder: Path) -> None:
    """Show how many points each shard has, and to which shards points belong."""
    with EdgeClient(folder / "db") as local:
        print("points of each shard:", local.shard_counts(NAME))
        print("points 0 to 4 belong to the shards", shard_of(range(5), SHARDS).tolist())


def send(folder: Path, url: str) -> None:
    """Ship the collection to the server under an alias, and pull it back into a folder."""
    with closing(connect(url)) as server, EdgeClient(folder / "db") as local:
        try:
            print(ship(local, NAME, server, alias=ALIAS))
            there = [hit.key for hit in search(server, ALIAS, "rivers of Chile", limit=3)]
            with EdgeClient(folder / "copy") as copy:
                print(pull(server, ALIAS, copy))
                here = [hit.key for hit in search(copy, ALIAS, "rivers of Chile", limit=3)]
            print("the same three hits on the server and in the copy:", there, here)
            assert there == here
        finally:
            server.delete_collection(NAME)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        show(folder)
        url = os.environ.get("QDRANT_URL")
        if url:
            send(folder, url)
        else:
            print("set QDRANT_URL to ship it, for example to http://localhost:6333")


if __name__ == "__main__":
    main()
