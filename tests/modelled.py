"""Models of the client, generated from their own annotations, and what the engine made of them.

`model` draws any model with any of its fields set. `said` tells what such a model says, `read`
what an object of the binding says, both as plain data, so that the two can be compared without
using any of the tables that brought the one to the other.
"""

from __future__ import annotations

import functools
import math
import types
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin
from uuid import UUID

import qdrant_edge as edge
from hypothesis import strategies as st
from pydantic import BaseModel
from qdrant_client import models
from qdrant_client.http.models import models as rest

_NAMES = st.from_regex(r"\A[a-z][a-z0-9_]{0,5}\Z")
_FLOATS = st.floats(-1e6, 1e6, width=32, allow_nan=False)

#: Fields whose values a server takes only within limits, or whose type says too little.
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "VectorParams.size": st.integers(1, 65_536),
    "HnswConfigDiff.ef_construct": st.integers(4, 500),
    "HnswConfigDiff.full_scan_threshold": st.integers(10, 100_000),
    "ScalarQuantizationConfig.quantile": st.floats(0.5, 1, width=32),
    "OptimizersConfigDiff.deleted_threshold": st.floats(0, 1),
    "OptimizersConfigDiff.vacuum_min_vector_number": st.integers(100, 100_000),
    "OptimizersConfigDiff.max_segment_size": st.integers(1, 100_000),
    "QuantizationSearchParams.oversampling": st.floats(1, 100, width=32),
    "AcornSearchParams.max_selectivity": st.floats(0, 1),
    "Mmr.diversity": st.floats(0, 1, width=16),
    "Mmr.candidates_limit": st.integers(0, 16_384),
    "Rrf.k": st.integers(1, 1000),
    "MinShould.min_count": st.integers(1, 1000),
    "IntegerIndexParams.range": st.just(True),
    "Prefetch.limit": st.integers(1, 1000),
    "NaiveFeedbackStrategyParams.b": st.floats(0, 10, width=32),
    "RelevanceFeedbackInput.feedback": st.lists(
        st.builds(models.FeedbackItem, example=st.lists(_FLOATS, min_size=1), score=_FLOATS),
        min_size=1,
    ),
    "HasIdCondition.has_id": st.lists(st.integers(0, 2**64 - 1) | st.uuids().map(str), max_size=3),
    "GeoPoint.lon": st.floats(-180, 180),
    "GeoPoint.lat": st.floats(-90, 90),
    "Range": st.floats(-1e9, 1e9),
    "GeoRadius.radius": st.floats(0, 1e6),
    "RecommendInput.strategy": st.sampled_from(["best_score", "sum_scores"]),
}
_TYPES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(0, 2**31),
    float: _FLOATS,
    bool: st.booleans(),
    str: _NAMES,
    UUID: st.uuids(),
    datetime: st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    date: st.dates(date(1970, 1, 1), date(2100, 1, 1)),
    Any: st.none(),
    models.GeoPolygon: st.builds(
        lambda lon, lat: models.GeoPolygon(
            exterior=models.GeoLineString(
                points=[
                    models.GeoPoint(lon=lon + x, lat=lat + y)
                    for x, y in ((0, 0), (1, 0), (1, 1), (0, 0))
                ]
            )
        ),
        st.floats(-170, 170),
        st.floats(-80, 80),
    ),
    models.Slice: st.builds(
        lambda total, index: models.Slice(total=total, index=index % total),
        st.integers(1, 100),
        st.integers(0, 100),
    ),
    models.SparseVector: st.dictionaries(st.integers(0, 1000), _FLOATS, max_size=4).map(
        lambda pairs: models.SparseVector(indices=list(pairs), values=list(pairs.values()))
    ),
}


@functools.cache
def model(kind: type[BaseModel], depth: int = 3, *without: str) -> st.SearchStrategy[Any]:
    """Any model of a kind, its optional fields set or not.

    Args:
        kind: The model.
        depth: How many models may stand in one another.
        without: Fields never set, as "Model.field".
    """
    if kind in _TYPES:
        return _TYPES[kind]

    @st.composite
    def build(draw: st.DrawFn) -> Any:
        values = {}
        for name, info in kind.model_fields.items():
            if f"{kind.__name__}.{name}" in without:
                continue
            if not info.is_required() and (depth <= 0 or draw(st.booleans())):
                continue
            known = (f"{kind.__name__}.{name}", kind.__name__)
            strategy = next((_FIELDS[one] for one in known if one in _FIELDS), None)
            if strategy is None:
                strategy = _values(info.annotation, depth - 1, without)
            values[info.alias or name] = draw(strategy)
        return kind(**values)

    return build()


