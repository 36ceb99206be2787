"""From a JSON Lines file to answers, in one process, with nothing to download.

pip install "qdrant-static[offline]"
python quickstart.py
"""

import json
import tempfile
from contextlib import closing
from pathlib import Path

from qdrant_static import CollectionSpec, connect, ingest, load_encoder, search

ARTICLES = [
    ("a1", "Tides", "The gravity of the moon and the sun raises the sea twice a day."),
    ("a2", "Sourdough", "A starter of wild yeast and lactic bacteria leavens the bread."),
    ("a3", "Volcanoes", "Magma that rises through the crust breaks out as lava and ash."),
    ("a4", "Photosynthesis", "Plants turn light, water and carbon dioxide into sugar."),
    ("a5", "Compilers", "A program that translates source code into machine instructions."),
]


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    articles = folder / "articles.jsonl"
    with articles.open("w") as file:
        for key, title, text in ARTICLES:
            file.write(json.dumps({"id": key, "title": title, "text": text}) + "\n")

    encoder = load_encoder("wordllama")
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(64,))
    with closing(connect(folder / "db")) as client:
        report = ingest(client, "articles", articles, spec=spec, encoder=encoder)
        print(report)

        # A later process needs the collection's name alone.
        for question in ("what raises the sea", "how do I bake bread"):
            best = search(client, "articles", question, limit=1)[0]
            print(f"{question}? -> {best.key}: {best.text}")


if __name__ == "__main__":
    main()
