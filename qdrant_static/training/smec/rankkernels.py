"""Numba kernel of L_rank: its value and its gradient, over all pairs of an anchor's candidates."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def rank_rows(scores: Any, grades: Any, temperature: float, gradient: Any) -> float:
    """Add up L_rank over anchors, and write its gradient.

    ``L = sum_i (1/K) sum_jk 1(y_ij > y_ik) (y_ij - y_ik) T log(1 + exp((s_ik - s_ij) / T))``

    Args:
        scores: float32 ``(n, K)``, s: similarities of the shortened vectors.
        grades: float32 ``(n, K)``, y: relevance, or similarities of the full vectors.
        temperature: T.
        gradient: float32 ``(n, K)``: dL/ds is written here.

    Returns:
        L.
    """
    total = 0.0
    rows, width = scores.shape
    for i in range(rows):
        gradient[i, :] = np.float32(0)
        for j in range(width):
            for k in range(width):
                weight = grades[i, j] - grades[i, k]
                if weight <= 0:
                    continue
                gap = (scores[i, k] - scores[i, j]) / temperature
                # log(1 + exp(x)) without overflow
                small = np.exp(-abs(gap))
                total += weight * temperature * (max(gap, 0.0) + np.log1p(small)) / width
                share = 1.0 / (1.0 + small) if gap > 0 else small / (1.0 + small)
                slope = np.float32(weight * share / width)
                gradient[i, j] -= slope
                gradient[i, k] += slope
    return total
