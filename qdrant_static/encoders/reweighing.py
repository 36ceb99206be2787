"""Recomputes BM25 weights for another mean length, without the texts.

A weight is ``tf (k + 1) / (tf + norm)`` with ``norm = k (1 - b + b length / mean)``, and ``length``
is the sum of all ``tf``. So ``s = weight / (k + 1 - weight)`` is ``tf / norm``, and the sum of all
``s`` is ``length / norm``, which with the mean is one equation for ``length``. The resulting counts
are integers only if the weights were made with that mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_K, _B = 1.2, 0.75
#: Weights are float32: those of the right counts agree to a few of their last bits.
_CLOSE = 4e-7


def reweigh(
    values: Sequence[float], *, means: Sequence[float], mean: float
) -> NDArray[np.float32] | None:
    """Return a text's weights for another mean length.

    Args:
        values: Its weights, with the default k and b of `Bm25Encoder`.
        means: The mean lengths that they may have been made with, the likeliest first.
        mean: The new mean length.

    Returns:
        float32, as many; None if they were made with none of these.
    """
    given = np.asarray(values, np.float64)
    if not len(given):
        return given.astype(np.float32)
    for one in means:
        counts = _counts(given, one)
        if counts is not None:
            return _weights(counts, mean)
    return None


def _counts(weights: NDArray[np.float64], mean: float) -> NDArray[np.float64] | None:
    """Return the counts of the terms; None if the weights were made with another mean."""
    if not ((weights > 0) & (weights < _K + 1)).all():
        return None
    ratios = weights / (_K + 1 - weights)
    whole = float(ratios.sum())
    rest = 1 - whole * _K * _B / mean
    if rest <= 0:
        return None
    length = whole * _K * (1 - _B) / rest
    # For a long text the equation is inexact; rounded counts make its length exact.
    for _ in range(3):
        counts = np.rint(ratios * _norm(length, mean))
        if float(counts.sum()) == length:
            break
        length = float(counts.sum())
    if counts.min() < 1 or np.abs(_weights(counts, mean) - weights).max() > _CLOSE * (_K + 1):
        return None
    return counts


def _weights(counts: NDArray[np.float64], mean: float) -> NDArray[np.float32]:
    norm = _norm(float(counts.sum()), mean)
    return (counts * (_K + 1) / (counts + norm)).astype(np.float32)


def _norm(length: float, mean: float) -> float:
    return _K * (1 - _B + _B * length / mean)
