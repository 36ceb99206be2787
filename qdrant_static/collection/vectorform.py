"""Converts the encoder's vectors to the stored form of a named vector, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.collection.vectorspec import UINT8_OFFSET
from qdrant_static.vectors import truncate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.collection.vectorspec import VectorSpec


def stored_form(matrix: NDArray[np.floating[Any]], vector: VectorSpec) -> NDArray[np.float32]:
    """Convert rows to the form in which a vector stores them; queries need the same form.

    Args:
        matrix: ``(n, dim)``, the encoder's rows; dim is at least the vector's size. Rows of
            exactly that size are not changed, longer ones are truncated and renormalized.
        vector: The named vector.

    Returns:
        float32 ``(n, size)``; for uint8 whole numbers, ``round(x * scale) + 128`` within 0 to 255.

    Raises:
        ArgumentError: If the rows are shorter than the vector.
    """
    rows = np.asarray(matrix, dtype=np.float32)
    if rows.shape[1] != vector.size:
        rows = truncate(rows, vector.size)
    if vector.scale is None:
        return rows
    shifted = np.rint(rows * np.float32(vector.scale)) + np.float32(UINT8_OFFSET)
    return np.asarray(np.clip(shifted, 0, 255), dtype=np.float32)


def original_form(matrix: NDArray[np.floating[Any]], vector: VectorSpec) -> NDArray[np.float32]:
    """Convert stored vectors back to the encoder's rows; uint8 rounding remains.

    Args:
        matrix: ``(n, size)``, as stored.
        vector: The named vector.

    Returns:
        float32 ``(n, size)``.
    """
    rows = np.asarray(matrix, dtype=np.float32)
    if vector.scale is None:
        return rows
    return np.asarray((rows - UINT8_OFFSET) / np.float32(vector.scale), dtype=np.float32)


def vector_of(point: Any, name: str) -> list[float] | None:
    """Return a point's dense vector of that name; the unnamed one is ``""``."""
    vector = point.vector
    if isinstance(vector, dict):
        vector = vector.get(name)
    return vector if isinstance(vector, list) else None
