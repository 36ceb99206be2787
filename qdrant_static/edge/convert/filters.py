"""Converts filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.bounds import check_number, check_ring
from qdrant_static.edge.convert.dicts import parsed
from qdrant_static.edge.convert.modeltables import (
    Table,
    convert_model,
    convert_one_of,
    fields_set,
    unchanged,
    unsupported,
)
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import checked_id


def optional_filter(value: models.Filter | None) -> edge.Filter | None:
    """Convert a filter, or None."""
    return None if value is None else filter_(value)


def filter_(value: models.Filter) -> edge.Filter:
    """Convert a filter."""
    built: edge.Filter = convert_model(parsed(value, models.Filter, "filter"), _FILTER)
    return built


def narrowed(
    value: models.Filter | None,
    *,
    must: Iterable[models.Condition] = (),
    must_not: Iterable[models.Condition] = (),
) -> models.Filter | None:
    """Return a copy of a filter with further conditions."""
    must, must_not = list(must), list(must_not)
    if not must and not must_not:
        return value
    value = parsed(value, models.Filter, "filter") or models.Filter()
    return models.Filter.model_construct(
        must=[*_listed(value.must), *must] or None,
        must_not=[*_listed(value.must_not), *must_not] or None,
        should=value.should,
        min_should=value.min_should,
    )


def condition(value: models.Condition) -> Any:
    """Convert one condition of a filter or of a formula."""
    if isinstance(value, models.Filter):
        return filter_(value)
    convert = _CONDITIONS.get(type(value))
    if convert is None:
        raise unsupported(value, "a filter's condition")
    return convert(value)


def geo_point(value: models.GeoPoint) -> edge.GeoPoint:
    """Convert a geographical point, in degrees."""
    check_number("GeoPoint.lon", value.lon)
    check_number("GeoPoint.lat", value.lat)
    return edge.GeoPoint(value.lon, value.lat)


def instant(value: Any) -> str:
    """Return a date or time as the engine parses it; without a time zone it is UTC."""
    return value if isinstance(value, str) else str(value.isoformat())


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _conditions(value: Any) -> list[Any]:
    return [condition(one) for one in _listed(value)]


def _field_condition(value: models.FieldCondition) -> edge.FieldCondition:
    if [name for name, _ in fields_set(value)] == ["key"]:
        raise ArgumentError(field=f"FieldCondition of {value.key!r}", problem="it has no condition")
    built: edge.FieldCondition = convert_model(value, _FIELD)
    return built


def _range(value: Any) -> Any:
    """Convert a range; a date range without bounds becomes a number range, as on a server."""
    if isinstance(value, models.DatetimeRange) and not list(fields_set(value)):
        value = models.Range()
    return convert_one_of(value, _RANGES, "a range")


def _match_value(value: Any) -> Any:
    """Return a bool as NumPy's: the binding reads Python's as the numbers 0 and 1."""
    return np.bool_(value) if isinstance(value, bool) else value


def _exterior(line: models.GeoLineString) -> list[edge.GeoPoint]:
    check_ring("GeoPolygon.exterior", line.points)
    return [geo_point(point) for point in line.points]


def _interiors(lines: Sequence[models.GeoLineString]) -> list[list[edge.GeoPoint]]:
    for line in lines:
        check_ring("GeoPolygon.interiors", line.points)
    return [[geo_point(point) for point in line.points] for line in lines]


_SIDES: tuple[str, ...] = ("lt", "gt", "lte", "gte")
_RANGES: Mapping[type, Table] = {
    models.Range: Table(make=edge.RangeFloat, fields=dict.fromkeys(_SIDES, unchanged)),
    models.DatetimeRange: Table(make=edge.RangeDateTime, fields=dict.fromkeys(_SIDES, instant)),
}
_MATCHES: Mapping[type, Table] = {
    models.MatchValue: Table(make=edge.MatchValue, fields={"value": _match_value}),
    models.MatchText: Table(make=edge.MatchText, fields={"text": unchanged}),
    models.MatchTextAny: Table(make=edge.MatchTextAny, fields={"text_any": unchanged}),
    models.MatchPhrase: Table(make=edge.MatchPhrase, fields={"phrase": unchanged}),
    models.MatchPrefix: Table(make=edge.MatchPrefix, fields={"prefix": unchanged}),
    models.MatchSubstring: Table(make=edge.MatchSubstring, fields={"substring": unchanged}),
    models.MatchAny: Table(make=edge.MatchAny, fields={"any": list}),
    models.MatchExcept: Table(
        make=edge.MatchExcept, fields={"except_": list}, names={"except_": "except"}
    ),
}
_BOX = Table(make=edge.GeoBoundingBox, fields={"top_left": geo_point, "bottom_right": geo_point})
_RADIUS = Table(make=edge.GeoRadius, fields={"center": geo_point, "radius": unchanged})
_POLYGON = Table(
    make=edge.GeoPolygon,
    fields={"exterior": _exterior, "interiors": _interiors},
)
_COUNT = Table(make=edge.ValuesCount, fields=dict.fromkeys(_SIDES, unchanged))
_FIELD = Table(
    make=edge.FieldCondition,
    fields={
        "key": unchanged,
        "match": lambda value: convert_one_of(value, _MATCHES, "a match"),
        "range": _range,
        "geo_bounding_box": lambda value: convert_model(value, _BOX),
        "geo_radius": lambda value: convert_model(value, _RADIUS),
        "geo_polygon": lambda value: convert_model(value, _POLYGON),
        "values_count": lambda value: convert_model(value, _COUNT),
        "is_empty": unchanged,
        "is_null": unchanged,
    },
)
_SLICE = Table(
    make=edge.SliceCondition,  # type: ignore[attr-defined]  # not in the binding's stub
    fields={"total": unchanged, "index": unchanged},
)
_NESTED = Table(make=edge.NestedCondition, fields={"key": unchanged, "filter": filter_})
_MIN_SHOULD = Table(make=edge.MinShould, fields={"conditions": _conditions, "min_count": unchanged})
_FILTER = Table(
    make=edge.Filter,
    fields={
        "must": _conditions,
        "should": _conditions,
        "must_not": _conditions,
        "min_should": lambda value: convert_model(value, _MIN_SHOULD),
    },
)
_CONDITIONS: Mapping[type, Callable[[Any], Any]] = {
    models.FieldCondition: _field_condition,
    models.HasIdCondition: lambda value: edge.HasIdCondition(
        {checked_id(one) for one in value.has_id}
    ),
    models.HasVectorCondition: lambda value: edge.HasVectorCondition(value.has_vector),
    models.IsEmptyCondition: lambda value: edge.IsEmptyCondition(value.is_empty.key),
    models.IsNullCondition: lambda value: edge.IsNullCondition(value.is_null.key),
    models.NestedCondition: lambda value: convert_model(value.nested, _NESTED),
    models.SliceCondition: lambda value: convert_model(value.slice, _SLICE),
}
