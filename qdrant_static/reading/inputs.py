"""One input file: what it is called, how it is opened, and how a change of it is noticed."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast

import pyarrow as pa

from qdrant_static.reading.batch import Unit
from qdrant_static.reading.once import ReadOnce
from qdrant_static.reading.options import Format
from qdrant_static.reading.position import ReadPosition

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

Compression = Literal["gzip", "zstd", "bz2"]

ENDINGS: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
TEXT_FORMATS: frozenset[str] = frozenset({"jsonl", "csv", "tsv"})


class DamagedError(Exception):
    """The rest of an input that cannot be read, where no library raises an error of its own."""


#: What reading a file raises that is damaged, broken off, or cannot be opened.
DAMAGED = (OSError, EOFError, zlib.error, pa.ArrowException, DamagedError)
STANDARD_INPUT = "-"

_SAMPLED_BYTES = 64 * 2**10
_MAX_FOOTER_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What changes when a file does.

    Attributes:
        size: Bytes; -1 where nobody knows.
        modified_ns: When it was last written, nanoseconds since 1970; 0 where nobody knows.
        digest: Of its first and last 64 KiB; of a Parquet file its footer too, which has the
            statistics of every column.
    """

    size: int
    modified_ns: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file of the input.

    Attributes:
        name: As it is called in rejects and ledgers: a path, or a URI without its secrets.
        path: Where `filesystem` has it.
        format: What it holds; another word is a source that a distribution registered.
        compression: Of a text format.
        filesystem: Where it lies; None: on this machine.
        stream: Where it can be read once only.
        folders: Column -> text, from folders called ``column=value``.
        partition: Column -> value, of the column's type.
        unfit: Column -> why the folder's text is no value of the column's type.
        delimiter: Between cells of CSV.
        position: What a display asks how far the files are read.
    """

    name: str
    path: str
    format: Format | str
    compression: Compression | None = None
    filesystem: FileSystem | None = field(default=None, repr=False)
    folders: Mapping[str, str | None] = field(default_factory=dict)
    partition: Mapping[str, Any] = field(default_factory=dict)
    unfit: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = ","
    stream: ReadOnce | None = field(default=None, repr=False)
    position: ReadPosition | None = field(default=None, repr=False, compare=False)

    @property
    def unit(self) -> Unit:
        """What its positions count."""
        return "line" if self.format in TEXT_FORMATS else "row"

    def open(self) -> IO[bytes]:
        """Its bytes, from the beginning, uncompressed.

        Raises:
            OSError: If it cannot be opened.
        """
        if self.stream is not None:
            return unpacked(self.stream.open(), self.compression)
        if self.filesystem is None:
            file = Path(self.path).open("rb")
            if self.position is not None:
                self.position.follow(self.name, file)
            return unpacked(file, self.compression)
        stream = self.filesystem.open_input_stream(self.path, compression=None)
        return unpacked(io.BufferedReader(stream), self.compression)

    def open_sample(self) -> IO[bytes]:
        """Its first bytes, uncompressed; what can be read once only stays to be read."""
        if self.stream is None:
            return self.open()
        return unpacked(self.stream.sample(), self.compression)

    def open_at(self) -> pa.NativeFile:
        """Its bytes at any place, for formats that need it.

        Raises:
            OSError: If it cannot be opened.
        """
        if self.stream is not None:
            return pa.PythonFile(self.stream.stored(), mode="r")
        if self.filesystem is None:
            return pa.OSFile(os.fsencode(self.path), "rb")
        return self.filesystem.open_input_file(self.path)

    def fingerprint(self) -> Fingerprint:
        """Its fingerprint now.

        Raises:
            OSError: If it cannot be read.
        """
        if self.stream is not None:
            return Fingerprint(size=-1, modified_ns=0, digest="")
        with self.open_at() as file:
            size = file.size()
            pieces = [file.read(_SAMPLED_BYTES)]
            if self.format == "parquet" and size >= 8:
                file.seek(size - 8)
                footer = int.from_bytes(file.read(4), "little")
                start = max(0, size - 8 - min(footer, _MAX_FOOTER_BYTES))
            else:
                start = max(0, size - _SAMPLED_BYTES)
            file.seek(start)
            pieces.append(file.read(size - start))
        digest = blake2b(digest_size=16)
        for piece in pieces:
            digest.update(piece)
        return Fingerprint(size=size, modified_ns=self._modified_ns(), digest=digest.hexdigest())

    def _modified_ns(self) -> int:
        if self.filesystem is None:
            return Path(self.path).stat().st_mtime_ns
        return int(self.filesystem.get_file_info(self.path).mtime_ns or 0)


def describe(name: str, format_: Format | None = None) -> tuple[Format, Compression | None] | None:
    """Format and compression by a name's ending; None if it is not known.

    Args:
        name: The name of a file.
        format_: The format where the ending does not tell.
    """
    low = name.lower()
    compression = next((kind for end, kind in COMPRESSIONS.items() if low.endswith(end)), None)
    if compression is not None:
        low = low.rpartition(".")[0]
    kind = next((kind for ending, kind in ENDINGS.items() if low.endswith(ending)), format_)
    if kind is None or (compression is not None and kind not in TEXT_FORMATS):
        return None
    return kind, compression


def known_endings() -> str:
    """The endings of files that can be read, for messages."""
    return f"{', '.join(ENDINGS)} (text also with {', '.join(COMPRESSIONS)})"


def problem_of(error: BaseException) -> str:
    """Return an error's message, for a sentence that names the file already."""
    reason = error.strerror if isinstance(error, OSError) else None
    return str(reason or error) or type(error).__name__


def unpacked(file: io.BufferedReader[Any], compression: Compression | None) -> IO[bytes]:
    """A file's content; closing it closes the file.

    Raises:
        DamagedError: If a compressed file has not one byte: what holds nothing has some.
    """
    if compression is not None and not file.peek(1):
        file.close()
        raise DamagedError(f"the file has no bytes, and is no {compression} file")
    if compression == "gzip":
        return cast("IO[bytes]", _Gzip(file))
    if compression == "bz2":
        return cast("IO[bytes]", _Bz2(file))
    if compression == "zstd":
        stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
        return cast("IO[bytes]", _Buffered(stream, file))
    return file


class _Gzip(gzip.GzipFile):
    """Gzip that closes the file below it too."""

    def __init__(self, below: IO[bytes]) -> None:
        super().__init__(fileobj=below, mode="rb")
        self._below = below

    def close(self) -> None:
        super().close()
        self._below.close()


class _Bz2(bz2.BZ2File):
    """Bzip2 that closes the file below it too."""

    def __init__(self, below: IO[bytes]) -> None:
        super().__init__(below, "rb")
        self._below = below

    def close(self) -> None:
        super().close()
        self._below.close()


class _Buffered(io.BufferedReader):
    """A decompressor of Arrow's with lines, which closes the file below it too."""

    def __init__(self, raw: Any, below: IO[bytes]) -> None:
        super().__init__(raw, _SAMPLED_BYTES)
        self._below = below

    def close(self) -> None:
        super().close()
        self._below.close()


def unsettled(
    start: int, stop: int, settled: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """The parts of a range that no settled range covers, in order."""
    for one, end in settled:
        if end <= start:
            continue
        if one >= stop:
            break
        if one > start:
            yield start, one
        start = max(start, end)
    if start < stop:
        yield start, stop
