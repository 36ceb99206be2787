"""Lines of CSV -> records of cells."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from qdrant_static.reading.batchbuilder import RejectedError
from qdrant_static.reading.streams import DAMAGED

#: A longer line, or record of several lines, is rejected.
MAX_RECORD_BYTES = 32 * 2**20

Numbered = tuple[int, bytes]


def split_records(
    numbered: Iterator[Numbered], delimiter: str, width: int | None = None
) -> Iterator[tuple[int, list[bytes] | RejectedError, int]]:
    """First line, cells and bytes of every record; blank lines are none.

    A quote that stays open would take the lines after it into its cell, up to the next quote. So a
    record of several lines must be one beyond doubt: text after the quote that closes such a cell,
    or another number of cells than in the header, is the sign of a quote that was left open. Then
    the first line alone is rejected, and the others are read again, each by itself.

    Args:
        numbered: Lines with their numbers; where one is left out, no record goes on.
        delimiter: Between cells; one ASCII character.
        width: Cells that a record has; None: any number.
    """
    lines = _Lines(numbered)
    mark = delimiter.encode()
    while (taken := lines.next()) is not None:
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
    """Lines that can be put back; a break in the file comes when all before it is taken."""

    def __init__(self, numbered: Iterator[Numbered]) -> None:
        self._numbered = numbered
        self._again: deque[Numbered] = deque()
        self._error: Exception | None = None

    def next(self) -> Numbered | None:
        """The next line; None at the end."""
        if not self._again:
            self._read()
        return self._again.popleft() if self._again else None

    def after(self, number: int) -> Numbered | None:
        """The line after another; None at the end, at a break, or where it is left out."""
        if not self._again and self._error is None:
            try:
                self._read()
            except DAMAGED as error:
                self._error = error
        follows = self._again and self._again[0][0] == number + 1
        return self._again.popleft() if follows else None

    def put_back(self, lines: Sequence[Numbered]) -> None:
        """Take lines back, to be read again."""
        self._again.extendleft(reversed(lines))

    def _read(self) -> None:
        if self._error is not None:
            raise self._error
        line = next(self._numbered, None)
        if line is not None:
            self._again.append(line)


class _Record:
    """The cells of a record that has quotes; a quote counts at the beginning of a cell only.

    Attributes:
        cells: What was read.
        is_doubtful: Whether it has the sign of a quote that was left open; then it is not read on.
    """

    def __init__(self, delimiter: bytes) -> None:
        self.cells: list[bytes] = []
        self.is_doubtful = False
        self._delimiter = delimiter
        self._pieces: list[bytes] = []
        self._quoted = False

    def feed(self, line: bytes) -> bool:
        """Take a line; whether the record ends with it."""
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
