"""Defines `TuneReport`: the table of measured plans, the choice, and its check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from qdrant_static.collection.plan import SearchPlan
from qdrant_static.measuring.uncertainty import Interval

#: Maximum number of rows of the table; the Pareto front and marked plans are always shown.
_MOST_ROWS = 24
_WORDS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPlan:
    """A plan and its measurements.

    Attributes:
        plan: The plan.
        words: A short description of the plan.
        queries: Number of queries that it answered; plans that were dropped answered fewer.
        value: Mean recall@k, or mean NDCG@k.
        low: Lower end of its 95% interval.
        high: Upper end.
        p50_ms: Median time of a query without encoding, one at a time and warm, in milliseconds.
        p95_ms: 95th percentile of the same times.
        bytes_read: Bytes of codes and vectors that a query reads, as computed from the plan.
        front: Whether no other plan is both better and cheaper.
    """

    plan: SearchPlan
    words: str
    queries: int
    value: float
    low: float
    high: float
    p50_ms: float
    p95_ms: float
    bytes_read: int | None
    front: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the data as JSON-like values."""
        return {
            **{name: getattr(self, name) for name in self.__slots__}, "plan": self.plan.to_dict()
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """Figures of the choice on queries that were not used for choosing it.

    Attributes:
        queries: Number of queries.
        value: Mean recall@k, or mean NDCG@k.
        low: Lower end of its 95% interval.
        high: Upper end.
        before: The same value of the collection's previous plan; with judged queries only.
        p_value: p-value of the paired test between the two; with judged queries only.
    """

    queries: int
    value: float
    low: float
    high: float
    before: float | None = None
    p_value: float | None = None


def as_fresh(interval: Interval) -> dict[str, float]:
    """Return an interval as arguments of `Fresh`."""
    return {"value": interval.mean, "low": interval.low, "high": interval.high}


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneReport:
    """The result of `tune`.

    Attributes:
        collection: The collection's name.
        points: Number of its points that match the filter.
        engine: The engine on which it was measured, with its version.
        metric: ``"recall@10"`` or ``"ndcg@10"``.
        target: The target recall; None with judged queries.
        source: Where the queries come from.
        queries: Number of queries for the choice.
        rows: The measured plans, cheapest first, `exact` and `before` included.
        exact: Exact search, the reference.
        before: The collection's previous plan.
        choice: The recommended plan; None if nothing was measured.
        reached: Whether the choice reaches the target, or with judgements is not worse.
        fresh: The choice on other queries; None if the time was up.
        stored: Whether the choice is now the collection's own plan.
        filtered: Whether the queries had a filter.
        seconds: Duration in seconds.
        notes: Remarks for the reader, one sentence each.
    """

    collection: str
    points: int
    engine: str
    metric: str
    target: float | None
    source: str
    queries: int
    rows: tuple[MeasuredPlan, ...]
    exact: MeasuredPlan | None
    before: MeasuredPlan | None
    choice: MeasuredPlan | None
    reached: bool
    fresh: Fresh | None
    stored: bool
    filtered: bool
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the data as JSON-like values."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        for name in ("exact", "before", "choice"):
            plain[name] = None if plain[name] is None else plain[name].to_dict()
        return {
            **plain,
            "rows": [row.to_dict() for row in self.rows],
            "fresh": None if self.fresh is None else asdict(self.fresh),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        head = (
            f"{self.collection}: {self.points:,} points, {self.engine}; "
            f"{self.queries:,} queries ({self.source})"
        )
        return "\n".join([head, "", *self._table(), "", *self._verdict(), *map(_note, self.notes)])

    def _table(self) -> list[str]:
        shown = self._shown()
        width = max([4, *(len(_clipped(row.words)) for row in shown)])
        lines = [
            f"  {'plan':<{width}}  {self.metric:>9}  {'95% interval':>12}  {'p50 ms':>7}  "
            f"{'p95 ms':>7}  {'read':>7} {'count':>5}"
        ]
        for row in shown:
            mark = ">" if self.choice is not None and row.plan == self.choice.plan else ""
            mark = mark or ("*" if row.front else "")
            lines.append(
                f"{mark:<1} {_clipped(row.words):<{width}}  {row.value:>9.4f}  "
                f"{row.low:>5.3f}-{row.high:<6.3f}  {row.p50_ms:>7.2f}  {row.p95_ms:>7.2f}  "
                f"{_size(row.bytes_read):>7} {row.queries:>5,}"
            )
        if left := len(self.rows) - len(shown):
            lines.append(f"  ... and {left} more, each beaten by one of these")
        lines.append(
            "  (> recommended, * no other is both better and cheaper; count: answered queries)"
        )
        return lines

    def _shown(self) -> list[MeasuredPlan]:
        marked = [
            measured.plan
            for measured in (self.choice, self.exact, self.before)
            if measured is not None
        ]
        kept = [row for row in self.rows if row.front or row.plan in marked]
        rest = [row for row in self.rows if row not in kept]
        rest.sort(key=lambda row: -row.queries)
        room = max(0, _MOST_ROWS - len(kept))
        keep = {id(row) for row in [*kept, *rest[:room]]}
        return [row for row in self.rows if id(row) in keep]

    def _verdict(self) -> list[str]:
        if self.choice is None:
            return ["nothing was measured within the budget: give more time"]
        choice = self.choice
        lines = []
        if self.reached:
            lines.append(f"recommended: {choice.words}")
        elif self.target is not None:
            lines.append(
                f"no plan except exact search is shown to reach {self.target:g}; the best is:"
            )
            lines.append(f"  {choice.words}")
        else:
            lines.append(f"worse than the present plan on the other queries: {choice.words}")
        if self.fresh is not None:
            lines.append(self._describe_fresh(self.fresh))
        if self.target is not None and self.exact is not None and self.exact.plan != choice.plan:
            factor = self.exact.p50_ms / choice.p50_ms if choice.p50_ms else float("inf")
            lines.append(
                f"time: {choice.p50_ms:.2f} ms against {self.exact.p50_ms:.2f} ms of exact search "
                f"({factor:.1f} times as fast)"
            )
        lines.append(
            "stored as the collection's own plan, with this evidence"
            if self.stored
            else "nothing was stored"
        )
        return lines

    def _describe_fresh(self, fresh: Fresh) -> str:
        text = (
            f"on {fresh.queries:,} queries not used for the choice: {self.metric} "
            f"{fresh.value:.4f} ({fresh.low:.3f}-{fresh.high:.3f})"
        )
        if fresh.before is not None and fresh.p_value is not None:
            text += f", before {fresh.before:.4f} (paired test p = {fresh.p_value:.3f})"
        return text


def _clipped(words: str) -> str:
    return words if len(words) <= _WORDS else words[: _WORDS - 3] + "..."


def _note(note: str) -> str:
    return f"note: {note}"


def _size(count: int | None) -> str:
    if count is None:
        return "-"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
