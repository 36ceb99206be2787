"""Writes points. A request is checked completely before the engine gets any of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any
from uuid import UUID

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert, enginepoints
from qdrant_static.edge.convert.updates import batch_points
from qdrant_static.edge.engine import engine_errors
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.edge.payloads import payload
from qdrant_static.edge.shards import retrieve, split
from qdrant_static.errors import ArgumentError, NotSupportedByEdgeError, PointError
from qdrant_static.ids import checked_id, plain_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A checked request.

    Attributes:
        what: What it does, for errors.
        operations: The engine's operations, each with the number of its shard.
        needs: Ids of points that must exist; otherwise the engine would change the others, and
            then report the missing ones.
        points: How many points it stores.
    """

    what: str
    operations: Sequence[tuple[int, edge.UpdateOperation]]
    needs: Sequence[int | str] = ()
    points: int = 0


def upsert(
    opened: OpenCollection,
    points: models.Batch | Iterable[models.PointStruct],
    *,
    condition: models.Filter | None = None,
    mode: models.UpdateMode | str | None = None,
) -> Write:
    """Prepare storing points, all or none.

    Raises:
        PointError: If a point does not fit the collection; it names the point.
        ArgumentError: If the columns of a batch differ in length.
    """
    given = batch_points(points) if isinstance(points, models.Batch) else points
    built = [enginepoints.build(opened, struct) for struct in given]
    return upsert_built(
        opened, built, convert.optional_filter(condition), convert.update_mode(mode)
    )


def upsert_built(
    opened: OpenCollection,
    built: list[edge.Point],
    condition: edge.Filter | None = None,
    mode: edge.UpdateMode | None = None,
) -> Write:
    """Prepare storing points of the engine."""
    return Write(
        what=f"storing {len(built)} points",
        operations=[
            (number, edge.UpdateOperation.upsert_points(part, condition, mode))
            for number, part in split(built, len(opened.shards), attrgetter("id"))
        ],
        points=len(built),
    )


def update_vectors(
    opened: OpenCollection,
    points: Iterable[models.PointVectors],
    *,
    condition: models.Filter | None = None,
) -> Write:
    """Prepare replacing vectors of stored points; errors as `upsert`."""
    given = list(points)
    built = [enginepoints.build_vectors(opened, struct) for struct in given]
    narrowed = convert.optional_filter(condition)
    return Write(
        what=f"replacing the vectors of {len(built)} points",
        operations=[
            (number, edge.UpdateOperation.update_vectors(part, narrowed))
            for number, part in split(built, len(opened.shards), attrgetter("id"))
        ],
        needs=[checked_id(struct.id) for struct in given],
    )


def operation(opened: OpenCollection, given: models.UpdateOperation) -> Write:
    """Prepare one of the client's update operations.

    Raises:
        PointError: If a point does not fit the collection.
        ArgumentError: If a vector to delete is unknown, or no points are selected.
        NotSupportedByEdgeError: If the engine cannot do it.
    """
    if isinstance(given, models.UpsertOperation):
        inner = given.upsert
        _require_no_shard_key(inner)
        return upsert(
            opened,
            inner.points if isinstance(inner, models.PointsList) else inner.batch,
            condition=inner.update_filter,
            mode=inner.update_mode,
        )
    if isinstance(given, models.UpdateVectorsOperation):
        update = given.update_vectors
        _require_no_shard_key(update)
        return update_vectors(opened, update.points, condition=update.update_filter)
    if isinstance(given, models.DeleteVectorsOperation):
        _require_vectors(opened, given.delete_vectors.vector)
    if isinstance(given, models.OverwritePayloadOperation) and given.overwrite_payload.key:
        raise NotSupportedByEdgeError(
            what="overwrite_payload with a key",
            why="the engine, as a server, ignores the key: use set_payload",
        )
    name = type(given).__name__.removesuffix("Operation")
    try:
        operations = [
            (number, one)
            for number, part in _by_shard(_with_plain_payload(given), len(opened.shards))
            for one in convert.update_operation(part)
        ]
    except (TypeError, ValueError, OverflowError) as error:  # of the binding, or of a payload
        raise ArgumentError(field=name, problem=convert.reason(error)) from error
    return Write(
        what=name,
        operations=operations,
        needs=[] if isinstance(given, models.DeleteOperation) else _ids_of(given),
    )


