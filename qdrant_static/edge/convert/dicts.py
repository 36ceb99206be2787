"""Parses dictionaries given in place of the client's models, as the client does."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from qdrant_client import models

from qdrant_static.errors import ArgumentError


def parsed(value: Any, kind: Any, field: str) -> Any:
    """Return the model of a dictionary, also inside a list; any other value unchanged.

    Args:
        value: The value given by the caller.
        kind: The model, or a union of models.
        field: The name of the argument, for errors.

    Raises:
        ArgumentError: If the dictionary does not fit; names the place.
    """
    if isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        return [parsed(one, kind, f"{field}[{place}]") for place, one in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    try:
        return _adapter(kind).validate_python(dict(value))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ArgumentError(
            field=field,
            problem=f"{first['msg'].lower()} at {where!r}" if where else first["msg"].lower(),
        ) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def parsed_points(points: Any, kind: Any) -> Any:
    """Return points as models, or a batch; either may be given as dictionaries.

    Args:
        points: A batch, a list of the client's, or any iterable of points.
        kind: The model of one point.

    Raises:
        ArgumentError: If a dictionary does not fit; names the place.
    """
    if isinstance(points, Mapping):
        points = parsed(points, models.PointsList | models.Batch, "points")
    if isinstance(points, models.PointsList):
        points = points.points
    if isinstance(points, models.Batch):
        return points
    return parsed(points if isinstance(points, list) else list(points), kind, "points")


def parsed_collection(**settings: Any) -> dict[str, Any]:
    """Return settings of a collection as models, by the parameters of ``create_collection``.

    Raises:
        ArgumentError: If a dictionary does not fit.
    """
    return {name: parsed(one, _SETTINGS[name], name) for name, one in settings.items()}


def parsed_vectors(config: Any) -> Any:
    """Return the dense vectors of a collection as models: one unnamed, or several by name.

    Raises:
        ArgumentError: If a dictionary is neither; names the place.
    """
    if isinstance(config, Mapping):
        unnamed = isinstance(config.get("size"), int)
        kind = models.VectorParams if unnamed else dict[str, models.VectorParams]
        return parsed(config, kind, "vectors_config")
    return config


def parsed_request(request: models.QueryRequest) -> models.QueryRequest:
    """Return a request with models in all its fields.

    Raises:
        ArgumentError: If a dictionary does not fit.
    """
    request = parsed(request, models.QueryRequest, "requests")
    changed = {
        name: new
        for name, kind in _PARTS.items()
        if (old := getattr(request, name, None)) is not None
        and (new := parsed(old, kind, name)) is not old
    }
    return request.model_copy(update=changed) if changed else request


def parsed_stages(query: Any, prefetch: Any) -> tuple[Any, Any]:
    """Return a query and its prefetches as models; errors as `parsed_request`."""
    return (
        parsed(query, _PARTS["query"], "query"),
        parsed(prefetch, _PARTS["prefetch"], "prefetch"),
    )


_PARTS: Mapping[str, Any] = {
    "query": models.Query | models.SparseVector,
    "prefetch": models.Prefetch,
    "filter": models.Filter,
    "params": models.SearchParams,
    "lookup_from": models.LookupLocation,
}
_SETTINGS: Mapping[str, Any] = {
    "sparse_vectors_config": dict[str, models.SparseVectorParams],
    "hnsw_config": models.HnswConfigDiff,
    "optimizers_config": models.OptimizersConfigDiff,
    "quantization_config": models.QuantizationConfig,
    "payload": models.PayloadStorageParams,
    "id_tracker": models.IdTrackerParams,
    "collection_params": models.CollectionParamsDiff,
}
