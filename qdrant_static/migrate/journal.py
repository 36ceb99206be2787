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
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from qdrant_static.errors import SpecError, StorageError
from qdrant_static.migrate import targets as rules
from qdrant_static.migrate.entries import Change, Entry, Lag, Target
from qdrant_static.migrate.mutex import FileMutex

if TYPE_CHECKING:
    import os
    from types import TracebackType

#: Of the tables.
VERSION = 1
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, also after entries are removed
    at REAL NOT NULL, op TEXT NOT NULL, ids TEXT NOT NULL, payloads TEXT NOT NULL,
    names TEXT NOT NULL
);
CREATE TABLE targets (
    name TEXT PRIMARY KEY, mode TEXT NOT NULL, start INTEGER NOT NULL, position INTEGER NOT NULL,
    problem TEXT
) WITHOUT ROWID;
"""


class Journal:
    """The changes that were made through `LiveWriter`, as far as some collection lacks them.

    Args:
        path: The file; it is made if it is missing.
        patience_s: How long to wait for other writers, in seconds.

    Raises:
        StorageError: If it cannot be opened, is damaged, or of another version.
    """

    def __init__(self, path: str | os.PathLike[str], *, patience_s: float = 60.0) -> None:
        self.path = Path(path)
        self._guard = threading.RLock()
        self._mutex = FileMutex(self.path.with_suffix(".lock"), patience_s)
        try:
            with self._mutex.held("opening"), self._errors():
                self._db = sqlite3.connect(
                    self.path, isolation_level=None, timeout=patience_s, check_same_thread=False
                )
                try:
                    self._prepare()
                except BaseException:
                    self._db.close()
                    raise
        except BaseException:
            self._mutex.close()
            raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
            with self._transaction():
                for statement in _TABLES.split(";\n"):
                    self._db.execute(statement)
                rows = [("version", VERSION), ("identity", uuid4().hex), ("settled", 0)]
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        version = self._meta("version")
        if version != VERSION:
            raise StorageError(
                path=str(self.path),
                problem=f"is a journal of version {version}, this version of qdrant-static reads "
                f"{VERSION}: use the version that wrote it, or flush it there and move it away",
            )

    # --- who it is -----------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    @property
    def identity(self) -> str:
        """A name that no other journal has; a journal made anew has another."""
        return str(self._meta("identity"))

    def exclusive(self, why: str = "writing") -> AbstractContextManager[None]:
        """Hold all writers of the journal off, in every thread and process; may be nested.

        Raises:
            StorageError: If others held it for longer than the journal's patience.
        """
        return self._mutex.held(why)

    def close(self) -> None:
        """Let go of the files; nothing is lost that was appended."""
        with self._guard:
            self._db.close()
            self._mutex.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
            SpecError: If it is the primary.
        """
        after = rules.with_built(rules.with_primary(self.targets(), primary, self.last()), name)
        self._become(after, durable=True)
        return after[name]

    def rewind(self, name: str) -> None:
        """Before a collection is filled again: replay is to begin where `activate` began.

        Raises:
            SpecError: If it is not being built.
        """
        self._become(rules.rewound(self.targets(), self._target(name)))

    def retire(self, name: str) -> None:
        """Forget a target, and what only it needed.

        Raises:
            SpecError: If it is the primary.
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

    def _meta(self, key: str) -> Any:
        rows = self._rows("SELECT value FROM meta WHERE key = ?", key)
        if not rows:
            raise self._damaged(f"it has no {key}")
        return rows[0][0]

    def _rows(self, statement: str, *arguments: Any) -> list[Any]:
        with self._errors():
            return self._db.execute(statement, arguments).fetchall()

    @contextmanager
    def _changing(self, *, durable: bool = False) -> Iterator[None]:
        """A transaction of whoever holds the journal.

        Args:
            durable: Whether it must survive the loss of power. Marks need not: what they mark is
                carried out again.
        """
        if not self._mutex.is_mine:
            raise SpecError(field="journal", problem="is changed outside of exclusive()")
        with self._errors():
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            with self._transaction():
                yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with self._guard:
            try:
                yield
            except sqlite3.ProgrammingError as error:
                raise SpecError(field="journal", problem=f"{self.path}: {error}") from error
            except sqlite3.OperationalError as error:
                problem = str(error)
                if "full" in problem:
                    problem = "the disk is full. Nothing of this write was done; make room, repeat"
                else:
                    problem = f"{problem}. Nothing of this write was done; see to the disk, repeat"
                raise StorageError(path=str(self.path), problem=problem) from error
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                raise self._damaged(str(error)) from error

    def _damaged(self, problem: str) -> StorageError:
        return StorageError(
            path=str(self.path),
            problem=f"the journal is damaged ({problem}). Nothing was written. Move it away to go "
            "on with a new one, and abort or begin anew any migration that was under way: what "
            "it had not replayed is lost to the new collection, not to the one in use",
        )


def _told(change: Change) -> tuple[str, str, str]:
    return (
        json.dumps(change.ids),
        json.dumps(change.payloads, ensure_ascii=False, allow_nan=False),
        json.dumps(change.names, ensure_ascii=False),
    )