def create_index(
    opened: OpenCollection, field: str, schema: models.PayloadFieldSchema | str
) -> Write:
    """Prepare creating the index of a payload field.

    Raises:
        ArgumentError: If the field is not a path, or the parameters of the index cannot work.
    """
    given = convert.payload_schema(schema)
    with _field_path(field):
        operation = edge.UpdateOperation.create_field_index(field, given)
    return Write(
        what=f"indexing the payload field {field!r}",
        operations=[(number, operation) for number in range(len(opened.shards))],
    )


def delete_index(opened: OpenCollection, field: str) -> Write:
    """Prepare deleting the index of a payload field; errors as `create_index`."""
    with _field_path(field):
        operation = edge.UpdateOperation.delete_field_index(field)
    return Write(
        what=f"dropping the index of {field!r}",
        operations=[(number, operation) for number in range(len(opened.shards))],
    )


@contextmanager
def _field_path(field: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            field="field_name", problem=f"{field!r} is not a valid path in a payload"
        ) from error


#: The models of a dictionary that is given as points.
_SELECTORS = models.FilterSelector | models.PointIdsList | models.Filter


def selected(selector: Any) -> dict[str, Any]:
    """Return a selector of points as the fields ``points`` (ids) and ``filter`` of operations."""
    if isinstance(selector, Mapping):
        selector = convert.parsed(selector, _SELECTORS, "points")
    if isinstance(selector, models.FilterSelector):
        _require_no_shard_key(selector)
        selector = selector.filter
    if isinstance(selector, models.PointIdsList):
        _require_no_shard_key(selector)
        selector = selector.points
    if isinstance(selector, models.Filter):
        return {"points": None, "filter": selector}
    if isinstance(selector, int | str | UUID):
        selector = [selector]
    if not isinstance(selector, Iterable):
        raise ArgumentError(
            field="points", problem=f"give ids or a filter, not a {type(selector).__name__}"
        )
    return {"points": list(selector), "filter": None}


def execute(opened: OpenCollection, write: Write) -> None:
    """Execute a prepared request.

    Raises:
        PointError: If a point that it changes is missing; nothing was changed.
        StorageError: If the disk is full.
        EngineError: If the engine fails.
    """
    if write.needs:
        _require_points(opened, write.needs)
    opened.require_room()
    with engine_errors(write.what):
        for number, one in write.operations:
            opened.shards[number].update(one)
    opened.written += write.points


def _require_points(opened: OpenCollection, ids: Sequence[int | str]) -> None:
    with engine_errors("looking up points"):
        records = retrieve(opened.shards, list(ids), False, False)
    found = {plain_id(record.id) for record in records}
    for one in ids:
        if one not in found:
            raise PointError(point=one, problem="it is not in the collection; nothing was changed")


def _require_vectors(opened: OpenCollection, names: Sequence[str]) -> None:
    if not names:
        raise ArgumentError(field="vectors", problem="name at least one vector to delete")
    for name in names:
        if name not in opened.dense and name not in opened.sparse:
            known = ", ".join(repr(one) for one in [*opened.dense, *opened.sparse])
            raise ArgumentError(
                field=f"vector {name!r}", problem=f"there is none; there are: {known}"
            )


def _require_no_shard_key(model: Any) -> None:
    if getattr(model, "shard_key", None) is not None:
        raise NotSupportedByEdgeError(
            what="shard_key", why="an embedded collection has no keys of shards"
        )


def _with_plain_payload(given: Any) -> Any:
    """Return the operation with a payload that the engine stores without loss."""
    if not isinstance(given, models.SetPayloadOperation | models.OverwritePayloadOperation):
        return given
    ((field, inner),) = given.__dict__.items()
    key = inner.key or ""
    level = 1 + bool(key) + key.count(".") + key.count("[")
    plain = inner.model_copy(update={"payload": payload(inner.payload, level)})
    return type(given).model_construct(**{field: plain})


def _ids_of(given: Any) -> list[int | str]:
    ((_, inner),) = given.__dict__.items()
    return [checked_id(one) for one in getattr(inner, "points", None) or ()]


def _by_shard(given: Any, shard_number: int) -> list[tuple[int, Any]]:
    """Return the part of an operation for each shard: its own ids; a filter is for all shards."""
    if shard_number == 1:
        return [(0, given)]
    ((field, inner),) = given.__dict__.items()
    ids = getattr(inner, "points", None)
    everywhere = ids is None or getattr(inner, "filter", None) is not None
    parts: dict[int, Any] = dict.fromkeys(range(shard_number)) if everywhere else {}
    if ids is not None:
        parts.update(split(list(ids), shard_number, checked_id))
    return [
        (
            number,
            given
            if ids is None
            else type(given).model_construct(**{field: inner.model_copy(update={"points": part})}),
        )
        for number, part in parts.items()
    ]
