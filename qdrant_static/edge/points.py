"""Writing points. A request is checked whole before any of it reaches the engine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.collections import OpenCollection, engine_errors
from qdrant_static.edge.directory import require_room
from qdrant_static.errors import PointError

_MAX_FLOAT32 = float(np.finfo(np.float32).max)
#: The engine stores deeper payloads, and cannot read them back.
MAX_PAYLOAD_DEPTH = 120


def upsert(opened: OpenCollection, points: Iterable[models.PointStruct]) -> None:
    """Store points, all or none.

    Raises:
        PointError: If a point has an unknown vector name, a wrong dimension, a number that is
            not finite, or a payload that is not JSON; it names the point.
    """
    built = []
    for struct in points:
        _check(opened, struct)
        try:
            built.append(convert.point(struct))
        except (TypeError, ValueError, OverflowError) as error:
            raise PointError(point=struct.id, problem=_first_line(error)) from error
    if built:
        require_room(opened.folder.shard, 0)
        with engine_errors(f"storing {len(built)} points"):
            opened.shard.update(edge.UpdateOperation.upsert_points(built))


def delete(opened: OpenCollection, selector: Any) -> None:
    """Delete points by their ids or by a filter."""
    if isinstance(selector, models.FilterSelector):
        selector = selector.filter
    if isinstance(selector, models.PointIdsList):
        selector = selector.points
    with engine_errors("deleting points"):
        if isinstance(selector, models.Filter):
            operation = edge.UpdateOperation.delete_points_by_filter(convert.filter_(selector))
        elif isinstance(selector, Sequence) and not isinstance(selector, str):
            operation = edge.UpdateOperation.delete_points(list(selector))
        else:
            operation = edge.UpdateOperation.delete_points([selector])
        opened.shard.update(operation)


def create_payload_index(
    opened: OpenCollection, field: str, schema: models.PayloadSchemaType | str
) -> None:
    """Index a payload field."""
    with engine_errors(f"indexing the payload field {field!r}"):
        opened.shard.update(
            edge.UpdateOperation.create_field_index(field, convert.payload_schema(schema))
        )


def _check(opened: OpenCollection, struct: models.PointStruct) -> None:
    vector = struct.vector
    for name, value in (vector if isinstance(vector, Mapping) else {"": vector}).items():
        try:
            problem = _problem(opened, name, value)
        except TypeError:
            problem = f"vector {name!r} is no vector"
        if problem is not None:
            raise PointError(point=struct.id, problem=problem)
    if struct.payload and _is_too_deep(struct.payload):
        problem = f"the payload is nested deeper than {MAX_PAYLOAD_DEPTH} levels"
        raise PointError(point=struct.id, problem=problem)


def _problem(opened: OpenCollection, name: str, value: Any) -> str | None:
    if isinstance(value, models.SparseVector):
        if name not in opened.sparse:
            return f"no sparse vector {name!r}; there are: {', '.join(opened.sparse) or 'none'}"
        if len(value.indices) != len(value.values):
            return f"vector {name!r} has {len(value.indices)} indices, {len(value.values)} values"
        if len(set(value.indices)) != len(value.indices):
            return f"vector {name!r} has an index twice"
        return None if _finite(value.values) else f"vector {name!r} holds a number not finite"
    params = opened.dense.get(name)
    if params is None:
        return f"no dense vector {name!r}; there are: {', '.join(opened.dense) or 'none'}"
    if len(value) != params.size:
        return f"vector {name!r} has {len(value)} dimensions, the collection {params.size}"
    return None if _finite(value) else f"vector {name!r} holds a number that is not finite"


def _finite(values: Sequence[float] | np.ndarray[Any, Any]) -> bool:
    """Whether all numbers are finite as float32, which the engine keeps."""
    if not len(values):
        return True
    if isinstance(values, np.ndarray):
        return bool(np.isfinite(values.astype(np.float32, copy=False)).all())
    # Twice as fast as an array; a NaN hides from min and max, not from the sum.
    low, high = min(values), max(values)
    return math.isfinite(sum(values)) and -_MAX_FLOAT32 <= low and high <= _MAX_FLOAT32


def _is_too_deep(payload: Any) -> bool:
    """The engine stores any depth, and cannot read back what is nested too deeply."""
    level = [payload]
    for _ in range(MAX_PAYLOAD_DEPTH):
        level = [
            value
            for one in level
            for value in (one.values() if isinstance(one, dict) else one)
            if isinstance(value, dict | list | tuple)
        ]
        if not level:
            return False
    return True


def _first_line(error: Exception) -> str:
    """The binding lists every type that it tried; the first line says enough."""
    return str(error).partition("\n")[0]
