"""Lines of a file, numbered, without those that are settled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO

_MARK = b"\xef\xbb\xbf"


def lines(file: IO[bytes], max_bytes: int) -> Iterator[bytes]:
    """Lines with their ends; of one that is too long, a piece that is too long as well.

    Args:
        file: The file, at its beginning; a byte order mark there is left out.
        max_bytes: A longer line is too long.
    """
    first = True
    while line := file.readline(max_bytes + 2):
        rest = line
        while len(rest) > max_bytes and not rest.endswith(b"\n"):
            rest = file.readline(max_bytes + 2)
        if first:
            line = line.removeprefix(_MARK)
            first = False
        yield line


class Settled:
    """Which positions are settled, asked in rising order.

    Args:
        ranges: Half-open ranges, sorted, which do not overlap.
    """

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        self._ranges = [one for one in ranges if one[0] < one[1]]
        self._next = 0

    def end_of(self, position: int) -> int | None:
        """Where the settled range ends that a position lies in; None if it lies in none."""
        while self._next < len(self._ranges) and self._ranges[self._next][1] <= position:
            self._next += 1
        if self._next == len(self._ranges) or self._ranges[self._next][0] > position:
            return None
        return self._ranges[self._next][1]
