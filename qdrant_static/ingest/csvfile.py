"""CSV and TSV: every record is read or rejected, whatever its quotes do.

Python's own reader has a limit of 128 KiB per cell that can be moved for the whole process only,
and takes the rest of the file for one cell where a quote is not closed. A columnar reader guesses
types. Here cells are strings unless a type is named, and a quote that stays open costs its line.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from qdrant_static.errors import ColumnNotFoundError, SpecError
from qdrant_static.ingest.batch import Batch
from qdrant_static.ingest.building import Building, RejectedError
from qdrant_static.ingest.inputs import DAMAGED, Input
from qdrant_static.ingest.lines import Settled, lines, unreadable
from qdrant_static.ingest.options import CellType
from qdrant_static.ingest.rejects import Reject
from qdrant_static.ingest.selection import Selection

#: A longer line, or record of several lines, is rejected.
MAX_RECORD_BYTES = 32 * 2**20
#: How much of a line that is no record goes into the rejects file, in characters.
_SHOWN = 2000
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")

Numbered = tuple[int, bytes]


def columns(file: Input) -> tuple[str, ...]:
    """The names in the header; none for an empty file.

    Raises:
        SpecError: If a name comes twice.
    """
    try:
        with file.open_sample() as opened:
            numbered = enumerate(lines(opened, MAX_RECORD_BYTES), 1)
            header = next(_records(numbered, file.delimiter), None)
    except DAMAGED:
        return ()  # read() says so
    if header is None:
        return ()
    names = _names(file, header[1])
    return tuple(dict.fromkeys((*names, *file.partition)))


def check_types(file: Input, found: Sequence[str], types: Mapping[str, CellType]) -> None:
    """Refuse a type for a column that is not there.

    Raises:
        ColumnNotFoundError: It lists the columns that are.
    """
    for name in types:
        if found and name not in found:
            raise ColumnNotFoundError(column=name, columns=tuple(found), source=file.name)


def read(
    file: Input,
    selection: Selection,
    settled: Sequence[tuple[int, int]] = (),
    types: Mapping[str, CellType] | None = None,
) -> Iterator[Batch | Reject]:
    """Read a file in batches; a break in the file comes last, as a reject of its own.

    A record has the number of its first line. The header belongs to the first batch.

    Args:
        file: The file.
        selection: The columns.
        settled: Ranges of lines that are not wanted again, sorted; they are not parsed.
        types: Column -> type of its values; all others are strings.
    """
    building = Building(file.name, "line", selection, partition=file.partition)
    seen = _Seen()
    start = 1
    try:
        with file.open() as opened:
            numbered = seen.count(enumerate(lines(opened, MAX_RECORD_BYTES), 1))
            header = next(_records(numbered, file.delimiter), None)
            if header is not None:
                convert = _Converter(_names(file, header[1]), types or {})
                skipping = _Skipping(numbered, settled)
                start = skipping.first
                for number, cells, size in _records(iter(skipping), file.delimiter):
                    gap = skipping.gap_before(number)
                    if gap is not None:
                        if building.rows:
                            yield building.take(start, gap[0])
                        start = gap[1]
                    if building.is_full:
                        yield building.take(start, number)
                        start = number
                    _add(building, convert, number, cells, size)
                gap = skipping.gap_before(seen.number + 1)
                if building.rows:
                    yield building.take(start, seen.number + 1 if gap is None else gap[0])
    except DAMAGED as error:
        if building.rows:
            yield building.take(start, seen.number + 1)
        yield unreadable(file, error, seen.number)


class _Seen:
    """How many lines were read."""

    def __init__(self) -> None:
        self.number = 0

    def count(self, numbered: Iterator[Numbered]) -> Iterator[Numbered]:
        for self.number, line in numbered:
            yield self.number, line


class _Skipping:
    """Lines that are not settled; remembers where settled ones were left out."""

    def __init__(self, numbered: Iterator[Numbered], settled: Sequence[tuple[int, int]]) -> None:
        self._numbered = numbered
        self._settled = Settled(settled)
        self._gaps: deque[tuple[int, int]] = deque()
        self.first = Settled(settled).end_of(1) or 1

    def __iter__(self) -> Iterator[Numbered]:
        for number, line in self._numbered:
            end = self._settled.end_of(number)
            if end is None:
                yield number, line
            elif not self._gaps or self._gaps[-1][1] != end:
                self._gaps.append((number, end))

    def gap_before(self, number: int) -> tuple[int, int] | None:
        """The settled ranges that were left out before a line, as one; None if there were none."""
        gaps = []
        while self._gaps and self._gaps[0][0] < number:
            gaps.append(self._gaps.popleft())
        return (gaps[0][0], gaps[-1][1]) if gaps else None


def _add(
    building: Building,
    convert: _Converter,
    number: int,
    cells: list[bytes] | RejectedError,
    size: int,
) -> None:
    try:
        if isinstance(cells, RejectedError):
            raise cells
        record = convert(cells)
    except RejectedError as problem:
        building.weigh(size)
        building.reject(number, problem.reason, problem.message, problem.row)
        return
    building.add(number, record, size)


class _Converter:
    """Cells -> a record."""

    def __init__(self, names: Sequence[str], types: Mapping[str, CellType]) -> None:
        self._names = names
        self._types = {name: (kind, _READ[kind]) for name, kind in types.items() if name in names}

    def __call__(self, cells: list[bytes]) -> dict[str, Any]:
        try:
            texts = [cell.decode("utf-8") for cell in cells]
        except UnicodeDecodeError as error:
            shown = [cell[:_SHOWN].decode("utf-8", "backslashreplace") for cell in cells]
            raise RejectedError("not_unicode", f"not UTF-8: {error.reason}", shown) from error
        if len(texts) != len(self._names):
            shown = [text[:_SHOWN] for text in texts]
            told = f"{len(texts)} cells, the header has {len(self._names)}"
            raise RejectedError("not_csv", told, shown)
        record: dict[str, Any] = {
            name: text or None for name, text in zip(self._names, texts, strict=True)
        }
        for name, (kind, read_cell) in self._types.items():
            if record[name] is not None:
                try:
                    record[name] = read_cell(record[name].strip())
                except ValueError as error:
                    told = f"{name!r} is {record[name][:100]!r}, not of type {kind}"
                    raise RejectedError("wrong_type", told, record) from error
        return record


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("no integer")
    value = int(text)
    if not -(2**63) <= value < 2**64:
        raise ValueError("more than 64 bits")
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _boolean(text: str) -> bool:
    low = text.lower()
    if low not in ("true", "false", "1", "0"):
        raise ValueError("neither true nor false")
    return low in ("true", "1")


_READ: dict[CellType, Callable[[str], Any]] = {
    "string": str, "integer": _integer, "float": _float, "boolean": _boolean,
}  # fmt: skip


def _names(file: Input, cells: list[bytes] | RejectedError) -> list[str]:
    """The header's names; a column without one is called by its place."""
    if isinstance(cells, RejectedError):
        raise SpecError(field="header", problem=f"{file.name}: {cells.message}")
    try:
        names = [cell.decode("utf-8").strip() for cell in cells]
    except UnicodeDecodeError as error:
        raise SpecError(field="header", problem=f"{file.name}: not UTF-8") from error
    names = [name or f"column_{place}" for place, name in enumerate(names)]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(field="header", problem=f"{file.name} has the column {name!r} twice")
    return names


