"""Similarities of shortened vectors, and the gradient that they pass back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy import sparse

_LEAST = np.float32(1e-9)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """The cosines of anchors and their candidates after a rotation and a choice of dimensions.

    Attributes:
        values: float32 ``(n, K)``.
        anchors: float32 ``(n, s)``: rotated, and divided by the length of their kept dimensions.
        candidates: float32 ``(m, s)``, likewise.
        lengths: float32 ``(n, 1)`` and ``(m, 1)``: the lengths that they were divided by.
        chosen: int64 ``(n, K)``: row of ``candidates`` of every pair.
        kept: int64 ``(d,)``: the dimensions that count.
    """

    values: NDArray[np.float32]
    anchors: NDArray[np.float32]
    candidates: NDArray[np.float32]
    lengths: tuple[NDArray[np.float32], NDArray[np.float32]]
    chosen: NDArray[np.int64]
    kept: NDArray[np.int64]


def score(
    anchors: NDArray[np.float32],
    candidates: NDArray[np.float32],
    chosen: NDArray[np.int64],
    kept: NDArray[np.int64],
) -> Scores:
    """Compute the cosines over some of the dimensions.

    Args:
        anchors: float32 ``(n, s)``, rotated.
        candidates: float32 ``(m, s)``, rotated.
        chosen: int64 ``(n, K)``, rows of ``candidates``.
        kept: int64 ``(d,)``, dimensions.
    """
    lengths = _lengths(anchors, kept), _lengths(candidates, kept)
    units = anchors / lengths[0], candidates / lengths[1]
    every = units[0][:, kept] @ units[1][:, kept].T
    return Scores(
        values=np.take_along_axis(every, chosen, axis=1),
        anchors=units[0],
        candidates=units[1],
        lengths=lengths,
        chosen=chosen,
        kept=kept,
    )


def by_rotated(
    scores: Scores, gradient: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the gradient by the kept dimensions of the rotated vectors.

    Args:
        scores: The scores.
        gradient: float32 ``(n, K)``, of the loss by their values.

    Returns:
        float32 ``(n, d)`` for the anchors, float32 ``(m, d)`` for the candidates.

    With u = a/|a| and w = b/|b|: ``ds/da = (w - s u) / |a|``, ``ds/db = (u - s w) / |b|``.
    """
    pairs = _pairs(scores, gradient)
    weighted = _pairs(scores, gradient * scores.values)
    u, w = scores.anchors[:, scores.kept], scores.candidates[:, scores.kept]
    by_anchor = (pairs @ w - _sums(weighted, 1) * u) / scores.lengths[0]
    by_candidate = (pairs.T @ u - _sums(weighted, 0) * w) / scores.lengths[1]
    return by_anchor, by_candidate


def by_gates(scores: Scores, gradient: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the gradient by a gate of every dimension, kept or not.

    Gates g weight the products: ``s = sum g a b / sqrt(sum g a^2 sum g b^2)``, so that
    ``ds/dg_i = u_i w_i - s (u_i^2 + w_i^2) / 2`` at gates of 0 and 1.

    Args:
        scores: The scores.
        gradient: float32 ``(n, K)``, of the loss by their values.

    Returns:
        float32 ``(s,)``.
    """
    pairs = _pairs(scores, gradient)
    weighted = _pairs(scores, gradient * scores.values)
    u, w = scores.anchors, scores.candidates
    products = np.einsum("ni,ni->i", u, pairs @ w)
    squares = (_sums(weighted, 1) * u * u).sum(axis=0) + (_sums(weighted, 0) * w * w).sum(axis=0)
    return np.asarray(products - squares / 2, dtype=np.float32)


def _pairs(scores: Scores, values: NDArray[np.float32]) -> sparse.csr_array:
    """Return numbers of pairs as a sparse matrix ``(n, m)``."""
    from scipy import sparse

    n, width = scores.chosen.shape
    return sparse.csr_array(
        (values.ravel(), scores.chosen.ravel(), np.arange(0, n * width + 1, width)),
        shape=(n, len(scores.candidates)),
    )


def _sums(pairs: sparse.csr_array, axis: int) -> NDArray[np.float32]:
    """Return sums along an axis as a column."""
    return np.asarray(pairs.sum(axis=axis), dtype=np.float32).reshape(-1, 1)


def _lengths(rows: NDArray[np.float32], kept: NDArray[np.int64]) -> NDArray[np.float32]:
    part = rows[:, kept]
    lengths = np.sqrt(np.einsum("ij,ij->i", part, part))
    return np.asarray(np.maximum(lengths, _LEAST)[:, None], dtype=np.float32)
