"""A proof by asking: the server finds what the build finds.

Vectors may be whole and what leads to them damaged: a graph, the codes, an inverted index. The
files are the same here and there, and so is the engine, so the same question has the same answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from qdrant_static.shipping.proofs.pointcompare import vectors_of
from qdrant_static.shipping.proofs.shipped import Proof, Shipped

#: Points of each shard that ask, with each of their vectors.
_ASKING = 5
_HITS = 10
#: More points than that are not read from end to end for a proof.
_LARGE = 100_000
#: Of the build's hits, the share that the server finds at the least, over all queries of a vector.
#: Codes of few bits leave it to chance which of many equals are looked at closer; without a graph,
#: or with other codes, next to nothing is found.
_LEAST = 0.5
#: How far apart two scores may be, relatively. Two processors round differently; what BM25 makes of
#: a term's rarity shifts a little with every point that is changed later, by a proof too.
_DENSE_APART, _SPARSE_APART = 1e-4, 0.05


def searches(shipped: Shipped, samples: Sequence[Sequence[Any]]) -> Proof:
    """Sampled points ask for what is near to them, here and there.

    Left out: late interaction (a query with all vectors of a document is none that anybody asks),
    and in a large collection vectors with neither graph nor codes, which only rescore: nothing
    leads to them, and a search would read all of them from disk, beside the server's readers.

    Args:
        shipped: What arrived.
        samples: Built points of each shard, with their vectors.

    Raises:
        ShipmentRefusedError: If the server finds something else; it names the vector.
    """
    asked = 0
    kept_for_rescoring = _only_rescore(shipped)
    for name, queries in _queries(samples).items():
        if name in kept_for_rescoring:
            continue
        here = shipped.local.nearest(shipped.collection, name, queries, limit=_HITS)
        found = wanted = 0
        apart = _SPARSE_APART if hasattr(queries[0], "indices") else _DENSE_APART
        for query, hits in zip(queries, here, strict=True):
            scores = [hit.score for hit in hits]
            found += _alike(scores, _scores(shipped, name, query), apart)
            wanted += len(scores)
        if found < _LEAST * wanted:
            raise shipped.refused(
                "searches",
                f"{len(queries):,} searches by vector {name!r} have there {found:,} of the "
                f"{wanted:,} hits that they have in the build: what leads to them, a graph, codes "
                "or an index, is not as it was built",
            )
        asked += len(queries)
    return Proof(
        name="searches", figure=asked, told=f"{asked:,} searches find there what they find here"
    )


def _queries(samples: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    queries: dict[str, list[Any]] = {}
    for points in samples:
        own: dict[str, list[Any]] = {}
        for point in points:
            for name, vector in vectors_of(point).items():
                if _is_query(vector) and len(own.setdefault(name, [])) < _ASKING:
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
    answer = shipped.asked(
        f"searching by vector {name!r}",
        lambda: shipped.server.query_points(
            shipped.target, query=query, using=name or None, limit=_HITS, with_payload=False
        ),
    )
    return [hit.score for hit in answer.points]


def _alike(here: Sequence[float], there: Sequence[float], apart: float) -> int:
    """How many scores are in both: points of equal scores may stand in for each other."""
    rest = list(there)
    found = 0
    for score in here:
        near = (
            place
            for place, other in enumerate(rest)
            if math.isclose(score, other, rel_tol=apart, abs_tol=_DENSE_APART)
        )
        place = next(near, None)
        if place is not None:
            del rest[place]
            found += 1
    return found
