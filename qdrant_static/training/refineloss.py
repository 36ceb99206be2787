"""The loss that a fitted table is refined by, with its gradient.

For the texts of a batch, with student vectors ``u`` (normalized sums of table rows) and teacher
vectors ``y`` (normalized), three terms:

- *cosine*: the mean of ``1 - u · y``.
- *KL*: the mean over texts i of ``KL(p_i || q_i)``, where ``p_i = softmax_j(y_i · y_j / τ)`` says
  how near the teacher finds the other texts of the batch, and ``q_i = softmax_j(u_i · y_j / τ)``
  how near the student's vector is to the teacher's vectors.
- *Gram*: the same with ``q_i = softmax_j(u_i · u_j / τ)``, without j = i: the student's vectors are
  compared among themselves, so that its dimension need not be the teacher's. It is the loss of
  Luxical (DatologyAI, 2025).

For a prefix of the vectors (Matryoshka) both are cut and normalized again, but ``p`` stays that of
the teacher's whole vectors.

The gradients: ``∂KL/∂logits = q - p``, and ``∂u/∂s = (I - u uᵀ) / |s|`` for the sum s of a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Shorter sums count as zero: their direction is chance.
_SHORTEST = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights and temperatures of the terms; a term of weight 0 is not computed.

    Attributes:
        cosine: Weight of the cosine term; it needs targets of the student's dimension.
        kl: Weight of the KL term; it needs them, too.
        kl_temperature: Its τ; a smaller one looks more at the nearest texts.
        gram: Weight of the Gram term.
        gram_temperature: Its τ.
    """

    cosine: float = 1.0
    kl: float = 1.0
    kl_temperature: float = 0.1
    gram: float = 0.0
    gram_temperature: float = 0.2


class BatchLoss(NamedTuple):
    """A loss and its gradient.

    Attributes:
        loss: The loss.
        kl: The mean KL of the whole vectors, without its weight; that of the Gram term where the
            KL term has the weight 0.
        by_sum: The gradient by the texts' sums, as these (n, dim).
    """

    loss: float
    kl: float
    by_sum: NDArray[Any]


def batch_loss(
    sums: NDArray[Any],
    targets: NDArray[Any],
    weights: LossWeights,
    *,
    importance: NDArray[Any] | None = None,
    sizes: tuple[int, ...] = (),
) -> BatchLoss:
    """Return the loss of a batch and its gradient.

    Args:
        sums: float (n, dim), the mean of each text's table rows.
        targets: float (n, target dim), the teacher's vectors, normalized.
        weights: Of the terms.
        importance: float (n,), a factor of each text's terms; None for ones.
        sizes: Prefixes besides the whole vectors; the loss is the mean over all sizes.
    """
    widths = dict.fromkeys([sums.shape[1], *sizes])
    near = targets @ targets.T if weights.kl or weights.gram else None
    by_kl = None if near is None or not weights.kl else _softmax(near / weights.kl_temperature)
    by_gram = None
    if near is not None and weights.gram:
        by_gram = _softmax(_without_self(near / weights.gram_temperature))
    factor = np.ones(len(sums), sums.dtype) if importance is None else importance
    factor = (factor / len(sums)).astype(sums.dtype)
    gradient = np.zeros_like(sums)
    loss, kl = 0.0, 0.0
    for width in widths:
        unit, length = _unit(sums[:, :width])
        by_unit = np.zeros_like(unit)
        if weights.cosine or weights.kl:
            goal = targets if width == targets.shape[1] else _unit(targets[:, :width])[0]
        if weights.cosine:
            loss += weights.cosine * float(factor @ (1 - np.einsum("ij,ij->i", unit, goal)))
            by_unit -= weights.cosine * factor[:, None] * goal
        if by_kl is not None:
            found, by_logit = _divergence(by_kl, unit @ goal.T / weights.kl_temperature, factor)
            loss += weights.kl * found
            by_unit += (weights.kl / weights.kl_temperature) * (by_logit @ goal)
            kl = found if width == sums.shape[1] else kl
        if by_gram is not None:
            logits = _without_self(unit @ unit.T / weights.gram_temperature)
            found, by_logit = _divergence(by_gram, logits, factor)
            loss += weights.gram * found
            both = by_logit + by_logit.T
            by_unit += (weights.gram / weights.gram_temperature) * (both @ unit)
            kl = found if width == sums.shape[1] and by_kl is None else kl
        along = np.einsum("ij,ij->i", by_unit, unit)[:, None]
        gradient[:, :width] += (by_unit - unit * along) / length
    return BatchLoss(loss / len(widths), kl, gradient / len(widths))


def _unit(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the rows normalized, and their lengths (n, 1); a zero row keeps the length 1."""
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    length[length < _SHORTEST] = 1
    return rows / length, length


def _softmax(logits: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the softmax of rows, and its logarithm."""
    shifted = logits - logits.max(1, keepdims=True)
    powers = np.exp(shifted)
    total = powers.sum(1, keepdims=True)
    powers /= total
    shifted -= np.log(total)
    return powers, shifted


def _without_self(logits: NDArray[Any]) -> NDArray[Any]:
    """Exclude the diagonal, in place: a text is always nearest to itself."""
    np.fill_diagonal(logits, -1e9)
    return logits


def _divergence(
    wanted: tuple[NDArray[Any], NDArray[Any]], logits: NDArray[Any], factor: NDArray[Any]
) -> tuple[float, NDArray[Any]]:
    """Return the weighted sum over rows of KL(wanted || softmax(logits)), and its gradient."""
    shares, logarithms = wanted
    found, found_logarithms = _softmax(logits)
    by_row = np.einsum("ij,ij->i", shares, logarithms - found_logarithms)
    found -= shares
    found *= factor[:, None]
    return float(factor @ by_row), found
