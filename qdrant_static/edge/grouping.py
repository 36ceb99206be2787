"""Searches in groups, by the algorithm of a server.

The engine has no groups; a server builds them from several searches, and so does this module:

1. Search up to five times, without the points that were found and the groups that are full.
2. Search up to five times for more points of the best groups.

The result is a server's, also where a group with very many points hides others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import qdrant_edge as edge  # noqa
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.edge.payloads import PayloadPath
from qdrant_static.edge.pointreads import LookUp, fill, named_points, resolver, retrieve, searching
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import checked_id

GroupId: TypeAlias = "int | str"
PointId: TypeAlias = "int | str | UUID"
#: Searches with a filter; returns points with the payload at the grouping path.
Ask = Callable[[models.Filter | None], list[models.ScoredPoint]]

_REQUESTS_FOR_GROUPS = 5
_REQUESTS_FOR_FILLING = 5


class Groups:
    """Found points, grouped by the values at a path.

    Args:
        path: Where the value is.
        limit: How many groups are wanted.
        size: How many points of each.
        largest_first: Whether a larger score is better; None if scores have no order.
    """

    def __init__(
        self, path: PayloadPath, limit: int, size: int, largest_first: bool | None
    ) -> None:
        self._path = path
        self.limit = limit
        self._size = size
        self._largest_first = largest_first
        self._groups: dict[GroupId, dict[PointId, models.ScoredPoint]] = {}
        self.ids: set[PointId] = set()

    def add(self, points: Iterable[models.ScoredPoint]) -> None:
        """Add points; one with a value that is neither a string nor an integer is left out."""
        for point in points:
            keys = list(self._path.values(point.payload))
            if not all(type(key) in (int, str) for key in keys):  # a bool is no integer
                continue
            for key in keys:
                self._groups.setdefault(key, {}).setdefault(point.id, point)
                self.ids.add(point.id)

    def full(self) -> list[GroupId]:
        """Return the groups that have enough points."""
        return [key for key, hits in self._groups.items() if len(hits) >= self._size]

    def best(self) -> list[GroupId]:
        """Return the ``limit`` best groups, the one with the best point first."""
        return self._sorted(self._groups, lambda key: self._order(self._groups[key]))[: self.limit]

    def result(self) -> list[tuple[GroupId, list[models.ScoredPoint]]]:
        """Return the best groups and their best points."""
        return [
            (key, self._sorted(self._groups[key].values(), _score)[: self._size])
            for key in self.best()
        ]

    def _order(self, hits: Mapping[PointId, models.ScoredPoint]) -> Any:
        scores = map(_score, hits.values())
        return max(scores) if self._largest_first else min(scores)

    def _sorted(self, values: Iterable[Any], key: Callable[[Any], Any]) -> list[Any]:
        if self._largest_first is None:
            return list(values)
        return sorted(values, key=key, reverse=self._largest_first)


def gather(groups: Groups, ask: Ask, condition: models.Filter | None, *, by: str) -> None:
    """Search until the best groups are full, or as often as a server does.

    Args:
        groups: Receives the points.
        ask: Searches with a filter.
        condition: The filter of the request.
        by: The path of the grouping value.
    """
    has_value = models.IsEmptyCondition(is_empty=models.PayloadField(key=by))
    phases: tuple[tuple[int, Callable[[], list[models.Condition]]], ...] = (
        (_REQUESTS_FOR_GROUPS, lambda: _matching(by, groups.full(), models.MatchExcept, "except_")),
        (_REQUESTS_FOR_FILLING, lambda: _matching(by, _unfilled(groups), models.MatchAny, "any")),
    )
    for requests, wanted in phases:
        for _ in range(requests):
            seen = models.HasIdCondition.model_construct(has_id=list(groups.ids))
            points = ask(
                convert.narrowed(
                    condition,
                    must=wanted(),
                    must_not=[has_value, seen] if groups.ids else [has_value],
                )
            )
            if not points:
                break
            groups.add(points)
            if not _unfilled(groups) and len(groups.best()) == groups.limit:
                return


def _unfilled(groups: Groups) -> list[GroupId]:
    full = set(groups.full())
    return [key for key in groups.best() if key not in full]


def _matching(
    key: str, values: Sequence[GroupId], kind: type[Any], field: str
) -> list[models.Condition]:
    """Return conditions on the values, one for the integers and one for the strings."""
    return [
        models.FieldCondition.model_construct(
            key=key, match=kind.model_construct(**{field: of_kind})
        )
        for of_kind in (
            [value for value in values if isinstance(value, int) and -(2**63) <= value < 2**63],
            [value for value in values if isinstance(value, str)],
        )
        if of_kind
    ]


def _score(point: models.ScoredPoint) -> Any:
    return point.score if point.order_value is None else point.order_value


#: Distances of which the smaller is the better.
_SMALL_IS_NEAR = (models.Distance.EUCLID, models.Distance.MANHATTAN)


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
    """Search, and group the hits by a payload value.

    Args:
        opened: The collection.
        query: The query.
        group_by: The path of the payload value.
        limit: How many groups.
        group_size: How many points of each.
        using: The vector that is searched.
        prefetch: The prefetches; each returns ``group_size`` times as many points as its limit.
        condition: Which points may be found.
        params: Settings of the vector search.
        payload: Which payload to return.
        vectors: Which vectors to return.
        score_threshold: The worst score.
        lookup_from: The collection that holds the points that the query names.
        with_lookup: A collection with a point for each group, which is returned with the group.
        look_up: Opens these collections.

    Raises:
        ArgumentError: If ``group_by`` is no path; and the errors of `query_batch_points`.
    """
    convert.check_number("limit", limit)
    convert.check_number("group_size", group_size)
    convert.check_number("limit", limit * group_size)
    path, searched = PayloadPath(group_by), opened.searched
    stages = convert.listed(prefetch)
    request = models.QueryRequest.model_construct(
        query=query, using=using, prefetch=stages or None, lookup_from=lookup_from
    )
    # Ids are resolved once; all searches use the same vectors with other filters.
    resolve = resolver(opened, [request], look_up)
    excluded = named_points(request, opened.folder.name)
    widened = [_widened(stage, group_size) for stage in stages]

    def ask(narrowed: models.Filter | None) -> list[models.ScoredPoint]:
        with searching("searching groups"):
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
    fill(opened, [hit for _, hits in found for hit in hits], payload, vectors)
    lookups = _lookups([key for key, _ in found], with_lookup, look_up)
    return models.GroupsResult.model_construct(
        groups=[
            models.PointGroup.model_construct(id=key, hits=hits, lookup=lookups.get(key))
            for key, hits in found
        ]
    )


def _widened(stage: models.Prefetch, factor: int) -> models.Prefetch:
    """Return a prefetch, and those inside it, with limits that leave enough points for groups."""
    limit = convert.DEFAULT_LIMIT if stage.limit is None else stage.limit
    return stage.model_copy(
        update={
            "limit": limit * factor,
            "prefetch": [_widened(one, factor) for one in convert.listed(stage.prefetch)] or None,
        }
    )


def _largest_first(opened: OpenCollection, query: Any, using: str | None) -> bool | None:
    """Return whether a larger score of a query is better; None if scores have no order."""
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
    models.DiscoverQuery, models.ContextQuery, models.RelevanceFeedbackQuery, models.FusionQuery,
    models.RrfQuery, models.FormulaQuery, models.TextQuery, models.Fusion,
)  # fmt: skip


def _lookups(
    keys: Sequence[int | str],
    with_lookup: models.WithLookupInterface | None,
    look_up: LookUp | None,
) -> dict[int | str, models.Record]:
    """Return the points of another collection whose ids are the keys of the groups."""
    if with_lookup is None:
        return {}
    if look_up is None:
        raise ArgumentError(field="with_lookup", problem="no other collection can be opened here")
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
