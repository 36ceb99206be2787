"""Filters as text: what is asked, what Qdrant gets, and what is found.

python filters.py
"""

import json
import tempfile
from contextlib import closing
from pathlib import Path

from qdrant_static import (
    CollectionSpec,
    QdrantStaticError,
    SourceOptions,
    build_filter,
    connect,
    ingest,
    load_encoder,
    search,
)

BOOKS = """id,title,year,price,lang,published
b1,The whale and the sea,1851,9.5,en,1851-10-18
b2,The sea around us,1951,12,en,1951-07-02
b3,Das Meer und der Wal,1998,18.25,de,1998-03-15
b4,Tides of the sea,2004,,fr,2004-11-30
b5,"Sea, salt and whales",2021,24,en,2021-05-31
"""
FILTERS = (
    "year>=1900 and lang=en,de",
    "price<15",
    "price is null",
    "lang!=en",
    "published=2021-05",
    "published>=1950-01-01 and published<=1998-03-15",
    "title='Sea, salt and whales'",
    "yeer>=1900",
    "year>=nineteen",
    "year>=1900 lang=en",
)


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    (folder / "books.csv").write_text(BOOKS)
    types = {"year": "integer", "price": "float"}
    indexes = {"year": "integer", "lang": "keyword", "published": "datetime"}

    encoder = load_encoder("wordllama")
    spec = CollectionSpec.for_encoder(encoder, payload_indexes=indexes)
    with closing(connect(folder / "db")) as client:
        ingest(
            client,
            "books",
            folder / "books.csv",
            spec=spec,
            encoder=encoder,
            text="title",
            source_options=SourceOptions(types=types),
        )
        for text in FILTERS:
            print(text)
            try:
                hits = search(client, "books", "whales in the sea", filter=text)
            except QdrantStaticError as error:
                print(f"    error: {error}")
            else:
                print("    finds", ", ".join(f"{hit.key} {hit.payload['title']!r}" for hit in hits))

        made = build_filter(client, "books", FILTERS[0])
        print(f"\nof Qdrant's own, {FILTERS[0]!r} is")
        print(json.dumps(made.model_dump(mode="json", exclude_none=True), indent=2))
        print("points:", client.count("books", count_filter=made).count)


if __name__ == "__main__":
    main()
