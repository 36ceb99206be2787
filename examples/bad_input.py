"""A night in which much goes wrong: what is stored, what is reported, and how it is repaired.

python bad_input.py
"""

import gzip
import json
import tempfile
from contextlib import closing
from pathlib import Path

from qdrant_static import RunOptions, connect, ingest, retry_rejects, verify

ARTICLES = [
    {"id": 1, "title": "Bread", "text": "Knead the dough and let it rise."},
    {"id": 2, "title": "Tides", "text": "The moon lifts the sea twice a day."},
    {"id": None, "title": "Whales", "text": "They sing through whole oceans."},
]
NOTES = "\n".join(json.dumps({"id": 100 + n, "text": f"note {n} on the sea"}) for n in range(2000))


def fill(inbox: Path) -> None:
    """A row without a key, an archive that broke off, an empty file and an open quote."""
    inbox.mkdir()
    (inbox / "articles.jsonl").write_text("\n".join(map(json.dumps, ARTICLES)))
    whole = gzip.compress(NOTES.encode())
    (inbox / "notes.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (inbox / "prices.parquet").write_bytes(b"")
    (inbox / "shelf.csv").write_text('id,text\n31,"a quote stays open\n32,second\n33,"third"\n')


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    inbox = folder / "inbox"
    fill(inbox)
    with closing(connect(folder / "db")) as client:
        report = ingest(
            client, "articles", inbox, encoder="wordllama", run_options=RunOptions(sync=True)
        )
        print(report)
        print()
        print(verify(client, "articles"))

        print("\nThe next night the files are whole, and nothing else has changed:")
        (inbox / "notes.jsonl.gz").write_bytes(gzip.compress(NOTES.encode()))
        (inbox / "prices.parquet").unlink()
        report = ingest(
            client, "articles", inbox, encoder="wordllama", run_options=RunOptions(sync=True)
        )
        print(report.sum)

        print("\nThe row without a key is given one in the rejects file, and kept:")
        rejects = report.rejects_path
        rejects.write_text(rejects.read_text().replace('"id": null', '"id": 3'))
        again, _ = retry_rejects(client, "articles", rejects, keep=True)
        print(again.sum)

        print()
        print(verify(client, "articles"))
        for hit in client.retrieve("articles", [3, 33]):
            print(hit.id, hit.payload)


if __name__ == "__main__":
    main()
