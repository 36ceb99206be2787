"""CSV: lines -> records of cells -> values of a type."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from qdrant_static.reading.batchbuilder import RejectedError
from qdrant_static.reading.options import CellType
from qdrant_static.reading.streams import DAMAGED

#: A longer line, or record of several lines, is rejected.
MAX_RECORD_BYTES = 32 * 2**20

Numbered = tuple[int, bytes]


def split_records(
    numbered: Iterator[Numbered], delimiter: str, width: int | None = None
) -> Iterator[tuple[int, list[bytes] | RejectedError, int]]:
    """Yield first line, cells and size in bytes of every record; blank lines are skipped.

    An unclosed quote would take the lines after it into its cell, up to the next quote. So a record
    of several lines is doubtful if there is text after the quote that closes such a cell, or if it
    has another number of cells than the header. Then only its first line is rejected, and its other
    lines are read again, each as the beginning of a record.

    Args:
        numbered: Lines with their numbers; a record ends where a number is missing.
        delimiter: Separates cells; one ASCII character.
        width: Number of cells of a record; None: any number.
    """
    lines = _Lines(numbered)
    mark = delimiter.encode()
    while (taken := lines.next()) is not None:
        number, line = taken
        if not line.strip(b" \r\n" if mark == b"\t" else b" \t\r\n"):
            continue
        size = len(line)
        if size > MAX_RECORD_BYTES:
            problem = f"longer than {MAX_RECORD_BYTES // 2**20} MiB"
            yield number, RejectedError("too_long", problem), size
            continue
        if b'"' not in line:
            yield number, line.rstrip(b"\r\n").split(mark), size
            continue
        record = _Record(mark)
        held = [taken]
        while not record.feed(held[-1][1]):
            more = lines.after(held[-1][0]) if size <= MAX_RECORD_BYTES else None
            if more is None:
                record.is_doubtful = True
                break
            held.append(more)
            size += len(more[1])
        if len(held) > 1 and width not in (None, len(record.cells)):
            record.is_doubtful = True
        if not record.is_doubtful:
            yield number, record.cells, size
            continue
        lines.put_back(held[1:])
        shown = line.decode("utf-8", "replace").rstrip("\r\n")
        yield number, RejectedError("not_csv", "a quote is not closed", shown), len(line)


class _Lines:
    """Lines that can be put back; an error in the file is raised after all lines before it."""

    def __init__(self, numbered: Iterator[Numbered]) -> None:
        self._numbered = numbered
        self._again: deque[Numbered] = deque()
        self._error: Exception | None = None

    def next(self) -> Numbered | None:
        """Return the next line; None at the end."""
        if not self._again:
            self._read()
        return self._again.popleft() if self._again else None

    def after(self, number: int) -> Numbered | None:
        """Return the line after another; None at the end, at an error, or where it is missing."""
        if not self._again and self._error is None:
            try:
                self._read()
            except DAMAGED as error:
                self._error = error
        follows = self._again and self._again[0][0] == number + 1
        return self._again.popleft() if follows else None

    def put_back(self, lines: Sequence[Numbered]) -> None:
        """Put lines back, to be read again."""
        self._again.extendleft(reversed(lines))

    def _read(self) -> None:
        if self._error is not None:
            raise self._error
        line = next(self._numbered, None)
        if line is not None:
            self._again.append(line)


class _Record:
    """Parses a record that has quotes; a quote counts only at the beginning of a cell.

    Attributes:
        cells: The cells that were read.
        is_doubtful: Whether a quote may have been left open; then the record is not read further.
    """

    def __init__(self, delimiter: bytes) -> None:
        self.cells: list[bytes] = []
        self.is_doubtful = False
        self._delimiter = delimiter
        self._pieces: list[bytes] = []
        self._quoted = False

    def feed(self, line: bytes) -> bool:
        """Parse a line; return whether the record ends with it."""
        at = 0
        spans_lines = self._quoted
        while True:
            if not self._quoted and line[at : at + 1] == b'"':
                self._quoted, at = True, at + 1
            if self._quoted:
                at = self._quoted_part(line, at)
                if at < 0:
                    return False
            end = line.find(self._delimiter, at)
            rest = line[at:].rstrip(b"\r\n") if end < 0 else line[at:end]
            if spans_lines and rest.strip(b" \t"):
                self.is_doubtful = True
                return True
            spans_lines = False
            self._pieces.append(rest)
            self.cells.append(b"".join(self._pieces))
            self._pieces = []
            if end < 0:
                return True
            at = end + 1

    def _quoted_part(self, line: bytes, at: int) -> int:
        """Parse a quoted part; return where it ends, or -1 if not in this line."""
        while (end := line.find(b'"', at)) >= 0:
            self._pieces.append(line[at:end])
            if line[end + 1 : end + 2] != b'"':
                self._quoted = False
                return end + 1
            self._pieces.append(b'"')
            at = end + 2
        self._pieces.append(line[at:])
        return -1


_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
#: Python's `float` also accepts 1_000, digits of any script, and words.
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("not an integer")
    value = int(text)
    if not -(2**63) <= value < 2**64:
        raise ValueError("more than 64 bits")
    return value


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise ValueError("not a number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _boolean(text: str) -> bool:
    low = text.lower()
    if low not in ("true", "false", "1", "0"):
        raise ValueError("neither true nor false")
    return low in ("true", "1")


#: Type -> function that converts a text to it, or raises a ValueError.
CONVERTERS: Mapping[CellType, Callable[[str], Any]] = {
    "string": str,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
}


def convert_cell(
    record: dict[str, Any], name: str, kind: CellType, convert: Callable[[str], Any]
) -> None:
    """Convert the string that a record has in a column, in place.

    Raises:
        RejectedError: If it is not of the type.
    """
    try:
        record[name] = convert(record[name].strip(" \t"))
    except ValueError as error:
        problem = f"{name!r} is {record[name][:100]!r}, not of type {kind}"
        raise RejectedError("wrong_type", problem, record) from error


def convert_strings(record: dict[str, Any], types: Mapping[str, CellType]) -> None:
    """Convert strings of a record to other types, as cells of CSV are.

    Raises:
        RejectedError: If one is not of its type.
    """
    for name, kind in types.items():
        if isinstance(record.get(name), str):
            convert_cell(record, name, kind, CONVERTERS[kind])
