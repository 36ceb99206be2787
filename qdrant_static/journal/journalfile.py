"""The file of a journal: opened, locked, changed in transactions; errors say what to do."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from qdrant_static.errors import ArgumentError, StorageError
from qdrant_static.journal.filemutex import FileMutex

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


class JournalFile:
    """An open journal, without what is in it.

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

    @property
    def place(self) -> str:
        """The file, as other processes find it too."""
        return str(self.path.absolute())

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
            raise ArgumentError(field="journal", problem="is changed outside of exclusive()")
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
                raise ArgumentError(field="journal", problem=f"{self.path}: {error}") from error
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
