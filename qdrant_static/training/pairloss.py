"""The loss that ranks a query's passage before all others, with its gradient.

For queries ``q`` and candidates ``c``, with ``cos`` the cosine and τ the temperature::

    loss = - mean over q of log( exp(cos(q, c+) / τ) / sum over c of exp(cos(q, c) / τ) )

where ``c+`` is the passage of ``q``, and the candidates are the passages and the hard negatives of
all pairs of a batch. It is called InfoNCE (van den Oord et al., 2018, arXiv:1807.03748) or
multiple-negatives ranking (Henderson et al., 2017, arXiv:1705.00652). For several sizes the loss is
the mean of those of the prefixes, each normalized again (Kusupati et al., Matryoshka
Representation Learning, 2022, arXiv:2205.13147).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Shorter vectors count as zero: their direction is chance.
_SHORTEST = 1e-9


class RankingLoss(NamedTuple):
    """A loss and its gradient.

    Attributes:
        loss: The loss.
        queries: The gradient by the queries' vectors, ``(n, dim)``.
        candidates: The gradient by the candidates' vectors, ``(m, dim)``.
    """

    loss: float
    queries: NDArray[Any]
    candidates: NDArray[Any]


def ranking_loss(
    queries: NDArray[Any],
    candidates: NDArray[Any],
    own: NDArray[np.int64],
    *,
    excluded: NDArray[np.bool_] | None = None,
    temperature: float = 0.05,
    sizes: Sequence[int] = (),
) -> RankingLoss:
    """Return the loss of a batch, and its gradient.

    Args:
        queries: float ``(n, dim)``, vectors of any length.
        candidates: float ``(m, dim)``, vectors of any length.
        own: int64 ``(n,)``, the number of each query's passage among the candidates.
        excluded: bool ``(n, m)``: candidates that are no negatives of the query, such as another
            passage that answers it. A query's own passage is never excluded.
        temperature: τ; a smaller one looks more at the nearest candidates.
        sizes: Prefixes besides the full vectors.
    """
    widths = dict.fromkeys([*sizes, queries.shape[1]])
    loss = 0.0
    by_query, by_candidate = np.zeros_like(queries), np.zeros_like(candidates)
    for width in widths:
        part = _of_width(queries[:, :width], candidates[:, :width], own, excluded, temperature)
        loss += part.loss / len(widths)
        by_query[:, :width] += part.queries / len(widths)
        by_candidate[:, :width] += part.candidates / len(widths)
    return RankingLoss(loss, by_query, by_candidate)


def _of_width(
    queries: NDArray[Any],
    candidates: NDArray[Any],
    own: NDArray[np.int64],
    excluded: NDArray[np.bool_] | None,
    temperature: float,
) -> RankingLoss:
    rows = np.arange(len(queries))
    u, u_length = _unit(queries)
    v, v_length = _unit(candidates)
    logits = (u @ v.T) / temperature
    if excluded is not None:
        kept = logits[rows, own].copy()
        logits[excluded] = -np.inf
        logits[rows, own] = kept
    logits -= logits.max(axis=1, keepdims=True)
    share = np.exp(logits)
    total = share.sum(axis=1)
    loss = float((np.log(total) - logits[rows, own]).mean())
    share /= total[:, None]
    share[rows, own] -= 1
    share /= temperature * len(queries)
    return RankingLoss(
        loss, _through_unit(share @ v, u, u_length), _through_unit(share.T @ u, v, v_length)
    )


def _unit(vectors: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return vectors of length 1 (zeros stay zeros), and the lengths, ``(n, 1)``."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    lengths[lengths < _SHORTEST] = np.inf
    return vectors / lengths, lengths


def _through_unit(
    gradient: NDArray[Any], unit: NDArray[Any], lengths: NDArray[Any]
) -> NDArray[Any]:
    """Return the gradient by a vector, from that by the vector divided by its length.

    ``d(x/|x|)/dx = (I - u u') / |x|``.
    """
    along = np.einsum("ij,ij->i", gradient, unit)[:, None]
    result: NDArray[Any] = (gradient - unit * along) / lengths
    return result
