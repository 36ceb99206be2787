"""Rotate a model for a corpus: good prefixes, good codes of one bit, and versions by name.

pip install "qdrant-static[offline]"
python rotate.py
"""

import itertools
import os
import tempfile
from pathlib import Path

from qdrant_static import CollectionSpec, load_encoder, open_collection
from qdrant_static.training import list_models, register_model, rotate, use_model

THINGS = ("tides", "sourdough", "volcanoes", "compilers", "whales", "bridges", "glaciers", "maps")
SIDES = {
    "history": "People have studied {} for a long time. Old books describe {} in detail.",
    "physics": "Forces and energy explain {}. A small model of {} fits on a page.",
    "economics": "Money is made with {} every year. The price of {} follows the season.",
    "chemistry": "The elements decide how {} react. Salts and acids change {} slowly.",
    "repair": "When {} fail, an expert is called. A good tool for {} saves a day.",
}


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    os.environ["QDRANT_STATIC_MODELS"] = str(folder / "models")
    rows = [
        {"id": f"{side}/{thing}", "text": text.format(thing, thing)}
        for (side, text), thing in itertools.product(SIDES.items(), THINGS)
    ]
    texts = [row["text"] for row in rows]

    # The first 64 dimensions are made to tell these passages apart; no whole cosine changes.
    first = rotate("wordllama", texts, out=folder / "prefixes")
    print(first, "\n")

    # Codes of one bit: the signs of the numbers keep most. Whitening changes the vectors as well.
    second = rotate("wordllama", texts, out=folder / "binary", for_="binary", whiten=0.75)
    print(second, "\n")

    # Versions by name: a collection's metadata says which one filled it.
    print("added", register_model(first.path, "articles").reference)
    print("added", register_model(second.path, "articles").reference)
    use_model("articles@2")
    for version in list_models():
        print(version.reference, "in use" if version.current else "", version.card["recipe"])

    model = load_encoder("articles@current")
    spec = CollectionSpec.for_encoder(model, quantization="binary")
    with open_collection(folder / "db", "articles", encoder=model, spec=spec) as collection:
        collection.ingest(rows)
        best = collection.search("the price of whales", limit=1)[0]
        print(collection.spec.encoder.name, "found", best.key)


if __name__ == "__main__":
    main()
