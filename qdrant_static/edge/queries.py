"""Reading points: by id, in order, by nearness."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.collections import OpenCollection, engine_errors


def count(opened: OpenCollection, condition: models.Filter | None, *, exact: bool) -> int:
    """How many points match."""
    with engine_errors("counting"):
        return opened.shard.count(
            edge.CountRequest(exact=exact, filter=convert.optional_filter(condition))
        )


def retrieve(
    opened: OpenCollection, ids: Sequence[int | str], *, payload: Any, vectors: Any
) -> list[models.Record]:
    """The points of these ids that are there."""
    with engine_errors("reading points by id"):
        records = opened.shard.retrieve(
            list(ids),
            with_payload=convert.with_payload(payload),
            with_vector=convert.with_vectors(vectors),
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
) -> tuple[list[models.Record], int | str | None]:
    """A page of points in the order of their ids, and the id that the next page starts with."""
    with engine_errors("scrolling"):
        records, following = opened.shard.scroll(
            edge.ScrollRequest(
                offset=offset,
                limit=limit,
                filter=convert.optional_filter(condition),
                with_payload=convert.with_payload(payload),
                with_vector=convert.with_vectors(vectors),
            )
        )
    after = following if following is None or isinstance(following, int) else str(following)
    return [convert.record_back(record) for record in records], after


def query_points(
    opened: OpenCollection,
    query: Any,
    *,
    using: str | None,
    prefetch: models.Prefetch | Iterable[models.Prefetch] | None,
    condition: models.Filter | None,
    params: models.SearchParams | None,
    limit: int,
    offset: int | None,
    payload: Any,
    vectors: Any,
    score_threshold: float | None,
) -> list[models.ScoredPoint]:
    """The best points for a query of one or several stages."""
    with engine_errors("searching"):
        request = edge.QueryRequest(
            limit=limit,
            offset=offset,
            query=convert.query(query, using),
            prefetches=convert.prefetches(prefetch),
            with_vector=convert.with_vectors(vectors),
            with_payload=convert.with_payload(payload),
            filter=convert.optional_filter(condition),
            score_threshold=score_threshold,
            params=convert.search_params(params),
        )
        hits = opened.shard.query(request)
    return [convert.scored_point_back(hit) for hit in hits]
