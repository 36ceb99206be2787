"""Streams a tar archive of known length in the GNU format, without the holes of sparse files.

A server reads regular files, directories and GNU's old sparse entries only (no pax headers). Its
own snapshots leave out holes in the same way; the engine preallocates so much that a small shard
would otherwise be mostly zeros.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from qdrant_static.errors import StorageError

_BLOCK = 512
_CHUNK_BYTES = 1 << 20
#: The end of an archive.
END = bytes(2 * _BLOCK)
#: Holes that are smaller in total are sent as zeros.
_MIN_HOLES = 64 * 1024
#: Numbers in sparse headers have eleven octal digits; larger files are sent whole.
_MAX_OCTAL = 8**11 - 1
_IN_HEADER, _IN_EXTENSION = 4, 21
_SPARSE_AT, _EXTENDED_AT, _REAL_SIZE_AT, _CHECKSUM_AT = 386, 482, 483, 148


class Member(Protocol):
    """A part of an archive."""

    @property
    def size(self) -> int:
        """The size in the archive in bytes, including headers and padding."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in chunks of bounded size."""


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A file with its content in memory.

    Attributes:
        name: Its path in the archive.
        content: Its content.
    """

    name: str
    content: bytes

    @property
    def size(self) -> int:
        """The size in the archive in bytes."""
        return len(_header(self.name, len(self.content))) + _padded(len(self.content))

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in chunks."""
        yield _header(self.name, len(self.content))
        yield self.content + bytes(_padded(len(self.content)) - len(self.content))


@dataclass(frozen=True, slots=True)
class ArchivedMember:
    """A member of another archive, copied with its header.

    Attributes:
        archive: The other archive.
        start: The offset of its first byte.
        end: The offset after its last byte.
    """

    archive: Path
    start: int
    end: int

    @property
    def size(self) -> int:
        """The size in the archive in bytes."""
        return self.end - self.start

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in chunks."""
        with self.archive.open("rb") as file:
            yield from _exactly(file, self.start, self.size, self.archive)


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file on disk, which must not change after its size was read.

    Attributes:
        name: Its path in the archive.
        path: Its path on disk.
        length: Its size in bytes.
        changed_ns: When it was last written.
        extents: Offsets and lengths of its data; None if it is sent whole.
    """

    name: str
    path: Path
    length: int
    changed_ns: int
    extents: tuple[tuple[int, int], ...] | None

    @classmethod
    def at(cls, path: Path, name: str) -> DiskFile:
        """Read the size and the extents of a file.

        Raises:
            StorageError: If it does not exist, or cannot be read.
        """
        try:
            with path.open("rb") as file:
                stat = os.fstat(file.fileno())
                extents = _extents(file, stat.st_size)
        except OSError as error:
            raise StorageError(path=str(path), problem=f"cannot be read ({error})") from error
        return cls(name, path, stat.st_size, stat.st_mtime_ns, extents)

    @property
    def size(self) -> int:
        """The size in the archive in bytes."""
        return len(self._head()) + _padded(self._stored)

    @property
    def _stored(self) -> int:
        if self.extents is None:
            return self.length
        return sum(length for _, length in self.extents)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes in chunks.

        Raises:
            StorageError: If the file has changed since its size was read.
        """
        yield self._head()
        try:
            with self.path.open("rb") as file:
                self._require_unchanged(file)
                for start, length in self.extents or ((0, self.length),):
                    yield from _exactly(file, start, length, self.path)
                self._require_unchanged(file)
        except OSError as error:
            raise StorageError(path=str(self.path), problem=f"cannot be read ({error})") from error
        yield bytes(_padded(self._stored) - self._stored)

    def _require_unchanged(self, file: BinaryIO) -> None:
        stat = os.fstat(file.fileno())
        if (stat.st_size, stat.st_mtime_ns) != (self.length, self.changed_ns):
            raise _changed(self.path)

    def _head(self) -> bytes:
        if self.extents is None:
            return _header(self.name, self.length)
        return _sparse_header(self.name, self.length, self.extents)


def members_of(archive: Path) -> list[tuple[str, ArchivedMember]]:
    """Return the names and byte ranges of the members of an uncompressed archive.

    Raises:
        StorageError: If it is not an archive, or ends early.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            found = tar.getmembers()
            end = tar.offset
        with archive.open("rb") as file:
            file.seek(end)
            if file.read(_BLOCK) != bytes(_BLOCK):  # cut between two members
                raise tarfile.ReadError("unexpected end of data")
    except (tarfile.TarError, OSError) as error:
        raise StorageError(
            path=str(archive), problem=f"is not a complete archive ({error})"
        ) from error
    ends = [*(member.offset for member in found[1:]), end]
    return [
        (member.name, ArchivedMember(archive, member.offset, end))
        for member, end in zip(found, ends, strict=True)
    ]


