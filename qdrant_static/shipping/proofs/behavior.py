"""Proves that a shipment behaves like the build: searches find the same, and edits take effect.

Searches: the vectors may be complete while what leads to them (a graph, codes, an inverted index)
is damaged. The files and the engine are the same on both sides, so the same query has the same
hits.

Edits: every stored point has the number of the operation that wrote it, and a server acknowledges
and ignores operations with a lower number. A shard that was built by more operations than its
target has seen would silently lose every edit until that number is reached.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import Any

from qdrant_static.errors import PointError
from qdrant_static.ids import plain_id
from qdrant_static.shipping.proofs.points import vectors_of
from qdrant_static.shipping.proofs.shipped import Proof, Shipped

#: The payload field that is set and removed again.
PROBE = "qdrant_static_probe"
#: Points of each shard that are edited. One shows the operation numbers; several show that the
#: server looks for the points in this shard.
MOST_EDITED = 4
#: Points of each shard that are used as queries, with each of their vectors.
_QUERIES = 5
_HITS = 10
#: A collection with more points is not scanned completely for a proof.
_LARGE = 100_000
#: The share of the build's hits that the server must find, over all queries of a vector. With codes
#: of few bits, chance decides which of many equal scores are rescored; without a graph, or with
#: other codes, almost nothing is found.
_MIN_SHARE = 0.5
#: How much two scores may differ, relatively. Two processors round differently, and the IDF of a
#: BM25 term changes a little with every point that is changed later, also by a proof.
_DENSE_TOLERANCE, _SPARSE_TOLERANCE = 1e-4, 0.05


def searches(shipped: Shipped, samples: Sequence[Sequence[Any]]) -> Proof:
    """Prove that queries with sampled points find the same on the server as in the build.

    Two kinds of vectors are left out: late interaction (nobody queries with all vectors of a
    document), and in a large collection vectors that have neither graph nor codes and only rescore
    candidates: a search by them would read all of them from disk, while the server serves others.

    Args:
        shipped: The shipment.
        samples: Sampled points of each built shard, with their vectors.

    Raises:
        ShipmentRefusedError: If the server finds other points; it names the vector.
    """
    searched = 0
    rescoring = _only_rescore(shipped)
    for name, queries in _queries(samples).items():
        if name in rescoring:
            continue
        here = shipped.local.nearest(shipped.collection, name, queries, limit=_HITS)
        found = wanted = 0
        tolerance = _SPARSE_TOLERANCE if hasattr(queries[0], "indices") else _DENSE_TOLERANCE
        for query, hits in zip(queries, here, strict=True):
            scores = [hit.score for hit in hits]
            found += _equal_scores(scores, _scores(shipped, name, query), tolerance)
            wanted += len(scores)
        if found < _MIN_SHARE * wanted:
            raise shipped.refused(
                "searches",
                f"{len(queries):,} searches by vector {name!r} find {found:,} of the {wanted:,} "
                "hits that they have in the build: the graph, the codes or the index of the vector "
                "is not as it was built",
            )
        searched += len(queries)
    return Proof(
        name="searches",
        figure=searched,
        result=f"{searched:,} searches find on the server what they find here",
    )


def _queries(samples: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    queries: dict[str, list[Any]] = {}
    for points in samples:
        own: dict[str, list[Any]] = {}
        for point in points:
            for name, vector in vectors_of(point).items():
                if _is_query(vector) and len(own.setdefault(name, [])) < _QUERIES:
                    own[name].append(vector)
        for name, vectors in own.items():
            queries.setdefault(name, []).extend(vectors)
    return queries


def _only_rescore(shipped: Shipped) -> set[str]:
    info = shipped.local.get_collection(shipped.collection)
    if (info.points_count or 0) <= _LARGE:
        return set()
    whole = info.config
    vectors = whole.params.vectors
    named = vectors if isinstance(vectors, dict) else {"": vectors}
    return {
        name
        for name, params in named.items()
        if params is not None
        and not (params.quantization_config or whole.quantization_config)
        and (params.hnsw_config is not None and params.hnsw_config.m == 0)
    }


def _is_query(vector: Any) -> bool:
    if hasattr(vector, "indices"):
        return bool(vector.indices)
    return not isinstance(vector[0], list | tuple)


def _scores(shipped: Shipped, name: str, query: Any) -> list[float]:
    answer = shipped.call_server(
        f"searching by vector {name!r}",
        lambda: shipped.server.query_points(
            shipped.target, query=query, using=name or None, limit=_HITS, with_payload=False
        ),
    )
    return [hit.score for hit in answer.points]


def _equal_scores(built: Sequence[float], found: Sequence[float], tolerance: float) -> int:
    """Count the scores that are in both: points of equal scores are interchangeable."""
    rest = list(found)
    equal = 0
    for score in built:
        near = (
            place
            for place, other in enumerate(rest)
            if math.isclose(score, other, rel_tol=tolerance, abs_tol=_DENSE_TOLERANCE)
        )
        place = next(near, None)
        if place is not None:
            del rest[place]
            equal += 1
    return equal


def edits(shipped: Shipped, samples: Sequence[Sequence[Any]]) -> Proof:
    """Prove that edits take effect, on the sampled points with the highest operation numbers.

    Every edit is undone.

    Args:
        shipped: The shipment.
        samples: Sampled points of each built shard, with their versions.

    Raises:
        ShipmentRefusedError: If an edit has no effect, its number is not above all built ones, or
            it cannot be undone.
    """
    edited = 0
    for shard, points in zip(shipped.built, samples, strict=True):
        if points:
            newest = sorted(points, key=lambda point: point.version, reverse=True)[:MOST_EDITED]
            _edit(shipped, shard.number, shard.newest, [plain_id(point.id) for point in newest])
            edited += len(newest)
    return Proof(
        name="edits",
        figure=edited,
        result=f"edits of {edited:,} points took effect and were undone: those with the highest "
        "operation numbers in the sample",
    )


def _edit(shipped: Shipped, shard: int, newest: int, points: list[Any]) -> None:
    server, target = shipped.server, shipped.target
    value = secrets.token_hex(8)
    try:
        done = shipped.call_server(
            "editing points",
            lambda: server.set_payload(target, {PROBE: value}, points=points, wait=True),
        )
    except PointError as error:
        raise shipped.refused(
            "edits",
            f"the server does not look for point {error.point!r} in shard {shard}, where it is: an "
            "edit by its id finds nothing",
        ) from error
    try:
        _require(shipped, shard, newest, points, number=done.operation_id, value=value)
    finally:
        shipped.call_server(
            "undoing the edit of points",
            lambda: server.delete_payload(target, [PROBE], points=points, wait=True),
        )
    for point, record in shipped.retrieve(points, payload=[PROBE]).items():
        if PROBE in (record.payload or {}):
            raise shipped.refused(
                "edits", f"the edit of point {point!r} of shard {shard} could not be undone"
            )


def _require(
    shipped: Shipped,
    shard: int,
    newest: int,
    points: list[Any],
    *,
    number: int | None,
    value: str,
) -> None:
    found = shipped.retrieve(points, payload=[PROBE])
    shown = "without a number" if number is None else f"as operation {number:,}"
    for point in points:
        payload = (found[point].payload or {}) if point in found else {}
        if payload.get(PROBE) != value:
            raise shipped.refused(
                "edits",
                f"an edit of point {point!r} of shard {shard} was acknowledged {shown} and "
                f"changed nothing; the built points carry numbers up to {newest:,}, and a server "
                "ignores what is older than the point",
            )
    if number is not None and number <= newest:
        raise shipped.refused(
            "edits",
            f"the built points of shard {shard} carry operation numbers up to {newest:,}, and the "
            f"server is at {number:,}: it would acknowledge and ignore edits of some of them",
        )
