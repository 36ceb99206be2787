"""How far short vectors find the same neighbors as the full ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qdrant_static.vectors import truncate

#: Nearest neighbors that are compared.
NEIGHBORS = 10
#: Anchors that are compared with all passages at a time.
_ROWS = 256


def agreements(
    anchors: NDArray[np.float32],
    passages: NDArray[np.float32],
    matrix: NDArray[np.float32],
    sizes: Sequence[int],
    *,
    own: NDArray[np.int64] | None = None,
) -> tuple[float, ...]:
    """Return for each size the share of the full vectors' nearest passages that are found.

    Args:
        anchors: float32 ``(q, D)``.
        passages: float32 ``(n, D)``.
        matrix: float32 ``(D, s)``; its first d columns make the vectors of size d.
        sizes: The sizes.
        own: int64 ``(q,)``: the passage that an anchor is itself, which does not count.
    """
    found = [0] * len(sizes)
    count = min(NEIGHBORS, len(passages) - (own is not None))
    short = [truncate(passages @ matrix, size) for size in sizes]
    for start in range(0, len(anchors), _ROWS):
        rows = slice(start, start + _ROWS)
        mine = None if own is None else own[rows]
        whole = _nearest(anchors[rows], passages, count, mine)
        turned = anchors[rows] @ matrix
        for number, (size, table) in enumerate(zip(sizes, short, strict=True)):
            near = _nearest(truncate(turned, size), table, count, mine)
            found[number] += int((near[:, :, None] == whole[:, None, :]).sum())
    return tuple(one / (count * max(1, len(anchors))) for one in found)


def _nearest(
    anchors: NDArray[np.float32],
    passages: NDArray[np.float32],
    count: int,
    own: NDArray[np.int64] | None,
) -> NDArray[np.int64]:
    table = anchors @ passages.T
    if own is not None:
        table[np.arange(len(own)), own] = -np.inf
    return np.argpartition(table, -count, axis=1)[:, -count:]
