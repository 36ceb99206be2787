"""The two losses of SMEC, as functions of the similarities of the shortened vectors.

With y_ij the relevance of candidate j to anchor i (or the similarity of their full vectors), and
s_ij the similarity of their shortened vectors, over the K candidates of each anchor:

- ``L_rank = (1/K) sum_jk 1(y_ij > y_ik) (y_ij - y_ik) T log(1 + exp((s_ik - s_ij) / T))``
- ``L_unsup = (1/K) sum_j |y_ij - s_ij|``

The paper has sums in place of the means over K, and T = 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qdrant_static.training.smec.settings import SmecSettings


def similarity_loss(
    scores: NDArray[np.float32], full: NDArray[np.float32]
) -> tuple[float, NDArray[np.float32]]:
    """Return L_unsup, summed over anchors, and its gradient.

    Args:
        scores: float32 ``(n, K)``, similarities of the shortened vectors.
        full: float32 ``(n, K)``, similarities of the full vectors.

    Returns:
        The loss, and its gradient by ``scores``, float32 ``(n, K)``.
    """
    gap = scores - full
    width = scores.shape[1]
    return float(np.abs(gap).sum() / width), np.sign(gap) / np.float32(width)


def rank_loss(
    scores: NDArray[np.float32], grades: NDArray[np.float32], temperature: float
) -> tuple[float, NDArray[np.float32]]:
    """Return L_rank, summed over anchors, and its gradient.

    Args:
        scores: float32 ``(n, K)``, similarities of the shortened vectors.
        grades: float32 ``(n, K)``, relevance.
        temperature: Divides differences of similarity.

    Returns:
        The loss, and its gradient by ``scores``, float32 ``(n, K)``.
    """
    from qdrant_static.training.smec.rankkernels import rank_rows

    gradient = np.empty_like(scores)
    return float(rank_rows(scores, grades, temperature, gradient)), gradient


def total_loss(
    scores: NDArray[np.float32],
    full: NDArray[np.float32],
    grades: NDArray[np.float32],
    settings: SmecSettings,
) -> tuple[float, NDArray[np.float32]]:
    """Return ``L_rank + alpha L_unsup``, the mean over anchors, and its gradient by the scores."""
    loss, gradient = similarity_loss(scores, full)
    if settings.rank:
        ranked, by_rank = rank_loss(scores, grades, settings.temperature)
        loss = ranked + settings.alpha * loss
        gradient = by_rank + np.float32(settings.alpha) * gradient
    return loss / len(scores), gradient / np.float32(len(scores))
