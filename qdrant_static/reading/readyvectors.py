"""Converts a column of ready vectors to a float32 matrix, and finds rows without a usable one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyVectors:
    """The vectors of n rows.

    Attributes:
        matrix: float32 ``(n, dimension)``; a bad row is zeros.
        bad: Row -> the problem of its vector.
    """

    matrix: NDArray[np.float32]
    bad: dict[int, str]


def is_vector(kind: pa.DataType) -> bool:
    """Return whether a type is a list of numbers."""
    if isinstance(kind, pa.BaseExtensionType):
        return is_vector(kind.storage_type)
    if not pa.types.is_nested(kind) or kind.num_fields != 1 or pa.types.is_struct(kind):
        return False
    if pa.types.is_map(kind) or pa.types.is_union(kind):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def dimension_of(column: pa.Array) -> int | None:
    """Return the length of the first vector of a column; None if it has none."""
    if pa.types.is_fixed_size_list(column.type):
        return int(column.type.list_size)
    lengths = pc.drop_null(pc.list_value_length(column))
    return int(lengths[0].as_py()) if len(lengths) else None


def from_column(column: pa.Array, dimension: int) -> ReadyVectors:
    """Convert a column.

    Args:
        column: n lists of numbers.
        dimension: The length that they must have.
    """
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    right = lengths == dimension
    bad: dict[int, str] = {}
    for row in np.flatnonzero(~right).tolist():
        length = int(lengths[row])
        bad[row] = (
            "no vector" if length < 0 else f"a vector of {length} dimensions, not of {dimension}"
        )
    sound = column if not bad else column.filter(pa.array(right))
    values = sound.flatten()
    if values.null_count:
        values = values.cast(pa.float64()).fill_null(float("nan"))
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite, found below
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    matrix = numbers.reshape(len(sound), dimension)
    finite = np.isfinite(matrix).all(axis=1)
    if bad or not finite.all():
        whole = np.zeros((len(column), dimension), np.float32)
        whole[right] = np.where(finite[:, None], matrix, np.float32(0))
        for row in np.flatnonzero(right)[~finite].tolist():
            bad[row] = "a number of the vector is missing or not finite"
        matrix = whole
    return ReadyVectors(matrix=matrix, bad=bad)


def problem_of(value: Any, dimension: int | None) -> str | None:
    """Return the problem of one vector of JSON; None if there is none."""
    if value is None:
        return "no vector"
    if not isinstance(value, list) or not value:
        return "the vector is not a list of numbers"
    if any(type(one) not in (int, float) for one in value):
        return "a part of the vector is not a number"
    if dimension is not None and len(value) != dimension:
        return f"a vector of {len(value)} dimensions, not of {dimension}"
    largest = float(np.finfo(np.float32).max)
    if any(not -largest <= one <= largest for one in value):
        return "a number of the vector is not finite"
    return None


def from_lists(vectors: Sequence[Sequence[float]], dimension: int) -> NDArray[np.float32]:
    """Return the matrix of vectors without a problem."""
    return np.array(vectors, np.float32).reshape(len(vectors), dimension)
