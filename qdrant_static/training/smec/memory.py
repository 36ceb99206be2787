"""S-XBM: a first-in-first-out memory of the rows of earlier batches, and its nearest rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class CrossBatchMemory:
    """The rows that came last, each once.

    The vectors are all there before training begins, so the memory starts full, with rows drawn at
    random; and it holds row numbers, not copies of vectors.

    Args:
        rows: Number of rows that there are.
        size: Number of rows that it holds.
        generator: Draws the rows that it starts with.
    """

    def __init__(self, rows: int, size: int, generator: np.random.Generator) -> None:
        self._size = min(size, rows)
        self._time = rows
        self._last_seen = np.empty(rows, np.int64)
        self._last_seen[generator.permutation(rows)] = np.arange(rows)

    def add(self, rows: NDArray[np.int64]) -> None:
        """Make rows the newest; the oldest ones leave."""
        self._last_seen[rows] = np.arange(self._time, self._time + len(rows))
        self._time += len(rows)

    def rows(self) -> NDArray[np.int64]:
        """Return the rows in the memory, int64 ``(size,)``, ascending."""
        if self._size == len(self._last_seen):
            return np.arange(self._size)
        first = len(self._last_seen) - self._size
        return np.sort(np.argpartition(self._last_seen, first)[first:])


def nearest(
    similarities: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the columns of the greatest numbers of every row.

    Args:
        similarities: float32 ``(n, m)``.
        count: How many, at most m.

    Returns:
        int64 ``(n, count)``, the columns, ascending; float32 ``(n, count)``, their numbers.
    """
    if count < similarities.shape[1]:
        found = np.argpartition(similarities, -count, axis=1)[:, -count:]
        found = np.sort(found, axis=1)
    else:
        found = np.broadcast_to(np.arange(similarities.shape[1]), similarities.shape)
    return found, np.take_along_axis(similarities, found, axis=1)
