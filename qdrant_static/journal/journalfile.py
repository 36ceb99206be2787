"""The SQLite file of a journal, and the lock of its writers."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from qdrant_static.errors import ArgumentError, StorageError
from qdrant_static.files import LockFile, LockHeldError, make_private

if TYPE_CHECKING:
    from types import TracebackType

#: Version of the tables; a consumer is a row of ``targets``.
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
    """An open SQLite file of a journal: transactions, durability, errors that say what to do.

    Args:
        path: The file; it is created if it is missing.
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
        """The file's absolute path."""
        return str(self.path.absolute())

    @property
    def identity(self) -> str:
        """A unique name; a journal that is created anew has another."""
        return str(self._meta("identity"))

    def exclusive(self, purpose: str = "writing") -> AbstractContextManager[None]:
        """Lock out all other writers of the journal, in every thread and process; reentrant.

        Raises:
            StorageError: If others held the journal for longer than its patience.
        """
        return self._mutex.held(purpose)

    def close(self) -> None:
        """Close the files; nothing that was appended is lost."""
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
        """Run a block in a transaction; this thread must hold the lock.

        Args:
            durable: Whether it must survive a loss of power. Positions need not: the changes
                after them are applied again.
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
                    problem = "the disk is full. Nothing was written: make room and repeat"
                else:
                    problem = f"{problem}. Nothing was written: check the disk and repeat"
                raise StorageError(path=str(self.path), problem=problem) from error
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                raise self._damaged(str(error)) from error

    def _damaged(self, problem: str) -> StorageError:
        return StorageError(
            path=str(self.path),
            problem=f"the journal is damaged ({problem}). Nothing was written. Move it away to go "
            "on with a new one, and abort or restart any migration that was under way: the changes "
            "that were not replayed yet are missing in its new collection, not in the one in use",
        )


class FileMutex:
    """A lock file for all writers of a journal, threads and processes.

    A writer that releases the lock and wants it again at once would overtake all that wait. So the
    next one to have the lock is decided by a second lock, the queue: a writer takes the queue's
    lock, then the lock, then releases the queue's.

    Args:
        path: The lock file; the queue's is beside it, ``<path>.turn``.
        patience_s: How long to wait for other writers, in seconds.

    Raises:
        StorageError: If the folder cannot be made.
    """

    def __init__(self, path: Path, patience_s: float) -> None:
        self.path = path
        self._patience_s = patience_s
        self._pid = os.getpid()
        self._queue = threading.Lock()
        self._lock = threading.Lock()
        self._queue_file = LockFile(path.with_name(f"{path.name}.turn"))
        self._lock_file = LockFile(path)
        self._closed = False
        self._owner: int | None = None
        self._depth = 0
        try:
            make_private(path.parent)
        except OSError as error:
            raise self._failure(error) from error

    @contextmanager
    def held(self, purpose: str) -> Iterator[None]:
        """Hold the lock for a block; a thread that holds it may do so again.

        Args:
            purpose: What it is held for; shown to those that wait for too long.

        Raises:
            StorageError: If others held it for longer than the patience, or the files cannot be
                made.
        """
        me = threading.get_ident()
        if self._owner != me:
            self._acquire(purpose)
            self._owner = me
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._owner = None
                self._lock_file.release()
                self._lock.release()

    @property
    def is_mine(self) -> bool:
        """Whether this thread holds it."""
        return self._owner == threading.get_ident()

    def close(self) -> None:
        """Refuse further use, and release what is held."""
        self._closed = True
        self._queue_file.release()
        self._lock_file.release()

    def _acquire(self, purpose: str) -> None:
        if os.getpid() != self._pid:  # a fork shares its parent's lock, so it would not hold
            raise ArgumentError(
                field="journal", problem="was opened before this process was forked: open it here"
            )
        if self._closed:
            raise ArgumentError(field="journal", problem=f"{self.path} is closed: open it again")
        end = time.monotonic() + self._patience_s
        if not self._queue.acquire(timeout=self._patience_s):
            raise self._too_long()
        try:
            if not self._lock.acquire(timeout=max(0.0, end - time.monotonic())):
                raise self._too_long()
            try:
                with self._queue_file.held(purpose, timeout_s=end - time.monotonic()):
                    self._lock_file.acquire(purpose, timeout_s=end - time.monotonic())
            except LockHeldError as error:
                raise self._too_long() from error
            except OSError as error:
                raise self._failure(error) from error
            finally:
                if not self._lock_file.is_held:
                    self._lock.release()
        finally:
            self._queue.release()

    def _too_long(self) -> StorageError:
        return StorageError(
            path=str(self.path),
            problem=f"others wrote for longer than {self._patience_s:g} s "
            f"({self._lock_file.owner()}). Nothing was written: repeat it later",
        )

    def _failure(self, error: OSError) -> StorageError:
        return StorageError(
            path=str(self.path), problem=f"cannot be made or opened ({error.strerror})"
        )
