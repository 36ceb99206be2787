"""Encode documents by a slow model, and queries by a fast one that was fitted to it.

WordLlama stands for the slow model, so that this runs offline; use a transformer: "onnx:FOLDER".

pip install "qdrant-static[offline]"
python asymmetric.py
"""

import itertools
import tempfile
from pathlib import Path

from qdrant_static import open_collection
from qdrant_static.training import AdaptOptions, adapt

THINGS = ("tides", "sourdough", "volcanoes", "compilers", "whales", "bridges", "glaciers")
SIDES = {
    "history": "People have studied {} for a long time. Old books describe them.",
    "physics": "Forces explain {}. A small model of them fits on a page.",
    "economics": "Money is made with {}. Their price follows the season.",
    "chemistry": "What {} are made of decides how they react. Salts and acids matter.",
    "repair": "When {} fail, an expert is called. A good tool saves a day.",
}


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    rows = [
        {"id": f"{side}/{thing}", "text": f"The {side} of {thing}. {text.format(thing)}"}
        for (side, text), thing in itertools.product(SIDES.items(), THINGS)
    ]

    # The fast model learns the slow one's vectors.
    texts = [row["text"] for row in rows] + [row["text"].split(".")[0] for row in rows]
    model = folder / "models" / "articles"
    adapt(texts, teacher="wordllama", out=model, options=AdaptOptions(epochs=1))

    # The documents are encoded once, in a batch; the metadata names both encoders.
    with open_collection(
        folder / "db", "articles", encoder=f"head:{model}", query_encoder=model
    ) as collection:
        print(collection.ingest(rows, key="id", text="text"))

    # A search loads the fast model only.
    with open_collection(folder / "db", "articles") as collection:
        for plan in ("dense", "hybrid"):
            best = collection.search("what forces explain the tides", limit=1, plan=plan)[0]
            print(f"{plan}: {best.key}")
        print(collection.explain("hybrid"))


if __name__ == "__main__":
    main()