def _records(
    numbered: Iterator[Numbered], delimiter: str
) -> Iterator[tuple[int, list[bytes] | RejectedError, int]]:
    """First line, cells and bytes of every record; blank lines are none."""
    again: deque[Numbered] = deque()

    def line_after() -> Numbered | None:
        return again.popleft() if again else next(numbered, None)

    mark = delimiter.encode()
    while (taken := line_after()) is not None:
        number, line = taken
        if not line.strip(b" \r\n" if mark == b"\t" else b" \t\r\n"):
            continue
        size = len(line)
        if size > MAX_RECORD_BYTES:
            told = f"longer than {MAX_RECORD_BYTES // 2**20} MiB"
            yield number, RejectedError("too_long", told), size
            continue
        if b'"' not in line:
            yield number, line.rstrip(b"\r\n").split(mark), size
            continue
        record = _Record(mark)
        held = [taken]
        while not record.feed(held[-1][1]):
            more = line_after() if size <= MAX_RECORD_BYTES else None
            if more is None:
                break
            held.append(more)
            size += len(more[1])
        else:
            yield number, record.cells, size
            continue
        # The quote swallowed what follows: that is read again, by itself.
        again.extendleft(reversed(held[1:]))
        shown = line[:_SHOWN].decode("utf-8", "replace").rstrip("\r\n")
        yield number, RejectedError("not_csv", "a quote is not closed", shown), len(line)


class _Record:
    """The cells of a record that has quotes; a quote counts at the beginning of a cell only."""

    def __init__(self, delimiter: bytes) -> None:
        self.cells: list[bytes] = []
        self._delimiter = delimiter
        self._pieces: list[bytes] = []
        self._quoted = False

    def feed(self, line: bytes) -> bool:
        """Take a line; whether the record ends with it."""
        at = 0
        while True:
            if not self._quoted and line[at : at + 1] == b'"':
                self._quoted, at = True, at + 1
            if self._quoted:
                at = self._quoted_part(line, at)
                if at < 0:
                    return False
            end = line.find(self._delimiter, at)
            self._pieces.append(line[at:].rstrip(b"\r\n") if end < 0 else line[at:end])
            self.cells.append(b"".join(self._pieces))
            self._pieces = []
            if end < 0:
                return True
            at = end + 1

    def _quoted_part(self, line: bytes, at: int) -> int:
        """Take what is quoted; where it ends, or -1 if not in this line."""
        while (end := line.find(b'"', at)) >= 0:
            self._pieces.append(line[at:end])
            if line[end + 1 : end + 2] != b'"':
                self._quoted = False
                return end + 1
            self._pieces.append(b'"')
            at = end + 2
        self._pieces.append(line[at:])
        return -1
