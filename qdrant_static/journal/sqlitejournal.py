"""The journal of one machine: a SQLite file.

::

    <state>/articles/journal.sqlite       the changes that some consumer lacks
    <state>/articles/journal.lock[.turn]  held by the process that writes, one change at a time

A change is appended (durably, before anything else), applied to the primary, and acknowledged.
After a crash, the next writer applies what was appended and not acknowledged; applying a change
twice has the same result as applying it once. Entries that every consumer has are deleted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from qdrant_static.journal.changes import Change
from qdrant_static.journal.journalfile import JournalFile
from qdrant_static.journal.writejournal import (
    Consumer,
    Entry,
    Lag,
    WriteJournal,
    last_unneeded,
)


class Journal(JournalFile, WriteJournal):
    """A journal in a file, for all writers of one machine; see `WriteJournal`.

    Args:
        path: The file; it is created if it is missing.
        patience_s: How long to wait for other writers, in seconds.

    Raises:
        StorageError: If it cannot be opened, is damaged, or of another version.
    """

    def consumers(self) -> dict[str, Consumer]:
        """Return the collections that receive the changes, by name."""
        rows = self._rows("SELECT name, mode, start, position, problem FROM targets ORDER BY name")
        return {
            name: Consumer(name=name, mode=mode, start=start, position=position, problem=problem)
            for name, mode, start, position, problem in rows
        }

    def lag(self, name: str) -> Lag:
        """Return what a consumer lacks."""
        consumer = self.consumer(name)
        ((count, oldest),) = self._rows(
            "SELECT count(*), min(at) FROM entries WHERE seq > ?", consumer.position
        )
        return Lag(
            collection=name,
            mode=consumer.mode,
            entries=count,
            oldest_s=0.0 if oldest is None else max(0.0, time.time() - oldest),
            problem=consumer.problem,
        )

    def append(self, changes: Sequence[Change]) -> list[Entry]:
        """Append changes, all or none; they are durable when it returns.

        Raises:
            StorageError: If the disk is full or the journal damaged; then none is in it.
        """
        at = time.time()
        entries = []
        with self._changing(durable=True):
            for change in changes:
                row = (at, change.op, *_columns(change))
                cursor = self._db.execute(
                    "INSERT INTO entries (at, op, ids, payloads, names) VALUES (?, ?, ?, ?, ?)", row
                )
                entries.append(Entry(seq=int(cursor.lastrowid or 0), at=at, change=change))
        return entries

    def pending(self, name: str, limit: int, upto: int | None = None) -> list[Entry]:
        """Return the next entries that a consumer lacks, in order; see `WriteJournal`."""
        rows = self._rows(
            "SELECT seq, at, op, ids, payloads, names FROM entries WHERE seq > ? AND seq <= ? "
            "ORDER BY seq LIMIT ?",
            self.consumer(name).position,
            2**62 if upto is None else upto,
            limit,
        )
        return [Entry(seq=seq, at=at, change=self._change(seq, *rest)) for seq, at, *rest in rows]

    def amend(self, seq: int, change: Change | None) -> None:
        """Replace or remove an entry that was never acknowledged, because it was refused."""
        with self._changing(durable=True):
            if change is None:
                self._db.execute("DELETE FROM entries WHERE seq = ?", (seq,))
            else:
                self._db.execute(
                    "UPDATE entries SET ids = ?, payloads = ?, names = ? WHERE seq = ?",
                    (*_columns(change), seq),
                )

    def acknowledged(self) -> int:
        """Return the last entry that was, or may have been, acknowledged."""
        return int(self._meta("settled"))

    def last(self) -> int:
        """Return the last entry's number; 0 before the first."""
        rows = self._rows("SELECT seq FROM sqlite_sequence WHERE name = 'entries'")
        return int(rows[0][0]) if rows else 0

    def __len__(self) -> int:
        """Return how many entries are kept."""
        return int(self._rows("SELECT count(*) FROM entries")[0][0])

    def _save(
        self,
        consumers: Mapping[str, Consumer],
        *,
        acknowledged: int | None = None,
        durable: bool = False,
    ) -> None:
        before = self.consumers()
        if consumers == before and acknowledged is None:
            return
        with self._changing(durable=durable):
            for name in before.keys() - consumers.keys():
                self._db.execute("DELETE FROM targets WHERE name = ?", (name,))
            for name, one in consumers.items():
                if one != before.get(name):
                    row = (name, one.mode, one.start, one.position, one.problem)
                    self._db.execute("INSERT OR REPLACE INTO targets VALUES (?, ?, ?, ?, ?)", row)
            if acknowledged is not None:
                self._db.execute(
                    "UPDATE meta SET value = max(value, ?) WHERE key = 'settled'", (acknowledged,)
                )
            unneeded = last_unneeded(consumers)
            if unneeded is not None:
                self._db.execute("DELETE FROM entries WHERE seq <= ?", (unneeded,))

    def _change(self, seq: int, op: Any, ids: str, payloads: str, names: str) -> Change:
        try:
            return Change(
                op=op,
                ids=tuple(json.loads(ids)),
                payloads=tuple(json.loads(payloads)),
                names=tuple(json.loads(names)),
            )
        except ValueError as error:
            raise self._damaged(f"entry {seq} cannot be read: {error}") from error


def _columns(change: Change) -> tuple[str, str, str]:
    return (
        json.dumps(change.ids),
        json.dumps(change.payloads, ensure_ascii=False, allow_nan=False),
        json.dumps(change.names, ensure_ascii=False),
    )
