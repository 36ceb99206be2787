"""Bytes of inputs: pipes that can be read only once, decompression, and lines."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import select
import shutil
import stat
import sys
import tempfile
import threading
import weakref
import zlib
from collections.abc import Iterator
from typing import IO, Any, Literal, cast

import pyarrow as pa

from qdrant_static.errors import ArgumentError, JobStoppedError

Compression = Literal["gzip", "zstd", "bz2"]

#: So many of the bytes that were looked at are kept in memory; more go into a temporary file.
_KEPT_BYTES = 8 * 2**20
_PIECE_BYTES = 64 * 2**10
#: How often a wait for bytes checks whether the job is to stop, in milliseconds.
_POLL_MS = 100
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class DamagedError(Exception):
    """An input that is damaged, where no library raises an error of its own."""


#: What reading a file raises that is damaged, truncated, or cannot be opened.
DAMAGED = (OSError, EOFError, zlib.error, pa.ArrowException, DamagedError)


def problem_of(error: BaseException) -> str:
    """Return an error's message, for a sentence that names the file already."""
    reason = error.strerror if isinstance(error, OSError) else None
    return str(reason or error) or type(error).__name__


def lines(file: IO[bytes], max_bytes: int) -> Iterator[bytes]:
    """Yield the lines of a file, with their ends.

    Args:
        file: The file, at its beginning; a byte order mark there is skipped.
        max_bytes: Of a longer line, a piece that is longer than this is yielded.
    """
    is_first = True
    while line := file.readline(max_bytes + 2):
        rest = line
        while len(rest) > max_bytes and not rest.endswith(b"\n"):
            rest = file.readline(max_bytes + 2)
        if is_first:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            is_first = False
        yield line


class ReadOnce:
    """Standard input, a pipe or a terminal: bytes that can be read only once.

    `sample` shows the first bytes without consuming them: they are kept, and `open` yields them
    again.

    Args:
        name: Its name in messages.
        path: What to open when bytes are first needed; None: standard input.
        stop: Ends the wait for bytes.
    """

    def __init__(
        self, name: str, path: str | None = None, *, stop: threading.Event | None = None
    ) -> None:
        self.stop = stop
        self._name = name
        self._path = path
        self._cancelled = threading.Event()
        self._kept: IO[bytes] = self._close_at_end(tempfile.SpooledTemporaryFile(_KEPT_BYTES))
        self._whole: IO[bytes] | None = None
        self._taken = False
        self._file: int | None = None
        self._stream: Any = None

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the pipe; None where they do not identify it."""
        try:
            status = os.fstat(sys.stdin.fileno()) if self._path is None else os.stat(self._path)
        except (OSError, ValueError, AttributeError):  # standard input without a file descriptor
            return None
        return None if stat.S_ISREG(status.st_mode) else (status.st_dev, status.st_ino)

    def sample(self) -> io.BufferedReader[Any]:
        """Open the first bytes; whatever is read of them can be read again."""
        return io.BufferedReader(_Kept(self), _PIECE_BYTES)

    def open(self) -> io.BufferedReader[Any]:
        """Open all bytes.

        Raises:
            ArgumentError: If they were read before.
        """
        if self._taken:
            raise ArgumentError(field="paths", problem=f"{self._name} can be read only once")
        self._taken = True
        return io.BufferedReader(_Rest(self), 2**20)

    def stored(self) -> IO[bytes]:
        """Copy all bytes to a temporary file without a name, for formats that need to seek.

        Each call returns the file at its beginning; read one of them at a time.
        """
        if self._whole is None:
            with self.open() as read:
                whole = self._close_at_end(tempfile.TemporaryFile())
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
        """Return some of the bytes that were kept; none after their end."""
        self._kept.seek(start)
        return self._kept.read(count)

    def keep(self, content: bytes) -> None:
        """Keep bytes, to be read again."""
        self._kept.seek(0, os.SEEK_END)
        self._kept.write(content)

    def read(self, count: int) -> bytes:
        """Read the next bytes that were not kept; none at the end.

        Raises:
            JobStoppedError: If the job is stopped before there are any.
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
        """Close what was opened; what was stored stays."""
        if self._path is not None and self._file is not None:
            os.close(self._file)
            self._file = None

    def _close_at_end(self, file: Any) -> Any:
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
        # On Linux a pipe without a writer can be opened without blocking, and polled; other systems
        # would report its end.
        flags = os.O_NONBLOCK if sys.platform == "linux" else 0
        self._file = os.open(self._path, os.O_RDONLY | flags)

    def _wait(self, file: int) -> None:
        """Wait until there are bytes to read, or their end."""
        poll = select.poll() if hasattr(select, "poll") else None
        if poll is not None:
            poll.register(file, select.POLLIN)
        while True:
            if self._cancelled.is_set() or (self.stop is not None and self.stop.is_set()):
                raise JobStoppedError(waited_for=self._name)
            if poll is None or poll.poll(_POLL_MS):
                return


class _Kept(io.RawIOBase):
    """Reads the bytes from the beginning, and keeps each of them."""

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
    """Reads what was kept, then the rest; closing it closes the pipe."""

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


def decompressed(file: io.BufferedReader[Any], compression: Compression | None) -> IO[bytes]:
    """Decompress a file; closing the result closes the file.

    Raises:
        DamagedError: If a compressed file has no bytes: even one without content has some.
    """
    if compression is not None and not file.peek(1):
        file.close()
        raise DamagedError(f"the file has no bytes, so it is not a {compression} file")
    if compression == "gzip":
        return cast("IO[bytes]", _Gzip(file))
    if compression == "bz2":
        return cast("IO[bytes]", _Bz2(file))
    if compression == "zstd":
        stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
        return cast("IO[bytes]", _Buffered(stream, file))
    return file


class _Gzip(gzip.GzipFile):
    """A gzip decompressor that also closes the file that it reads."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(fileobj=file, mode="rb")
        self._file = file

    def close(self) -> None:
        super().close()
        self._file.close()


class _Bz2(bz2.BZ2File):
    """A bzip2 decompressor that also closes the file that it reads."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, "rb")
        self._file = file

    def close(self) -> None:
        super().close()
        self._file.close()


class _Buffered(io.BufferedReader):
    """One of Arrow's decompressors, with lines, that also closes the file that it reads."""

    def __init__(self, raw: Any, file: IO[bytes]) -> None:
        super().__init__(raw, _PIECE_BYTES)
        self._file = file

    def close(self) -> None:
        super().close()
        self._file.close()