@functools.cache
def _values(annotation: Any, depth: int, without: tuple[str, ...]) -> st.SearchStrategy[Any]:
    if isinstance(annotation, ForwardRef | str):
        name = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        return _values(getattr(rest, name), depth, without)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):  # Annotated: StrictFloat and its kind
        return _values(arguments[0], depth, without)
    if origin in (Union, types.UnionType):
        found = [one for one in arguments if one is not type(None) and str(one) not in without]
        plain = [one for one in found if not _is_model(one)]
        chosen = found
        if depth <= 0:  # what holds no models, or the least of them
            flat = [one for one in found if _kind(one) in _FLAT]
            chosen = plain or flat or found
        return st.one_of([_values(one, depth, without) for one in chosen])
    if origin is list:
        return st.lists(_values(arguments[0], depth, without), min_size=1, max_size=2)
    if origin is dict:
        return st.dictionaries(_NAMES, _values(arguments[1], depth, without), max_size=2)
    if origin is Literal:
        return st.sampled_from(arguments)
    if annotation in _TYPES:
        return _TYPES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return st.sampled_from(list(annotation))
    return model(annotation, depth, *without)


#: Models that end the depth of those that can hold one another.
_FLAT = (models.HasVectorCondition, models.IsNullCondition, models.MatchValue, models.Range)


def _kind(annotation: Any) -> Any:
    if isinstance(annotation, ForwardRef | str):
        name = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        return getattr(rest, name)
    return annotation


def _is_model(annotation: Any) -> bool:
    kind = _kind(annotation)
    return isinstance(kind, type) and issubclass(kind, BaseModel)


#: Models that only wrap what the engine takes without a wrapper.
_WRAPPERS = {
    models.IsEmptyCondition: "is_empty",
    models.IsNullCondition: "is_null",
    models.NestedCondition: "nested",
    models.SliceCondition: "slice",
    models.GeoLineString: "points",
    models.ScalarQuantization: "scalar",
    models.ProductQuantization: "product",
    models.BinaryQuantization: "binary",
    models.TurboQuantization: "turbo",
}
#: Fields that the binding calls by another name.
_RENAMED = {
    "MatchAny.any": "value",
    "MatchExcept.except_": "value",
    "HasIdCondition.has_id": "point_ids",
    "HasVectorCondition.has_vector": "vector",
}


def said(value: Any) -> Any:
    """What a model says, in the binding's names; what is not set, or a default, is not there."""
    if type(value) in _WRAPPERS:
        return said(getattr(value, _WRAPPERS[type(value)]))
    if isinstance(value, BaseModel):
        return _words(value)
    if value is models.IdfScope.GLOBAL:
        return {}
    if isinstance(value, Enum):
        return str(value.value).replace("_", "").lower()
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    return _plain(value, said)


def _words(value: BaseModel) -> dict[str, Any]:
    words = {
        _RENAMED.get(f"{type(value).__name__}.{name}", name): said(getattr(value, name))
        for name in type(value).model_fields
    }
    if isinstance(value, models.HasIdCondition):
        words["point_ids"] = sorted(set(map(str, value.has_id)))
    if isinstance(value, models.MatchAny | models.MatchExcept):
        words["value"] = list(dict.fromkeys(words["value"]))
    if isinstance(value, models.Filter):
        for side in ("must", "should", "must_not"):
            if isinstance(words[side], dict):  # one condition without a list
                words[side] = [words[side]]
    return {name: word for name, word in words.items() if word is not None and word is not False}


def read(value: Any) -> Any:
    """What an object of the binding says; None and False are as good as not there."""
    if isinstance(value, edge.RangeDateTime):
        sides = {side: getattr(value, side) for side in ("lt", "gt", "lte", "gte")}
        return {
            side: datetime.fromisoformat(text.removesuffix(" UTC"))
            for side, text in sides.items()
            if text
        }
    if type(value).__module__ == "builtins" and type(value) not in _PLAIN:
        if hasattr(type(value), "__int__"):  # an enumeration
            return str(value).rpartition(".")[2].replace("_", "").lower()
        words = {
            name: read(getattr(value, name))
            for name in dir(value)
            if not name.startswith("_") and not isinstance(getattr(value, name), type)
        }
        if "point_ids" in words:
            words["point_ids"] = sorted(map(str, value.point_ids))
        return {
            name: word for name, word in words.items() if word is not None and word is not False
        }
    return _plain(value, read)


_PLAIN = (int, float, bool, str, list, tuple, set, dict, type(None))


def _plain(value: Any, walk: Any) -> Any:
    if isinstance(value, list | tuple):
        return [walk(one) for one in value]
    if isinstance(value, set):
        return sorted(str(walk(one)) for one in value)
    if isinstance(value, dict):
        return {name: walk(one) for name, one in value.items()}
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.6g}")  # the engine keeps 32 bits of some numbers, 64 of others
    return value
