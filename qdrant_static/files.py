"""Lock files that name their owner, files that are replaced atomically, and private folders.

A lock file is locked with ``flock`` (``LockFileEx`` on Windows), so the operating system releases
it when the process ends, however it ends. The line in it is only information for others::

    process 12 on host since 2026-11-30T18:20:00+00:00: writing to articles

A fork copies every file descriptor, and ``flock`` holds until the last copy is closed: a child that
lives on would keep a lock that its parent has released. So forked children close their copies at
once. Programs started with ``subprocess`` inherit none.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from weakref import WeakSet

import portalocker

from qdrant_static.clock import now

#: Pause between two attempts to take a lock within a timeout, in seconds.
_PAUSE_S = 0.001
_OWNER = re.compile(r"(?:process )?(?P<pid>[0-9]+)(?: on (?P<host>\S+))?")

_open_locks: WeakSet[FileIO] = WeakSet()


def this_process() -> str:
    """Return ``process 12 on host`` for this process."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@dataclass(frozen=True, slots=True)
class LockOwner:
    """The process that holds a lock file.

    Attributes:
        line: The line in the file; earlier versions wrote the process id alone, or nothing yet.
    """

    line: str

    @property
    def is_this_process(self) -> bool:
        """Whether it is the running process."""
        found = _OWNER.match(self.line)
        return (
            found is not None
            and int(found["pid"]) == os.getpid()
            and found["host"] in (None, socket.gethostname())
        )

    def __str__(self) -> str:
        if self.line.isdecimal():
            return f"process {self.line}"
        return self.line or "an unknown process"


class LockHeldError(Exception):
    """Another process, or another `LockFile` of this one, holds the lock.

    Callers replace it by an error that says what is locked.

    Attributes:
        owner: Who holds it.
    """

    def __init__(self, owner: LockOwner) -> None:
        super().__init__(str(owner))
        self.owner = owner


class LockFile:
    """An exclusive lock between processes, and between the threads of one.

    It is not reentrant. The file stays after the release; `remove` deletes it.

    Args:
        path: The lock file; `acquire` creates it, for its owner alone. Its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None

    def acquire(self, purpose: str = "", *, timeout_s: float | None = 0.0) -> None:
        """Take the lock, and write into the file who holds it.

        Args:
            purpose: What the lock is held for; written into the file.
            timeout_s: How long to wait, in seconds; None waits until the lock is free.

        Raises:
            LockHeldError: If it is held by others for longer than the timeout.
            OSError: If the file cannot be created or written.
        """
        while True:
            file = open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
            _open_locks.add(file)
            try:
                _lock(file, timeout_s)
                # Its owner may have deleted the file between our opening and locking it.
                if _is_at(file, self.path):
                    break
            except BaseException:
                file.close()
                raise
            file.close()
        line = f"{this_process()} since {now()}" + (f": {purpose}" if purpose else "")
        with suppress(OSError):  # a full disk: the lock holds without the line
            file.truncate(0)
            file.write(line.encode())
        self._file = file

    def release(self) -> None:
        """Release the lock; does nothing if it is not held, or in a forked child."""
        file, self._file = self._file, None
        if file is not None and not file.closed:
            file.truncate(0)
            portalocker.unlock(file)
            file.close()

    def remove(self) -> None:
        """Delete the lock file, then release the lock: what it protected is gone."""
        # Windows refuses to delete an open file; an empty lock file does no harm there.
        with suppress(PermissionError):
            self.path.unlink(missing_ok=True)
        self.release()

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None

    @contextmanager
    def held(self, purpose: str = "", *, timeout_s: float | None = 0.0) -> Iterator[None]:
        """Hold the lock for a block; arguments and errors as for `acquire`."""
        self.acquire(purpose, timeout_s=timeout_s)
        try:
            yield
        finally:
            self.release()

    def owner(self) -> LockOwner:
        """Read who holds the lock from the file."""
        try:
            return LockOwner(self.path.read_bytes().decode(errors="replace").strip())
        except OSError:
            return LockOwner("")


def is_locked(path: Path) -> bool:
    """Return whether somebody holds a lock file; False if it does not exist."""
    try:
        with path.open("r+") as file:
            portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
            portalocker.unlock(file)
    except portalocker.exceptions.LockException:
        return True
    except OSError:
        return False
    return False


def make_private(path: Path) -> None:
    """Create a folder and its missing parents, accessible to the owner alone."""
    if not path.is_dir():
        make_private(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file atomically: readers, and a crash, see the old content or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames and removals in a folder durable, where the system can."""
    if os.name == "nt":  # folders cannot be opened there; the file system journals them
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock(file: FileIO, timeout_s: float | None) -> None:
    if timeout_s is None:
        portalocker.lock(file, portalocker.LOCK_EX)
        return
    end = time.monotonic() + timeout_s
    while True:
        try:
            portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
            return
        except portalocker.exceptions.LockException as error:
            if time.monotonic() >= end:
                line = file.read().decode(errors="replace").strip()
                raise LockHeldError(LockOwner(line)) from error
        time.sleep(_PAUSE_S)


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _close_in_child() -> None:
    for file in list(_open_locks):
        with suppress(OSError):
            file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
