"""Compiles a plan and a query to the arguments of one ``query_points``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.collection.passes import SMALL_IS_NEAR, Pass, dense_passes
from qdrant_static.collection.vectorform import stored_form
from qdrant_static.collection.vectorspec import BM25, LATE
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.collection.vectorspec import VectorSpec
    from qdrant_static.querying.query import Query

_IGNORED = models.QuantizationSearchParams(ignore=True)
#: Compares every candidate by its original vector. ``exact`` matters in later stages too: with
#: many candidates the engine would use the graph, filtered by their ids.
_EXACT = models.SearchParams(exact=True, quantization=_IGNORED)
_MERGED = {"dbsf": models.Fusion.DBSF, "complete": models.Fusion.DBSF, "rrf": models.Fusion.RRF}


def compile_request(
    plan: SearchPlan,
    query: Query,
    spec: CollectionSpec,
    *,
    limit: int,
    query_filter: models.Filter | None = None,
) -> dict[str, Any]:
    """Compile a plan and a query to the arguments of ``query_points``.

    Args:
        plan: The plan.
        query: The encoded query, with all vectors that the plan needs.
        spec: The collection's spec.
        limit: Number of hits wanted.
        query_filter: A condition on the payload; it is applied where candidates are chosen.

    Raises:
        ArgumentError: If the query lacks a vector that the plan needs.
    """
    wanted = max(limit, plan.rerank_candidates) if plan.rerank is not None else limit
    if plan.kind == "bm25":
        stage = _terms(query, wanted)
    elif plan.kind == "hybrid":
        stage = _hybrid(plan, query, spec, wanted)
    elif plan.kind == "late":
        stage = _late(plan, query, spec, wanted)
    else:
        stage = _dense(plan, query, spec, wanted)
    if query_filter is not None:
        stage = _filtered(stage, query_filter)
    arguments = {
        "prefetch": stage.prefetch,
        "query": stage.query,
        "using": stage.using,
        "query_filter": stage.filter,
        "search_params": stage.params,
        "limit": wanted,
    }
    return {name: value for name, value in arguments.items() if value is not None}


def _dense(plan: SearchPlan, query: Query, spec: CollectionSpec, limit: int) -> models.Prefetch:
    """Compile the dense side: each pass is the prefetch of the next."""
    before: models.Prefetch | None = None
    for dense_pass in dense_passes(plan, spec, limit):
        before = _stage(
            prefetch=None if before is None else [before],
            query=_numbers(query, dense_pass.vector),
            using=dense_pass.vector.name or None,
            params=_params(dense_pass),
            limit=dense_pass.limit,
        )
    if before is None:
        raise ArgumentError(field="plan.stages", problem="there are none")
    return before


def _stage(**fields: Any) -> models.Prefetch:
    """Make a prefetch without validation, which would check a thousand numbers per stage."""
    return models.Prefetch.model_construct(**fields)


def _params(dense_pass: Pass) -> models.SearchParams | None:
    if dense_pass.exact:
        return _EXACT
    codes = None
    if dense_pass.vector.quantized:
        codes = models.QuantizationSearchParams(
            rescore=dense_pass.rescore, oversampling=dense_pass.oversampling
        )
    if codes is None and dense_pass.ef is None:
        return None
    return models.SearchParams(hnsw_ef=dense_pass.ef, quantization=codes)


def _terms(query: Query, limit: int) -> models.Prefetch:
    if query.sparse is None:
        raise ArgumentError(field="plan", problem="needs the query's BM25 terms")
    row = query.sparse
    terms = models.SparseVector(indices=row.indices.tolist(), values=row.values.tolist())
    return _stage(query=terms, using=BM25, limit=limit)


def _hybrid(plan: SearchPlan, query: Query, spec: CollectionSpec, limit: int) -> models.Prefetch:
    """Compile both sides and their fusion.

    Complete fusion: both sides score every candidate of either (a stage with two prefetches gets
    their union), then DBSF adds the scores. DBSF over the two lists alone would treat a document
    that one list missed as one with no score there. DBSF has no weights, but a stage that is
    listed twice counts twice.
    """
    count = max(plan.candidates, limit)
    dense, terms = _dense(plan, query, spec, count), _terms(query, count)
    if plan.fusion == "complete":
        both = [dense, terms]
        dense = _stage(
            prefetch=both, query=dense.query, using=dense.using, params=_EXACT, limit=2 * count
        )
        terms = _stage(prefetch=both, query=terms.query, using=BM25, limit=2 * count)
    last = dense_passes(plan, spec, count)[-1].vector
    if plan.fusion != "rrf" and last.distance in SMALL_IS_NEAR:
        dense = _negated(dense)
    return _stage(
        prefetch=[dense] * plan.dense_weight + [terms] * plan.sparse_weight,
        query=models.FusionQuery(fusion=_MERGED[plan.fusion]),
        limit=limit,
    )


def _negated(stage: models.Prefetch) -> models.Prefetch:
    """Negate distances, since the engine's DBSF always regards the larger score as better."""
    return _stage(
        prefetch=[stage],
        query=models.FormulaQuery(formula=models.NegExpression(neg="$score")),
        limit=stage.limit,
    )


def _late(plan: SearchPlan, query: Query, spec: CollectionSpec, limit: int) -> models.Prefetch:
    """Compile MaxSim over the candidates of the sides that the query has."""
    if query.late is None:
        raise ArgumentError(field="plan", problem="needs the query's late-interaction rows")
    count = max(plan.late_candidates, limit)
    sides = []
    if query.dense is not None:
        sides.append(_dense(plan, query, spec, count))
    if query.has_sparse and spec.sparse is not None:
        sides.append(_terms(query, count))
    if not sides:
        raise ArgumentError(field="plan", problem="needs the query's dense vector or BM25 terms")
    return _stage(prefetch=sides, query=query.late.tolist(), using=LATE, params=_EXACT, limit=limit)


def _numbers(query: Query, vector: VectorSpec) -> list[float]:
    if query.dense is None:
        raise ArgumentError(field="plan", problem="needs the query's dense vector")
    values: list[float] = stored_form(query.dense[None, :], vector)[0].tolist()
    return values


def _filtered(stage: models.Prefetch, condition: models.Filter) -> models.Prefetch:
    """Apply a filter to the innermost stages, which choose the candidates."""
    if isinstance(stage.prefetch, list):
        inner = [_filtered(prefetch, condition) for prefetch in stage.prefetch]
        return stage.model_copy(update={"prefetch": inner})
    return stage.model_copy(update={"filter": condition})
