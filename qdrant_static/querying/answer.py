"""Encoded queries -> points: what a search does once there is no text any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qdrant_client import models

from qdrant_static.collection.passes import dense_passes
from qdrant_static.collection.vectorform import original_form
from qdrant_static.querying.query import Query
from qdrant_static.querying.request import compile_request
from qdrant_static.vectors import normalize

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.collection.vectorspec import VectorSpec

#: Queries in one message: a hybrid of 1,024-d repeats its vector six times, 40 kB over gRPC and
#: some 200 kB as JSON.
_PER_REQUEST = 64


def answer(
    client: Client,
    collection: str,
    spec: CollectionSpec,
    plan: SearchPlan,
    queries: Sequence[Query],
    *,
    limit: int = 10,
    query_filter: models.Filter | None = None,
    with_payload: Any = False,
) -> list[list[models.ScoredPoint]]:
    """Answer queries by a plan.

    A side that has nothing to say (only stop words, only unknown tokens) is left out; a query
    without any has no hits. A cross-encoder is not asked: it reads text (`search`).

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: The collection's.
        plan: One that the collection can serve.
        queries: With the vectors that the plan needs.
        limit: At most so many points each.
        query_filter: A condition on the payload.
        with_payload: As the client has it.

    Returns:
        For every query its points as the engine gives them, best first.

    Raises:
        ArgumentError: If a query lacks a vector that the plan needs.
    """
    first = limit if not plan.feedback else max(limit, plan.feedback_hits)
    payload = with_payload if not plan.feedback else False
    vector = _moved_by(plan, spec) if plan.feedback else None
    read = vector is not None and ([vector.name] if vector.name else True)
    found = _asked(
        client, collection, spec, plan, queries, limit=first, query_filter=query_filter,
        with_payload=payload, with_vectors=read,
    )  # fmt: skip
    if vector is None:
        return found
    moved = [
        _moved(query, points[: plan.feedback_hits], vector, plan.feedback)
        for query, points in zip(queries, found, strict=True)
    ]
    return _asked(
        client, collection, spec, plan, moved, limit=limit, query_filter=query_filter,
        with_payload=with_payload, with_vectors=False,
    )  # fmt: skip


def runnable(plan: SearchPlan, query: Query) -> SearchPlan | None:
    """The plan without a side that has nothing to say; None if none is left."""
    if plan.kind == "bm25":
        # Whether the terms are missing or none: a plan without any is the caller's mistake.
        return plan if query.sparse is None or query.has_sparse else None
    dense = query.dense is None or query.has_dense
    if plan.kind == "hybrid":
        sparse = query.sparse is None or query.has_sparse
        if dense and sparse:
            return plan
        if dense:
            return dense_side(plan)
        return replace(plan, kind="bm25", stages=(), feedback=0.0) if sparse else None
    if plan.kind == "late":
        asked = query.late is None or query.has_late
        return plan if asked and (dense or query.has_sparse) else None
    return plan if dense else None


def dense_side(plan: SearchPlan) -> SearchPlan:
    """The dense side of a hybrid as a plan of its own."""
    if len(plan.stages) != 1:
        return replace(plan, kind="cascade" if plan.stages else "dense")
    (stage,) = plan.stages
    return replace(
        plan,
        kind="exact" if stage.exact else "dense",
        stages=(),
        vector=stage.vector,
        rescore=stage.rescore,
        oversampling=stage.oversampling or plan.oversampling,
        ef=stage.ef or plan.ef,
    )


def _asked(
    client: Client,
    collection: str,
    spec: CollectionSpec,
    plan: SearchPlan,
    queries: Sequence[Query],
    *,
    limit: int,
    query_filter: models.Filter | None,
    **returned: Any,
) -> list[list[models.ScoredPoint]]:
    found: list[list[models.ScoredPoint]] = [[] for _ in queries]
    compiled = {}
    for number, query in enumerate(queries):
        chosen = runnable(plan, query)
        if chosen is not None:
            said = query if query.has_dense or query.dense is None else replace(query, dense=None)
            compiled[number] = compile_request(
                chosen, said, spec, limit=limit, query_filter=query_filter
            )
    if len(compiled) == 1:
        ((number, arguments),) = compiled.items()
        found[number] = client.query_points(collection, **arguments, **returned).points
        return found
    numbers = list(compiled)
    for start in range(0, len(numbers), _PER_REQUEST):
        part = numbers[start : start + _PER_REQUEST]
        requests = [_request(compiled[number], returned) for number in part]
        for number, one in zip(part, client.query_batch_points(collection, requests), strict=True):
            found[number] = one.points
    return found


def _request(arguments: dict[str, Any], returned: dict[str, Any]) -> models.QueryRequest:
    """The arguments of ``query_points`` under the names that they have in a batch."""
    return models.QueryRequest.model_construct(
        prefetch=arguments.get("prefetch"),
        query=arguments["query"],
        using=arguments.get("using"),
        filter=arguments.get("query_filter"),
        params=arguments.get("search_params"),
        limit=arguments["limit"],
        with_payload=returned["with_payload"],
        with_vector=returned["with_vectors"],
    )


def _moved_by(plan: SearchPlan, spec: CollectionSpec) -> VectorSpec:
    """The vector by which feedback moves the query: the longest that the plan compares."""
    return dense_passes(plan, spec, 1)[-1].vector


def _moved(
    query: Query, points: Sequence[models.ScoredPoint], vector: VectorSpec, weight: float
) -> Query:
    """Rocchio's query, 1971: plus the mean of what it found.

    Where the plan compares a prefix of the encoder's vectors, the query becomes one too.
    """
    rows = [
        one.vector.get(vector.name) if isinstance(one.vector, dict) else one.vector
        for one in points
    ]
    rows = [row for row in rows if row is not None]
    if query.dense is None or not rows or not query.has_dense:
        return query
    mean = original_form(np.array(rows, np.float32), vector).mean(axis=0)
    own = query.dense[None, : vector.size]
    length = float(np.linalg.norm(query.dense))
    moved = normalize(own) + weight * normalize(mean[None, :])
    return replace(query, dense=(normalize(moved) * length)[0])
