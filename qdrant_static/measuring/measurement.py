"""Runs queries on a collection by any plan, and measures recall, latency and bytes.

Recall is measured against exact search, which `Measurement.find_neighbors` runs once per query.
Where a query is a point of the collection, that point is left out of its own answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.clients.aliases import resolve_alias
from qdrant_static.collection.passes import uses_sparse
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import plain_id
from qdrant_static.measuring.metrics import neighbor_recall
from qdrant_static.querying.answer import answer, nearness

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ids import PointId
    from qdrant_static.measuring.queries import QuerySet
    from qdrant_static.querying.query import Query
    from qdrant_static.querying.run import Searcher

#: Queries in one request, where no times are measured.
BATCH = 16
#: Queries that a plan answers before its times are measured.
_WARM_UP = 3


@dataclass(kw_only=True)
class Measurement:
    """Measures plans with one set of queries on one collection.

    Attributes:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: The collection's spec.
        queries: The queries.
        k: Depth of the metrics.
        condition: A filter that all queries have.
        searcher: Encodes queries that are texts; None where they are points.
        neighbors: For each query's number the scores of its exact neighbors by id; higher is
            nearer.
    """

    client: Client
    collection: str
    spec: CollectionSpec
    queries: QuerySet
    k: int
    condition: models.Filter | None = None
    searcher: Searcher | None = None
    neighbors: dict[int, dict[PointId, float]] = field(default_factory=dict)
    _encoded: dict[tuple[Any, ...], list[Query]] = field(default_factory=dict)
    _warm: set[SearchPlan] = field(default_factory=set)

    @property
    def limit(self) -> int:
        """Points to ask for: one more than `k` where a query is a point, which finds itself."""
        return self.k + (self.queries.own is not None)

    def encoded(self, plan: SearchPlan) -> list[Query]:
        """Return the queries with all vectors that a plan needs; texts are encoded once."""
        if self.queries.texts is None:
            return self.queries.points
        if self.searcher is None:
            raise ArgumentError(field="searcher", problem="is needed to encode the queries' texts")
        spec = self.searcher.spec
        needs = (plan.needs_dense, uses_sparse(plan, spec), plan.needs_late, plan.repeated_terms)
        if needs not in self._encoded:
            self._encoded[needs] = self.searcher.prepare(self.queries.texts, plan)
        return self._encoded[needs]

    def answers(
        self, plan: SearchPlan, numbers: Sequence[int], limit: int | None = None
    ) -> list[list[models.ScoredPoint]]:
        """Return the points that a plan finds for some queries, sent in one request."""
        encoded = self.encoded(plan)
        return answer(
            self.client, self.collection, self.spec, plan, [encoded[number] for number in numbers],
            limit=self.limit if limit is None else limit, query_filter=self.condition,
        )  # fmt: skip

    def ids(self, number: int, points: Sequence[models.ScoredPoint]) -> list[PointId]:
        """Return the ids of the first k points of an answer, without the query's own point."""
        own = None if self.queries.own is None else self.queries.own[number]
        return [point_id for point in points if (point_id := plain_id(point.id)) != own][: self.k]

    def find_neighbors(
        self,
        exact: SearchPlan,
        *,
        stop: Callable[[], bool] = lambda: False,
        tick: Callable[[], None] = lambda: None,
    ) -> list[int]:
        """Run the queries by exact search, in batches, and keep the results in `neighbors`.

        Args:
            exact: The plan whose answers are the reference.
            stop: Called before each batch; True stops.
            tick: Called after each batch.

        Returns:
            The numbers of the queries that have an answer.
        """
        # More than k, since points that are as near as the k-th are right too. A fused plan has
        # no more than its candidates.
        depth = 2 * self.k + 11
        most = {"hybrid": exact.candidates, "late": exact.late_candidates}.get(exact.kind, depth)
        depth = max(self.k + 1, min(depth, most))
        for batch in _batches(range(len(self.queries))):
            if stop():
                break
            for number, points in zip(batch, self.answers(exact, batch, depth), strict=True):
                own = None if self.queries.own is None else self.queries.own[number]
                scores = {
                    point_id: nearness(point.score, exact, self.spec, unit=False)
                    for point in points
                    if (point_id := plain_id(point.id)) != own
                }
                if scores:
                    self.neighbors[number] = scores
            tick()
        return sorted(self.neighbors)

    def recall(self, number: int, ids: Sequence[PointId]) -> float:
        """Return the share of a query's k nearest neighbors among the points found."""
        return neighbor_recall(ids, self.neighbors[number], self.k)

    def values(
        self,
        plan: SearchPlan,
        numbers: Sequence[int],
        quality: Callable[[int, list[PointId]], float] | None = None,
        *,
        stop: Callable[[], bool] = lambda: False,
        tick: Callable[[], None] = lambda: None,
    ) -> list[float]:
        """Return the quality of a plan's answers to some queries, sent in batches.

        Args:
            plan: The plan.
            numbers: The queries.
            quality: Called with the number of a query and the ids found; None takes the recall.
            stop: Called before each batch; True stops, and there are fewer values.
            tick: Called after each batch.
        """
        quality = quality or self.recall
        values: list[float] = []
        for batch in _batches(numbers):
            if stop():
                break
            for number, points in zip(batch, self.answers(plan, batch), strict=True):
                values.append(quality(number, self.ids(number, points)))
            tick()
        return values

    def timed(self, plan: SearchPlan, number: int) -> tuple[list[PointId], float]:
        """Answer one query alone, and return the ids found and the seconds it took.

        The time excludes encoding. A plan's first queries warm caches and are not timed.
        """
        self.encoded(plan)
        if plan not in self._warm:
            self._warm.add(plan)
            for warm_up in range(min(_WARM_UP, len(self.queries))):
                self.answers(plan, [warm_up])
        started = time.perf_counter()
        (points,) = self.answers(plan, [number])
        seconds = time.perf_counter() - started
        return self.ids(number, points), seconds


def points_with(client: Client, collection: str, vector: str) -> int:
    """Return the exact number of points that have a vector of that name."""
    return client.count(collection, count_filter=having(vector), exact=True).count


def having(vector: str) -> models.Filter:
    """Return the filter for points that have a vector of that name."""
    return models.Filter(must=[models.HasVectorCondition(has_vector=vector)])


def disk_bytes(client: Client, collection: str) -> int | None:
    """Return the size of an embedded collection's folder; None for a server's collection."""
    from qdrant_static.edge import EdgeClient
    from qdrant_static.edge.directory import bytes_on_disk

    if not isinstance(client, EdgeClient):
        return None
    return bytes_on_disk(client.path / resolve_alias(client, collection))


def _batches(numbers: Sequence[int]) -> list[Sequence[int]]:
    return [numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)]
