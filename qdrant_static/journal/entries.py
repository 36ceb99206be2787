"""What a journal holds, and what every journal can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from qdrant_static.ids import PointId

#: ``upsert`` and ``overwrite_payload`` carry a payload for each id, ``set_payload`` one for all.
#: There is no change by filter: a filter that is carried out later finds other points.
Op = Literal["upsert", "set_payload", "overwrite_payload", "delete_payload", "delete"]

#: ``primary`` is what the alias points at: every change is there before it is acknowledged.
#: ``hold`` is being built: the journal keeps what it will need, and only `replay` writes to it.
#: ``follow`` was primary before: changes reach it after the primary, as well as may be.
Mode = Literal["primary", "hold", "follow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of some points.

    Attributes:
        op: What is done.
        ids: n ids, each once.
        payloads: n payloads, or one for all (see `Op`); whole payloads hold key and text too.
        names: Payload fields, for ``delete_payload``.
    """

    op: Op
    ids: tuple[PointId, ...]
    payloads: tuple[Mapping[str, Any], ...] = ()
    names: tuple[str, ...] = ()

    def without(self, ids: set[PointId]) -> Change | None:
        """The same but for some points; None if none is left."""
        kept = [row for row, one in enumerate(self.ids) if one not in ids]
        if not kept:
            return None
        each = self.op in ("upsert", "overwrite_payload")
        return Change(
            op=self.op,
            ids=tuple(self.ids[row] for row in kept),
            payloads=tuple(self.payloads[row] for row in kept) if each else self.payloads,
            names=self.names,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A change in the journal.

    Attributes:
        seq: Its place; changes are carried out in this order, everywhere.
        at: When it was appended, in seconds since 1970.
        change: The change.
    """

    seq: int
    at: float
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A collection that gets the journal's changes.

    Attributes:
        name: The collection.
        mode: See `Mode`.
        start: The entries after this one are kept while it is built.
        position: The last entry that it has; it has all before that too.
        problem: Why it got no more at the last attempt; None if nothing is known.
    """

    name: str
    mode: Mode
    start: int
    position: int
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What a collection has not got yet.

    Attributes:
        target: The collection.
        mode: See `Mode`.
        entries: Changes that it lacks.
        oldest_s: The age of the oldest of them, in seconds; 0 if there is none.
        problem: Why it got no more at the last attempt; None if nothing is known.
    """

    target: str
    mode: Mode
    entries: int
    oldest_s: float
    problem: str | None = field(default=None)


class WriteJournal(Protocol):
    """What writers, replays and migrations need of a journal.

    Every method that changes something is to be called within `exclusive`.
    """

    @property
    def place(self) -> str:
        """Where it is, in words."""

    @property
    def identity(self) -> str:
        """A name that no other journal has; a journal made anew has another."""

    def exclusive(self, why: str = "writing") -> AbstractContextManager[None]:
        """Hold all writers of the journal off, in every thread and process; may be nested."""

    def targets(self) -> dict[str, Target]:
        """The collections that get the changes, by name."""

    def primary(self) -> str | None:
        """The collection that the alias pointed at when a writer last looked."""

    def set_primary(self, name: str) -> None:
        """Make a collection the primary.

        If it is a target already, the one before it follows from now on. Otherwise it takes that
        one's place: nobody is waiting for changes of the old one any more.
        """

    def activate(self, name: str, *, primary: str) -> Target:
        """From now on keep what a collection that is being built will need.

        Call it before the first row is read for it. It begins at what the primary has, so an
        unfinished change is among it. Repeating it changes nothing.

        Args:
            name: The new collection.
            primary: What the alias points at now, as read within the same `exclusive`.
        """

    def rewind(self, name: str) -> None:
        """Before a collection is filled again: replay is to begin where `activate` began."""

    def retire(self, name: str) -> None:
        """Forget a target, and what only it needed."""

    def append(self, changes: Sequence[Change]) -> list[Entry]:
        """Write changes down, all or none, durable when it returns."""

    def pending(self, name: str, limit: int, upto: int | None = None) -> list[Entry]:
        """The next changes that a target lacks, in order."""

    def advance(self, name: str, seq: int) -> None:
        """A target has everything up to an entry; what nobody needs is forgotten."""

    def amend(self, seq: int, change: Change | None) -> None:
        """Replace or remove an entry that was never acknowledged, because it was refused."""

    def note_problem(self, name: str, problem: str | None) -> None:
        """Why a target gets no more."""

    def settled(self) -> int:
        """The last entry that was acknowledged, or may have been."""

    def last(self) -> int:
        """The last entry; 0 before the first."""

    def lag(self, name: str) -> Lag:
        """What a target lacks."""

    def close(self) -> None:
        """Let go of what is open."""
