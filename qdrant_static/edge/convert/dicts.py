"""Dictionaries in the place of the client's models, which the client takes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from qdrant_client import models

from qdrant_static.errors import SpecError


def parsed(value: Any, kind: Any, field: str) -> Any:
    """A model in the place of a dictionary, or of a list that holds some; else the value itself.

    Args:
        value: What the caller gave.
        kind: The model, or a union of models.
        field: What it is called, for an error.

    Raises:
        SpecError: If the dictionary is none of these; it says where.
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
        raise SpecError(
            field=field,
            problem=f"{first['msg'].lower()} at {where!r}" if where else first["msg"].lower(),
        ) from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def parsed_request(request: models.QueryRequest) -> models.QueryRequest:
    """A request whose parts are models, whatever they were given as.

    Raises:
        SpecError: If a dictionary is none of what may stand there.
    """
    changed = {
        name: new
        for name, kind in _PARTS.items()
        if (old := getattr(request, name, None)) is not None
        and (new := parsed(old, kind, name)) is not old
    }
    return request.model_copy(update=changed) if changed else request


def parsed_stages(query: Any, prefetch: Any) -> tuple[Any, Any]:
    """A query and its prefetches as models; errors as `parsed_request`."""
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
