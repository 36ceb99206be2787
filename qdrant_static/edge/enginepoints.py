"""Points for the engine, from models or from matrices, checked against the collection.

Measured on points of 1,024 dimensions, microseconds each: a float32 row handed over as a
memoryview 14, ``row.tolist()`` 21, the numpy row itself 39, ``matrix.tolist()`` 44; a list that is
there already 9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.edge.payloads import UnstorableError, payload
from qdrant_static.errors import ArgumentError, NotSupportedByEdgeError, PointError
from qdrant_static.ids import PointId, checked_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.edge.opencollection import OpenCollection
    from qdrant_static.encoders.sparsevectors import SparseRows

_LARGEST = float(np.finfo(np.float32).max)
#: A multi-vector of more numbers than this is refused by a server too (qdrant#5925).
_MAX_MULTI_NUMBERS = 2**20 - 1


class Row(NamedTuple):
    """The fields of a `models.PointStruct`, made in a tenth of the time."""

    id: Any
    vector: Any
    payload: Any


def build(opened: OpenCollection, struct: models.PointStruct | Row) -> edge.Point:
    """Return a point for the engine.

    Raises:
        PointError: If it does not fit the collection: an invalid id, an unknown vector, a wrong
            dimension, a number that is not finite, a payload that is not JSON.
    """
    try:
        return edge.Point(
            engine_id(struct.id), vectors(opened, struct.vector), payload(struct.payload)
        )
    except NotSupportedByEdgeError:
        raise
    except (TypeError, ValueError, OverflowError, AttributeError, ArgumentError) as error:
        raise _invalid(struct, error) from error


def build_vectors(opened: OpenCollection, struct: models.PointVectors) -> edge.PointVectors:
    """Return new vectors of a stored point for the engine; errors as `build`."""
    try:
        new = vectors(opened, _require_vectors(struct.vector))
        return edge.PointVectors(engine_id(struct.id), new)
    except NotSupportedByEdgeError:
        raise
    except (TypeError, ValueError, OverflowError, AttributeError, ArgumentError) as error:
        raise _invalid(struct, error) from error


def _invalid(struct: Any, error: Exception) -> PointError:
    return PointError(point=getattr(struct, "id", repr(struct)), problem=convert.reason(error))


def engine_id(value: Any) -> PointId:
    """Return a point id for the engine; integers of numpy are valid here, too."""
    return checked_id(value.item() if isinstance(value, np.integer) else value)


def vectors(opened: OpenCollection, value: Any) -> dict[str, Any]:
    """Return all vectors of a point by name; the unnamed one is ``""``."""
    if isinstance(value, Mapping):
        return {name: _vector(opened, name, one) for name, one in value.items()}
    return {"": _vector(opened, "", value)}


def _require_vectors(vector: Any) -> Any:
    if isinstance(vector, Mapping) and not vector:
        raise UnstorableError("it names no vector to replace")
    return vector


def _vector(opened: OpenCollection, name: str, value: Any) -> Any:
    if type(value) is dict:
        value = convert.parsed(value, models.SparseVector, f"vector {name!r}")
    if isinstance(value, models.SparseVector):
        return _sparse(opened, name, value)
    params = opened.dense.get(name)
    if params is None:
        known = ", ".join(one or "one without a name" for one in opened.dense) or "none"
        shown = repr(name) if name else "without a name"
        raise UnstorableError(f"no dense vector {shown}; there are: {known}")
    try:
        if params.multivector_config is not None:
            return _multi(name, params.size, value)
        return _dense(name, params.size, value)
    except (TypeError, AttributeError) as error:
        raise UnstorableError(
            f"vector {name!r} is not a vector: {convert.reason(error)}"
        ) from error


def _dense(name: str, size: int, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.ndim != 1:
            raise UnstorableError(f"vector {name!r} has the shape {value.shape}, not ({size},)")
        return _row(name, size, value).data
    if not isinstance(value, list | tuple):
        if isinstance(value, BaseModel):
            convert.named_vector(value)  # raises the error for a text or an image
        value = list(value)
    if len(value) != size:
        raise UnstorableError(f"vector {name!r} has {len(value)} dimensions, the collection {size}")
    if value and isinstance(value[0], list | tuple | np.ndarray):
        raise UnstorableError(
            f"vector {name!r} is a single vector, but a list of vectors was given"
        )
    _require_finite(name, value)
    return value


def _multi(name: str, size: int, value: Any) -> Any:
    rows = value
    if len(value) and not isinstance(value[0], list | tuple | np.ndarray):
        rows = [value]
    if not len(rows):
        raise UnstorableError(f"vector {name!r} is empty")
    if len(rows) * size > _MAX_MULTI_NUMBERS:
        raise UnstorableError(f"vector {name!r} has more than {_MAX_MULTI_NUMBERS:,} numbers")
    return [list(_dense(name, size, row)) for row in rows]


def _sparse(opened: OpenCollection, name: str, value: models.SparseVector) -> edge.SparseVector:
    if name not in opened.sparse:
        known = ", ".join(opened.sparse) or "none"
        raise UnstorableError(f"no sparse vector {name!r}; there are: {known}")
    indices, values = value.indices, value.values
    if len(indices) != len(values):
        raise UnstorableError(
            f"vector {name!r} has {len(indices)} indices, but {len(values)} values"
        )
    if len(set(indices)) != len(indices):
        raise UnstorableError(f"vector {name!r} has an index twice")
    _require_finite(name, values)
    return edge.SparseVector(indices, values)


def _require_finite(name: str, values: Sequence[float] | np.ndarray[Any, Any]) -> None:
    """Raise an error for numbers that are not finite as float32.

    No number is larger than the norm of the vector, which is fast to compute.
    """
    if not math.hypot(*values) <= _LARGEST:
        with np.errstate(over="ignore"):
            single = np.asarray(values, dtype=np.float32)
        if not np.isfinite(single).all():
            raise UnstorableError(f"vector {name!r} holds a number that is not finite")


def _row(name: str, size: int, row: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if len(row) != size:
        raise UnstorableError(f"vector {name!r} has {len(row)} dimensions, the collection {size}")
    if row.dtype != np.float32 or not row.flags.c_contiguous:
        with np.errstate(over="ignore"):
            row = np.ascontiguousarray(row, dtype=np.float32)
    # If the square is finite, all numbers are; large numbers are checked one by one.
    if not math.isfinite(row.dot(row)) and not np.isfinite(row).all():
        raise UnstorableError(f"vector {name!r} holds a number that is not finite")
    return row


def points_of_matrices(
    opened: OpenCollection,
    ids: Sequence[Any],
    dense: Mapping[str, NDArray[np.float32]],
    sparse: Mapping[str, SparseRows],
    payloads: Sequence[Mapping[str, Any]],
) -> list[edge.Point]:
    """Return the points of matrices.

    `build` checks every part of every point; here names, sizes and finite numbers are checked once
    a batch, and each point only needs the engine's constructor and its payload.

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
    _check_matrices(opened, len(ids), dense, sparse, payloads)
    matrices = [(name, np.ascontiguousarray(one, np.float32)) for name, one in dense.items()]
    for name, matrix in matrices:
        _require_finite_rows(name, matrix, ids)
    terms = [(name, one.indices, one.values, one.pointers.tolist()) for name, one in sparse.items()]
    for name, one in sparse.items():
        if not np.isfinite(one.values).all():
            place = int(np.flatnonzero(~np.isfinite(one.values))[0])
            row = int(np.searchsorted(one.pointers, place, side="right")) - 1
            raise _not_finite(ids[row], name)
    sparse_vector: Any = edge.SparseVector  # its stub has only lists
    built = []
    for row, (identity, content) in enumerate(zip(ids, payloads, strict=True)):
        vectors: dict[str, Any] = {name: matrix[row].data for name, matrix in matrices}
        for name, indices, values, pointers in terms:
            first, last = pointers[row], pointers[row + 1]
            if first < last:
                vectors[name] = sparse_vector(indices[first:last].data, values[first:last].data)
        try:
            built.append(edge.Point(engine_id(identity), vectors, payload(content)))
        except (TypeError, ValueError, OverflowError, ArgumentError) as error:
            raise PointError(point=identity, problem=convert.reason(error)) from error
    return built


def _check_matrices(
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


def _require_finite_rows(name: str, matrix: NDArray[np.float32], ids: Sequence[Any]) -> None:
    """Raise an error for numbers that are not finite.

    The sum of a row is finite only if all its numbers are; a sum of large ones may overflow.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        sums = matrix.sum(axis=1)
    for row in np.flatnonzero(~np.isfinite(sums)).tolist():
        if not np.isfinite(matrix[row]).all():
            raise _not_finite(ids[row], name)


def _not_finite(identity: Any, name: str) -> PointError:
    return PointError(point=identity, problem=f"vector {name!r} holds a number that is not finite")
