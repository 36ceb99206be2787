"""One at a time, among threads and processes, in about the order in which they asked."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import portalocker

from qdrant_static.edge.directory import make_private
from qdrant_static.edge.forks import close_in_children
from qdrant_static.errors import ArgumentError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How long a waiting process sleeps between attempts, in seconds.
_PAUSE_S = 0.001


class FileMutex:
    """A lock on a file; the operating system releases it with the process.

    Whoever releases a lock and wants it again at once would overtake everybody who waits. So one
    waits in a queue of one: it takes the turn first, then the lock, then gives the turn away.

    Args:
        path: The lock's file; the turn's is beside it.
        patience_s: How long to wait, in seconds.

    Raises:
        StorageError: If the files cannot be made.
    """

    def __init__(self, path: Path, patience_s: float) -> None:
        self.path = path
        self._patience_s = patience_s
        self._pid = os.getpid()
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._depth = 0
        try:
            make_private(path.parent)
            self._turn_file = _opened(path.with_name(f"{path.name}.turn"))
            self._lock_file = _opened(path)
        except OSError as error:
            raise StorageError(
                path=str(path), problem=f"cannot be made or opened ({error.strerror})"
            ) from error

    @contextmanager
    def held(self, why: str) -> Iterator[None]:
        """Hold it; a thread that holds it may do so again.

        Args:
            why: What it is for; others are told when they lose patience.

        Raises:
            StorageError: If it was held by others for too long.
        """
        me = threading.get_ident()
        if self._owner != me:
            self._take(why)
            self._owner = me
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                self._owner = None
                self._release()

    @property
    def is_mine(self) -> bool:
        """Whether this thread holds it."""
        return self._owner == threading.get_ident()

    def close(self) -> None:
        """Close the files, which releases what is held."""
        self._turn_file.close()
        self._lock_file.close()

    def _take(self, why: str) -> None:
        if os.getpid() != self._pid:  # a fork shares its parent's lock, so it would not hold
            raise ArgumentError(
                field="journal", problem="was opened before this process was forked: open it here"
            )
        if self._lock_file.closed:
            raise ArgumentError(field="journal", problem=f"{self.path} is closed: open it again")
        end = time.monotonic() + self._patience_s
        if not self._turn.acquire(timeout=self._patience_s):
            raise self._impatience()
        try:
            if not self._lock.acquire(timeout=max(0.0, end - time.monotonic())):
                raise self._impatience()
            try:
                self._take_files(why, end)
            except BaseException:
                self._lock.release()
                raise
        finally:
            self._turn.release()

    def _take_files(self, why: str, end: float) -> None:
        self._wait_for(self._turn_file, end)
        try:
            self._wait_for(self._lock_file, end)
        finally:
            portalocker.unlock(self._turn_file)
        moment = datetime.now(UTC).strftime("%H:%M:%S UTC")
        self._lock_file.seek(0)
        self._lock_file.write(f"process {os.getpid()} since {moment}: {why}\n")
        self._lock_file.truncate()
        self._lock_file.flush()

    def _wait_for(self, file: IO[str], end: float) -> None:
        while True:
            try:
                portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
                return
            except portalocker.exceptions.LockException:
                if time.monotonic() >= end:
                    raise self._impatience() from None
                time.sleep(_PAUSE_S)

    def _release(self) -> None:
        if not self._lock_file.closed:
            portalocker.unlock(self._lock_file)
        self._lock.release()

    def _impatience(self) -> StorageError:
        try:
            holder = self.path.read_text().strip()
        except OSError:
            holder = ""
        return StorageError(
            path=str(self.path),
            problem=f"others wrote for longer than {self._patience_s:g} s "
            f"({holder or 'nobody says who'}). Nothing was written; repeat it later",
        )


def _opened(path: Path) -> IO[str]:
    file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    close_in_children(file)
    return file
