"""Draws queries from a collection itself, as its encoder of queries would make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdrant_static.collection.plan import SearchPlan
from qdrant_static.measuring.queries import QuerySet, of_points, sample_points
from qdrant_static.querying.query import Query
from qdrant_static.querying.run import Searcher

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.collection.vectorspec import VectorSpec
    from qdrant_static.encoders.registry import AnyEncoder


def own_queries(
    client: Client,
    collection: str,
    spec: CollectionSpec,
    vector: VectorSpec,
    count: int,
    *,
    encoder: AnyEncoder | None = None,
) -> QuerySet:
    """Draw points at random as queries.

    Where one encoder does both, a point's own vector is the query. In an asymmetric search that
    would measure queries that nobody asks, since they come from the other encoder: there the
    queries are the first words of the points' texts, if the payload holds them.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: The collection's spec.
        vector: The vector that is measured.
        count: Number of queries, at most.
        encoder: The encoder of queries or its name; None loads it by name where it is needed.
    """
    if spec.queries is not None and spec.fields.text:
        encoder = Searcher(client, collection, spec=spec, encoder=encoder).encoder
        dense = SearchPlan(kind="dense")
        return of_points(client, collection, spec, dense, count, None, encoder=encoder)
    drawn = sample_points(client, collection, vector, count)
    return QuerySet(points=[Query(dense=row) for row, _ in drawn.values()], own=list(drawn))
