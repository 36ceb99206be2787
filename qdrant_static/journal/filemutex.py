"""A reentrant lock between threads and processes, taken in about the order of the requests."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qdrant_static.errors import ArgumentError, StorageError
from qdrant_static.files import LockFile, LockHeldError, make_private

if TYPE_CHECKING:
    from collections.abc import Iterator


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
