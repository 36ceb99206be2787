"""Reads the shards of a collection as one, and splits writes between them.

Nearly all embedded collections have one shard. Several are for shipping: a point is stored in the
shard that a server would use.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.engine import engine_errors
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.ids import plain_id
from qdrant_static.routing import shard_of

Shards: TypeAlias = Sequence[edge.EdgeShard]
_Item = TypeVar("_Item")

#: The largest limit: the sum of a facet over several shards needs all its values.
_ALL = sys.maxsize


def split(
    items: list[_Item], shard_number: int, id_of: Callable[[_Item], Any]
) -> list[tuple[int, list[_Item]]]:
    """Group items by the shard of their points.

    Args:
        items: Points, ids, or anything with an id.
        shard_number: How many shards there are.
        id_of: Returns the id of an item, as `shard_of` accepts it.

    Returns:
        The number of each shard that has items, ascending, and its items in their order.
    """
    if not items:
        return []
    if shard_number == 1:
        return [(0, items)]
    numbers = shard_of([id_of(one) for one in items], shard_number)
    return [
        (number, [items[place] for place in np.flatnonzero(numbers == number).tolist()])
        for number in np.unique(numbers).tolist()
    ]


def retrieve(shards: Shards, ids: list[Any], payload: Any, vectors: Any) -> list[edge.Record]:
    """Return the stored points of the ids, each once, in the order of the ids.

    Args:
        shards: Where to look.
        ids: Integers, or UUIDs as canonical text.
        payload: Which payload to return.
        vectors: Which vectors to return.
    """
    if len(shards) == 1:
        return shards[0].retrieve(ids, payload, vectors)
    found = {
        plain_id(record.id): record
        for number, part in split(ids, len(shards), lambda one: one)
        for record in shards[number].retrieve(part, payload, vectors)
    }
    return [found[one] for one in dict.fromkeys(ids) if one in found]


def scroll(
    shards: Shards, request: edge.ScrollRequest, *, limit: int, order_by: edge.OrderBy | None
) -> tuple[list[edge.Record], Any | None]:
    """Return a page of points of all shards, merged from a page of each.

    Args:
        shards: Where to look.
        request: The request for each shard.
        limit: Its number of points.
        order_by: The payload field that it is ordered by; None for the id.

    Returns:
        The points, and the id that the next page starts with; None if ordered by a field.
    """
    if len(shards) == 1:
        return shards[0].scroll(request)
    pages = [shard.scroll(request) for shard in shards]
    records = list(chain.from_iterable(found for found, _ in pages))
    if order_by is not None:
        descending = order_by.direction == edge.Direction.Desc
        records.sort(key=_value_order, reverse=descending)
        return records[:limit], None
    records.sort(key=lambda record: _id_order(record.id))
    later = [record.id for record in records[limit:]]
    later += [following for _, following in pages if following is not None]
    return records[:limit], min(later, key=_id_order, default=None)


def count(shards: Shards, request: edge.CountRequest) -> int:
    """Return the number of matching points."""
    return sum(shard.count(request) for shard in shards)


def facet(
    shards: Shards, key: str, *, limit: int, exact: bool, condition: edge.Filter | None
) -> list[tuple[Any, int]]:
    """Return the most frequent values of a payload field and their counts, as the engine sorts."""
    everything = limit if len(shards) == 1 else _ALL
    answers = [
        shard.facet(edge.FacetRequest(key, everything, exact, condition)) for shard in shards
    ]
    if len(answers) == 1:
        return [(hit.value, hit.count) for hit in answers[0].hits]
    # `True == 1` in Python, and they are two values.
    sums: Counter[tuple[str, Any]] = Counter()
    for answer in answers:
        for hit in answer.hits:
            sums[type(hit.value).__name__, hit.value] += hit.count
    ordered = sorted(sums.items(), key=lambda item: (-item[1], *item[0]))
    return [(value, times) for (_, value), times in ordered[:limit]]


def _id_order(value: int | UUID | str) -> tuple[bool, int, str]:
    """Return the sort key of an id: integers come first, then UUIDs."""
    return (False, value, "") if isinstance(value, int) else (True, 0, str(value))


def _value_order(record: edge.Record) -> tuple[Any, Any]:
    return record.order_value, _id_order(record.id)


_LARGER_IS_NEARER = frozenset({models.Distance.COSINE, models.Distance.DOT})


def shard_counts(opened: OpenCollection) -> list[int]:
    """Return the number of points of each shard."""
    with engine_errors("counting"):
        return [shard.count(edge.CountRequest(exact=True)) for shard in opened.shards]


def sample_points(
    opened: OpenCollection, count: int, *, payload: Any, vectors: Any
) -> list[list[models.ScoredPoint]]:
    """Return at most ``count`` random points of each shard, with their versions."""
    convert.check_number("count", count)
    with engine_errors("choosing random points"):
        return [
            _sample(opened, shard, count, payload=payload, vectors=vectors)
            for shard in opened.shards
        ]


def _sample(
    opened: OpenCollection, shard: edge.EdgeShard, count: int, *, payload: Any, vectors: Any
) -> list[models.ScoredPoint]:
    chosen = shard.query(
        edge.QueryRequest(
            limit=count,
            query=edge.Sample.Random,
            with_payload=convert.with_payload(payload),
            with_vector=convert.with_vectors(vectors),
        )
    )
    hits = [convert.scored_point_back(hit) for hit in chosen]
    versions = _versions(opened, shard, [hit.id for hit in hits])
    for hit in hits:
        hit.version = versions.get(plain_id(hit.id), 0)
    return hits


def _versions(
    opened: OpenCollection, shard: edge.EdgeShard, ids: list[Any]
) -> dict[int | str, int]:
    """Return the numbers of the operations that wrote points last.

    Only a search by a vector reports them.
    """
    versions: dict[int | str, int] = {}
    for name, params in opened.dense.items():
        missing = [one for one in ids if one not in versions]
        if not missing:
            break
        anything: Any = [1.0] * params.size
        if params.multivector_config is not None:
            anything = [anything]
        found = shard.query(
            edge.QueryRequest(
                limit=len(missing),
                query=edge.Query.Nearest(anything, name),
                filter=edge.Filter(must=[edge.HasIdCondition(set(missing))]),
                params=edge.SearchParams(exact=True),
            )
        )
        versions.update((plain_id(hit.id), hit.version) for hit in found)
    return versions


def nearest(
    opened: OpenCollection, vector_name: str, vectors: Sequence[Any], limit: int
) -> list[list[models.ScoredPoint]]:
    """Return the best hits of each vector over all shards, merged by score as on a server."""
    convert.check_number("limit", limit)
    params = opened.dense.get(vector_name)
    falling = params is None or params.distance in _LARGER_IS_NEARER
    merged: list[list[models.ScoredPoint]] = []
    with engine_errors(f"searching by vector {vector_name!r}"):
        for vector in vectors:
            query = convert.query(vector, vector_name)
            hits = [
                convert.scored_point_back(hit)
                for shard in opened.shards
                for hit in shard.query(edge.QueryRequest(limit=limit, query=query))
            ]
            hits.sort(key=lambda hit: hit.score, reverse=falling)
            merged.append(hits[:limit])
    return merged


def shard_ids(
    opened: OpenCollection, shard_number: int, *, offset: Any, limit: int
) -> tuple[list[int | str], Any]:
    """Return a page of the ids in one shard, ascending, and the offset of the next page."""
    with engine_errors("reading ids"):
        records, following = opened.shards[shard_number].scroll(
            edge.ScrollRequest(offset=offset, limit=limit, with_payload=False, with_vector=False)
        )
    return [plain_id(record.id) for record in records], following
