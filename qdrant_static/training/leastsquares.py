"""Ridge regression of a token table onto the vectors of texts.

The vector of a text is a sum of rows of the table, so the best table is a least-squares problem::

    minimize over E:  ||A E - T||² + λ ||E - P||²

where ``A`` (texts, tokens) are the token counts, ``T`` (texts, dim) the targets and ``P`` a prior
table, which says what tokens mean that few texts have. Its normal equations
``(AᵀA + λ) E = AᵀT + λ P`` are solved for all columns at once by conjugate gradients,
preconditioned by the diagonal of ``AᵀA + λ`` (Hestenes and Stiefel, 1952,
doi:10.6028/jres.049.044; Saad, Iterative Methods for Sparse Linear Systems, 2003, algorithm 9.1).

Only the direction of a text's vector counts, so the length of its target is free: a few rounds
alternate between solving for the table and scaling every target to its projection on the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdrant_static.training.countmatrix import CountMatrix
from qdrant_static.vectors import normalize

Floats = NDArray[np.float32]

#: A target is never shorter than this: a text whose sum points away from it still counts.
_SHORTEST = 0.05
#: Weight of the penalty of a map between dimensions, as a share of the mean square.
_MAP_PENALTY = 1e-3
#: Texts in a block of a sum of products.
_BLOCK = 1024
#: Added to squared lengths that divide.
_TINY = 1e-20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RidgeFit:
    """A fitted table.

    Attributes:
        table: float32 (used, dim), a row for each token that the texts have.
        penalty: λ, the weight of the prior.
        cosines: λ -> mean cosine between the held-out texts and their targets; empty without
            held-out texts.
    """

    table: Floats
    penalty: float
    cosines: dict[float, float]


def fit_ridge(
    counts: CountMatrix,
    targets: Floats,
    prior: Floats,
    *,
    penalties: tuple[float, ...],
    importance: Floats | None = None,
    rounds: int = 3,
    steps: int = 8,
    held_out: tuple[CountMatrix, Floats] | None = None,
    threads: int | None = None,
) -> RidgeFit:
    """Fit a table; λ is the one whose first round fits held-out texts best.

    Args:
        counts: Token counts of n texts.
        targets: float32 (n, dim), normalized.
        prior: float32 (used, dim).
        importance: float32 (n,), a factor of each text's squared error; None for ones.
        penalties: Values of λ to choose from. Without held-out texts the first is taken.
        rounds: How often the lengths of the targets are adapted.
        steps: Steps of conjugate gradients in each round.
        held_out: Counts over the same tokens, and targets, of texts that are not fitted.
        threads: How many to use; None for one per core. The result does not depend on it.
    """
    root = np.sqrt(np.ones(len(counts), np.float32) if importance is None else importance)[:, None]
    equations = counts.scaled(root[:, 0])  # both sides of an equation, times the root of its weight
    first = root * targets
    penalty, cosines, table = penalties[0], {}, prior
    if held_out is not None and len(penalties) > 1:
        seen, wanted = held_out
        for one in penalties:
            fitted = _solve(equations, first, prior, prior, one, steps, threads)
            cosines[one] = mean_cosine(seen, fitted, wanted, threads=threads)
            if cosines[one] >= max(cosines.values()):
                penalty, table = one, fitted
    else:
        table = _solve(equations, first, prior, prior, penalty, steps, threads)
    for _ in range(rounds - 1):
        sums = counts.by_text.times(table, threads=threads)
        lengths = np.maximum(np.einsum("ij,ij->i", sums, targets), _SHORTEST)[:, None]
        table = _solve(equations, first * lengths, table, prior, penalty, steps, threads)
    return RidgeFit(table=table, penalty=penalty, cosines=cosines)


def mean_cosine(
    counts: CountMatrix, table: Floats, targets: Floats, *, threads: int | None = None
) -> float:
    """Return the mean cosine between texts' vectors and their targets.

    Args:
        counts: Token counts of n texts.
        table: float32 (used, dim).
        targets: float32 (n, dim), normalized.
        threads: As for `fit_ridge`.
    """
    vectors = normalize(counts.by_text.times(table, threads=threads))
    return float(np.einsum("ij,ij->i", vectors, targets, dtype=np.float64).mean())


def weigh_prior(prior: Floats, frequencies: NDArray[np.int64], smoothing: float | None) -> Floats:
    """Center a table and weigh its rows by the frequencies of the tokens.

    A token with the share p of all tokens has the weight ``a / (a + p)``: frequent words say little
    (smooth inverse frequency; Arora, Liang and Ma, 2017, openreview.net/forum?id=SyK00v5xx).

    Args:
        prior: float32 (rows, dim).
        frequencies: int64 (rows,), the number of texts that have the token.
        smoothing: a; None for equal weights.

    Returns:
        float32 (rows, dim), a new table.
    """
    centered = prior - prior.mean(0)
    if smoothing is None:
        return np.asarray(centered, np.float32)
    shares = frequencies / max(int(frequencies.sum()), 1)
    return np.asarray(centered * (smoothing / (smoothing + shares))[:, None], np.float32)


def map_prior(
    counts: CountMatrix, prior: Floats, targets: Floats, *, threads: int | None = None
) -> Floats:
    """Map a table linearly to the dimension of the targets, as least squares of the texts' sums.

    Args:
        counts: Token counts of n texts.
        prior: float32 (rows of all token ids, dim).
        targets: float32 (n, target dim).
        threads: As for `fit_ridge`.

    Returns:
        float32 (rows, target dim).
    """
    sums = counts.by_text.times(np.ascontiguousarray(prior[counts.tokens]), threads=threads)
    square = np.zeros((sums.shape[1], sums.shape[1]))
    cross = np.zeros((sums.shape[1], targets.shape[1]))
    for begin in range(0, len(sums), _BLOCK):  # in one order, whatever the threads of BLAS
        part = sums[begin : begin + _BLOCK].astype(np.float64)
        square += part.T @ part
        cross += part.T @ targets[begin : begin + _BLOCK]
    square[np.diag_indices_from(square)] += _MAP_PENALTY * np.trace(square) / len(square)
    return np.asarray(prior @ np.linalg.solve(square, cross), np.float32)


def scale_prior(counts: CountMatrix, prior: Floats, targets: Floats) -> Floats:
    """Scale a table so that the texts' sums come nearest to their targets.

    Args:
        counts: Token counts of n texts.
        prior: float32 (rows of all token ids, dim).
        targets: float32 (n, dim).
    """
    sums = counts.by_text.times(np.ascontiguousarray(prior[counts.tokens]))
    along = float(np.einsum("ij,ij->", sums, targets, dtype=np.float64))
    square = float(np.einsum("ij,ij->", sums, sums, dtype=np.float64))
    return np.asarray(prior * (along / square if along > 0 and square > 0 else 1.0), np.float32)


def _solve(
    counts: CountMatrix,
    targets: Floats,
    start: Floats,
    prior: Floats,
    penalty: float,
    steps: int,
    threads: int | None,
) -> Floats:
    """Solve the normal equations from a table to start with; float32 (used, dim)."""
    by_text, by_token, weight = counts.by_text, counts.by_token, np.float32(penalty)
    squares = np.add.reduceat(by_token.shares**2, by_token.ends[:-1])
    inverse = (1 / (squares + weight)).astype(np.float32)[:, None]
    table = start.copy()
    rest = by_token.times(targets - by_text.times(table, threads=threads), threads=threads)
    rest += weight * (prior - table)
    direction = inverse * rest
    size = _dots(rest, direction)
    for _ in range(steps):
        turned = by_token.times(by_text.times(direction, threads=threads), threads=threads)
        turned += weight * direction
        step = (size / np.maximum(_dots(direction, turned), _TINY)).astype(np.float32)
        table += step * direction
        rest -= step * turned
        scaled = inverse * rest
        before, size = size, _dots(rest, scaled)
        direction *= (size / np.maximum(before, _TINY)).astype(np.float32)
        direction += scaled
    return table


def _dots(left: Floats, right: Floats) -> NDArray[np.float64]:
    """Return the dot products of columns, added in float64."""
    return np.asarray(np.einsum("ij,ij->j", left, right, dtype=np.float64))
