"""Fit a model to a corpus, from its texts alone, and search with it.

The teacher here is WordLlama, which is offline; a transformer teaches more: teacher="onnx:FOLDER".

pip install "qdrant-static[offline]"
python adapt.py
"""

import itertools
import tempfile
from pathlib import Path

from qdrant_static import load_encoder, open_collection
from qdrant_static.training import AdaptOptions, TrainingTexts, adapt

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
        {"id": f"{side}/{thing}", "title": f"The {side} of {thing}", "text": text.format(thing)}
        for (side, text), thing in itertools.product(SIDES.items(), THINGS)
    ]

    # The rows, as they are ingested below: 35 passages, and their titles and sentences.
    texts = TrainingTexts.read(rows)
    print(texts)

    # 64 dimensions instead of 256: the directions in which these texts differ most.
    options = AdaptOptions(dimension=64, dtype="float16")
    report = adapt(texts, teacher="wordllama", out=folder / "models" / "articles", options=options)
    print(report)

    # The result is a model as any other.
    model = load_encoder(report.path)
    with open_collection(folder / "db", "articles", encoder=model) as collection:
        collection.ingest(rows)
        best = collection.search("what causes the tides", limit=1)[0]
        print(best.key, best.text)


if __name__ == "__main__":
    main()
