"""Converts update operations: the models of ``batch_update_points``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.filters import filter_, optional_filter
from qdrant_static.edge.convert.modeltables import require_only, to_engine, unsupported
from qdrant_static.edge.convert.points import point, point_vectors
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import checked_id

Operations = list[edge.UpdateOperation]
_Maker = Callable[..., edge.UpdateOperation]
_Operation = edge.UpdateOperation


def update_mode(mode: models.UpdateMode | str | None) -> edge.UpdateMode | None:
    """Convert whether existing or missing points are skipped."""
    return None if mode is None else to_engine(models.UpdateMode)(mode)


def update_operation(operation: models.UpdateOperation) -> Operations:
    """Convert an update operation to the engine's operations, in their order.

    The client's may have points and a filter; the engine's have one of the two.

    Raises:
        NotSupportedByEdgeError: If the engine lacks a field.
        ArgumentError: If it has neither points nor a filter.
    """
    convert = _OPERATIONS.get(type(operation))
    if convert is None:
        raise unsupported(operation, "an update")
    ((_, inner),) = operation.__dict__.items()
    return convert(inner)


def batch_points(batch: models.Batch) -> Iterator[models.PointStruct]:
    """Yield the points of a batch, which holds them by column.

    Raises:
        ArgumentError: If the columns differ in length.
    """
    count = len(batch.ids)
    vectors = batch.vectors
    named = isinstance(vectors, Mapping)
    columns: Mapping[str, Any] = vectors if named else {"": vectors}  # type: ignore[assignment]
    payloads = batch.payloads
    for name, column in (*columns.items(), ("payloads", payloads)):
        if column is not None and len(column) != count:
            raise ArgumentError(
                field="Batch", problem=f"{count} ids, but {len(column)} of {name or 'vectors'!r}"
            )
    for row, identity in enumerate(batch.ids):
        yield models.PointStruct.model_construct(
            id=identity,
            vector={name: column[row] for name, column in columns.items()}
            if named
            else columns[""][row],
            payload=None if payloads is None else payloads[row],
        )


def _upsert(given: models.PointsList | models.PointsBatch) -> Operations:
    require_only(given, "points", "batch", "update_filter", "update_mode")
    points = given.points if isinstance(given, models.PointsList) else batch_points(given.batch)
    return [
        _Operation.upsert_points(
            [point(struct) for struct in points],
            optional_filter(given.update_filter),
            update_mode(given.update_mode),
        )
    ]


def _delete(selector: models.PointsSelector) -> Operations:
    return _selected(selector, _Operation.delete_points, _Operation.delete_points_by_filter)


def _clear(selector: models.PointsSelector) -> Operations:
    return _selected(selector, _Operation.clear_payload, _Operation.clear_payload_by_filter)


def _selected(selector: models.PointsSelector, by_ids: _Maker, by_filter: _Maker) -> Operations:
    if isinstance(selector, models.FilterSelector):
        require_only(selector, "filter")
        return [by_filter(filter_(selector.filter))]
    require_only(selector, "points")
    return [by_ids(_ids(selector.points))]


def _set(given: models.SetPayload) -> Operations:
    require_only(given, "payload", "points", "filter", "key")
    return _either(
        given,
        _Operation.set_payload,
        _Operation.set_payload_by_filter,
        given.payload,
        given.key,
    )


def _overwrite(given: models.SetPayload) -> Operations:
    require_only(given, "payload", "points", "filter", "key")
    return _either(
        given,
        _Operation.overwrite_payload,
        _Operation.overwrite_payload_by_filter,
        given.payload,
        given.key,
    )


def _delete_payload(given: models.DeletePayload) -> Operations:
    require_only(given, "keys", "points", "filter")
    return _either(
        given, _Operation.delete_payload, _Operation.delete_payload_by_filter, given.keys
    )


def _delete_vectors(given: models.DeleteVectors) -> Operations:
    require_only(given, "vector", "points", "filter")
    return _either(
        given, _Operation.delete_vectors, _Operation.delete_vectors_by_filter, given.vector
    )


def _update_vectors(given: models.UpdateVectors) -> Operations:
    require_only(given, "points", "update_filter")
    return [
        _Operation.update_vectors(
            [point_vectors(struct) for struct in given.points],
            optional_filter(given.update_filter),
        )
    ]


def _either(given: Any, by_ids: _Maker, by_filter: _Maker, *arguments: Any) -> Operations:
    operations: Operations = []
    if given.points is not None:
        operations.append(by_ids(_ids(given.points), *arguments))
    if given.filter is not None:
        operations.append(by_filter(filter_(given.filter), *arguments))
    if not operations:
        raise ArgumentError(field=type(given).__name__, problem="give `points` or `filter`")
    return operations


def _ids(points: Sequence[Any]) -> list[int | str]:
    return [checked_id(value) for value in points]


_OPERATIONS: Mapping[type, Callable[[Any], Operations]] = {
    models.UpsertOperation: _upsert,
    models.DeleteOperation: _delete,
    models.SetPayloadOperation: _set,
    models.OverwritePayloadOperation: _overwrite,
    models.DeletePayloadOperation: _delete_payload,
    models.ClearPayloadOperation: _clear,
    models.UpdateVectorsOperation: _update_vectors,
    models.DeleteVectorsOperation: _delete_vectors,
}
