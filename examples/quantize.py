"""Quantize a collection that others made, and keep that only if it still finds enough.

pip install qdrant-static
python quantize.py
"""

import tempfile
from pathlib import Path

import numpy as np
from qdrant_client import models

from qdrant_static import EdgeClient, quantize

COUNT, SIZE = 3_000, 256


def clusters() -> np.ndarray:
    """Vectors as encoders make them: topics, and texts around them."""
    random = np.random.default_rng(0)
    topics = random.standard_normal((60, SIZE))
    rows = topics[random.integers(0, 60, COUNT)] + random.standard_normal((COUNT, SIZE))
    return rows.astype(np.float32)


def main() -> None:
    with EdgeClient(Path(tempfile.mkdtemp())) as client:
        # Somebody else's: one unnamed vector, no metadata, no quantization.
        client.create_collection(
            "theirs", models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
        )
        client.upload_collection("theirs", vectors=clusters(), ids=range(COUNT))

        print("What would one bit bring?\n")
        print(quantize(client, "theirs", quantization="binary", dry_run=True))

        print("\nThe preset of the size, on the collection itself:\n")
        report = quantize(client, "theirs", target_recall=0.97)
        print(report)
        assert report.kept


if __name__ == "__main__":
    main()
