"""Bytes that can be read once only: standard input, pipes, terminals."""

from __future__ import annotations

import io
import os
import select
import shutil
import stat
import sys
import tempfile
import threading
import weakref
from typing import IO, Any

from qdrant_static.errors import ArgumentError, JobStoppedError

#: So much of what was looked at is kept in memory; more goes into a temporary file.
_KEPT_BYTES = 8 * 2**20
_PIECE_BYTES = 64 * 2**10
#: How often who waits for bytes looks whether to go on waiting, in milliseconds.
_POLL_MS = 100


class ReadOnce:
    """Bytes that come once; what is looked at before they are read is kept, and comes again.

    Args:
        name: What it is called, for messages.
        path: What to open, when it is first needed; None: standard input.
        stop: Ends the waiting for bytes.
    """

    def __init__(
        self, name: str, path: str | None = None, *, stop: threading.Event | None = None
    ) -> None:
        self.stop = stop
        self._name = name
        self._path = path
        self._cancelled = threading.Event()
        self._kept: IO[bytes] = self._closed_at_end(tempfile.SpooledTemporaryFile(_KEPT_BYTES))
        self._whole: IO[bytes] | None = None
        self._taken = False
        self._file: int | None = None
        self._stream: Any = None

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of what is read, if these identify it."""
        try:
            found = os.fstat(sys.stdin.fileno()) if self._path is None else os.stat(self._path)
        except (OSError, ValueError, AttributeError):  # standard input that is no file
            return None
        return None if stat.S_ISREG(found.st_mode) else (found.st_dev, found.st_ino)

    def sample(self) -> io.BufferedReader[Any]:
        """The bytes from the beginning; all that is read of them stays to be read."""
        return io.BufferedReader(_Kept(self), _PIECE_BYTES)

    def open(self) -> io.BufferedReader[Any]:
        """All bytes.

        Raises:
            ArgumentError: If they were read before.
        """
        if self._taken:
            raise ArgumentError(field="paths", problem=f"{self._name} can be read once only")
        self._taken = True
        return io.BufferedReader(_Rest(self), 2**20)

    def stored(self) -> IO[bytes]:
        """All bytes in a temporary file that has no name, for formats that are read at any place.

        Each call gives the file at its beginning; one of them is read at a time.
        """
        if self._whole is None:
            with self.open() as read:
                whole = self._closed_at_end(tempfile.TemporaryFile())
                shutil.copyfileobj(read, whole, 2**20)
            whole.flush()
            self._whole = whole
        file = os.fdopen(os.dup(self._whole.fileno()), "rb")
        file.seek(0)
        return file

    def cancel(self) -> None:
        """Stop waiting for bytes."""
        self._cancelled.set()

    def kept(self, start: int, count: int) -> bytes:
        """Some of the bytes that were looked at; none behind them."""
        self._kept.seek(start)
        return self._kept.read(count)

    def keep(self, content: bytes) -> None:
        """Have bytes come again."""
        self._kept.seek(0, os.SEEK_END)
        self._kept.write(content)

    def read(self, count: int) -> bytes:
        """The next bytes that nobody has looked at; none at the end.

        Raises:
            JobStoppedError: If it is to stop before there are any.
            OSError: If they cannot be read.
        """
        self._begin()
        if self._file is None:
            content: bytes = self._stream.read(count)
            return content
        while True:
            self._wait(self._file)
            try:
                return os.read(self._file, count)
            except BlockingIOError:
                continue

    def close(self) -> None:
        """Let go of what was opened; what was stored stays."""
        if self._path is not None and self._file is not None:
            os.close(self._file)
            self._file = None

    def _closed_at_end(self, file: Any) -> Any:
        weakref.finalize(self, file.close)
        return file

    def _begin(self) -> None:
        if self._file is not None or self._stream is not None:
            return
        if self._path is None:
            try:
                self._file = sys.stdin.fileno()
            except (OSError, ValueError, AttributeError):
                self._stream = sys.stdin.buffer
            return
        # On Linux a pipe that nobody writes to yet can be opened, and waited for, without blocking;
        # other systems would take it for ended.
        calm = os.O_NONBLOCK if sys.platform == "linux" else 0
        self._file = os.open(self._path, os.O_RDONLY | calm)

    def _wait(self, file: int) -> None:
        """Wait until there is something to read, or nothing will come any more."""
        waiting = select.poll() if hasattr(select, "poll") else None
        if waiting is not None:
            waiting.register(file, select.POLLIN)
        while True:
            if self._cancelled.is_set() or (self.stop is not None and self.stop.is_set()):
                raise JobStoppedError(waited_for=self._name)
            if waiting is None or waiting.poll(_POLL_MS):
                return


class _Kept(io.RawIOBase):
    """The bytes from the beginning, each kept as it is read."""

    def __init__(self, once: ReadOnce) -> None:
        super().__init__()
        self._once = once
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        got = self._once.kept(self._at, len(view))
        if not got:
            got = self._once.read(min(len(view), _PIECE_BYTES))
            self._once.keep(got)
        self._at += len(got)
        view[: len(got)] = got
        return len(got)


class _Rest(io.RawIOBase):
    """What was kept, then the rest; closing it closes what was opened."""

    def __init__(self, once: ReadOnce) -> None:
        super().__init__()
        self._once = once
        self._at: int | None = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        got = b""
        if self._at is not None:
            got = self._once.kept(self._at, len(view))
            self._at = self._at + len(got) if got else None
        if not got:
            got = self._once.read(len(view))
        view[: len(got)] = got
        return len(got)

    def close(self) -> None:
        if not self.closed:
            self._once.close()
        super().close()
