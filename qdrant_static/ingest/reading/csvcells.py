"""Lines of CSV -> records of cells."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from qdrant_static.ingest.reading.building import RejectedError

#: A longer line, or record of several lines, is rejected.
MAX_RECORD_BYTES = 32 * 2**20
#: How much of a line that is no record goes into the rejects file, in characters.
SHOWN = 2000

Numbered = tuple[int, bytes]


def split_records(
    numbered: Iterator[Numbered], delimiter: str
) -> Iterator[tuple[int, list[bytes] | RejectedError, int]]:
    """First line, cells and bytes of every record; blank lines are none.

    Args:
        numbered: Lines with their numbers.
        delimiter: Between cells; one ASCII character.
    """
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
        shown = line[:SHOWN].decode("utf-8", "replace").rstrip("\r\n")
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
