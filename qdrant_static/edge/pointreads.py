"""Reads points: by id, page by page, by search; counts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert, shards
from qdrant_static.edge.engine import engine_errors
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.errors import (
    ArgumentError,
    EngineError,
    NotSupportedByEdgeError,
    PointNotFoundError,
)
from qdrant_static.ids import checked_id, plain_id

#: Opens another collection of the directory by its name.
LookUp = Callable[[str], OpenCollection]


def count(opened: OpenCollection, condition: models.Filter | None, *, exact: bool) -> int:
    """Return the number of matching points."""
    with engine_errors("counting"):
        return shards.count(
            opened.shards, edge.CountRequest(exact=exact, filter=convert.optional_filter(condition))
        )


def retrieve(
    opened: OpenCollection, ids: Sequence[int | str | UUID], *, payload: Any, vectors: Any
) -> list[models.Record]:
    """Return the stored points of the ids, each once, in the order of the ids."""
    with engine_errors("reading points by id"):
        records = shards.retrieve(
            opened.shards,
            [checked_id(one) for one in ids],
            convert.with_payload(payload),
            convert.with_vectors(vectors),
        )
    return [convert.record_back(record) for record in records]


def scroll(
    opened: OpenCollection,
    condition: models.Filter | None,
    *,
    limit: int,
    offset: int | str | None,
    payload: Any,
    vectors: Any,
    order_by: models.OrderByInterface | None = None,
) -> tuple[list[models.Record], int | str | None]:
    """Return a page of points in the order of their ids, or of a payload field.

    Returns:
        The points, and the id that the next page starts with. Ordered by a field it is None:
        continue with ``start_from``.

    Raises:
        ArgumentError: If the limit is not valid, or ``offset`` is given with ``order_by``.
    """
    convert.check_number("limit", limit)
    if order_by is not None and offset is not None:
        raise ArgumentError(field="offset", problem="with `order_by`, continue with `start_from`")
    several = len(opened.shards) > 1
    order = None if order_by is None else convert.order_by(order_by)

    request = edge.ScrollRequest(
        offset=None if offset is None else checked_id(offset),
        limit=limit,
        filter=convert.optional_filter(condition),
        # Most points of several shards are on no page: payloads and vectors are fetched afterwards.
        with_payload=False if several else convert.with_payload(payload),
        with_vector=False if several else convert.with_vectors(vectors),
        order_by=order,
    )

    with engine_errors("scrolling"):
        records, following = shards.scroll(opened.shards, request, limit=limit, order_by=order)
    page = [convert.record_back(record) for record in records]
    if several and (payload or vectors):
        fill(opened, page, payload, vectors)
    return page, None if following is None else plain_id(following)


def facet(
    opened: OpenCollection,
    key: str,
    *,
    condition: models.Filter | None,
    limit: int,
    exact: bool,
) -> models.FacetResponse:
    """Count the points by the values of an indexed payload field, the most frequent first."""
    convert.check_number("limit", limit)
    if not key:
        raise ArgumentError(field="key", problem="name the payload field whose values are counted")
    with engine_errors(f"counting the values of {key!r}"):
        found = shards.facet(
            opened.shards,
            key,
            limit=limit,
            exact=exact,
            condition=convert.optional_filter(condition),
        )
    return models.FacetResponse(
        hits=[models.FacetValueHit(value=value, count=times) for value, times in found]
    )


def query_batch_points(
    opened: OpenCollection,
    requests: Sequence[models.QueryRequest],
    *,
    look_up: LookUp | None = None,
) -> list[list[models.ScoredPoint]]:
    """Search with several requests as one batch; the engine plans them together.

    Args:
        opened: The collection.
        requests: The requests, with models in all fields.
        look_up: Opens the collection that a ``lookup_from`` names.

    Returns:
        The hits of each request, the best first.

    Raises:
        ArgumentError: If a query can give no right result.
        PointNotFoundError: If it names a point that is not stored.
        NotSupportedByEdgeError: If the engine cannot express it.
        EngineError: If the engine refuses it. After any error no request is answered.
    """
    if not requests:
        return []
    searched = opened.searched
    resolve = resolver(opened, requests, look_up)
    with searching("searching"):
        built = [
            convert.query_request(
                request, resolve, excluded=named_points(request, opened.folder.name)
            )
            for request in requests
        ]
        found = (
            [searched.query(built[0])]
            if len(built) == 1
            else searched.query_batch(edge.QueryBatchRequest(built))
        )
    answers = [[convert.scored_point_back(hit) for hit in hits] for hits in found]
    for request, hits in zip(requests, answers, strict=True):
        if isinstance(request.query, models.NearestQuery) and request.query.mmr is not None:
            for hit in hits:
                hit.vector = convert.requested_vectors(hit.vector, request.with_vector)
    return answers


@contextmanager
def searching(operation: str) -> Iterator[None]:
    """Raise `EngineError`, or `ArgumentError` for a formula that cannot be computed.

    The engine only reports that such a query was cancelled.
    """
    try:
        with engine_errors(operation):
            yield
    except EngineError as error:
        if "process cancelled" not in error.problem:
            raise
        raise ArgumentError(
            field="FormulaQuery",
            problem="for one of the points the result is not finite, or a payload value is missing "
            "or no number; give such values in `defaults`",
        ) from error


def fill(
    opened: OpenCollection,
    hits: Sequence[models.ScoredPoint] | Sequence[models.Record],
    payload: Any,
    vectors: Any,
) -> None:
    """Replace the payload and vectors of found points by the requested ones."""
    ids = list(dict.fromkeys(hit.id for hit in hits))
    fetched = retrieve(opened, ids, payload=payload, vectors=vectors)
    records = {record.id: record for record in fetched}
    for hit in hits:
        if hit.id in records:
            hit.payload = records[hit.id].payload
            hit.vector = records[hit.id].vector


@dataclass(slots=True)
class _Wanted:
    """What to fetch from one collection."""

    ids: set[int | str] = field(default_factory=set)
    vectors: set[str] = field(default_factory=set)


def resolver(
    opened: OpenCollection, requests: Iterable[models.QueryRequest], look_up: LookUp | None
) -> convert.Resolver:
    """Fetch the vectors of all points that requests name by id.

    As on a server: a missing point is an error; so is one without the vector, except in
    ``recommend``, which leaves it out.

    Args:
        opened: The searched collection.
        requests: The requests of one batch.
        look_up: Opens the collection of a ``lookup_from``.

    Returns:
        A function from a stage's ``lookup_from`` and ``using`` to the vectors of its points.

    Raises:
        CollectionNotFoundError: If ``lookup_from`` names a missing collection.
    """
    wanted: dict[str | None, _Wanted] = {}
    for request in requests:
        for stage in _stages(request):
            ids = convert.referenced_ids(stage.query)
            if ids:
                place = wanted.setdefault(_place(stage.lookup_from), _Wanted())
                place.ids.update(ids)
                place.vectors.add(_vector_name(stage.lookup_from, stage.using))
    sources = {place: _source(opened, place, look_up) for place in wanted}
    found = {place: _fetch(sources[place], want) for place, want in wanted.items()}

    def resolve_for(location: models.LookupLocation | None, using: str | None) -> convert.Resolve:
        place, name = _place(location), _vector_name(location, using)

        def resolve(point: int | str, *, required: bool) -> Any | None:
            collection = sources[place].folder.name
            if point not in found[place]:
                raise PointNotFoundError(point=point, collection=collection)
            vector = found[place][point].get(name)
            if vector is None and required:
                raise PointNotFoundError(point=point, collection=collection, vector=name)
            return vector

        return resolve

    return resolve_for


def named_points(request: models.QueryRequest, collection: str) -> list[int | str]:
    """Return the points of the searched collection that a request names; it must not find them."""
    return [
        point
        for stage in _stages(request)
        if _place(stage.lookup_from) in (None, collection)
        for point in convert.referenced_ids(stage.query)
    ]


def _stages(
    stage: models.QueryRequest | models.Prefetch,
) -> Iterator[models.QueryRequest | models.Prefetch]:
    yield stage
    for one in convert.listed(stage.prefetch):
        yield from _stages(one)


def _place(location: models.LookupLocation | None) -> str | None:
    return None if location is None else location.collection


def _vector_name(location: models.LookupLocation | None, using: str | None) -> str:
    return (location.vector if location is not None and location.vector else using) or ""


def _source(opened: OpenCollection, place: str | None, look_up: LookUp | None) -> OpenCollection:
    if place is None or place == opened.folder.name:
        return opened
    if look_up is None:
        raise NotSupportedByEdgeError(
            what=f"lookup_from {place!r}", why="no other collection can be opened here"
        )
    return look_up(place)


def _fetch(source: OpenCollection, wanted: _Wanted) -> dict[int | str, Mapping[str, Any]]:
    with engine_errors("reading the points that the query names"):
        records = shards.retrieve(source.shards, list(wanted.ids), False, sorted(wanted.vectors))
    return {plain_id(record.id): _vectors_by_name(record.vector) for record in records}


def _vectors_by_name(vector: Any) -> Mapping[str, Any]:
    if vector is None:
        return {}
    return vector if isinstance(vector, Mapping) else {"": vector}
