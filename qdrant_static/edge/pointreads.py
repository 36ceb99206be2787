"""Reading points: by id, in order, by nearness, counted, in groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert, shards
from qdrant_static.edge.engine import engine_errors
from qdrant_static.edge.grouping import Groups, Path, gather
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.edge.queryreferences import LookUp, named_points, resolver
from qdrant_static.errors import ArgumentError, EngineError
from qdrant_static.ids import checked_id, plain_id

#: Distances of which the smaller is the better.
_SMALL_IS_NEAR = (models.Distance.EUCLID, models.Distance.MANHATTAN)


def count(opened: OpenCollection, condition: models.Filter | None, *, exact: bool) -> int:
    """How many points match."""
    with engine_errors("counting"):
        return shards.count(
            opened.shards, edge.CountRequest(exact=exact, filter=convert.optional_filter(condition))
        )


def retrieve(
    opened: OpenCollection, ids: Sequence[int | str | UUID], *, payload: Any, vectors: Any
) -> list[models.Record]:
    """The points of these ids that are there, each once, in the order of the ids."""
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
    """A page of points in the order of their ids, or of a payload field.

    Returns:
        The points, and the id that the next page starts with; ordered by a field there is none:
        go on with ``start_from``.

    Raises:
        ArgumentError: If the limit is no number of points, or ``offset`` comes with ``order_by``.
    """
    convert.check_number("limit", limit)
    if order_by is not None and offset is not None:
        raise ArgumentError(field="offset", problem="ordered by a field, go on with `start_from`")
    several = len(opened.shards) > 1
    order = None if order_by is None else convert.order_by(order_by)

    request = edge.ScrollRequest(
        offset=None if offset is None else checked_id(offset),
        limit=limit,
        filter=convert.optional_filter(condition),
        # Most of what several shards give is in no page: its content is fetched afterwards.
        with_payload=False if several else convert.with_payload(payload),
        with_vector=False if several else convert.with_vectors(vectors),
        order_by=order,
    )

    with engine_errors("scrolling"):
        records, following = shards.scroll(opened.shards, request, limit=limit, order_by=order)
    page = [convert.record_back(record) for record in records]
    if several and (payload or vectors):
        _fill(opened, page, payload, vectors)
    return page, None if following is None else plain_id(following)


def facet(
    opened: OpenCollection,
    key: str,
    *,
    condition: models.Filter | None,
    limit: int,
    exact: bool,
) -> models.FacetResponse:
    """The most frequent values of a payload field that has an index, and how often each is."""
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
    lookup_from: models.LookupLocation | None = None,
    look_up: LookUp | None = None,
) -> list[models.ScoredPoint]:
    """The best points for a query of one or several stages.

    Args:
        opened: The collection.
        query: What is asked; see `convert.query`.
        using: The vector that is searched.
        prefetch: The stages before.
        condition: Which points may come, in every stage.
        params: How the vector is searched.
        limit: How many points.
        offset: How many of the best to leave out.
        payload: Which payload comes with them.
        vectors: Which vectors come with them.
        score_threshold: The worst score.
        lookup_from: The collection that holds the points that the query names.
        look_up: What opens that collection.

    Raises:
        ArgumentError: If the query can give no right result.
        PointNotFoundError: If it names a point that is not there.
        NotSupportedByEdgeError: If it cannot be expressed.
        EngineError: If the engine refuses it.
    """
    request = models.QueryRequest.model_construct(
        query=query,
        using=using,
        prefetch=convert.listed(prefetch) or None,
        filter=condition,
        params=params,
        limit=limit,
        offset=offset,
        with_payload=payload,
        with_vector=vectors,
        score_threshold=score_threshold,
        lookup_from=lookup_from,
    )
    return query_batch_points(opened, [request], look_up=look_up)[0]


def query_batch_points(
    opened: OpenCollection,
    requests: Sequence[models.QueryRequest],
    *,
    look_up: LookUp | None = None,
) -> list[list[models.ScoredPoint]]:
    """Several queries as one batch, which the engine plans as a whole.

    Raises:
        As `query_points`; then none of them is answered.
    """
    if not requests:
        return []
    searched = opened.searched
    resolve = resolver(opened, requests, look_up)
    with _searching("searching"):
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
                hit.vector = convert.only_asked(hit.vector, request.with_vector)
    return answers


def query_points_groups(
    opened: OpenCollection,
    query: Any,
    *,
    group_by: str,
    limit: int,
    group_size: int,
    using: str | None,
    prefetch: models.Prefetch | Iterable[models.Prefetch] | None,
    condition: models.Filter | None,
    params: models.SearchParams | None,
    payload: Any,
    vectors: Any,
    score_threshold: float | None,
    lookup_from: models.LookupLocation | None = None,
    with_lookup: models.WithLookupInterface | None = None,
    look_up: LookUp | None = None,
) -> models.GroupsResult:
    """The best points of the best groups, found as a server finds them (`groups`).

    Args:
        opened: The collection.
        query: What is asked.
        group_by: The path of the payload value that makes the groups.
        limit: How many groups.
        group_size: How many points of each.
        using: As in `query_points`, like what follows.
        prefetch: The stages before; each gives ``group_size`` times as many points as it says.
        condition: Which points may come.
        params: How the vector is searched.
        payload: Which payload comes with the points.
        vectors: Which vectors come with the points.
        score_threshold: The worst score.
        lookup_from: The collection that holds the points that the query names.
        with_lookup: A collection with a point for each group, which comes with the group.
        look_up: What opens these collections.

    Raises:
        As `query_points`; ArgumentError too if ``group_by`` is no path.
    """
    convert.check_number("limit", limit)
    convert.check_number("group_size", group_size)
    convert.check_number("limit", limit * group_size)
    path, searched = Path(group_by), opened.searched
    stages = convert.listed(prefetch)
    request = models.QueryRequest.model_construct(
        query=query, using=using, prefetch=stages or None, lookup_from=lookup_from
    )
    # Ids are resolved once; what follows are the same vectors with other filters.
    resolve = resolver(opened, [request], look_up)
    excluded = named_points(request, opened.folder.name)
    widened = [_widened(stage, group_size) for stage in stages]

    def ask(narrowed: models.Filter | None) -> list[models.ScoredPoint]:
        with _searching("searching groups"):
            built = convert.query_request(
                request.model_copy(
                    update={
                        "prefetch": widened or None,
                        "filter": narrowed,
                        "params": params,
                        "limit": limit * group_size,
                        "with_payload": [path.selector],
                        "score_threshold": score_threshold,
                    }
                ),
                resolve,
                excluded=excluded,
            )
            return [convert.scored_point_back(hit) for hit in searched.query(built)]

    groups = Groups(path, limit, group_size, _largest_first(opened, query, using))
    gather(groups, ask, condition, by=group_by)
    found = groups.result()
    _fill(opened, [hit for _, hits in found for hit in hits], payload, vectors)
    lookups = _lookups([key for key, _ in found], with_lookup, look_up)
    return models.GroupsResult.model_construct(
        groups=[
            models.PointGroup.model_construct(id=key, hits=hits, lookup=lookups.get(key))
            for key, hits in found
        ]
    )


@contextmanager
def _searching(operation: str) -> Iterator[None]:
    """The engine says of a formula that cannot be computed that it was cancelled, and no more."""
    try:
        with engine_errors(operation):
            yield
    except EngineError as error:
        if "process cancelled" not in error.problem:
            raise
        raise ArgumentError(
            field="FormulaQuery",
            problem="for one of the points it gives no finite number, or a payload value that it "
            "needs is missing or no number; give such values in `defaults`",
        ) from error


def _widened(stage: models.Prefetch, factor: int) -> models.Prefetch:
    """A prefetch, and those in it, with a limit that leaves enough for groups."""
    limit = convert.DEFAULT_LIMIT if stage.limit is None else stage.limit
    return stage.model_copy(
        update={
            "limit": limit * factor,
            "prefetch": [_widened(one, factor) for one in convert.listed(stage.prefetch)] or None,
        }
    )


def _largest_first(opened: OpenCollection, query: Any, using: str | None) -> bool | None:
    """Whether a larger score of this query is a better one; None if scores have no order."""
    if query is None:
        return False  # by id; all scores are equal
    if isinstance(query, models.SampleQuery):
        return None
    if isinstance(query, models.OrderByQuery):
        order = query.order_by
        return isinstance(order, models.OrderBy) and order.direction == models.Direction.DESC
    if isinstance(query, models.NearestQuery) and query.mmr is not None:
        return None
    if isinstance(query, models.RecommendQuery):
        plain = query.recommend.strategy in (None, models.RecommendStrategy.AVERAGE_VECTOR)
    else:
        plain = not isinstance(query, _SCORED_QUERIES)
    params = opened.dense.get(using or "")
    return not (plain and params is not None and params.distance in _SMALL_IS_NEAR)


#: Queries whose scores are no distances.
_SCORED_QUERIES = (
    models.DiscoverQuery,
    models.ContextQuery,
    models.RelevanceFeedbackQuery,
    models.FusionQuery,
    models.RrfQuery,
    models.FormulaQuery,
    models.TextQuery,
    models.Fusion,
)


def _fill(
    opened: OpenCollection,
    hits: Sequence[models.ScoredPoint] | Sequence[models.Record],
    payload: Any,
    vectors: Any,
) -> None:
    """Put the wanted payload and vectors in the place of those that were needed to choose."""
    ids = list(dict.fromkeys(hit.id for hit in hits))
    records = {
        record.id: record for record in retrieve(opened, ids, payload=payload, vectors=vectors)
    }
    for hit in hits:
        if hit.id in records:
            hit.payload = records[hit.id].payload
            hit.vector = records[hit.id].vector


def _lookups(
    keys: Sequence[int | str],
    with_lookup: models.WithLookupInterface | None,
    look_up: LookUp | None,
) -> dict[int | str, models.Record]:
    """The points that have the groups' keys as their ids."""
    if with_lookup is None:
        return {}
    if look_up is None:
        raise ArgumentError(field="with_lookup", problem="nothing here can open another collection")
    wanted = convert.parsed(with_lookup, models.WithLookup, "with_lookup")
    if isinstance(wanted, str):
        wanted = models.WithLookup(collection=wanted)
    ids: dict[int | str | UUID, int | str] = {}
    for key in keys:
        try:
            ids[checked_id(key)] = key
        except ArgumentError:  # a value that cannot be an id has no point
            continue
    records = retrieve(
        look_up(wanted.collection),
        list(ids),
        payload=True if wanted.with_payload is None else wanted.with_payload,
        vectors=wanted.with_vectors,
    )
    return {ids[record.id]: record for record in records}
