"""Defines `QuantizeReport`, the result of `quantize`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The cost and the recall of a collection's first pass.

    Attributes:
        quantization: The codes, in words.
        oversampling: Candidates by codes per wanted hit; None where there are no codes.
        recall: Mean share of the exact hits among the found ones.
        p50_ms: Median time of a request, in milliseconds; None in a simulation.
        p95_ms: The time within which 19 of 20 requests are answered; None in a simulation.
        first_pass_bytes: What the first pass compares: codes, or originals where there are none;
            as their sizes compute.
        disk_bytes: What the collection takes on disk; None on a server, which does not tell.
    """

    quantization: str
    oversampling: float | None
    recall: float
    p50_ms: float | None
    p95_ms: float | None
    first_pass_bytes: int
    disk_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeReport:
    """The measurements before and after, and whether the codes were kept.

    Attributes:
        collection: The collection's name.
        vector: The vector's name; ``""`` is the unnamed one.
        points: Points that have it.
        queries: Vectors of the collection that were searched for.
        target_recall: What the recall had to reach.
        before: As it was.
        after: With the codes; in a dry run, as the simulation predicts.
        simulated: Rows of the simulation; None where the collection itself was changed.
        kept: Whether the collection has the codes now.
        terms: Points that got BM25; None where it was not asked for.
        note: What happened, in a sentence.
    """

    collection: str
    vector: str
    points: int
    queries: int
    target_recall: float
    before: Measured
    after: Measured
    simulated: int | None
    kept: bool
    terms: int | None
    note: str

    @property
    def reached(self) -> bool:
        """Whether the recall is what was asked for."""
        return self.after.recall >= self.target_recall

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-like data."""
        return {**asdict(self), "reached": self.reached}

    def __str__(self) -> str:
        """A table of before and after, and the sentence."""
        name = self.vector or "without a name"
        lines = [
            f"{self.collection}, vector {name}: {self.points:,} points, {self.queries} queries",
            f"{'':>8}{'codes':>18}{'oversampling':>14}{'recall@10':>11}{'p50 ms':>9}{'p95 ms':>9}"
            f"{'first pass MB':>15}{'disk MB':>9}",
        ]
        for label, one in (("before", self.before), ("after", self.after)):
            disk = "-" if one.disk_bytes is None else f"{one.disk_bytes / 1e6:.1f}"
            times = ["-" if t is None else f"{t:.2f}" for t in (one.p50_ms, one.p95_ms)]
            factor = "-" if one.oversampling is None else f"{one.oversampling:g}"
            lines.append(
                f"{label:>8}{one.quantization:>18}{factor:>14}{one.recall:>11.3f}{times[0]:>9}"
                f"{times[1]:>9}{one.first_pass_bytes / 1e6:>15.1f}{disk:>9}"
            )
        return "\n".join([*lines, self.note])
