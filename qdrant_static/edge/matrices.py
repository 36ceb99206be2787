"""Points of matrices: what a bulk load stores, checked by the matrix rather than by the row.

`pointrows.build` looks at every part of every point; here names, sizes and finite numbers are
checked once a batch, and what is left per point is the engine's own constructor and its payload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import qdrant_edge as edge

from qdrant_static.edge import convert, pointrows
from qdrant_static.edge.payloadjson import payload as plain_payload
from qdrant_static.errors import ArgumentError, PointError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.edge.opencollection import OpenCollection
    from qdrant_static.encoders.sparsevectors import SparseRows


def points(
    opened: OpenCollection,
    ids: Sequence[Any],
    dense: Mapping[str, NDArray[np.float32]],
    sparse: Mapping[str, SparseRows],
    payloads: Sequence[Mapping[str, Any]],
) -> list[edge.Point]:
    """The points of columns.

    Args:
        opened: The collection.
        ids: n point ids.
        dense: Vector name -> float32 ``(n, size)``.
        sparse: Vector name -> n sparse vectors; an empty one is left out of its point.
        payloads: n payloads.

    Raises:
        ArgumentError: If a name, a shape or a length is not the collection's.
        PointError: If a point does not fit: its id, its payload, a number that is not finite.
    """
    _check(opened, len(ids), dense, sparse, payloads)
    matrices = [(name, np.ascontiguousarray(one, np.float32)) for name, one in dense.items()]
    for name, matrix in matrices:
        _require_finite(name, matrix, ids)
    terms = [(name, one.indices, one.values, one.pointers.tolist()) for name, one in sparse.items()]
    for name, one in sparse.items():
        if not np.isfinite(one.values).all():
            place = int(np.flatnonzero(~np.isfinite(one.values))[0])
            row = int(np.searchsorted(one.pointers, place, side="right")) - 1
            raise _unfit(ids[row], name)
    sparse_vector: Any = edge.SparseVector  # its stub knows lists alone
    built = []
    for row, (identity, payload) in enumerate(zip(ids, payloads, strict=True)):
        vectors: dict[str, Any] = {name: matrix[row].data for name, matrix in matrices}
        for name, indices, values, pointers in terms:
            first, last = pointers[row], pointers[row + 1]
            if first < last:
                vectors[name] = sparse_vector(indices[first:last].data, values[first:last].data)
        try:
            built.append(edge.Point(pointrows.engine_id(identity), vectors, plain_payload(payload)))
        except (TypeError, ValueError, OverflowError, ArgumentError) as error:
            raise PointError(point=identity, problem=convert.reason(error)) from error
    return built


def _check(
    opened: OpenCollection,
    count: int,
    dense: Mapping[str, NDArray[np.float32]],
    sparse: Mapping[str, SparseRows],
    payloads: Sequence[Any],
) -> None:
    for name, matrix in dense.items():
        params = opened.dense.get(name)
        if params is None or params.multivector_config is not None:
            known = ", ".join(opened.dense) or "none"
            raise ArgumentError(
                field=f"vectors.{name}", problem=f"no single dense vector; there are: {known}"
            )
        if matrix.shape != (count, params.size):
            raise ArgumentError(
                field=f"vectors.{name}", problem=f"shape {matrix.shape}, not {(count, params.size)}"
            )
    for name, one in sparse.items():
        if name not in opened.sparse:
            known = ", ".join(opened.sparse) or "none"
            raise ArgumentError(
                field=f"vectors.{name}", problem=f"no sparse vector; there are: {known}"
            )
        if len(one) != count:
            raise ArgumentError(field=f"vectors.{name}", problem=f"{len(one)} rows for {count} ids")
    if len(payloads) != count:
        raise ArgumentError(field="payloads", problem=f"{len(payloads)} for {count} ids")


def _require_finite(name: str, matrix: NDArray[np.float32], ids: Sequence[Any]) -> None:
    """A row's sum is finite only if all its numbers are; a sum of large ones may overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        sums = matrix.sum(axis=1)
    for row in np.flatnonzero(~np.isfinite(sums)).tolist():
        if not np.isfinite(matrix[row]).all():
            raise _unfit(ids[row], name)


def _unfit(identity: Any, name: str) -> PointError:
    return PointError(point=identity, problem=f"vector {name!r} holds a number that is not finite")
