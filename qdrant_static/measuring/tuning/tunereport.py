"""Defines `TuneReport`: the table of measured plans, the choice, and its check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from qdrant_static.collection.plan import SearchPlan
from qdrant_static.measuring.uncertainty import Interval

#: So many lines has the table at most; the ends of the front and what is marked always stay.
_MOST_ROWS = 24
_WORDS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A plan and what was measured of it.

    Attributes:
        plan: The plan.
        words: The same in a few words.
        queries: How many queries it answered; those that were hopeless answered fewer.
        value: Mean recall@k, or mean NDCG@k.
        low: Lower end of its 95% interval.
        high: Upper end.
        p50_ms: Median time of a query, encoding aside: one at a time, warm, in milliseconds.
        p95_ms: 95th percentile likewise.
        bytes_read: Codes and vectors that a query reads, as the plan computes them.
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
        """As JSON-like data."""
        return {
            **{name: getattr(self, name) for name in self.__slots__}, "plan": self.plan.to_dict()
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The choice on queries that had no part in choosing it.

    Attributes:
        queries: How many.
        value: Mean recall@k, or mean NDCG@k.
        low: Lower end of its 95% interval.
        high: Upper end.
        before: The same of the plan that the collection had before; judged queries alone.
        p_value: Of the paired test between the two; judged queries alone.
    """

    queries: int
    value: float
    low: float
    high: float
    before: float | None = None
    p_value: float | None = None


def as_fresh(interval: Interval) -> dict[str, float]:
    """An interval under the names that `Fresh` has."""
    return {"value": interval.mean, "low": interval.low, "high": interval.high}


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneReport:
    """The result of `tune`.

    Attributes:
        collection: The collection.
        points: How many it has (of those that the filter lets through).
        engine: Whose times these are: the engine and its version.
        metric: ``"recall@10"`` or ``"ndcg@10"``.
        target: The recall that was asked for; None with judged queries.
        source: Where the queries come from.
        queries: How many queries the choice is made by.
        rows: What was measured, cheapest first; `exact` and `before` are among them.
        exact: The plan that is right by definition.
        before: The plan that the collection had.
        choice: What is recommended; None if nothing was measured.
        reached: Whether the choice does what was asked for.
        fresh: The choice on other queries; None if the time was up.
        stored: Whether the choice is now the collection's own plan.
        filtered: Whether the queries had a filter.
        seconds: How long it took.
        notes: What a reader should know.
    """

    collection: str
    points: int
    engine: str
    metric: str
    target: float | None
    source: str
    queries: int
    rows: tuple[Measured, ...]
    exact: Measured | None
    before: Measured | None
    choice: Measured | None
    reached: bool
    fresh: Fresh | None
    stored: bool
    filtered: bool
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON-like data."""
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
            f"{'p95 ms':>7}  {'read':>7} {'asked':>5}"
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
            "  (> recommended, * no other is both better and cheaper; asked: by how many queries)"
        )
        return lines

    def _shown(self) -> list[Measured]:
        marked = [one.plan for one in (self.choice, self.exact, self.before) if one is not None]
        kept = [row for row in self.rows if row.front or row.plan in marked]
        rest = [row for row in self.rows if row not in kept]
        rest.sort(key=lambda row: -row.queries)
        room = max(0, _MOST_ROWS - len(kept))
        keep = {id(row) for row in [*kept, *rest[:room]]}
        return [row for row in self.rows if id(row) in keep]

    def _verdict(self) -> list[str]:
        if self.choice is None:
            return ["nothing was measured within the budget: give more time"]
        one = self.choice
        lines = []
        if self.reached:
            lines.append(f"recommended: {one.words}")
        elif self.target is not None:
            lines.append(f"no plan but exact search was shown to reach {self.target:g}; the best:")
            lines.append(f"  {one.words}")
        else:
            lines.append(f"worse than the plan that is there, on other queries: {one.words}")
        if self.fresh is not None:
            lines.append(self._describe_fresh(self.fresh))
        if self.target is not None and self.exact is not None and self.exact.plan != one.plan:
            factor = self.exact.p50_ms / one.p50_ms if one.p50_ms else float("inf")
            lines.append(
                f"time: {one.p50_ms:.2f} ms against {self.exact.p50_ms:.2f} ms of exact search "
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
            f"on {fresh.queries:,} queries that had no part in it: {self.metric} "
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
