"""Checks that a server makes and the engine's binding does not.

The types of the engine check little: an impossible number is stored, read as something else, or
causes a panic much later. The bounds are those of the ``#[validate(...)]`` attributes in the
server's sources (1.18), by models and fields of the client.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from qdrant_client import models

from qdrant_static.errors import ArgumentError

_LARGEST_INTEGER = 2**64 - 1
_LARGEST_INDEX = 2**32 - 1
_VECTOR_NAME_BYTES = 200
_VECTOR_NAME_FORBIDDEN = '<>:"/\\|?*\0\x1f'
_RING_POINTS = 4


@dataclass(frozen=True, slots=True)
class _Bound:
    """The smallest and the largest value of a number, and whether it is an integer."""

    least: float
    most: float
    integer: bool


def _number(least: float, most: float = math.inf) -> _Bound:
    return _Bound(least, most, integer=False)


def _integer(least: int, most: int = _LARGEST_INTEGER) -> _Bound:
    return _Bound(least, most, integer=True)


_BOUNDS: Mapping[str, _Bound] = MappingProxyType(
    {
        "VectorParams.size": _integer(1, 65_536),
        "DenseVectorConfig.size": _integer(1, 65_536),
        "HnswConfigDiff.ef_construct": _integer(4),
        "HnswConfigDiff.full_scan_threshold": _integer(10),
        "HnswConfigDiff.m": _integer(0),
        "HnswConfigDiff.payload_m": _integer(0),
        "HnswConfigDiff.max_indexing_threads": _integer(0),
        "ScalarQuantizationConfig.quantile": _number(0.5, 1),
        "OptimizersConfigDiff.deleted_threshold": _number(0, 1),
        "OptimizersConfigDiff.vacuum_min_vector_number": _integer(100),
        "OptimizersConfigDiff.default_segment_number": _integer(0),
        "OptimizersConfigDiff.max_segment_size": _integer(1),
        "OptimizersConfigDiff.indexing_threshold": _integer(0),
        "SparseIndexParams.full_scan_threshold": _integer(0),
        "SearchParams.hnsw_ef": _integer(0),
        "QuantizationSearchParams.oversampling": _number(1),
        "AcornSearchParams.max_selectivity": _number(0, 1),
        "Mmr.diversity": _number(0, 1),
        "Mmr.candidates_limit": _integer(0, 16_384),
        "Rrf.k": _integer(1),
        "Prefetch.limit": _integer(1),
        "Prefetch.score_threshold": _number(-math.inf),
        "QueryRequest.limit": _integer(1),
        "QueryRequest.offset": _integer(0),
        "QueryRequest.score_threshold": _number(-math.inf),
        "NaiveFeedbackStrategyParams.a": _number(-math.inf),
        "NaiveFeedbackStrategyParams.b": _number(0),
        "NaiveFeedbackStrategyParams.c": _number(-math.inf),
        # A server takes 0, and then every point matches: with `delete`, all points are gone.
        "MinShould.min_count": _integer(1),
        "Range.lt": _number(-math.inf),
        "Range.gt": _number(-math.inf),
        "Range.lte": _number(-math.inf),
        "Range.gte": _number(-math.inf),
        "GeoPoint.lon": _number(-180, 180),
        "GeoPoint.lat": _number(-90, 90),
        "GeoRadius.radius": _number(-math.inf),
        "ValuesCount.lt": _integer(0),
        "ValuesCount.gt": _integer(0),
        "ValuesCount.lte": _integer(0),
        "ValuesCount.gte": _integer(0),
        "Slice.total": _integer(1),
        "Slice.index": _integer(0),
        "TextIndexParams.min_token_len": _integer(0),
        "TextIndexParams.max_token_len": _integer(0),
        "Bm25Params.k": _number(-math.inf),
        "Bm25Params.b": _number(-math.inf),
        # Arguments of methods.
        "limit": _integer(1),
        "group_size": _integer(1),
        "sample": _integer(2),
        "shard_number": _integer(1, _LARGEST_INDEX),
        "count": _integer(0),
    }
)


def check_number(name: str, value: Any) -> None:
    """Raise an error for a number that a server refuses, or a value that is no number.

    Raises:
        ArgumentError: If it is; names the field, the value and the bounds.
    """
    bound = _BOUNDS.get(name)
    if isinstance(value, float) and math.isnan(value):
        raise ArgumentError(field=name, problem="it is not a number (NaN)")
    if bound is None:
        return
    try:
        number = operator.index(value) if bound.integer else value
        inside = bound.least <= number <= bound.most
    except TypeError:
        kind = "an integer" if bound.integer else "a number"
        raise ArgumentError(field=name, problem=f"must be {kind}, not {value!r}") from None
    if not inside:
        raise ArgumentError(field=name, problem=f"must be {_limits(bound)}, not {value}")


def _limits(bound: _Bound) -> str:
    if bound.most in (_LARGEST_INTEGER, math.inf):
        limit = " and at most 2**64 - 1" if bound.integer else ""
        return f"at least {bound.least}{limit}"
    return f"at least {bound.least} and at most {bound.most}"


def check_vectors(
    dense: Mapping[str, models.VectorParams], sparse: Mapping[str, models.SparseVectorParams]
) -> None:
    """Raise an error for names and types of vectors that a server refuses.

    Names become folders of the engine: a name that no folder can have would fail half-way, and two
    vectors of one name would write into the same files.

    Raises:
        ArgumentError: If one is; names the vector.
    """
    for name in (*dense, *sparse):
        _check_vector_name(name)
    for name, params in sparse.items():
        if not name:
            raise ArgumentError(
                field="sparse_vectors_config", problem="a sparse vector needs a name"
            )
        if name in dense:
            raise ArgumentError(
                field=f"vector {name!r}", problem="a dense and a sparse vector have this name"
            )
        if params.index is not None and params.index.datatype == "turbo4":
            raise ArgumentError(
                field=f"vector {name!r}", problem="a sparse vector cannot have the datatype turbo4"
            )


def _check_vector_name(name: Any) -> None:
    problem = None
    if not isinstance(name, str):
        problem = "it is not a string"
    elif len(name.encode("utf-8", "surrogatepass")) > _VECTOR_NAME_BYTES:
        problem = f"it has more than {_VECTOR_NAME_BYTES} bytes"
    elif bad := [char for char in name if char in _VECTOR_NAME_FORBIDDEN]:
        problem = f"it contains {bad[0]!r}"
    if problem is not None:
        raise ArgumentError(field=f"vector name {name!r}", problem=problem)


def check_indices(indices: Iterable[Any]) -> None:
    """Raise an error for indices of a sparse vector that are not unsigned 32-bit integers.

    Raises:
        ArgumentError: If one is not; names the first.
    """
    for index in indices:
        if not 0 <= index <= _LARGEST_INDEX:
            raise ArgumentError(
                field="SparseVector.indices",
                problem=f"must be at least 0 and at most {_LARGEST_INDEX}, not {index}",
            )


def check_ring(field: str, points: Sequence[models.GeoPoint]) -> None:
    """Raise an error for a line of a polygon that encloses no area.

    Raises:
        ArgumentError: If it has fewer than four points, or does not end where it begins.
    """
    if len(points) < _RING_POINTS:
        raise ArgumentError(
            field=field, problem=f"must have at least {_RING_POINTS} points, not {len(points)}"
        )
    first, last = points[0], points[-1]
    if (first.lon, first.lat) != (last.lon, last.lat):
        raise ArgumentError(field=field, problem="must end at the point where it begins")
