"""The space of the targets of a fit: the mean to subtract, and the principal axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

#: Rows in a block of a sum of products.
_BLOCK = 1024


def principal_axes(vectors: Floats, dimension: int) -> Floats:
    """Return the directions in which vectors differ most, the first the greatest.

    Args:
        vectors: float32 ``(n, dim)``, centered.
        dimension: Number of directions.

    Returns:
        float32 ``(dim, dimension)``, orthonormal columns; the greatest entry of each is positive.
    """
    square = np.zeros((vectors.shape[1],) * 2)
    for begin in range(0, len(vectors), _BLOCK):  # in one order, whatever the threads of BLAS
        part = vectors[begin : begin + _BLOCK].astype(np.float64)
        square += part.T @ part
    axes = np.linalg.eigh(square)[1][:, ::-1][:, :dimension]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    return np.asarray(axes * signs, np.float32)


def mean_of(vectors: Floats) -> Floats:
    """Return the mean of the vectors that are not zero.

    Args:
        vectors: float32 ``(n, dim)``.

    Returns:
        float32 ``(dim,)``.
    """
    known = np.abs(vectors).sum(axis=1) > 0
    return np.asarray(vectors[known].mean(axis=0, dtype=np.float64), np.float32)
