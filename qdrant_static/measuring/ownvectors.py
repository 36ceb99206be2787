"""Recall, latency and bytes of a live collection, on its own vectors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from qdrant_static.collection.vectorform import vector_of
from qdrant_static.collection.vectorspec import VectorSpec

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: Two scores that differ by less are a tie, whichever point was named.
_TIE = 1e-5
#: Distances by which nearer means less.
_LESS_IS_NEARER = ("euclid", "manhattan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A vector of the collection, and what an exact search finds near it.

    Attributes:
        point: Whose vector it is; it is no hit of its own.
        vector: The vector.
        truth: The ids of its nearest neighbors.
        last: The score of the last of them: another point with that score is as good.
    """

    point: Any
    vector: list[float]
    truth: frozenset[Any]
    last: float


def sample_queries(
    client: Client,
    collection: str,
    vector: VectorSpec,
    *,
    count: int,
    limit: int,
    deadline: float | None = None,
) -> list[Query]:
    """Vectors of random points, each with its exact neighbors, the point itself left out.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        vector: Which vector.
        count: At most so many.
        limit: Neighbors of each.
        deadline: When to stop, by `time.monotonic`; None: not before all are there.
    """
    drawn = client.query_points(
        collection,
        query=models.SampleQuery(sample=models.Sample.RANDOM),
        limit=count,
        query_filter=_having(vector.name),
        with_payload=False,
        with_vectors=[vector.name],
    ).points
    exact = models.SearchParams(
        exact=True, quantization=models.QuantizationSearchParams(ignore=True)
    )
    queries = []
    for point in drawn:
        if deadline is not None and time.monotonic() > deadline:
            break
        row = vector_of(point, vector.name)
        if row is None or not any(row):
            continue
        found = _neighbors(client, collection, vector.name, point.id, row, limit, exact)
        if found:
            queries.append(
                Query(
                    point=point.id,
                    vector=row,
                    truth=frozenset(one.id for one in found),
                    last=found[-1].score,
                )
            )
    return queries


def measure(
    client: Client,
    collection: str,
    vector: VectorSpec,
    queries: Sequence[Query],
    *,
    limit: int,
    oversampling: float | None,
) -> tuple[float, float, float]:
    """Search for every query, one after the other.

    Returns:
        Recall, and the 50th and 95th percentile of the times in milliseconds.
    """
    asked = None
    if vector.quantization is not None:
        asked = models.SearchParams(
            quantization=models.QuantizationSearchParams(rescore=True, oversampling=oversampling)
        )
    recalls, times = [], []
    for number, query in enumerate([*queries[:5], *queries]):  # the first five only warm it up
        started = time.perf_counter()
        found = _neighbors(client, collection, vector.name, query.point, query.vector, limit, asked)
        if number >= min(5, len(queries)):
            times.append((time.perf_counter() - started) * 1e3)
            recalls.append(recall_of(query, found, vector))
    p50, p95 = np.percentile(times, [50, 95])
    return float(np.mean(recalls)), float(p50), float(p95)


def recall_of(query: Query, found: Sequence[Any], vector: VectorSpec) -> float:
    """The share of the exact hits that was found; a tie with the last one counts."""
    sign = -1 if vector.distance in _LESS_IS_NEARER else 1
    good: int = sum(
        one.id in query.truth or sign * (one.score - query.last) >= -_TIE for one in found
    )
    return min(1.0, good / len(query.truth))


def points_with(client: Client, collection: str, vector: str) -> int:
    """How many points have a vector of that name, exactly."""
    return client.count(collection, count_filter=_having(vector), exact=True).count


def disk_bytes(client: Client, collection: str) -> int | None:
    """What an embedded collection takes on disk; None for a server's."""
    from qdrant_static.edge import EdgeClient
    from qdrant_static.edge.directory import bytes_on_disk

    if not isinstance(client, EdgeClient):
        return None
    targets = {alias.alias_name: alias.collection_name for alias in client.get_aliases().aliases}
    return bytes_on_disk(client.path / targets.get(collection, collection))


def nearest(matrix: NDArray[np.float32], row: int, vector: VectorSpec, limit: int) -> Query:
    """The rows nearest to one of them, by brute force, itself left out."""
    query = matrix[row]
    if vector.distance == "euclid":
        scores = np.sqrt(((matrix - query) ** 2).sum(axis=1))
    elif vector.distance == "manhattan":
        scores = np.abs(matrix - query).sum(axis=1)
    else:
        scores = matrix @ query
        if vector.distance == "cosine":
            norms = np.linalg.norm(matrix, axis=1)
            scores = scores / np.where(norms == 0, 1, norms) / (norms[row] or 1)
    order = np.argsort(scores if vector.distance in _LESS_IS_NEARER else -scores, kind="stable")
    found = [int(one) for one in order[: limit + 1] if one != row][:limit]
    return Query(
        point=row,
        vector=query.tolist(),
        truth=frozenset(found),
        last=float(scores[found[-1]]),
    )


def _neighbors(
    client: Client,
    collection: str,
    name: str,
    point: Any,
    row: list[float],
    limit: int,
    asked: models.SearchParams | None,
) -> list[models.ScoredPoint]:
    # One more than wanted, for the point itself: a filter would make it another search.
    found = client.query_points(
        collection, query=row, using=name, limit=limit + 1, search_params=asked, with_payload=False
    ).points
    return [one for one in found if one.id != point][:limit]


def _having(vector: str) -> models.Filter:
    return models.Filter(must=[models.HasVectorCondition(has_vector=vector)])
