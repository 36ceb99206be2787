"""What a server would take and should not, looked at before anything is sent.

Over gRPC a server stores NaN, and refuses a wrong name after it has stored the points before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.encoders.sparsevectors import SparseRows


def check_shapes(
    rows: int,
    dense: Mapping[str, NDArray[np.float32]],
    sparse: SparseRows | None,
    payloads: Sequence[Any],
    *,
    sizes: Mapping[str, int],
    has_sparse: bool,
) -> None:
    """A batch's names and shapes are those of its collection.

    Args:
        rows: n, the number of ids.
        dense: Vector name -> float32 ``(n, size)``.
        sparse: n sparse vectors, or None.
        payloads: n payloads.
        sizes: Vector name -> size, as the collection has it.
        has_sparse: Whether the collection has a sparse vector.

    Raises:
        ArgumentError: If they are not; it names the vector.
    """
    if set(dense) != set(sizes):
        raise ArgumentError(
            field="vectors",
            problem=f"given: {', '.join(sorted(dense)) or 'none'}; the collection has: "
            f"{', '.join(sorted(sizes)) or 'none'}",
        )
    for name, matrix in dense.items():
        if matrix.shape != (rows, sizes[name]):
            raise ArgumentError(
                field=f"vectors.{name}",
                problem=f"shape {matrix.shape}, not {(rows, sizes[name])}",
            )
    if sparse is not None and not has_sparse:
        raise ArgumentError(field="vectors", problem="the collection has no sparse vector")
    if sparse is not None and len(sparse) != rows:
        raise ArgumentError(field="vectors.sparse", problem=f"{len(sparse)} rows for {rows} ids")
    if len(payloads) != rows:
        raise ArgumentError(field="payloads", problem=f"{len(payloads)} for {rows} ids")


def unfit_rows(
    dense: Mapping[str, NDArray[np.float32]], sparse: SparseRows | None
) -> dict[int, str]:
    """The rows with a number that is not finite, each with what is wrong.

    Args:
        dense: Vector name -> float32 ``(n, size)``.
        sparse: n sparse vectors, or None.
    """
    unfit: dict[int, str] = {}
    for name, matrix in dense.items():
        for row in _not_finite(matrix):
            unfit.setdefault(row, f"vector {name!r} holds a number that is not finite")
    if sparse is not None and not np.isfinite(sparse.values).all():
        places = np.flatnonzero(~np.isfinite(sparse.values))
        for row in np.searchsorted(sparse.pointers, places, side="right") - 1:
            unfit.setdefault(int(row), "the sparse vector holds a number that is not finite")
    return unfit


def _not_finite(matrix: NDArray[np.float32]) -> list[int]:
    """Rows that hold NaN or an infinity: a row's sum is finite only if all its numbers are."""
    with np.errstate(over="ignore", invalid="ignore"):
        sums = matrix.sum(axis=1)
    suspects = np.flatnonzero(~np.isfinite(sums))
    # A sum of large numbers may overflow although each of them is finite.
    return [int(row) for row in suspects if not np.isfinite(matrix[row]).all()]
