"""Proofs that what arrived is what was built, before anything points at it.

A server takes nearly every file: a shard of another dimension, another shard's points, points
that it will never edit again. All of it is answered with "ok", so each trap has its proof here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.errors import (
    CollectionNotFoundError,
    EngineError,
    PointError,
    ServerUnavailableError,
)
from qdrant_static.ids import PointId, plain_id
from qdrant_static.routing import shard_of
from qdrant_static.shipping.proofs.edits import edits
from qdrant_static.shipping.proofs.indexed import indexed
from qdrant_static.shipping.proofs.pointcompare import (
    payload_difference,
    vector_difference,
    vectors_of,
)
from qdrant_static.shipping.proofs.searches import searches
from qdrant_static.shipping.proofs.shipped import Proof, Shipped

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.edge.client import EdgeClient
    from qdrant_static.shipping.nodes.node import Node
    from qdrant_static.shipping.nodes.peers import Peers
    from qdrant_static.shipping.packing.segments import BuiltShard

#: Points that are read back in one request; with vectors they are large.
_PAGE = 100

#: The sampled points of each shard, as `EdgeClient.sample_points` gives them.
Samples = Sequence[Sequence[Any]]


def prove(
    local: EdgeClient,
    collection: str,
    server: QdrantClient,
    node: Node,
    peers: Peers,
    target: str,
    built: Sequence[BuiltShard],
    *,
    sample: int,
    retry: RetryPolicy | None = None,
) -> tuple[Proof, ...]:
    """Prove that a shipment arrived whole, can be found and edited, and needs no indexing.

    The last proof edits a few points, and undoes it.

    Args:
        local: Where the built collection is.
        collection: The built collection.
        server: Where it went.
        node: The server's node that the client talks to.
        peers: The server's nodes.
        target: The collection there.
        built: The shards, in the order of their numbers.
        sample: How many points of each shard are compared.
        retry: How long a server that is away is waited for.

    Returns:
        What each proof found: count, route, ids, vectors, payloads, searches,
        indexed, edits.

    Raises:
        ShipmentRefusedError: At the first proof that fails; its ``left`` is empty.
        ServerUnavailableError: If the server did not answer for too long: nothing is known then.
        AccessDeniedError: If the key may not read or edit the target.
    """
    shipped = Shipped(
        local=local,
        collection=collection,
        server=server,
        node=node,
        peers=peers,
        target=target,
        built=built,
        retry=retry,
    )
    counts = local.shard_counts(collection)
    samples = local.sample_points(collection, sample, with_payload=True, with_vectors=True)
    proofs: list[tuple[str, Callable[[], Proof]]] = [
        ("count", lambda: count(shipped, counts)),
        ("route", lambda: route(shipped)),
        ("ids", lambda: ids(shipped, samples)),
        ("vectors", lambda: vectors(shipped, samples)),
        ("payloads", lambda: payloads(shipped, samples)),
        ("searches", lambda: searches(shipped, samples)),
        ("indexed", lambda: indexed(shipped)),
        ("edits", lambda: edits(shipped, samples)),
    ]
    held = []
    for name, proof in proofs:
        try:
            held.append(proof())
        except (EngineError, PointError, CollectionNotFoundError) as error:
            # A shard that the server cannot read is no reason to try again: it is a bad shard.
            raise shipped.refused(name, str(error)) from error
    return tuple(held)


def count(shipped: Shipped, counts: Sequence[int]) -> Proof:
    """All points are there: in every shard, on every replica, and in total.

    A shard's own figure adds up its segments; the total is exact.

    Args:
        shipped: What arrived.
        counts: The points of each built shard.
    """
    holders = shipped.holders()
    for shard, wanted in enumerate(counts):
        if not holders.get(shard):
            raise shipped.refused("count", f"no node of the server holds shard {shard}")
        for holder in holders[shard]:
            if holder.points is None:
                raise ServerUnavailableError(
                    where=f"peer {holder.peer_id} at {holder.node.url}",
                    problem=f"it holds shard {shard} and does not answer",
                    tried=1,
                    waited_s=0.0,
                )
            if holder.points != wanted:
                raise shipped.refused("count", f"{holder}, and {wanted:,} were built")
    total = shipped.asked(
        "counting points",
        lambda: int(shipped.server.count(shipped.target, exact=True).count),
    )
    if total != sum(counts):
        raise shipped.refused(
            "count", f"{total:,} points are there, and {sum(counts):,} were built"
        )
    copies = min((len(holding) for holding in holders.values()), default=0)
    return Proof(
        name="count",
        figure=total,
        told=f"{total:,} points, as built, in each of {_many(len(counts), 'shard')}, "
        f"{_many(copies, 'replica')} of each",
    )


def route(shipped: Shipped) -> Proof:
    """Every built point is in the shard where the server looks for it.

    In another one it would be counted and searched, and no edit or deletion would ever find it.
    """
    shards = len(shipped.built)
    looked_at = 0
    for shard, page in _ids_by_shard(shipped):
        looked_at += len(page)
        wrong = (shard_of(page, shards) != shard).nonzero()[0]
        if len(wrong):
            point = page[int(wrong[0])]
            raise shipped.refused(
                "route",
                f"point {point!r} was built into shard {shard}, and the server looks for it in "
                f"shard {int(shard_of([point], shards)[0])}: it would be searched, and never "
                "again edited or deleted",
            )
    return Proof(
        name="route",
        figure=looked_at,
        told=f"all {looked_at:,} ids are in the shard where the server looks for them",
    )


def ids(shipped: Shipped, samples: Samples) -> Proof:
    """Sampled points of every shard are found by their ids, on all replicas alike."""
    looked_at = 0
    for shard, page in _pages(samples):
        found = shipped.found([point.id for point in page])
        looked_at += len(page)
        for point in page:
            if plain_id(point.id) not in found:
                raise shipped.refused("ids", _lost(point.id, shard))
    return Proof(name="ids", figure=looked_at, told=f"{looked_at:,} sampled points are found by id")


def vectors(shipped: Shipped, samples: Samples) -> Proof:
    """Sampled vectors (dense, sparse and late) are those that were built, and can be searched.

    A server gives back what lies in the shard, also where the collection has other names and
    dimensions. Only a search holds one against the other: each vector of one point of every shard
    asks for that point, by its id too, so that nothing else is looked at.
    """
    looked_at = 0
    for shard, page in _pages(samples):
        found = shipped.found([point.id for point in page], vectors=True)
        looked_at += len(page)
        for point in page:
            there = found.get(plain_id(point.id))
            if there is None:
                raise shipped.refused("vectors", _lost(point.id, shard))
            problem = vector_difference(vectors_of(point), vectors_of(there))
            if problem is not None:
                raise shipped.refused(
                    "vectors", f"point {plain_id(point.id)!r} of shard {shard}: {problem}"
                )
    for shard, points in enumerate(samples):
        for name, point in _first_with_each_vector(points).items():
            _require_searchable(shipped, shard, name, point)
    return Proof(
        name="vectors",
        figure=looked_at,
        told=f"all vectors of {looked_at:,} sampled points are as built, and can be searched",
    )


def _first_with_each_vector(points: Sequence[Any]) -> dict[str, Any]:
    first: dict[str, Any] = {}
    for point in points:
        for name, vector in vectors_of(point).items():
            if len(getattr(vector, "indices", vector)):  # a sparse vector may have no term
                first.setdefault(name, point)
    return first


def _require_searchable(shipped: Shipped, shard: int, name: str, point: Any) -> None:
    only_it = models.Filter(must=[models.HasIdCondition(has_id=[point.id])])
    answer = shipped.asked(
        f"searching by vector {name!r}",
        lambda: shipped.server.query_points(
            shipped.target,
            query=vectors_of(point)[name],
            using=name or None,
            query_filter=only_it,
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
    """Sampled payloads are those that were built."""
    looked_at = 0
    for shard, page in _pages(samples):
        found = shipped.found([point.id for point in page], payload=True)
        looked_at += len(page)
        for point in page:
            there = found.get(plain_id(point.id))
            if there is None:
                raise shipped.refused("payloads", _lost(point.id, shard))
            problem = payload_difference(point.payload or {}, there.payload or {})
            if problem is not None:
                raise shipped.refused(
                    "payloads", f"point {plain_id(point.id)!r} of shard {shard}: {problem}"
                )
    return Proof(
        name="payloads",
        figure=looked_at,
        told=f"the payloads of {looked_at:,} sampled points are as built",
    )


def _ids_by_shard(shipped: Shipped) -> Iterator[tuple[int, list[PointId]]]:
    for shard, page in shipped.local.shard_ids(shipped.collection):
        yield shard, [plain_id(point) for point in page]


def _pages(samples: Samples) -> Iterator[tuple[int, Sequence[Any]]]:
    for shard, points in enumerate(samples):
        for start in range(0, len(points), _PAGE):
            yield shard, points[start : start + _PAGE]


def _lost(point: Any, shard: int) -> str:
    return (
        f"point {plain_id(point)!r} of shard {shard} was built and is not found by its id (or not "
        "alike on all replicas)"
    )


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"
