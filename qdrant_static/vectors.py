"""Normalization, truncation and fingerprints of matrices, with one vector per row."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static.errors import ArgumentError


def normalize(matrix: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Scale every row to length 1; a row of zeros stays zeros.

    Args:
        matrix: ``(n, dim)``.

    Returns:
        float32 ``(n, dim)``, a new array.
    """
    rows = np.asarray(matrix, dtype=np.float32)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    norms[norms == 0.0] = 1.0
    return np.asarray(rows / norms[:, None], dtype=np.float32)


def truncate(matrix: NDArray[np.floating[Any]], size: int) -> NDArray[np.float32]:
    """Keep the first ``size`` dimensions and renormalize: a Matryoshka prefix.

    Args:
        matrix: ``(n, dim)``.
        size: Dimensions to keep, from 1 to dim.

    Returns:
        float32 ``(n, size)``, a new array.

    Raises:
        ArgumentError: If ``size`` is not within 1 to dim.

    Source:
        Kusupati et al., Matryoshka Representation Learning, 2022 (arXiv:2205.13147).
    """
    dimension = matrix.shape[1]
    if not 1 <= size <= dimension:
        raise ArgumentError(field="size", problem=f"{size} is not within 1 to {dimension}")
    return normalize(matrix[:, :size])


def fingerprint(*parts: NDArray[Any] | bytes | str) -> str:
    """Digest arrays, bytes and strings, in order, with their types, shapes and lengths.

    Returns:
        32 hexadecimal digits (BLAKE2b, 16 bytes).
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            head, body = f"array {part.dtype.str} {part.shape}", np.ascontiguousarray(part).data
            size = part.nbytes
        else:
            raw = part.encode() if isinstance(part, str) else part
            head, body, size = type(part).__name__, memoryview(raw), len(raw)
        digest.update(f"{head} {size}\n".encode())
        digest.update(body)
    return digest.hexdigest()
