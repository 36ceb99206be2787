"""Linear maps of vectors: which directions matter for a corpus, and which suit codes of one bit.

All functions take and return float64 arrays, and know nothing of models. An orthogonal matrix has
orthonormal columns: vectors are rows, and ``vectors @ matrix`` are the same vectors in other axes,
with the same cosines.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Matrix: TypeAlias = NDArray[np.float64]

#: Added to the scatter inside passages, as a share of its mean: without it, directions in which
#: the sentences of few passages do not differ by chance would come first.
SHRINKAGE = 0.03
#: Rounds of ITQ; the codes hardly change after 50 (Gong and Lazebnik's own number).
ITQ_ROUNDS = 50


def discriminant_directions(passages: Matrix, within: Matrix) -> Matrix:
    """Return an orthogonal matrix whose first columns tell passages apart best.

    A direction is good if passages differ in it more than the sentences of one passage do: the
    ratio of both variances is that of Fisher's linear discriminant (Fisher, 1936,
    doi:10.1111/j.1469-1809.1936.tb02137.x; regularized as by Friedman, 1989,
    doi:10.1080/01621459.1989.10478752), with each passage as a class of its own and no label. The
    steps:

    1. The mean of the passages is taken out: it is the last column. All texts share it, so that it
       says nothing, yet it is the first direction of an uncentered SVD.
    2. In the rest, the axes are scaled until the scatter inside passages is the same everywhere.
    3. There, the eigenvectors of the passages' covariance are taken, greatest first.
    4. Back in the first axes, they are made orthonormal in this order (QR), so that the first k
       columns span what the first k discriminant directions span.

    Where no passage has two sentences, the scatter inside is zero, and the result is a principal
    component analysis with the mean last.

    Args:
        passages: float64 (n, d), the vectors of passages.
        within: float64 (d, d), the scatter of sentences around the mean of their passage.

    Returns:
        float64 (d, d), orthogonal.
    """
    rest, last = _without_mean(passages)
    inside = rest @ passages.T
    covariance = np.cov(inside, bias=True)
    scale = power(rest @ within @ rest.T, -0.5)
    directions, _ = np.linalg.qr(scale @ _eigenvectors(scale @ np.atleast_2d(covariance) @ scale))
    return fixed_signs(np.vstack([directions.T @ rest, last]).T)


def binary_directions(passages: Matrix, *, seed: int, rounds: int = ITQ_ROUNDS) -> Matrix:
    """Return an orthogonal matrix after which the signs of vectors keep most of them.

    Iterative quantization (Gong and Lazebnik, 2011, doi:10.1109/CVPR.2011.5995432): from a random
    rotation R, B = sign(V R) and R = the orthogonal matrix nearest to ``V' B`` take turns, which
    lowers the distance of V R to its signs in every step. Codes of one bit are the signs of the
    numbers as they are: nothing can be subtracted at search. So the passages' mean becomes one axis
    of its own, the last, and V are the normalized vectors in the others, where they are centered:
    each bit is set for about half of the passages, and only one bit is lost.

    Args:
        passages: float64 (n, d), the vectors of passages.
        seed: Of the first rotation.
        rounds: How often the two steps take turns.

    Returns:
        float64 (d, d), orthogonal.
    """
    rest, last = _without_mean(passages)
    vectors = passages @ rest.T
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    size = len(rest)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    for _ in range(rounds):
        signs = np.where(vectors @ rotation > 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(vectors.T @ signs)
        rotation = left @ right
    return fixed_signs(np.vstack([rotation.T @ rest, last]).T)


def power(scatter: Matrix, exponent: float, *, shrinkage: float = SHRINKAGE) -> Matrix:
    """Return a power of a scatter matrix, scaled to a mean of 1 and shrunk towards the identity.

    Args:
        scatter: float64 (d, d), symmetric, without negative eigenvalues.
        exponent: -0.5 makes the scatter equal in all directions (whitening), 0 changes nothing.
        shrinkage: Added to each eigenvalue.

    Returns:
        float64 (d, d); the identity if the scatter is zero.
    """
    size, trace = len(scatter), float(np.trace(scatter))
    if trace <= 0:
        return np.eye(size)
    values, vectors = np.linalg.eigh(scatter * (size / trace))
    values = np.maximum(values, 0) + shrinkage
    return np.asarray((vectors * values**exponent) @ vectors.T)


def fixed_signs(matrix: Matrix) -> Matrix:
    """Return the matrix with each column's entry of greatest size positive.

    Eigenvectors are determined up to their sign, which libraries choose differently.
    """
    greatest = matrix[np.abs(matrix).argmax(axis=0), np.arange(matrix.shape[1])]
    return np.asarray(matrix * np.where(greatest < 0, -1.0, 1.0))


def common_direction(vectors: Matrix) -> Matrix:
    """Return the first right singular vector of uncentered vectors, float64 (d,)."""
    return np.asarray(fixed_signs(_eigenvectors(vectors.T @ vectors)[:, :1])[:, 0])


def _without_mean(passages: Matrix) -> tuple[Matrix, Matrix]:
    """Return an orthonormal basis of what is orthogonal to the mean, and the mean's direction.

    Returns:
        float64 (d - 1, d) and (1, d), rows of length 1.
    """
    basis, _ = np.linalg.qr(passages.mean(axis=0)[:, None], mode="complete")
    return basis[:, 1:].T, basis[:, :1].T


def _eigenvectors(symmetric: Matrix) -> Matrix:
    """Return the eigenvectors as columns, of the greatest eigenvalue first."""
    return np.asarray(np.linalg.eigh(symmetric)[1][:, ::-1])
