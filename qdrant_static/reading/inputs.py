"""One input file: its name, how it is opened, and how a change of it is noticed."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from qdrant_static.reading.batch import Unit
from qdrant_static.reading.options import Format
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.streams import Compression, ReadOnce, decompressed, problem_of

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

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


STANDARD_INPUT = "-"

_SAMPLED_BYTES = 64 * 2**10
_MAX_FOOTER_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What changes when a file does.

    Attributes:
        size: Bytes; -1 where unknown.
        modified_ns: When it was last written, nanoseconds since 1970; 0 where unknown.
        digest: Digest of its first and last 64 KiB; of a Parquet file also of its footer, which
            has the statistics of every column.
    """

    size: int
    modified_ns: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file of the input.

    Attributes:
        name: Its name in rejects and ledgers: a path, or a URI without its secrets.
        path: Its path in `filesystem`.
        format: Its format; any other word is the name of a registered source.
        compression: Compression of a text format.
        filesystem: Where it lies; None: on this machine.
        stream: The pipe, where it can be read only once.
        folders: Column -> text, from folders called ``column=value``.
        partition: Column -> value, of the column's type.
        unfit: Column -> why the folder's text is not a value of the column's type.
        delimiter: Separates cells of CSV.
        position: Follows how far the files are read.
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
        """What its positions count: lines or rows."""
        return "line" if self.format in TEXT_FORMATS else "row"

    def open(self) -> IO[bytes]:
        """Open its bytes, from the beginning, decompressed.

        Raises:
            OSError: If it cannot be opened.
        """
        if self.stream is not None:
            return decompressed(self.stream.open(), self.compression)
        if self.filesystem is None:
            file = Path(self.path).open("rb")
            if self.position is not None:
                self.position.follow(self.name, file)
            return decompressed(file, self.compression)
        stream = self.filesystem.open_input_stream(self.path, compression=None)
        return decompressed(io.BufferedReader(stream), self.compression)

    def open_sample(self) -> IO[bytes]:
        """Open its first bytes, decompressed; those of a pipe can be read again."""
        if self.stream is None:
            return self.open()
        return decompressed(self.stream.sample(), self.compression)

    def open_seekable(self) -> pa.NativeFile:
        """Open it for formats that need to seek.

        Raises:
            OSError: If it cannot be opened.
        """
        if self.stream is not None:
            return pa.PythonFile(self.stream.stored(), mode="r")
        if self.filesystem is None:
            return pa.OSFile(os.fsencode(self.path), "rb")
        return self.filesystem.open_input_file(self.path)

    def fingerprint(self) -> Fingerprint:
        """Return its fingerprint now.

        Raises:
            OSError: If it cannot be read.
        """
        if self.stream is not None:
            return Fingerprint(size=-1, modified_ns=0, digest="")
        with self.open_seekable() as file:
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
    """Return format and compression by the ending of a name; None if it is unknown.

    Args:
        name: The name of a file.
        format_: The format of names with any other ending.
    """
    lower = name.lower()
    compression = next((kind for end, kind in COMPRESSIONS.items() if lower.endswith(end)), None)
    if compression is not None:
        lower = lower.rpartition(".")[0]
    kind = next((kind for ending, kind in ENDINGS.items() if lower.endswith(ending)), format_)
    if kind is None or (compression is not None and kind not in TEXT_FORMATS):
        return None
    return kind, compression


def known_endings() -> str:
    """List the endings of files that can be read, for messages."""
    return f"{', '.join(ENDINGS)} (text also with {', '.join(COMPRESSIONS)})"


def unreadable_file(file: Input, error: Exception, read: int = 0) -> Reject:
    """Return the reject of a file that cannot be read to its end.

    Args:
        file: The file.
        error: The error that reading it raised.
        read: Lines or rows before the error.
    """
    problem = problem_of(error)
    last = read if file.unit == "line" else read - 1  # lines are counted from 1, rows from 0
    return Reject(
        reason="unreadable_file",
        message=f"cannot be read after {file.unit} {last}: {problem}" if read else problem,
        file=file.name,
        unit=file.unit,
    )


class ReadPosition:
    """How far some files were read, in bytes; of compressed files, in compressed bytes.

    The files are read one after the other. Nothing is counted while a file is read: the operating
    system knows the position in it, and any thread may ask.

    Args:
        sizes: File name -> bytes, in the order of reading.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = dict(sizes)
        self._total = sum(sizes.values())
        self._before = 0
        self._name = ""
        self._file: IO[bytes] | None = None

    def begin(self, name: str) -> None:
        """Begin a file: those before it count as read."""
        self._file, self._name = None, name
        names = list(self._sizes)
        before = names[: names.index(name)] if name in self._sizes else names
        self._before = sum(self._sizes[one] for one in before)

    def follow(self, name: str, file: IO[bytes]) -> None:
        """Follow the position of the open file that is read."""
        if name == self._name:
            self._file = file

    def fraction(self) -> float | None:
        """Return the fraction of all bytes that was read, 0 to 1; None if there are none."""
        if not self._total:
            return None
        return min(1.0, (self._before + self._in_file()) / self._total)

    def _in_file(self) -> int:
        if self._file is None:
            return 0
        try:
            return os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        except (OSError, ValueError):  # closed: it was read to its end
            return self._sizes.get(self._name, 0)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open file: another process opens the files itself."""
        return {**self.__dict__, "_file": None}
