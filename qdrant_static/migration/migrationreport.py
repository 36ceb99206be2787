"""Reports of a migration: its verification, its status, a move of the alias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qdrant_static.migration.gates import Gate, table

if TYPE_CHECKING:
    from qdrant_static.collection.migrationstate import MigrationState
    from qdrant_static.journal.writejournal import Lag


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of a verification.

    Attributes:
        alias: The alias.
        blue: The collection that serves.
        green: The new one.
        gates: All gates, in their order.
        low: The queries on which the two agree least, each with its overlap.
        seconds: The duration.
    """

    alias: str
    blue: str
    green: str
    gates: tuple[Gate, ...]
    low: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 0.0

    @property
    def refused(self) -> tuple[str, ...]:
        """The gates that stop the cut-over."""
        return tuple(one.name for one in self.gates if one.refuses)

    @property
    def passed(self) -> bool:
        """Whether the cut-over is possible."""
        return not self.refused

    def gate(self, name: str) -> Gate:
        """Return the gate of a name."""
        return next(one for one in self.gates if one.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data."""
        return {
            **asdict(self),
            "gates": [one.to_dict() for one in self.gates],
            "low": [dict(one) for one in self.low],
            "passed": self.passed,
            "refused": list(self.refused),
        }

    def __str__(self) -> str:
        lines = [f"{self.blue} -> {self.green}, behind {self.alias}", "", table(self.gates), ""]
        if self.passed:
            lines.append(f"next: `migrate cutover {self.alias}`")
        else:
            lines.append(
                f"refused by {', '.join(self.refused)}. {self.green} stays; repair it and verify "
                "again, let a gate of quality pass with --accept, or `migrate abort`"
            )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The status of a migration.

    Attributes:
        alias: The alias.
        target: The collection that it points at now.
        blue: The collection that it pointed at when the migration began.
        green: The new one.
        phase: The phase; after a crash, what the alias shows counts.
        started: When it began, ISO 8601.
        by: The process that wrote the state last.
        rows: The points of blue and of green; None where another process has it open, or it is
            gone.
        lags: What each consumer of the journal lacks.
        gates: The gates of the last verification.
        next: What to do next.
        problem: What is wrong with it; None if nothing is.
    """

    alias: str
    target: str | None
    blue: str
    green: str
    phase: str
    started: str
    by: str
    rows: Mapping[str, int | None]
    lags: Sequence[Lag]
    gates: Sequence[Mapping[str, Any]]
    next: str
    problem: str | None = None

    @classmethod
    def of(cls, state: MigrationState, **values: Any) -> Status:
        """Make one of a state and the values that the state does not have."""
        return cls(
            alias=state.alias, blue=state.blue, green=state.green, started=state.started,
            by=state.by, gates=tuple(state.gates), **values,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data."""
        return {**asdict(self), "lags": [asdict(one) for one in self.lags]}

    def __str__(self) -> str:
        rows = ", ".join(
            f"{name} {'?' if count is None else f'{count:,}'}" for name, count in self.rows.items()
        )
        lines = [
            f"{self.alias} -> {self.target}; {self.blue} -> {self.green}: {self.phase}",
            f"begun {self.started}, last written by {self.by}",
            f"points: {rows}",
        ]
        lines += [
            f"journal: {one.collection} ({one.mode}) lacks {one.entries:,} changes"
            + (f", the oldest {one.oldest_s:.0f} s old" if one.entries else "")
            + (f"; {one.problem}" if one.problem else "")
            for one in self.lags
        ]
        if self.gates:
            lines += ["", table(self.gates), ""]
        if self.problem:
            lines.append(f"problem: {self.problem}")
        return "\n".join([*lines, f"next: {self.next}"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """The result of moving the alias.

    Attributes:
        alias: The alias.
        before: The collection that it pointed at.
        after: The collection that it points at.
        replayed: The number of changes of the journal that were applied just before.
        switch_s: The duration of the request, in seconds; None if an earlier call had sent it.
        held_s: How long the writers waited, in seconds; None if an earlier call had sent it.
    """

    alias: str
    before: str
    after: str
    replayed: int = 0
    switch_s: float | None = None
    held_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data."""
        return asdict(self)

    def __str__(self) -> str:
        if self.switch_s is None or self.held_s is None:
            return f"{self.alias} -> {self.after} already: nothing was moved"
        return (
            f"{self.alias}: {self.before} -> {self.after}; the request took "
            f"{self.switch_s * 1e3:.1f} ms, writers waited {self.held_s * 1e3:.0f} ms, "
            f"{self.replayed:,} changes were applied just before"
        )
