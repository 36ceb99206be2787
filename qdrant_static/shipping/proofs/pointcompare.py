"""Whether a point that a server gives back is the one that was built. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static.payloadcompare import same_payload

#: The files are the same, and so are the numbers in them; but a vector that is stored in codes is
#: computed from them when it is read, and two processors may round differently. Relative to the
#: vector's largest component.
_ROUNDING = 1e-6


def vectors_of(point: Any) -> dict[str, Any]:
    """The vectors of a point by name; the one without a name is ``""``."""
    vectors = point.vector
    if vectors is None:
        return {}
    return dict(vectors) if isinstance(vectors, Mapping) else {"": vectors}


def vector_difference(built: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """What the vectors of one point differ in, in words; None if they are the same.

    Args:
        built: The vectors of the built point, by name.
        found: Those of the server's.
    """
    for name in sorted({*built, *found}):
        shown = f"vector {name!r}" if name else "the vector"
        if name not in found:
            return f"{shown} is not there"
        if name not in built:
            return f"{shown} is there, and was not built"
        problem = _difference(built[name], found[name])
        if problem is not None:
            return f"{shown} {problem}"
    return None


def payload_difference(built: Mapping[str, Any], found: Mapping[str, Any]) -> str | None:
    """What the payloads of one point differ in, in words without values; None if they agree."""
    for name in sorted({*built, *found}):
        if name not in found:
            return f"field {name!r} is not there"
        if name not in built:
            return f"field {name!r} is there, and was not built"
        if not same_payload(built[name], found[name]):
            return f"field {name!r} is another"
    return None


def _difference(built: Any, found: Any) -> str | None:
    if hasattr(built, "indices") != hasattr(found, "indices"):
        return "is sparse on one side only"
    if hasattr(built, "indices"):
        a, b = _sorted_terms(built), _sorted_terms(found)
        if not np.array_equal(a[0], b[0]):
            return f"has other terms: {len(a[0])} were built, {len(b[0])} are there"
        return _far(a[1], b[1])
    left, right = np.asarray(built, np.float32), np.asarray(found, np.float32)
    if left.shape != right.shape:
        return f"has {_shape(right)}, and {_shape(left)} were built"
    return _far(left, right)


def _sorted_terms(vector: Any) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    indices = np.asarray(vector.indices, np.int64)
    order = np.argsort(indices)
    return indices[order], np.asarray(vector.values, np.float32)[order]


def _far(built: NDArray[np.float32], found: NDArray[np.float32]) -> str | None:
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
