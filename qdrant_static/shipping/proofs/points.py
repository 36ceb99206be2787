"""Proves that sampled points, their vectors and their payloads are those that were built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from qdrant_static.ids import plain_id
from qdrant_static.payloadcompare import same_payload
from qdrant_static.shipping.proofs.shipped import Proof, Shipped

#: The files are the same, and so are the numbers in them; but a vector that is stored as codes is
#: computed when it is read, and two processors may round differently. Relative to the vector's
#: largest component.
_ROUNDING = 1e-6
#: Points that are read in one request; with vectors they are large.
_PAGE = 100

#: The sampled points of each shard, as `EdgeClient.sample_points` gives them.
Samples = Sequence[Sequence[Any]]


def ids(shipped: Shipped, samples: Samples) -> Proof:
    """Prove that sampled points of every shard are found by their ids, on all replicas."""
    checked = 0
    for shard, page in _pages(samples):
        found = shipped.retrieve([point.id for point in page])
        checked += len(page)
        for point in page:
            if plain_id(point.id) not in found:
                raise shipped.refused("ids", _lost(point.id, shard))
    return Proof(name="ids", figure=checked, result=f"{checked:,} sampled points are found by id")


def vectors(shipped: Shipped, samples: Samples) -> Proof:
    """Prove that sampled vectors (dense, sparse and late) are as built, and can be searched.

    A server returns what the shard has, even if the collection has other vector names and
    dimensions; only a search compares them. So each vector of one point of every shard is searched
    for, with a filter for the point's id, so that no other point is compared.
    """
    checked = 0
    for shard, page in _pages(samples):
        found = shipped.retrieve([point.id for point in page], vectors=True)
        checked += len(page)
        for point in page:
            record = found.get(plain_id(point.id))
            if record is None:
                raise shipped.refused("vectors", _lost(point.id, shard))
            problem = vector_difference(vectors_of(point), vectors_of(record))
            if problem is not None:
                raise shipped.refused(
                    "vectors", f"point {plain_id(point.id)!r} of shard {shard}: {problem}"
                )
    for shard, points in enumerate(samples):
        for name, point in _first_with_each_vector(points).items():
            _require_searchable(shipped, shard, name, point)
    return Proof(
        name="vectors",
        figure=checked,
        result=f"all vectors of {checked:,} sampled points are as built, and can be searched",
    )


def _first_with_each_vector(points: Sequence[Any]) -> dict[str, Any]:
    first: dict[str, Any] = {}
    for point in points:
        for name, vector in vectors_of(point).items():
            if len(getattr(vector, "indices", vector)):  # a sparse vector may have no term
                first.setdefault(name, point)
    return first


def _require_searchable(shipped: Shipped, shard: int, name: str, point: Any) -> None:
    only_point = models.Filter(must=[models.HasIdCondition(has_id=[point.id])])
    answer = shipped.call_server(
        f"searching by vector {name!r}",
        lambda: shipped.server.query_points(
            shipped.target,
            query=vectors_of(point)[name],
            using=name or None,
            query_filter=only_point,
            limit=1,
            with_payload=False,
        ),
    )
    if [plain_id(hit.id) for hit in answer.points] != [plain_id(point.id)]:
        raise shipped.refused(
            "vectors",
            f"point {plain_id(point.id)!r} of shard {shard} is not found by its own vector "
            f"{name!r}",
        )


def payloads(shipped: Shipped, samples: Samples) -> Proof:
    """Prove that sampled payloads are as built."""
    checked = 0
    for shard, page in _pages(samples):
        found = shipped.retrieve([point.id for point in page], payload=True)
        checked += len(page)
        for point in page:
            record = found.get(plain_id(point.id))
            if record is None:
                raise shipped.refused("payloads", _lost(point.id, shard))
            problem = payload_difference(point.payload or {}, record.payload or {})
            if problem is not None:
                raise shipped.refused(
                    "payloads", f"point {plain_id(point.id)!r} of shard {shard}: {problem}"
                )
    return Proof(
        name="payloads",
        figure=checked,
        result=f"the payloads of {checked:,} sampled points are as built",
    )


def _pages(samples: Samples) -> Iterator[tuple[int, Sequence[Any]]]:
    for shard, points in enumerate(samples):
        for start in range(0, len(points), _PAGE):
            yield shard, points[start : start + _PAGE]


def _lost(point: Any, shard: int) -> str:
    return (
        f"point {plain_id(point)!r} of shard {shard} was built and is not found by its id (or is "
        "not equal on all replicas)"
    )


def vectors_of(point: Any) -> dict[str, Any]:
    """Return the vectors of a point by name; the unnamed one is ``""``."""
    vectors = point.vector
    if vectors is None:
        return {}
    return dict(vectors) if isinstance(vectors, Mapping) else {"": vectors}


def vector_difference(built: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Describe how the vectors of one point differ; None if they are equal.

    Args:
        built: The vectors of the built point, by name.
        found: The vectors of the server's point, by name.
    """
    for name in sorted({*built, *found}):
        shown = f"vector {name!r}" if name else "the vector"
        if name not in found:
            return f"{shown} is missing"
        if name not in built:
            return f"{shown} exists, and was not built"
        problem = _difference(built[name], found[name])
        if problem is not None:
            return f"{shown} {problem}"
    return None


def payload_difference(built: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """Describe how the payloads of one point differ, without values; None if they are equal."""
    for name in sorted({*built, *found}):
        if name not in found:
            return f"field {name!r} is missing"
        if name not in built:
            return f"field {name!r} exists, and was not built"
        if not same_payload(built[name], found[name]):
            return f"field {name!r} has another value"
    return None


def _difference(built: Any, found: Any) -> str | None:
    if hasattr(built, "indices") != hasattr(found, "indices"):
        return "is sparse on one side only"
    if hasattr(built, "indices"):
        a, b = _sorted_terms(built), _sorted_terms(found)
        if not np.array_equal(a[0], b[0]):
            return f"has other terms: {len(a[0])} were built, {len(b[0])} were found"
        return _value_difference(a[1], b[1])
    left, right = np.asarray(built, np.float32), np.asarray(found, np.float32)
    if left.shape != right.shape:
        return f"has {_shape(right)}, and {_shape(left)} were built"
    return _value_difference(left, right)


def _sorted_terms(vector: Any) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    indices = np.asarray(vector.indices, np.int64)
    order = np.argsort(indices)
    return indices[order], np.asarray(vector.values, np.float32)[order]


def _value_difference(built: NDArray[np.float32], found: NDArray[np.float32]) -> str | None:
    if built.shape != found.shape:
        return f"has {_shape(found)}, and {_shape(built)} were built"
    apart = np.abs(built.astype(np.float64) - found)
    scale = float(np.abs(built).max(initial=0.0))
    if built.size == 0 or bool((apart <= _ROUNDING * scale).all()):  # NaN is never near
        return None
    wrong = int((~(apart <= _ROUNDING * scale)).sum())
    return f"differs in {wrong:,} of its {built.size:,} components"


def _shape(values: NDArray[np.float32]) -> str:
    return " x ".join(str(size) for size in values.shape) + " components"
