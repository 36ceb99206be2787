"""What each shard of a collection holds: counts, and points by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.engine import engine_errors
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.ids import plain_id

_LARGER_IS_NEARER = frozenset({models.Distance.COSINE, models.Distance.DOT})


def shard_counts(opened: OpenCollection) -> list[int]:
    """How many points each shard holds."""
    with engine_errors("counting"):
        return [shard.count(edge.CountRequest(exact=True)) for shard in opened.shards]


def sample_points(
    opened: OpenCollection, count: int, *, payload: Any, vectors: Any
) -> list[list[models.ScoredPoint]]:
    """At most ``count`` points of each shard, drawn by chance, with their versions."""
    convert.check_number("count", count)
    with engine_errors("drawing points by chance"):
        return [
            _sample(opened, shard, count, payload=payload, vectors=vectors)
            for shard in opened.shards
        ]


def _sample(
    opened: OpenCollection, shard: edge.EdgeShard, count: int, *, payload: Any, vectors: Any
) -> list[models.ScoredPoint]:
    drawn = shard.query(
        edge.QueryRequest(
            limit=count,
            query=edge.Sample.Random,
            with_payload=convert.with_payload(payload),
            with_vector=convert.with_vectors(vectors),
        )
    )
    hits = [convert.scored_point_back(hit) for hit in drawn]
    versions = _versions(opened, shard, [hit.id for hit in hits])
    for hit in hits:
        hit.version = versions.get(plain_id(hit.id), 0)
    return hits


def _versions(
    opened: OpenCollection, shard: edge.EdgeShard, ids: list[Any]
) -> dict[int | str, int]:
    """The operations that wrote these points last; only a search by a vector tells them."""
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
    """The best hits of each vector over all shards, by their scores, as a server merges them."""
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
    """A page of the ids in one shard, in their order, and where the next begins."""
    with engine_errors("reading ids"):
        records, following = opened.shards[shard_number].scroll(
            edge.ScrollRequest(offset=offset, limit=limit, with_payload=False, with_vector=False)
        )
    return [plain_id(record.id) for record in records], following
