"""Defines `QuantizeReport`, the result of `quantize`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredCodes:
    """The cost and the recall of a collection's first pass.

    Attributes:
        quantization: The codes, described for display.
        oversampling: Candidates by codes per wanted hit; None where there are no codes.
        recall: Mean recall@10 against exact search.
        p50_ms: Median time of a request, in milliseconds; None in a simulation.
        p95_ms: The time within which 19 of 20 requests are answered; None in a simulation.
        first_pass_bytes: Bytes that the first pass compares, computed from their sizes: codes, or
            originals where there are none.
        disk_bytes: Bytes of the collection on disk; None on a server, which does not report them.
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
        queries: Number of queries.
        target_recall: The recall to reach.
        before: The measurement before the change.
        after: The measurement with the codes; in a dry run, the prediction of the simulation.
        simulated: Rows of the simulation; None if the collection itself was changed.
        kept: Whether the collection has the codes now.
        terms: Points that got BM25; None if it was not added.
        note: What happened, as a sentence.
    """

    collection: str
    vector: str
    points: int
    queries: int
    target_recall: float
    before: MeasuredCodes
    after: MeasuredCodes
    simulated: int | None
    kept: bool
    terms: int | None
    note: str

    @property
    def reached(self) -> bool:
        """Whether the recall reaches the target."""
        return self.after.recall >= self.target_recall

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-like data."""
        return {**asdict(self), "reached": self.reached}

    def __str__(self) -> str:
        """Return a table of before and after, and the note."""
        name = self.vector or "without a name"
        lines = [
            f"{self.collection}, vector {name}: {self.points:,} points, {self.queries} queries",
            f"{'':>8}{'codes':>18}{'oversampling':>14}{'recall@10':>11}{'p50 ms':>9}{'p95 ms':>9}"
            f"{'first pass MB':>15}{'disk MB':>9}",
        ]
        for label, measured in (("before", self.before), ("after", self.after)):
            disk = "-" if measured.disk_bytes is None else f"{measured.disk_bytes / 1e6:.1f}"
            times = ["-" if t is None else f"{t:.2f}" for t in (measured.p50_ms, measured.p95_ms)]
            factor = "-" if measured.oversampling is None else f"{measured.oversampling:g}"
            lines.append(
                f"{label:>8}{measured.quantization:>18}{factor:>14}{measured.recall:>11.3f}{times[0]:>9}"
                f"{times[1]:>9}{measured.first_pass_bytes / 1e6:>15.1f}{disk:>9}"
            )
        return "\n".join([*lines, self.note])
