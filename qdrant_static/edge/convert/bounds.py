"""What a server's validation of requests refuses and the engine's binding would take.

The binding builds the engine's own types, and these check little: an impossible number is stored,
read as something else, or panics much later. The bounds are those of the ``#[validate(...)]``
attributes in the server's sources (1.18), by the client's models and fields.
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

_LARGEST_WHOLE = 2**64 - 1
_LARGEST_INDEX = 2**32 - 1
_VECTOR_NAME_BYTES = 200
_VECTOR_NAME_FORBIDDEN = '<>:"/\\|?*\0\x1f'
_RING_POINTS = 4


@dataclass(frozen=True, slots=True)
class _Bound:
    """The smallest and the largest value of a number, and whether it is a whole one."""

    least: float
    most: float
    whole: bool


def _number(least: float, most: float = math.inf) -> _Bound:
    return _Bound(least, most, whole=False)


def _whole(least: int, most: int = _LARGEST_WHOLE) -> _Bound:
    return _Bound(least, most, whole=True)


_BOUNDS: Mapping[str, _Bound] = MappingProxyType(
    {
        "VectorParams.size": _whole(1, 65_536),
        "DenseVectorConfig.size": _whole(1, 65_536),
        "HnswConfigDiff.ef_construct": _whole(4),
        "HnswConfigDiff.full_scan_threshold": _whole(10),
        "HnswConfigDiff.m": _whole(0),
        "HnswConfigDiff.payload_m": _whole(0),
        "HnswConfigDiff.max_indexing_threads": _whole(0),
        "ScalarQuantizationConfig.quantile": _number(0.5, 1),
        "OptimizersConfigDiff.deleted_threshold": _number(0, 1),
        "OptimizersConfigDiff.vacuum_min_vector_number": _whole(100),
        "OptimizersConfigDiff.default_segment_number": _whole(0),
        "OptimizersConfigDiff.max_segment_size": _whole(1),
        "OptimizersConfigDiff.indexing_threshold": _whole(0),
        "SparseIndexParams.full_scan_threshold": _whole(0),
        "SearchParams.hnsw_ef": _whole(0),
        "QuantizationSearchParams.oversampling": _number(1),
        "AcornSearchParams.max_selectivity": _number(0, 1),
        "Mmr.diversity": _number(0, 1),
        "Mmr.candidates_limit": _whole(0, 16_384),
        "Rrf.k": _whole(1),
        "Prefetch.limit": _whole(1),
        "Prefetch.score_threshold": _number(-math.inf),
        "QueryRequest.limit": _whole(1),
        "QueryRequest.offset": _whole(0),
        "QueryRequest.score_threshold": _number(-math.inf),
        "NaiveFeedbackStrategyParams.a": _number(-math.inf),
        "NaiveFeedbackStrategyParams.b": _number(0),
        "NaiveFeedbackStrategyParams.c": _number(-math.inf),
        # A server takes 0, and then every point matches: with `delete`, all points are gone.
        "MinShould.min_count": _whole(1),
        "Range.lt": _number(-math.inf),
        "Range.gt": _number(-math.inf),
        "Range.lte": _number(-math.inf),
        "Range.gte": _number(-math.inf),
        "GeoPoint.lon": _number(-180, 180),
        "GeoPoint.lat": _number(-90, 90),
        "GeoRadius.radius": _number(-math.inf),
        "ValuesCount.lt": _whole(0),
        "ValuesCount.gt": _whole(0),
        "ValuesCount.lte": _whole(0),
        "ValuesCount.gte": _whole(0),
        "Slice.total": _whole(1),
        "Slice.index": _whole(0),
        "TextIndexParams.min_token_len": _whole(0),
        "TextIndexParams.max_token_len": _whole(0),
        "Bm25Params.k": _number(-math.inf),
        "Bm25Params.b": _number(-math.inf),
        # Arguments of methods.
        "limit": _whole(1),
        "group_size": _whole(1),
        "sample": _whole(2),
        "shard_number": _whole(1, _LARGEST_INDEX),
        "count": _whole(0),
    }
)


def check_number(name: str, value: Any) -> None:
    """Refuse a number that a server would refuse, and a value that is not a number at all.

    Raises:
        ArgumentError: It names the field, the value and the bounds.
    """
    bound = _BOUNDS.get(name)
    if isinstance(value, float) and math.isnan(value):
        raise ArgumentError(field=name, problem="it is not a number (NaN)")
    if bound is None:
        return
    try:
        number = operator.index(value) if bound.whole else value
        inside = bound.least <= number <= bound.most
    except TypeError:
        kind = "a whole number" if bound.whole else "a number"
        raise ArgumentError(field=name, problem=f"must be {kind}, not {value!r}") from None
    if not inside:
        raise ArgumentError(field=name, problem=f"must be {_limits(bound)}, not {value}")


def _limits(bound: _Bound) -> str:
    if bound.most in (_LARGEST_WHOLE, math.inf):
        limit = " and at most 2**64 - 1" if bound.whole else ""
        return f"at least {bound.least}{limit}"
    return f"at least {bound.least} and at most {bound.most}"


def check_vectors(
    dense: Mapping[str, models.VectorParams], sparse: Mapping[str, models.SparseVectorParams]
) -> None:
    """Refuse names and types of vectors that a server refuses.

    Names become folders of the engine: one that is no plain name of a folder would fail half-way,
    and two vectors of one name would write into the same files.

    Raises:
        ArgumentError: It names the vector.
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
    """Refuse indices of a sparse vector that are not unsigned integers of 32 bits.

    Raises:
        ArgumentError: It names the first one.
    """
    for index in indices:
        if not 0 <= index <= _LARGEST_INDEX:
            raise ArgumentError(
                field="SparseVector.indices",
                problem=f"must be at least 0 and at most {_LARGEST_INDEX}, not {index}",
            )


def check_ring(field: str, points: Sequence[models.GeoPoint]) -> None:
    """Refuse a line of a polygon that encloses nothing.

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
