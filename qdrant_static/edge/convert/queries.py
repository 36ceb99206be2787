"""Converts the kinds of queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.dicts import parsed
from qdrant_static.edge.convert.filters import instant
from qdrant_static.edge.convert.formula import formula
from qdrant_static.edge.convert.modeltables import (
    Table,
    convert_model,
    require_only,
    to_engine,
    unchanged,
    unsupported,
)
from qdrant_static.edge.convert.queryvectors import (
    Resolve,
    average,
    example,
    examples,
    is_id,
    no_points,
    pairs,
)
from qdrant_static.errors import ArgumentError, NotSupportedByEdgeError

#: The default limit of a stage.
DEFAULT_LIMIT = 10
#: The default constant of reciprocal rank fusion, as on a server.
RRF_K = 2
#: The default weight of nearness against diversity in MMR, as on a server.
_MMR_LAMBDA = 0.5


@dataclass(frozen=True, slots=True)
class _Stage:
    """The parts of a stage that its query depends on."""

    using: str | None
    limit: int
    resolve: Resolve


def order_by(value: models.OrderByInterface) -> edge.OrderBy:
    """Convert the order of points by a payload field that has an index for ranges."""
    value = parsed(value, models.OrderBy, "order_by")
    if isinstance(value, str):
        value = models.OrderBy(key=value)
    built: edge.OrderBy = convert_model(value, _ORDER)
    return built


def query(
    value: Any,
    using: str | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    resolve: Resolve = no_points,
) -> Any:
    """Convert a query: nearest points, a fusion of prefetches, a formula and so on, or None.

    Args:
        value: A query, or a value that means ``NearestQuery``: numbers, a NumPy array, a sparse
            vector, rows of numbers, the id of a point.
        using: The vector that is searched; None is the unnamed one.
        limit: The limit of the stage, which is the default number of candidates of MMR.
        resolve: Returns the vectors of ids.

    Raises:
        NotSupportedByEdgeError: If the engine lacks it.
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


def _nearest(value: models.NearestQuery, stage: _Stage) -> Any:
    require_only(value, "nearest", "mmr")
    vector = example(value.nearest, stage.resolve)
    if value.mmr is None:
        return edge.Query.Nearest(vector, using=stage.using)
    if isinstance(vector, edge.SparseVector):
        raise NotSupportedByEdgeError(
            what="NearestQuery.mmr of a sparse vector",
            why="the engine compares found points by dense vectors only",
        )
    return convert_model(
        value.mmr,
        Table(
            make=edge.Mmr,
            fields={"diversity": lambda diversity: 1 - diversity, "candidates_limit": unchanged},
            names={"diversity": "lambda_"},
            required={"lambda_": _MMR_LAMBDA, "candidates_limit": stage.limit},
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
    strategy = convert_model(given.strategy.naive, _NAIVE)
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
    scoring = None if given.scoring is None else convert_model(given.scoring.bm25, _BM25)
    return edge.TextQuery(stage.using, given.query, scoring)


def _start(value: Any) -> Any:
    return value if isinstance(value, int | float) else instant(value)


_ORDER = Table(
    make=edge.OrderBy,
    fields={
        "key": unchanged,
        "direction": to_engine(models.Direction),
        "start_from": _start,
    },
)
_RRF = Table(
    make=edge.Fusion.Rrf, fields={"k": unchanged, "weights": unchanged}, required={"k": RRF_K}
)
_NAIVE = Table(make=edge.NaiveFeedbackStrategy, fields=dict.fromkeys("abc", unchanged))
_BM25 = Table(make=edge.Bm25Params, fields={"k": unchanged, "b": unchanged})
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
    models.RrfQuery: lambda value, _: convert_model(value.rrf, _RRF),
    models.FormulaQuery: lambda value, _: formula(value),
    models.SampleQuery: lambda value, _: to_engine(models.Sample)(value.sample),
    models.TextQuery: _text,
}
