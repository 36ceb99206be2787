"""Ingest a JSON Lines file and search it, in one process, without a download.

pip install "qdrant-static[offline]"
python quickstart.py
"""

import json
import tempfile
from pathlib import Path

from qdrant_static import CollectionSpec, open_collection

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

    spec = CollectionSpec.for_encoder("wordllama", matryoshka=(64,))
    with open_collection(folder / "db", "articles", spec=spec, encoder="wordllama") as collection:
        print(collection.ingest(articles))
        print(collection.info())

    # A later process needs the collection's name alone.
    with open_collection(folder / "db", "articles") as collection:
        for question in ("what raises the sea", "how do I bake bread"):
            best = collection.search(question, limit=1)[0]
            print(f"{question}? -> {best.key}: {best.text}")


if __name__ == "__main__":
    main()
