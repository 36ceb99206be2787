"""Queries of one or several stages, and how vectors are searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.bounds import check_number
from qdrant_static.edge.convert.carry import (
    Table,
    as_it_is,
    carry,
    require_only,
    unsupported,
)
from qdrant_static.edge.convert.dicts import parsed
from qdrant_static.edge.convert.examples import (
    Resolve,
    average,
    example,
    examples,
    is_id,
    no_points,
    pairs,
)
from qdrant_static.edge.convert.filters import filter_, instant, narrowed, optional_filter
from qdrant_static.edge.convert.formula import formula
from qdrant_static.edge.convert.names import to_engine
from qdrant_static.edge.convert.points import with_payload, with_vectors
from qdrant_static.errors import ArgumentError, NotSupportedByEdgeError

#: How many points a stage gives where it does not say.
DEFAULT_LIMIT = 10
#: The constant of reciprocal rank fusion where none is given, as on a server.
RRF_K = 2
#: How much MMR favors nearness over diversity where nothing is said, as on a server.
_MMR_LAMBDA = 0.5

#: What gives the `Resolve` of a stage: the ids in it may lie in another collection.
Resolver = Callable[[models.LookupLocation | None, str | None], Resolve]


def without_points(location: models.LookupLocation | None, using: str | None) -> Resolve:
    """The `Resolver` that refuses ids."""
    return no_points


@dataclass(frozen=True, slots=True)
class _Stage:
    """What a query's conversion depends on beside itself."""

    using: str | None
    limit: int
    resolve: Resolve


def search_params(params: models.SearchParams | None) -> edge.SearchParams | None:
    """How a vector is searched."""
    if params is None:
        return None
    return carry(parsed(params, models.SearchParams, "search_params"), _SEARCH)  # type: ignore[no-any-return]


def order_by(value: models.OrderByInterface) -> edge.OrderBy:
    """In which order points come, by a payload field that has an index for ranges."""
    value = parsed(value, models.OrderBy, "order_by")
    if isinstance(value, str):
        value = models.OrderBy(key=value)
    built: edge.OrderBy = carry(value, _ORDER)
    return built


def query(
    value: Any,
    using: str | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    resolve: Resolve = no_points,
) -> Any:
    """What is asked: the nearest to a vector, a fusion of the prefetches, or nothing.

    Args:
        value: A query, or what the client takes for ``NearestQuery``: numbers, a numpy array, a
            sparse vector, rows of numbers, the id of a point.
        using: The vector that is searched; None is the unnamed one.
        limit: How many points the stage gives: MMR chooses among as many where it does not say.
        resolve: What turns ids into vectors.

    Raises:
        NotSupportedByEdgeError: If it cannot be expressed.
        ArgumentError: If it can give no right result.
    """
    if value is None:
        return None
    if isinstance(value, list | np.ndarray | models.SparseVector) or is_id(value):
        return edge.Query.Nearest(example(value, resolve), using=using)
    convert = _QUERIES.get(type(value))
    if convert is None:
        raise unsupported(value, "a query")
    return convert(value, _Stage(using, limit, resolve))


def prefetches(
    value: models.Prefetch | Iterable[models.Prefetch] | None,
    resolver: Resolver = without_points,
) -> list[edge.Prefetch] | None:
    """The stages before the last, to any depth."""
    return [_prefetch(stage, resolver) for stage in listed(value)] or None


def query_request(
    request: models.QueryRequest,
    resolver: Resolver = without_points,
    *,
    excluded: Iterable[int | str] = (),
) -> edge.QueryRequest:
    """A whole query.

    Args:
        request: The client's request; ``query_points`` is one with the same fields.
        resolver: What gives the vectors of points that it names.
        excluded: Points that are in no result: those that it names.
    """
    require_only(
        request, "prefetch", "query", "using", "filter", "params", "score_threshold", "limit",
        "offset", "with_vector", "with_payload", "lookup_from",
    )  # fmt: skip
    limit = DEFAULT_LIMIT if request.limit is None else request.limit
    for name, number in (("limit", limit), ("offset", request.offset or 0)):
        check_number(f"QueryRequest.{name}", number)
    _check_stage(request)
    # As on a server: what is drawn by chance has no first ones to leave out.
    offset = None if isinstance(request.query, models.SampleQuery) else request.offset
    ids = list(excluded)
    must_not = [models.HasIdCondition.model_construct(has_id=ids)] if ids else []
    return edge.QueryRequest(
        limit=limit,
        offset=offset,
        query=query(
            request.query,
            request.using,
            limit=limit,
            resolve=resolver(request.lookup_from, request.using),
        ),
        prefetches=prefetches(request.prefetch, resolver),
        with_vector=with_vectors(request.with_vector),
        with_payload=with_payload(request.with_payload),
        filter=optional_filter(narrowed(request.filter, must_not=must_not)),
        score_threshold=request.score_threshold,
        params=search_params(request.params),
    )