def _exactly(file: BinaryIO, start: int, length: int, path: Path) -> Iterator[bytes]:
    file.seek(start)
    while length:
        piece = file.read(min(length, _CHUNK_BYTES))
        if not piece:
            raise _changed(path)
        length -= len(piece)
        yield piece


def _changed(path: Path) -> StorageError:
    return StorageError(
        path=str(path),
        problem="changed while it was read: another process writes to the collection. Nothing of "
        "it is in use on the server; end the other process and repeat",
    )


def _padded(length: int) -> int:
    return -(-length // _BLOCK) * _BLOCK


def _header(name: str, length: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.type = length, 0o644, kind
    return info.tobuf(format=tarfile.GNU_FORMAT, encoding="utf-8")


def _sparse_header(name: str, length: int, extents: Sequence[tuple[int, int]]) -> bytes:
    """Return GNU's old sparse header: four extents in the header, 21 in each block after it."""
    stored = sum(size for _, size in extents)
    head = bytearray(_header(name, stored, tarfile.GNUTYPE_SPARSE))
    first, rest = extents[:_IN_HEADER], extents[_IN_HEADER:]
    block = len(head) - _BLOCK  # a long name has blocks of its own before the header
    numbers = b"".join(_octal(number) for extent in first for number in extent)
    head[block + _SPARSE_AT : block + _SPARSE_AT + len(numbers)] = numbers
    head[block + _EXTENDED_AT] = 1 if rest else 0
    head[block + _REAL_SIZE_AT : block + _REAL_SIZE_AT + 12] = _octal(length)
    head[block + _CHECKSUM_AT : block + _CHECKSUM_AT + 8] = b" " * 8
    head[block + _CHECKSUM_AT : block + _CHECKSUM_AT + 8] = b"%06o\0 " % sum(head[block:])
    while rest:
        here, rest = rest[:_IN_EXTENSION], rest[_IN_EXTENSION:]
        numbers = b"".join(_octal(number) for extent in here for number in extent)
        head += numbers.ljust(_BLOCK - 8, b"\0") + bytes([1 if rest else 0]) + bytes(7)
    return bytes(head)


def _octal(number: int) -> bytes:
    return b"%011o\0" % number


def _extents(file: BinaryIO, length: int) -> tuple[tuple[int, int], ...] | None:
    """Return the extents of a file's data in whole blocks; None if the file is sent whole."""
    if not hasattr(os, "SEEK_DATA") or not _MIN_HOLES <= length <= _MAX_OCTAL:
        return None
    found: list[tuple[int, int]] = []
    handle, end = file.fileno(), 0
    try:
        while end < length:
            start = os.lseek(handle, end, os.SEEK_DATA) // _BLOCK * _BLOCK
            end = min(_padded(os.lseek(handle, start, os.SEEK_HOLE)), length)
            found.append((start, end - start))
    except OSError as error:
        import errno

        if error.errno != errno.ENXIO:  # ENXIO: there is no data after this offset
            return None
    if length - sum(size for _, size in found) < _MIN_HOLES:
        return None
    if end < length:
        found.append((length, 0))  # marks the end of a file that ends with a hole
    return tuple(found)
