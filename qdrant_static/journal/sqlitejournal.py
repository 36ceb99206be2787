"""The journal on disk: one SQLite file, for the writers of one machine.

::

    <state>/articles/journal.sqlite       the changes that some collection has not got
    <state>/articles/journal.lock[.turn]  held by whoever writes, for one change at a time

A change is appended (durably, before anything else), carried out on the primary, and marked there.
A target is where it is by one number, because every target gets the changes in one order: its
position. After a crash the next writer carries out what was appended and not marked; doing that
twice leaves what doing it once leaves. Entries that every target has are removed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qdrant_static.journal import journaltargets as rules
from qdrant_static.journal.entries import Change, Entry, Lag, Target
from qdrant_static.journal.journalfile import JournalFile


class Journal(JournalFile):
    """The changes that were made through `LiveWriter`, as far as some collection lacks them.

    Args:
        path: The file; it is made if it is missing.
        patience_s: How long to wait for other writers, in seconds.

    Raises:
        StorageError: If it cannot be opened, is damaged, or of another version.
    """

    # --- targets -------------------------------------------------------------------------------

    def targets(self) -> dict[str, Target]:
        """The collections that get the changes, by name."""
        rows = self._rows("SELECT name, mode, start, position, problem FROM targets ORDER BY name")
        return {
            name: Target(name=name, mode=mode, start=start, position=position, problem=problem)
            for name, mode, start, position, problem in rows
        }

    def primary(self) -> str | None:
        """The collection that the alias pointed at when a writer last looked."""
        return rules.primary(self.targets())

    def set_primary(self, name: str) -> None:
        """Make a collection the primary; see `WriteJournal`."""
        self._become(rules.with_primary(self.targets(), name, self.last()))

    def activate(self, name: str, *, primary: str) -> Target:
        """From now on keep what a collection that is being built will need; see `WriteJournal`.

        Raises:
            ArgumentError: If it is the primary.
        """
        after = rules.with_built(rules.with_primary(self.targets(), primary, self.last()), name)
        self._become(after, durable=True)
        return after[name]

    def rewind(self, name: str) -> None:
        """Before a collection is filled again: replay is to begin where `activate` began.

        Raises:
            ArgumentError: If it is not being built.
        """
        self._become(rules.rewound(self.targets(), self._target(name)))

    def retire(self, name: str) -> None:
        """Forget a target, and what only it needed.

        Raises:
            ArgumentError: If it is the primary.
        """
        self._become(rules.retired(self.targets(), name))

    def note_problem(self, name: str, problem: str | None) -> None:
        """Why a target gets no more."""
        self._become({**self.targets(), name: replace(self._target(name), problem=problem)})

    def lag(self, name: str) -> Lag:
        """What a target lacks."""
        target = self._target(name)
        ((count, oldest),) = self._rows(
            "SELECT count(*), min(at) FROM entries WHERE seq > ?", target.position
        )
        return Lag(
            target=name,
            mode=target.mode,
            entries=count,
            oldest_s=0.0 if oldest is None else max(0.0, time.time() - oldest),
            problem=target.problem,
        )

    # --- entries -------------------------------------------------------------------------------

    def append(self, changes: Sequence[Change]) -> list[Entry]:
        """Write changes down, all or none, durable when it returns.

        Raises:
            StorageError: If the disk is full or the journal damaged; then none is in it.
        """
        at = time.time()
        entries = []
        with self._changing(durable=True):
            for change in changes:
                row = (at, change.op, *_told(change))
                cursor = self._db.execute(
                    "INSERT INTO entries (at, op, ids, payloads, names) VALUES (?, ?, ?, ?, ?)", row
                )
                entries.append(Entry(seq=int(cursor.lastrowid or 0), at=at, change=change))
        return entries

    def pending(self, name: str, limit: int, upto: int | None = None) -> list[Entry]:
        """The next changes that a target lacks, in order.

        Args:
            name: The target.
            limit: How many at most.
            upto: The last entry that is wanted; None: all.
        """
        rows = self._rows(
            "SELECT seq, at, op, ids, payloads, names FROM entries WHERE seq > ? AND seq <= ? "
            "ORDER BY seq LIMIT ?",
            self._target(name).position,
            2**62 if upto is None else upto,
            limit,
        )
        return [Entry(seq=seq, at=at, change=self._read(seq, *rest)) for seq, at, *rest in rows]

    def advance(self, name: str, seq: int) -> None:
        """A target has everything up to an entry; what nobody needs is forgotten."""
        target = self._target(name)
        settled = seq if target.mode == "primary" else None
        self._become(rules.advanced(self.targets(), target, seq), settled=settled)

    def amend(self, seq: int, change: Change | None) -> None:
        """Replace or remove an entry that was never acknowledged, because it was refused."""
        with self._changing(durable=True):
            if change is None:
                self._db.execute("DELETE FROM entries WHERE seq = ?", (seq,))
            else:
                self._db.execute(
                    "UPDATE entries SET ids = ?, payloads = ?, names = ? WHERE seq = ?",
                    (*_told(change), seq),
                )

    def settled(self) -> int:
        """The last entry that was acknowledged, or may have been."""
        return int(self._meta("settled"))

    def last(self) -> int:
        """The last entry; 0 before the first."""
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'entries'")
        return int(rows[0][0]) if rows else 0

    def __len__(self) -> int:
        """How many entries are kept."""
        return int(self._rows("SELECT count(*) FROM entries")[0][0])

    # --- the file ------------------------------------------------------------------------------

    def _become(
        self, after: rules.Targets, *, settled: int | None = None, durable: bool = False
    ) -> None:
        """Replace the targets, and forget what nobody needs any more."""
        before = self.targets()
        if after == before and settled is None:
            return
        with self._changing(durable=durable):
            for name in before.keys() - after.keys():
                self._db.execute("DELETE FROM targets WHERE name = ?", (name,))
            for name, one in after.items():
                if one != before.get(name):
                    row = (name, one.mode, one.start, one.position, one.problem)
                    self._db.execute("INSERT OR REPLACE INTO targets VALUES (?, ?, ?, ?, ?)", row)
            if settled is not None:
                self._db.execute(
                    "UPDATE meta SET value = max(value, ?) WHERE key = 'settled'", (settled,)
                )
            needed = rules.needed(after)
            if needed is not None:
                self._db.execute("DELETE FROM entries WHERE seq <= ?", (needed,))

    def _target(self, name: str) -> Target:
        return rules.known(self.targets(), name, self.place)

    def _read(self, seq: int, op: Any, ids: str, payloads: str, names: str) -> Change:
        try:
            return Change(
                op=op,
                ids=tuple(json.loads(ids)),
                payloads=tuple(json.loads(payloads)),
                names=tuple(json.loads(names)),
            )
        except ValueError as error:
            raise self._damaged(f"entry {seq} cannot be read: {error}") from error


def _told(change: Change) -> tuple[str, str, str]:
    return (
        json.dumps(change.ids),
        json.dumps(change.payloads, ensure_ascii=False, allow_nan=False),
        json.dumps(change.names, ensure_ascii=False),
    )
