"""Anchors, their candidates and the relevance of these: what a step of training sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qdrant_static.training.smec.memory import nearest

if TYPE_CHECKING:
    from scipy import sparse

#: Lifts judged candidates above all others, since no cosine is greater.
_ABOVE_COSINES = np.float32(4)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingVectors:
    """The full vectors that a compression is trained on.

    Attributes:
        passages: float32 ``(n, D)``, of length 1: the candidates.
        queries: float32 ``(q, D)``, of length 1: the anchors; None where the passages are their
            own anchors.
        grades: float32 ``(q, n)``, the relevance of passages to queries, above 0 where judged;
            None where the full similarity is the relevance.
    """

    passages: NDArray[np.float32]
    queries: NDArray[np.float32] | None = None
    grades: sparse.csr_array | None = None

    @property
    def anchors(self) -> NDArray[np.float32]:
        """The vectors whose candidates are ranked, float32 ``(q, D)``."""
        return self.passages if self.queries is None else self.queries


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighborhoods:
    """Anchors with K candidates each.

    Attributes:
        anchors: int64 ``(b,)``, rows of the anchors.
        candidates: int64 ``(m,)``, rows of the passages that are a candidate of any anchor.
        chosen: int64 ``(b, K)``, places in ``candidates``.
        full: float32 ``(b, K)``, similarities of the full vectors.
        grades: float32 ``(b, K)``, relevance.
    """

    anchors: NDArray[np.int64]
    candidates: NDArray[np.int64]
    chosen: NDArray[np.int64]
    full: NDArray[np.float32]
    grades: NDArray[np.float32]


def neighborhoods(
    vectors: TrainingVectors, anchors: NDArray[np.int64], pool: NDArray[np.int64], count: int
) -> Neighborhoods:
    """Choose the candidates of anchors: the judged ones, and the nearest of a pool.

    Args:
        vectors: The full vectors.
        anchors: int64 ``(b,)``, rows of the anchors.
        pool: int64 ``(p,)``, rows of the passages to choose from, ascending.
        count: Candidates of an anchor; fewer where the pool is smaller.
    """
    judged = None
    if vectors.grades is not None:
        judged = vectors.grades[anchors]
        pool = np.union1d(pool, judged.indices)
    full = vectors.anchors[anchors] @ vectors.passages[pool].T
    count = min(count, len(pool) - (vectors.queries is None))
    if judged is None:
        if vectors.queries is None:
            full[anchors[:, None] == pool] = -np.inf  # an anchor is no candidate of itself
        places, found = nearest(full, count)
        grades = found
    else:
        table = judged[:, pool].toarray()
        places, _ = nearest(full + _ABOVE_COSINES * (table > 0), count)
        found = np.take_along_axis(full, places, axis=1)
        grades = np.take_along_axis(table, places, axis=1)
    used, chosen = np.unique(places, return_inverse=True)
    return Neighborhoods(
        anchors=anchors,
        candidates=pool[used],
        chosen=chosen.reshape(places.shape),
        full=found,
        grades=np.ascontiguousarray(grades, dtype=np.float32),
    )