def listed(value: models.Prefetch | Iterable[models.Prefetch] | None) -> list[models.Prefetch]:
    """Prefetches, where one may stand without a list."""
    if value is None:
        return []
    return [value] if isinstance(value, models.Prefetch) else list(value)


def _prefetch(stage: models.Prefetch, resolver: Resolver) -> edge.Prefetch:
    limit = DEFAULT_LIMIT if stage.limit is None else stage.limit
    _check_stage(stage)
    fields: dict[str, Callable[[Any], Any]] = {
        "prefetch": lambda value: prefetches(value, resolver),
        "query": lambda value: query(
            value, stage.using, limit=limit, resolve=resolver(stage.lookup_from, stage.using)
        ),
        "using": as_it_is,
        "filter": filter_,
        "params": search_params,
        "score_threshold": as_it_is,
        "limit": as_it_is,
        "lookup_from": as_it_is,
    }
    built: edge.Prefetch = carry(stage, Table(make=_make_prefetch, fields=fields), limit=limit)
    return built


def _make_prefetch(
    *, prefetch: Any = None, using: Any = None, lookup_from: Any = None, **arguments: Any
) -> edge.Prefetch:
    """``using`` and ``lookup_from`` are in the query by now."""
    return edge.Prefetch(prefetches=prefetch, **arguments)


def _check_stage(stage: models.QueryRequest | models.Prefetch) -> None:
    """Refuse what a server refuses and the engine would take."""
    kind = type(stage).__name__
    asked = stage.query
    if listed(stage.prefetch) and asked is None:
        raise ArgumentError(field=f"{kind}.prefetch", problem="a query must say how to merge them")
    if stage.score_threshold is not None and (
        asked is None or isinstance(asked, models.OrderByQuery)
    ):
        raise ArgumentError(field=f"{kind}.score_threshold", problem="the query gives no scores")
    if stage.score_threshold is not None:
        check_number(f"{kind}.score_threshold", stage.score_threshold)
    if stage.using and isinstance(asked, models.FusionQuery | models.RrfQuery | models.Fusion):
        raise ArgumentError(field=f"{kind}.using", problem="a fusion searches no vector of its own")
    if stage.lookup_from is not None:
        require_only(stage.lookup_from, "collection", "vector")


def _nearest(value: models.NearestQuery, stage: _Stage) -> Any:
    require_only(value, "nearest", "mmr")
    vector = example(value.nearest, stage.resolve)
    if value.mmr is None:
        return edge.Query.Nearest(vector, using=stage.using)
    if isinstance(vector, edge.SparseVector):
        raise NotSupportedByEdgeError(
            what="NearestQuery.mmr of a sparse vector",
            why="the engine compares the found points by dense vectors alone",
        )
    return carry(
        value.mmr,
        Table(
            make=edge.Mmr,
            fields={"diversity": lambda diversity: 1 - diversity, "candidates_limit": as_it_is},
            names={"diversity": "lambda_"},
            needed={"lambda_": _MMR_LAMBDA, "candidates_limit": stage.limit},
        ),
        vector=vector,
        using=stage.using,
    )


def _recommend(value: models.RecommendQuery, stage: _Stage) -> Any:
    given = value.recommend
    require_only(given, "positive", "negative", "strategy")
    positives = examples(given.positive, stage.resolve)
    negatives = examples(given.negative, stage.resolve)
    if not given.positive and not given.negative:
        raise ArgumentError(field="RecommendInput", problem="it has no example at all")
    strategy = given.strategy or models.RecommendStrategy.AVERAGE_VECTOR
    if strategy is models.RecommendStrategy.AVERAGE_VECTOR:
        return edge.Query.Nearest(average(positives, negatives), using=stage.using)
    return _STRATEGIES[strategy](edge.RecommendQuery(positives, negatives), using=stage.using)


def _discover(value: models.DiscoverQuery, stage: _Stage) -> Any:
    target = example(value.discover.target, stage.resolve)
    context = pairs(value.discover.context, stage.resolve)
    return edge.Query.Discover(edge.DiscoverQuery(target, context), using=stage.using)


