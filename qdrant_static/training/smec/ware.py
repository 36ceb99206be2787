"""WARE: how much scores change when a dimension is taken away; and the achievement rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdrant_static.training.smec.selection import most

#: Pairs that are computed at a time.
_PAIRS = 4096


def ware(anchors: NDArray[np.float32], partners: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the weighted average reconstruction error of every dimension.

    ``(1/M) sum |y^ - y| / |y|`` over M pairs, y^ their cosine with all dimensions, y without one.

    Args:
        anchors: float32 ``(M, s)``.
        partners: float32 ``(M, s)``: row m is the other vector of pair m.

    Returns:
        float64 ``(s,)``.
    """
    total = np.zeros(anchors.shape[1])
    for start in range(0, len(anchors), _PAIRS):
        a = anchors[start : start + _PAIRS].astype(np.float64)
        b = partners[start : start + _PAIRS].astype(np.float64)
        products = a * b
        whole = products.sum(axis=1, keepdims=True)
        a, b = a * a, b * b
        lengths = a.sum(axis=1, keepdims=True), b.sum(axis=1, keepdims=True)
        before = whole / np.sqrt(np.maximum(lengths[0] * lengths[1], 1e-24))
        rest = np.maximum((lengths[0] - a) * (lengths[1] - b), 1e-24)
        after = (whole - products) / np.sqrt(rest)
        total += (np.abs(before - after) / np.maximum(np.abs(after), 1e-6)).sum(axis=0)
    return total / max(1, len(anchors))


def achievement_rate(errors: NDArray[np.float64], kept: NDArray[np.int64]) -> float:
    """Return the share of the kept dimensions that are among those with the greatest WARE.

    Args:
        errors: float64 ``(s,)``, WARE.
        kept: int64 ``(d,)``, the kept dimensions.
    """
    return len(np.intersect1d(kept, most(errors, len(kept)))) / len(kept)
