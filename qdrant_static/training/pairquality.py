"""Measures how well queries find their passages in a pool: NDCG and the reciprocal rank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qdrant_static.vectors import truncate

#: Depth of both metrics.
DEPTH = 10
#: Queries whose scores are in memory at once.
_BLOCK = 256


class PoolQuality(NamedTuple):
    """The quality of each query.

    Attributes:
        ndcg: float64 ``(n,)``, NDCG@10 with gain 1 for each passage of the query.
        mrr: float64 ``(n,)``, one over the rank of the first passage; 0 below the tenth.
    """

    ndcg: NDArray[np.float64]
    mrr: NDArray[np.float64]

    def means(self) -> dict[str, float]:
        """Return both means, rounded to four digits."""
        return {
            f"ndcg@{DEPTH}": round(float(self.ndcg.mean()), 4),
            f"mrr@{DEPTH}": round(float(self.mrr.mean()), 4),
        }


def pool_quality(
    queries: NDArray[np.float32],
    pool: NDArray[np.float32],
    answers: Sequence[Sequence[int]],
    size: int,
) -> PoolQuality:
    """Rank a pool of passages for each query by cosine.

    Passages with the same score are ranked behind one another by their place in the pool, and a
    query or a passage without a known token has the score 0.

    Args:
        queries: float32 ``(n, dim)``, vectors of any length.
        pool: float32 ``(m, dim)``, vectors of any length.
        answers: Of each query the places of its passages in the pool, at least one.
        size: Dimensions to compare, a prefix.
    """
    passages = truncate(pool, size)
    ndcg, mrr = np.zeros(len(queries)), np.zeros(len(queries))
    gains = 1 / np.log2(np.arange(DEPTH) + 2)
    for start in range(0, len(queries), _BLOCK):
        scores = truncate(queries[start : start + _BLOCK], size) @ passages.T
        top = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        for row, ranking in enumerate(top, start):
            right = np.isin(ranking, answers[row])
            ideal = gains[: min(len(answers[row]), DEPTH)].sum()
            ndcg[row] = gains[: len(ranking)][right].sum() / ideal
            if right.any():
                mrr[row] = 1 / (1 + int(right.argmax()))
    return PoolQuality(ndcg, mrr)
