"""Points named in queries by their ids: their vectors are fetched first, once per collection.

As a server does it: a point that is not there is an error; one without the vector is an error
too, except in ``recommend``, which leaves it out; points named from the searched collection itself
are in no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qdrant_client import models

from qdrant_static.edge import convert, shards
from qdrant_static.edge.engine import engine_errors
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.errors import NotSupportedByEdgeError, PointNotFoundError
from qdrant_static.ids import plain_id

#: What opens another collection of the directory by its name.
LookUp = Callable[[str], OpenCollection]


@dataclass(slots=True)
class _Wanted:
    """What is to be fetched from one collection."""

    ids: set[int | str] = field(default_factory=set)
    vectors: set[str] = field(default_factory=set)


def resolver(
    opened: OpenCollection, requests: Iterable[models.QueryRequest], look_up: LookUp | None
) -> convert.Resolver:
    """Fetch the vectors of all points that the requests name.

    Args:
        opened: The searched collection.
        requests: The requests of one batch.
        look_up: What opens the collection of a ``lookup_from``.

    Returns:
        What gives, for a stage's ``lookup_from`` and ``using``, the vectors of its points.

    Raises:
        CollectionNotFoundError: If ``lookup_from`` names a collection that is not there.
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
    """The points of the searched collection that a request names, at any depth."""
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
            what=f"lookup_from {place!r}", why="nothing here can open another collection"
        )
    return look_up(place)


def _fetch(source: OpenCollection, wanted: _Wanted) -> dict[int | str, Mapping[str, Any]]:
    with engine_errors("reading the points that the query names"):
        records = shards.retrieve(source.shards, list(wanted.ids), False, sorted(wanted.vectors))
    return {plain_id(record.id): _by_name(record.vector) for record in records}


def _by_name(vector: Any) -> Mapping[str, Any]:
    if vector is None:
        return {}
    return vector if isinstance(vector, Mapping) else {"": vector}
