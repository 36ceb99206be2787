"""Batches of points for uploads, from points or from columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import numpy as np

from qdrant_static import rules
from qdrant_static.edge.enginepoints import Row
from qdrant_static.errors import ArgumentError

_MISSING = object()


def batches(points: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the points in lists of at most ``size``.

    Raises:
        ArgumentError: If ``size`` is not positive.
    """
    rules.check_integer("batch_size", size)
    iterator = map(_without_empty, points)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _without_empty(point: Any) -> Any:
    """Return a point without vectors if its vector is None or empty, as the client does."""
    vector = getattr(point, "vector", ())
    if vector is None or (type(vector) is list and not vector):
        return Row(point.id, {}, point.payload)
    return point


def columns(
    vectors: Any, payload: Iterable[Mapping[str, Any]] | None, ids: Iterable[Any] | None
) -> Iterator[Any]:
    """Yield points from columns; a point without an id gets a random UUID, as in the client.

    Args:
        vectors: A matrix, a mapping of names to columns (matrices, or lists of sparse vectors),
            or an iterable of what a point's ``vector`` may be.
        payload: Payloads, in the same order; there may be more than vectors.
        ids: Ids, in the same order; there may be more than vectors.

    Raises:
        ArgumentError: If ids, payloads or a column end before the vectors do. Where the lengths are
            known, nothing was stored.
    """
    if isinstance(vectors, Mapping):
        sizes = {name: len(column) for name, column in vectors.items()}
        if len(set(sizes.values())) > 1:
            raise ArgumentError(field="vectors", problem=f"the columns differ in length: {sizes}")
    count = _length(vectors)
    for name, given in (("ids", ids), ("payload", payload)):
        if count is not None and isinstance(given, Sequence | np.ndarray) and len(given) < count:
            raise ArgumentError(field=name, problem=f"{len(given)} for {count} vectors")
    return _points(_each_vector(vectors), payload, ids)


def _points(
    each: Iterator[Any], payload: Iterable[Mapping[str, Any]] | None, ids: Iterable[Any] | None
) -> Iterator[Row]:
    identities = (str(uuid4()) for _ in itertools.count()) if ids is None else iter(ids)
    payloads = itertools.repeat(None) if payload is None else iter(payload)
    for number, vector in enumerate(each):
        identity = next(identities, _MISSING)
        content = next(payloads, _MISSING)
        if identity is _MISSING or content is _MISSING:
            raise ArgumentError(
                field="ids" if identity is _MISSING else "payload",
                problem=f"ended after {number}, and there are more vectors",
            )
        yield Row(identity, vector, content)


def _each_vector(vectors: Any) -> Iterator[Any]:
    if not isinstance(vectors, Mapping):
        return iter(vectors)
    names = list(vectors)
    return (dict(zip(names, row, strict=True)) for row in zip(*vectors.values(), strict=True))


def _length(vectors: Any) -> int | None:
    if isinstance(vectors, Mapping):
        return len(next(iter(vectors.values()))) if vectors else 0
    return len(vectors) if isinstance(vectors, Sequence | np.ndarray) else None
