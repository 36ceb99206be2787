"""Compression: the report of a compression."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from qdrant_static.training.smec.agreement import NEIGHBORS


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedSize:
    """What was measured of one size, on anchors that were not trained on.

    Attributes:
        size: Dimensions.
        prefix: Share of the full vectors' 10 nearest passages that the first dimensions find.
        rotation: The same of the first principal axes, without training.
        compressed: The same after training.
        achievement: Share of the kept dimensions that are among those with the greatest WARE;
            None for a size that was not trained.
        ware: The share that the kept dimensions have in the sum of WARE.
        epochs: Epochs of its step.
        steps: Batches of its step.
        converged: Whether its step ended by convergence.
        variance: Variance of the gradient in its last epoch, summed over all angles.
        seconds: Time of its step.
    """

    size: int
    prefix: float
    rotation: float
    compressed: float
    achievement: float | None = None
    ware: float | None = None
    epochs: int = 0
    steps: int = 0
    converged: bool = True
    variance: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """What `compress` made.

    Attributes:
        path: The model's folder, or the head's JSON file.
        model: The encoder of the vectors; empty where they came ready and it was not named.
        fingerprint: Fingerprint of the new encoder.
        inputs: Dimension of the full vectors.
        rows: Passages that it was trained on.
        left_out: Vectors without a direction, and repeated texts.
        labels: ``"similarity"``: passages were graded by the similarity of the full vectors;
            ``"pairs"``: by the pairs that were given.
        sizes: What was measured of each size.
        seconds: Time of the training.
    """

    path: str
    model: str
    fingerprint: str
    inputs: int
    rows: int
    left_out: int
    labels: str
    sizes: tuple[CompressedSize, ...]
    seconds: float

    @property
    def encoder(self) -> str:
        """What `load_encoder` and ``--encoder`` take."""
        return f"head:{self.path}" if self.path.endswith(".json") else self.path

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {**asdict(self), "encoder": self.encoder}

    def __str__(self) -> str:
        lines = [
            f"{self.model or 'vectors'}: {self.inputs} dimensions, {self.rows:,} passages, graded "
            f"by {self.labels}, {self.seconds:,.1f} s",
            f"share of the {NEIGHBORS} nearest passages of the full vectors that are found:",
            f"{'size':>6} {'prefix':>8} {'rotation':>9} {'compressed':>11} {'achievement':>12}",
        ]
        for one in self.sizes:
            rate = "" if one.achievement is None else f"{one.achievement:.2f}"
            lines.append(
                f"{one.size:>6} {one.prefix:>8.3f} {one.rotation:>9.3f} {one.compressed:>11.3f} "
                f"{rate:>12}" + ("" if one.converged else "  (not converged)")
            )
        sizes = ",".join(str(one.size) for one in self.sizes[1:])
        matryoshka = f" --matryoshka {sizes}" if sizes else ""
        lines.append(f"next: qdrant-static ingest FILES --encoder {self.encoder}{matryoshka}")
        return "\n".join(lines)
