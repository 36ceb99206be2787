"""Search requests of one or several stages, and how a vector is searched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.bounds import check_number
from qdrant_static.edge.convert.dicts import parsed
from qdrant_static.edge.convert.filters import filter_, narrowed, optional_filter
from qdrant_static.edge.convert.modeltables import Table, convert_model, require_only, unchanged
from qdrant_static.edge.convert.points import with_payload, with_vectors
from qdrant_static.edge.convert.queries import DEFAULT_LIMIT, query
from qdrant_static.edge.convert.queryvectors import Resolve, no_points
from qdrant_static.errors import ArgumentError

#: Returns the `Resolve` of a stage, whose ids may be those of another collection.
Resolver = Callable[[models.LookupLocation | None, str | None], Resolve]


def without_points(location: models.LookupLocation | None, using: str | None) -> Resolve:
    """Return a `Resolve` that raises an error for ids."""
    return no_points


def search_params(params: models.SearchParams | None) -> edge.SearchParams | None:
    """Convert the settings of a vector search."""
    if params is None:
        return None
    return convert_model(parsed(params, models.SearchParams, "search_params"), _SEARCH)  # type: ignore[no-any-return]


def prefetches(
    value: models.Prefetch | Iterable[models.Prefetch] | None,
    resolver: Resolver = without_points,
) -> list[edge.Prefetch] | None:
    """Convert prefetches, to any depth."""
    return [_prefetch(stage, resolver) for stage in listed(value)] or None


def query_request(
    request: models.QueryRequest,
    resolver: Resolver = without_points,
    *,
    excluded: Iterable[int | str] = (),
) -> edge.QueryRequest:
    """Convert a search request.

    Args:
        request: The request.
        resolver: Returns the vectors of the points that it names.
        excluded: Points to exclude from the result: those that it names.
    """
    require_only(
        request, "prefetch", "query", "using", "filter", "params", "score_threshold", "limit",
        "offset", "with_vector", "with_payload", "lookup_from",
    )  # fmt: skip
    limit = DEFAULT_LIMIT if request.limit is None else request.limit
    for name, number in (("limit", limit), ("offset", request.offset or 0)):
        check_number(f"QueryRequest.{name}", number)
    _check_stage(request)
    # As on a server: random points have no order, so there are no first ones to skip.
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
    """Return prefetches as a list; one may be given without a list."""
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
        "using": unchanged,
        "filter": filter_,
        "params": search_params,
        "score_threshold": unchanged,
        "limit": unchanged,
        "lookup_from": unchanged,
    }
    built: edge.Prefetch = convert_model(
        stage, Table(make=_make_prefetch, fields=fields), limit=limit
    )
    return built


def _make_prefetch(
    *, prefetch: Any = None, using: Any = None, lookup_from: Any = None, **arguments: Any
) -> edge.Prefetch:
    """Drop ``using`` and ``lookup_from``, which are in the converted query."""
    return edge.Prefetch(prefetches=prefetch, **arguments)


def _check_stage(stage: models.QueryRequest | models.Prefetch) -> None:
    """Raise an error for what a server refuses and the engine accepts."""
    kind = type(stage).__name__
    query_of_stage = stage.query
    if listed(stage.prefetch) and query_of_stage is None:
        raise ArgumentError(field=f"{kind}.prefetch", problem="a query is needed that merges them")
    if stage.score_threshold is not None and (
        query_of_stage is None or isinstance(query_of_stage, models.OrderByQuery)
    ):
        raise ArgumentError(field=f"{kind}.score_threshold", problem="the query gives no scores")
    if stage.score_threshold is not None:
        check_number(f"{kind}.score_threshold", stage.score_threshold)
    if stage.using and isinstance(
        query_of_stage, models.FusionQuery | models.RrfQuery | models.Fusion
    ):
        raise ArgumentError(field=f"{kind}.using", problem="a fusion searches no vector of its own")
    if stage.lookup_from is not None:
        require_only(stage.lookup_from, "collection", "vector")


def _idf(value: models.IdfParams) -> edge.IdfParams:
    """Convert the corpus of the IDF: all points, or those of a filter."""
    if isinstance(value, models.IdfCorpusParams):
        return convert_model(value, _IDF)  # type: ignore[no-any-return]
    models.IdfScope(value)  # the only scope is global, which is the engine's default
    return edge.IdfParams()


_QUANTIZATION = Table(
    make=edge.QuantizationSearchParams,
    fields={"ignore": unchanged, "rescore": unchanged, "oversampling": unchanged},
)
_ACORN = Table(
    make=edge.AcornSearchParams, fields={"enable": unchanged, "max_selectivity": unchanged}
)
_IDF = Table(make=edge.IdfParams, fields={"corpus": filter_})
_SEARCH = Table(
    make=edge.SearchParams,
    fields={
        "hnsw_ef": unchanged,
        "exact": unchanged,
        "indexed_only": unchanged,
        "quantization": lambda value: convert_model(value, _QUANTIZATION),
        "acorn": lambda value: convert_model(value, _ACORN),
        "idf": _idf,
    },
)
