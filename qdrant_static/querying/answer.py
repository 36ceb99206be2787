"""Runs encoded queries by a plan, and converts points to typed `Hit` objects.

The score of a hit is always higher for the nearer point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qdrant_client import models

from qdrant_static.collection.passes import SMALL_IS_NEAR, dense_passes
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A record that a search found.

    Attributes:
        id: The point's id.
        key: The record's own key, a tuple where it has several parts; the point's id where the
            key was a digest of the text.
        score: The plan's score; higher is nearer, and only scores of one answer can be compared.
            For a Euclidean distance of unit vectors it is their cosine, for other distances the
            negative distance.
        payload: All payload fields.
        text: The text that was encoded, as far as the payload holds it.
    """

    id: int | str
    key: int | str | tuple[int | str, ...]
    score: float
    payload: Mapping[str, Any]
    text: str


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

    A side of a plan for which a query has no vector (only stop words, only unknown tokens) is
    omitted; a query without any side has no hits. Reranking is done by `search`, since it needs
    the texts.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: The collection's spec.
        plan: A plan that the collection can serve.
        queries: Queries with the vectors that the plan needs.
        limit: Number of points per query, at most.
        query_filter: A condition on the payload.
        with_payload: As in `query_points`.

    Returns:
        For every query its points as the engine returns them, best first.

    Raises:
        ArgumentError: If a query lacks a vector that the plan needs.
    """
    if plan.feedback:
        # Feedback uses the longest vector that the plan compares.
        vector = dense_passes(plan, spec, 1)[-1].vector
        points_of = _request_points(
            client, collection, spec, plan, queries, limit=max(limit, plan.feedback_hits),
            query_filter=query_filter, with_payload=False,
            with_vectors=[vector.name] if vector.name else True,
        )  # fmt: skip
        queries = [
            _with_feedback(query, points[: plan.feedback_hits], vector, plan.feedback)
            for query, points in zip(queries, points_of, strict=True)
        ]
    return _request_points(
        client, collection, spec, plan, queries, limit=limit, query_filter=query_filter,
        with_payload=with_payload, with_vectors=False,
    )  # fmt: skip


def runnable(plan: SearchPlan, query: Query) -> SearchPlan | None:
    """Return the plan without the sides for which the query has no vector; None if none remains."""
    if plan.kind == "bm25":
        # Terms that were not encoded (None) are the caller's mistake: `compile_request` raises.
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
        late = query.late is None or query.has_late
        return plan if late and (dense or query.has_sparse) else None
    return plan if dense else None


def dense_side(plan: SearchPlan) -> SearchPlan:
    """Return the dense side of a hybrid as a plan of its own."""
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


def _request_points(
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
    """Send the requests, one for up to `_PER_REQUEST` queries."""
    results: list[list[models.ScoredPoint]] = [[] for _ in queries]
    compiled = {}
    for number, query in enumerate(queries):
        runnable_plan = runnable(plan, query)
        if runnable_plan is None:
            continue
        if query.dense is not None and not query.has_dense:
            query = replace(query, dense=None)
        compiled[number] = compile_request(
            runnable_plan, query, spec, limit=limit, query_filter=query_filter
        )
    if len(compiled) == 1:
        ((number, arguments),) = compiled.items()
        results[number] = client.query_points(collection, **arguments, **returned).points
        return results
    numbers = list(compiled)
    for start in range(0, len(numbers), _PER_REQUEST):
        part = numbers[start : start + _PER_REQUEST]
        requests = [_batched(compiled[number], returned) for number in part]
        responses = client.query_batch_points(collection, requests)
        for number, response in zip(part, responses, strict=True):
            results[number] = response.points
    return results


def _batched(arguments: dict[str, Any], returned: dict[str, Any]) -> models.QueryRequest:
    """Return the arguments of ``query_points`` as a request of ``query_batch_points``."""
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


def _with_feedback(
    query: Query, points: Sequence[models.ScoredPoint], vector: VectorSpec, weight: float
) -> Query:
    """Return the query plus the weighted mean vector of its best points (Rocchio, 1971).

    If the plan compares a prefix of the encoder's vectors, the new query is a prefix too.
    """
    rows = [
        point.vector.get(vector.name) if isinstance(point.vector, dict) else point.vector
        for point in points
    ]
    rows = [row for row in rows if row is not None]
    if query.dense is None or not rows or not query.has_dense:
        return query
    mean = original_form(np.array(rows, np.float32), vector).mean(axis=0)
    own = query.dense[None, : vector.size]
    length = float(np.linalg.norm(query.dense))
    moved = normalize(own) + weight * normalize(mean[None, :])
    return replace(query, dense=(normalize(moved) * length)[0])


def hit_of(point: Any, spec: CollectionSpec, score: float) -> Hit:
    """Return the hit of a point that the client returned."""
    payload = point.payload or {}
    key = spec.fields.key_of(payload)
    return Hit(
        id=point.id,
        key=point.id if key is None else key,
        score=score,
        payload=payload,
        text=spec.fields.text_of(payload),
    )


def rerank(text: str, hits: Sequence[Hit], cross_encoder: Any) -> list[Hit]:
    """Sort hits by a cross-encoder's scores; equal scores keep their order.

    Args:
        text: The query.
        hits: Hits, best first.
        cross_encoder: Has ``scores(query, texts)``.
    """
    scores = cross_encoder.scores(text, [hit.text for hit in hits])
    scored = [replace(hit, score=float(score)) for hit, score in zip(hits, scores, strict=True)]
    return sorted(scored, key=lambda hit: -hit.score)


def nearness(score: float, plan: SearchPlan, spec: CollectionSpec, *, unit: bool) -> float:
    """Return a score that is higher for nearer points, whatever the distance.

    Args:
        score: The engine's score; for Euclidean and Manhattan distance the smaller is nearer.
        plan: The plan that was run.
        spec: The collection's spec.
        unit: Whether the encoder's full vectors have length 1; truncated ones always have.
    """
    if plan.kind not in ("exact", "dense", "cascade"):
        return score
    vector = dense_passes(plan, spec, 1)[-1].vector
    if vector.distance not in SMALL_IS_NEAR:
        return score
    if vector.distance == "euclid" and (unit or vector.size < spec.encoder.dimension):
        return _cosine(score, vector)
    return -score


def _cosine(distance: float, vector: VectorSpec) -> float:
    """Return the cosine of two unit vectors: ``|a - b|^2 = 2 - 2 cos``."""
    return 1 - (distance / (vector.scale or 1.0)) ** 2 / 2
