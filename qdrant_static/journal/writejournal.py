"""The interface of a write-ahead journal, and the rules for its consumers.

A consumer is a collection that receives the journal's changes. All consumers get the changes in one
order, so a consumer's progress is one number: its position, the last entry that it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal

from qdrant_static.errors import ArgumentError
from qdrant_static.journal.changes import Change

#: ``primary`` is the collection that the alias points at: it has every change before the change
#: is acknowledged. ``hold`` is a new collection that is being filled: the journal keeps what it
#: will need, and only `replay` writes to it. ``follow`` was the primary before: it receives changes
#: after the primary, and may lag where it cannot be reached.
Mode = Literal["primary", "hold", "follow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A change in the journal.

    Attributes:
        seq: Its sequence number; every consumer applies the entries in this order.
        at: When it was appended, in seconds since 1970.
        change: The change.
    """

    seq: int
    at: float
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumer:
    """A collection that receives the journal's changes.

    Attributes:
        name: The collection.
        mode: See `Mode`.
        start: While it is being filled, the entries after this one are kept.
        position: The last entry that it has; it has all entries before, too.
        problem: Why the last attempt to apply entries failed; None if it did not.
    """

    name: str
    mode: Mode
    start: int
    position: int
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What a consumer does not have yet.

    Attributes:
        collection: The collection.
        mode: See `Mode`.
        entries: How many changes it lacks.
        oldest_s: The age of the oldest of them, in seconds; 0 if there is none.
        problem: Why the last attempt to apply entries failed; None if it did not.
    """

    collection: str
    mode: Mode
    entries: int
    oldest_s: float
    problem: str | None = None


class WriteJournal(ABC):
    """A journal of writes: what `LiveWriter`, `replay` and migrations need of it.

    Methods that change something must be called within `exclusive`.
    """

    # --- what each kind of journal implements ------------------------------------------------

    @property
    @abstractmethod
    def place(self) -> str:
        """Where it is: the path of its file, or ``collection:NAME``."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """A unique name; a journal that is created anew has another."""

    @abstractmethod
    def exclusive(self, purpose: str = "writing") -> AbstractContextManager[None]:
        """Lock out all other writers of the journal, in every thread and process; reentrant.

        Raises:
            StorageError: If others held the journal for longer than its patience.
        """

    @abstractmethod
    def consumers(self) -> dict[str, Consumer]:
        """Return the collections that receive the changes, by name."""

    @abstractmethod
    def append(self, changes: Sequence[Change]) -> list[Entry]:
        """Append changes, all or none; they are durable when it returns.

        Raises:
            StorageError: If they cannot be written; then none of them is in the journal.
        """

    @abstractmethod
    def pending(self, name: str, limit: int, upto: int | None = None) -> list[Entry]:
        """Return the next entries that a consumer lacks, in order.

        Args:
            name: The consumer.
            limit: The maximum number of entries.
            upto: The last entry to return; None for all.
        """

    @abstractmethod
    def amend(self, seq: int, change: Change | None) -> None:
        """Replace or remove an entry that was never acknowledged, because it was refused."""

    @abstractmethod
    def acknowledged(self) -> int:
        """Return the last entry that was, or may have been, acknowledged to an application."""

    @abstractmethod
    def last(self) -> int:
        """Return the last entry's number; 0 before the first."""

    @abstractmethod
    def lag(self, name: str) -> Lag:
        """Return what a consumer lacks."""

    @abstractmethod
    def close(self) -> None:
        """Close the journal; nothing that was appended is lost."""

    @abstractmethod
    def _save(
        self,
        consumers: Mapping[str, Consumer],
        *,
        acknowledged: int | None = None,
        durable: bool = False,
    ) -> None:
        """Replace the consumers, and delete the entries that none of them needs any more.

        Args:
            consumers: The consumers from now on.
            acknowledged: The last entry that was acknowledged, if that changes.
            durable: Whether it must survive a loss of power.
        """

    # --- the rules for consumers, the same for all journals ----------------------------------

    def primary(self) -> str | None:
        """Return the collection that the alias pointed at when a writer last looked."""
        return _primary(self.consumers())

    def set_primary(self, name: str) -> None:
        """Make a collection the primary.

        If it is a consumer already, the primary before it follows from now on. Otherwise it takes
        the place of the primary before it: no change has to reach that one any more.
        """
        self._save(_with_primary(self.consumers(), name, self.last()))

    def activate(self, name: str, *, primary: str) -> Consumer:
        """Keep, from now on, the changes that a new collection will need.

        Call it before the first row is read for that collection. Its position begins where the
        primary's is, so an unfinished change is included. A repetition changes nothing.

        Args:
            name: The new collection.
            primary: The collection that the alias points at, read within the same `exclusive`.

        Raises:
            ArgumentError: If it is the primary.
        """
        consumers = dict(_with_primary(self.consumers(), primary, self.last()))
        if name == primary:
            raise ArgumentError(field="green", problem=f"{name!r} is what the writers write to")
        known = consumers.get(name)
        if known is None or known.mode != "hold":
            position = consumers[primary].position
            consumers[name] = Consumer(name=name, mode="hold", start=position, position=position)
        self._save(consumers, durable=True)
        return consumers[name]

    def rewind(self, name: str) -> None:
        """Have `replay` begin where `activate` began, as the collection is to be filled again.

        Raises:
            ArgumentError: If it is in use, and not being filled.
        """
        consumer = self.consumer(name)
        if consumer.mode != "hold":
            raise ArgumentError(field="green", problem=f"{name!r} is in use, and not being built")
        self._replace(replace(consumer, position=consumer.start))

    def retire(self, name: str) -> None:
        """Remove a consumer, and the entries that it alone needed.

        Raises:
            ArgumentError: If it is the primary.
        """
        if self.primary() == name:
            raise ArgumentError(field="target", problem=f"{name!r} is what the writers write to")
        self._save({key: value for key, value in self.consumers().items() if key != name})

    def advance(self, name: str, seq: int) -> None:
        """Note that a consumer has every entry up to a number; delete what nobody needs now."""
        consumer = self.consumer(name)
        acknowledged = seq if consumer.mode == "primary" else None
        if consumer.position < seq:
            consumer = replace(consumer, position=seq, problem=None)
        self._replace(consumer, acknowledged=acknowledged)

    def note_problem(self, name: str, problem: str | None) -> None:
        """Note why changes cannot be applied to a consumer."""
        self._replace(replace(self.consumer(name), problem=problem))

    def consumer(self, name: str) -> Consumer:
        """Return the consumer of a name.

        Raises:
            ArgumentError: If there is none.
        """
        consumers = self.consumers()
        if name not in consumers:
            raise ArgumentError(
                field="target",
                problem=f"the journal {self.place} knows no {name!r}; it knows "
                f"{', '.join(consumers) or 'none'}. activate() it first",
            )
        return consumers[name]

    def _replace(self, consumer: Consumer, *, acknowledged: int | None = None) -> None:
        self._save({**self.consumers(), consumer.name: consumer}, acknowledged=acknowledged)


def _primary(consumers: Mapping[str, Consumer]) -> str | None:
    return next((one.name for one in consumers.values() if one.mode == "primary"), None)


def _with_primary(
    consumers: Mapping[str, Consumer], name: str, last: int
) -> Mapping[str, Consumer]:
    before = _primary(consumers)
    if before == name:
        return consumers
    after = dict(consumers)
    if name in after:
        if before:
            after[before] = replace(after[before], mode="follow")
        after[name] = replace(after[name], mode="primary", problem=None)
        return after
    position = after.pop(before).position if before else last
    after[name] = Consumer(name=name, mode="primary", start=position, position=position)
    return after


def last_unneeded(consumers: Mapping[str, Consumer]) -> int | None:
    """Return the last entry that no consumer needs any more; None if there is no consumer."""
    return min(
        (one.start if one.mode == "hold" else one.position for one in consumers.values()),
        default=None,
    )
