"""Plan + query -> the arguments of one ``query_points``."""

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
#: Every candidate by its original. ``exact`` matters in later stages too: over many candidates
#: the engine would take the graph, filtered by their ids.
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
        plan: How the query is answered.
        query: The encoded query, with all that the plan needs.
        spec: The collection's spec.
        limit: Number of hits wanted.
        query_filter: A condition on the payload; it is put where candidates are chosen.

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
        stage = _narrowed(stage, query_filter)
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
    """The dense side, each pass the prefetch of the next."""
    before: models.Prefetch | None = None
    for one in dense_passes(plan, spec, limit):
        before = _stage(
            prefetch=None if before is None else [before],
            query=_numbers(query, one.vector),
            using=one.vector.name or None,
            params=_params(one),
            limit=one.limit,
        )
    if before is None:
        raise ArgumentError(field="plan.stages", problem="there is none")
    return before


def _stage(**fields: Any) -> models.Prefetch:
    """A prefetch as it is: checking a thousand numbers again in each stage takes a while."""
    return models.Prefetch.model_construct(**fields)


def _params(one: Pass) -> models.SearchParams | None:
    if one.exact:
        return _EXACT
    codes = None
    if one.vector.quantized:
        codes = models.QuantizationSearchParams(rescore=one.rescore, oversampling=one.oversampling)
    if codes is None and one.ef is None:
        return None
    return models.SearchParams(hnsw_ef=one.ef, quantization=codes)


def _terms(query: Query, limit: int) -> models.Prefetch:
    if query.sparse is None:
        raise ArgumentError(field="plan", problem="needs the query's BM25 terms")
    row = query.sparse
    terms = models.SparseVector(indices=row.indices.tolist(), values=row.values.tolist())
    return _stage(query=terms, using=BM25, limit=limit)


def _hybrid(plan: SearchPlan, query: Query, spec: CollectionSpec, limit: int) -> models.Prefetch:
    """Both sides, fused.

    Completely: both scorers judge every candidate of either, then DBSF. Two prefetches of one
    stage are their union. DBSF over the two lists as they come would take a document that one
    list missed for one that scored nothing there. It has no weights, but a stage that is listed
    twice counts twice.
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
        dense = _turned(dense)
    return _stage(
        prefetch=[dense] * plan.dense_weight + [terms] * plan.sparse_weight,
        query=models.FusionQuery(fusion=_MERGED[plan.fusion]),
        limit=limit,
    )


def _turned(stage: models.Prefetch) -> models.Prefetch:
    """Distances, negated: the engine's DBSF takes the larger score for the better, always."""
    return _stage(
        prefetch=[stage],
        query=models.FormulaQuery(formula=models.NegExpression(neg="$score")),
        limit=stage.limit,
    )


def _late(plan: SearchPlan, query: Query, spec: CollectionSpec, limit: int) -> models.Prefetch:
    """The candidates of both sides, as far as the query has them, by MaxSim."""
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


def _narrowed(stage: models.Prefetch, condition: models.Filter) -> models.Prefetch:
    """Put a filter where candidates are chosen: on the innermost stages."""
    if isinstance(stage.prefetch, list):
        inner = [_narrowed(one, condition) for one in stage.prefetch]
        return stage.model_copy(update={"prefetch": inner})
    return stage.model_copy(update={"filter": condition})
