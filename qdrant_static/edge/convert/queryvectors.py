"""Converts the vectors in queries, which may be given as the ids of points that hold them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

import numpy as np
import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.bounds import check_indices
from qdrant_static.edge.convert.modeltables import unsupported
from qdrant_static.errors import ArgumentError, NotSupportedByEdgeError
from qdrant_static.ids import checked_id


class Resolve(Protocol):
    """Returns the vector of a point that a query names by id."""

    def __call__(self, point: int | str, *, required: bool) -> Any | None:
        """Return the point's vector; None if it has none and it is not required."""
        ...


def no_points(point: int | str, *, required: bool) -> Any | None:
    """Raise an error: without a collection there are no points."""
    raise NotSupportedByEdgeError(
        what=f"the point {point!r} in a query", why="the engine needs its vector"
    )


def is_id(value: Any) -> bool:
    """Return whether an input of a query is the id of a point."""
    return isinstance(value, int | str | UUID) and not isinstance(value, bool | Enum)


def referenced_ids(query: Any) -> list[int | str]:
    """Return the ids that a query names, in its order and in the engine's spelling."""
    inputs = _INPUTS.get(type(query))
    values = [query] if inputs is None else inputs(query)
    return [checked_id(value) for value in values if is_id(value)]


def example(value: Any, resolve: Resolve, *, required: bool = True) -> Any:
    """Convert a vector of a query.

    Raises:
        ArgumentError: If it holds a number that is not finite, or is no vector.
        NotSupportedByEdgeError: If it is text or an image, which must be encoded first.
    """
    if is_id(value):
        return resolve(checked_id(value), required=required)
    if isinstance(value, models.SparseVector):
        _check_sparse(value)
        return edge.SparseVector(value.indices, value.values)
    if isinstance(value, np.ndarray):
        if value.ndim not in (1, 2):
            raise ArgumentError(field="query", problem=f"an array of {value.ndim} dimensions")
        _check_finite(value)
        return value.tolist()
    if isinstance(value, list):
        _check_finite(value)
        return value
    raise unsupported(value, "a query")


def examples(values: Sequence[Any] | None, resolve: Resolve) -> list[Any]:
    """Convert several vectors; points without the vector are left out, as on a server."""
    found = (example(value, resolve, required=False) for value in values or ())
    return [vector for vector in found if vector is not None]


def pairs(value: Any, resolve: Resolve) -> list[edge.ContextPair]:
    """Convert pairs of a positive and a negative vector."""
    return [
        edge.ContextPair(example(pair.positive, resolve), example(pair.negative, resolve))
        for pair in _listed(value)
    ]


def average(positives: Sequence[Any], negatives: Sequence[Any]) -> Any:
    """Return the vector of ``average_vector``: mean(positives) x 2 - mean(negatives).

    It is computed in float32 and in the order of a server, so that scores are equal. Multi-vectors
    are concatenated, the negative ones with inverted signs.

    Raises:
        ArgumentError: If there are no positives, or vectors of different kinds.
    """
    kinds = {_kind(vector) for vector in (*positives, *negatives)}
    if not positives:
        raise ArgumentError(
            field="RecommendInput.positive",
            problem="there is no vector to average; give an example",
        )
    if len(kinds) > 1:
        raise ArgumentError(field="RecommendInput", problem="vectors of different kinds")
    return _AVERAGES[kinds.pop()](positives, negatives)


def _average_dense(positives: Sequence[Any], negatives: Sequence[Any]) -> list[float]:
    positive = _mean(positives)
    if not negatives:
        return [float(value) for value in positive]
    negative = _mean(negatives)
    if len(positive) != len(negative):
        raise ArgumentError(field="RecommendInput", problem="vectors of different dimensions")
    return [float(value) for value in positive + positive - negative]


def _mean(vectors: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    rows = [np.asarray(vector, np.float32) for vector in vectors]
    if len({len(row) for row in rows}) > 1:
        raise ArgumentError(field="RecommendInput", problem="vectors of different dimensions")
    total = rows[0].copy()
    for row in rows[1:]:
        total += row
    total /= np.float32(len(rows))
    return total


def _average_multi(positives: Sequence[Any], negatives: Sequence[Any]) -> list[list[float]]:
    rows = [list(row) for vector in positives for row in vector]
    return rows + [[-value for value in row] for vector in negatives for row in vector]


def _average_sparse(positives: Sequence[Any], negatives: Sequence[Any]) -> edge.SparseVector:
    positive, negative = _sparse_mean(positives), _sparse_mean(negatives)
    zero = np.float32(0)
    if negatives:
        positive = {
            index: positive.get(index, zero) + positive.get(index, zero) - negative.get(index, zero)
            for index in {*positive, *negative}
        }
    indices = sorted(positive)
    return edge.SparseVector(indices, [float(positive[index]) for index in indices])


def _sparse_mean(vectors: Sequence[Any]) -> dict[int, np.float32]:
    total: dict[int, np.float32] = {}
    for vector in vectors:
        for index, value in zip(vector.indices, vector.values, strict=True):
            total[index] = np.float32(value) + total.get(index, np.float32(0))
    return {index: value / np.float32(len(vectors)) for index, value in total.items()}


_AVERAGES: Mapping[str, Callable[[Sequence[Any], Sequence[Any]], Any]] = {
    "dense": _average_dense,
    "multi": _average_multi,
    "sparse": _average_sparse,
}


def _kind(vector: Any) -> str:
    if isinstance(vector, edge.SparseVector):
        return "sparse"
    return "multi" if len(vector) and isinstance(vector[0], list) else "dense"


def _check_finite(values: Any) -> None:
    """Raise an error for numbers that are not finite.

    The engine finds nothing for NaN. A sum is finite only if all numbers are.
    """
    try:
        total = values.sum() if isinstance(values, np.ndarray) else sum(values)
    except TypeError:  # rows of a multi-vector, or no numbers
        total = math.nan
    if not math.isfinite(total):
        try:
            if bool(np.isfinite(np.asarray(values, np.float64)).all()):
                return
        except (TypeError, ValueError):
            raise ArgumentError(field="query", problem="it is no vector of numbers") from None
        raise ArgumentError(field="query", problem="it holds a number that is not finite")


def _check_sparse(value: models.SparseVector) -> None:
    problem = None
    if len(value.indices) != len(value.values):
        problem = f"{len(value.indices)} indices and {len(value.values)} values"
    elif len(set(value.indices)) != len(value.indices):
        problem = "an index occurs twice"
    if problem is not None:
        raise ArgumentError(field="sparse query", problem=problem)
    check_indices(value.indices)
    _check_finite(value.values)


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, models.ContextPair) else list(value or ())


def _paired(value: Any) -> Iterator[Any]:
    for pair in _listed(value):
        yield pair.positive
        yield pair.negative


_INPUTS: Mapping[type, Callable[[Any], list[Any]]] = {
    models.NearestQuery: lambda query: [query.nearest],
    models.RecommendQuery: lambda query: [
        *(query.recommend.positive or ()),
        *(query.recommend.negative or ()),
    ],
    models.DiscoverQuery: lambda query: [
        query.discover.target,
        *_paired(query.discover.context),
    ],
    models.ContextQuery: lambda query: [*_paired(query.context)],
    models.RelevanceFeedbackQuery: lambda query: [
        query.relevance_feedback.target,
        *(item.example for item in query.relevance_feedback.feedback),
    ],
}