def _context(value: models.ContextQuery, stage: _Stage) -> Any:
    context = pairs(value.context, stage.resolve)
    return edge.Query.Context(edge.ContextQuery(context), using=stage.using)


def _feedback(value: models.RelevanceFeedbackQuery, stage: _Stage) -> Any:
    given = value.relevance_feedback
    if not given.feedback:
        raise ArgumentError(field="RelevanceFeedbackInput.feedback", problem="it is empty")
    if not isinstance(given.strategy, models.NaiveFeedbackStrategy):
        raise unsupported(given.strategy, "a feedback strategy")
    items = [
        edge.FeedbackItem(example(item.example, stage.resolve), item.score)
        for item in given.feedback
    ]
    target = example(given.target, stage.resolve)
    strategy = carry(given.strategy.naive, _NAIVE)
    return edge.Query.FeedbackNaive(
        edge.FeedbackNaiveQuery(target, items, strategy), using=stage.using
    )


def _fusion(value: models.Fusion) -> Any:
    return edge.Fusion.Dbsf() if value is models.Fusion.DBSF else edge.Fusion.Rrf(k=RRF_K)


def _text(value: models.TextQuery, stage: _Stage) -> Any:
    if not stage.using:
        raise ArgumentError(
            field="using", problem="a text query searches the payload field it names"
        )
    if isinstance(value.text, str):
        return edge.TextQuery(stage.using, value.text)
    given = value.text
    require_only(given, "query", "scoring")
    scoring = None if given.scoring is None else carry(given.scoring.bm25, _BM25)
    return edge.TextQuery(stage.using, given.query, scoring)


def _idf(value: models.IdfParams) -> edge.IdfParams:
    """Which points count as the corpus: all, or those of a filter."""
    if isinstance(value, models.IdfCorpusParams):
        return carry(value, _IDF)  # type: ignore[no-any-return]
    models.IdfScope(value)  # the only scope is global, which is the engine's default
    return edge.IdfParams()


def _start(value: Any) -> Any:
    return value if isinstance(value, int | float) else instant(value)


_QUANTIZATION = Table(
    make=edge.QuantizationSearchParams,
    fields={"ignore": as_it_is, "rescore": as_it_is, "oversampling": as_it_is},
)
_ACORN = Table(
    make=edge.AcornSearchParams, fields={"enable": as_it_is, "max_selectivity": as_it_is}
)
_IDF = Table(make=edge.IdfParams, fields={"corpus": filter_})
_SEARCH = Table(
    make=edge.SearchParams,
    fields={
        "hnsw_ef": as_it_is,
        "exact": as_it_is,
        "indexed_only": as_it_is,
        "quantization": lambda value: carry(value, _QUANTIZATION),
        "acorn": lambda value: carry(value, _ACORN),
        "idf": _idf,
    },
)
_ORDER = Table(
    make=edge.OrderBy,
    fields={
        "key": as_it_is,
        "direction": to_engine(models.Direction),
        "start_from": _start,
    },
)
_RRF = Table(make=edge.Fusion.Rrf, fields={"k": as_it_is, "weights": as_it_is}, needed={"k": RRF_K})
_NAIVE = Table(make=edge.NaiveFeedbackStrategy, fields=dict.fromkeys("abc", as_it_is))
_BM25 = Table(make=edge.Bm25Params, fields={"k": as_it_is, "b": as_it_is})
_STRATEGIES: Mapping[models.RecommendStrategy, Callable[..., Any]] = {
    models.RecommendStrategy.BEST_SCORE: edge.Query.RecommendBestScore,
    models.RecommendStrategy.SUM_SCORES: edge.Query.RecommendSumScores,
}
_QUERIES: Mapping[type, Callable[[Any, _Stage], Any]] = {
    models.NearestQuery: _nearest,
    models.RecommendQuery: _recommend,
    models.DiscoverQuery: _discover,
    models.ContextQuery: _context,
    models.RelevanceFeedbackQuery: _feedback,
    models.OrderByQuery: lambda value, _: order_by(value.order_by),
    models.FusionQuery: lambda value, _: _fusion(value.fusion),
    models.Fusion: lambda value, _: _fusion(value),
    models.RrfQuery: lambda value, _: carry(value.rrf, _RRF),
    models.FormulaQuery: lambda value, _: formula(value),
    models.SampleQuery: lambda value, _: to_engine(models.Sample)(value.sample),
    models.TextQuery: _text,
}
