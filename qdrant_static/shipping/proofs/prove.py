"""Proves that what arrived is what was built, before an alias points at it.

A server accepts nearly every file: a shard of another dimension, another shard's points, points
that it will never edit again. It answers "ok" to all of them, so each of these traps has a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from qdrant_static.errors import (
    CollectionNotFoundError,
    EngineError,
    PointError,
    ServerUnavailableError,
)
from qdrant_static.ids import PointId, plain_id
from qdrant_static.routing import shard_of
from qdrant_static.shipping.proofs.behavior import edits, searches
from qdrant_static.shipping.proofs.indexed import indexed
from qdrant_static.shipping.proofs.points import ids, payloads, vectors
from qdrant_static.shipping.proofs.shipped import Proof, Shipped

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.edge.client import EdgeClient
    from qdrant_static.shipping.nodes.node import Node
    from qdrant_static.shipping.nodes.peers import Peers
    from qdrant_static.shipping.packing.segments import BuiltShard


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
    """Prove that a shipment is complete, can be searched and edited, and needs no indexing.

    The last proof edits a few points, and undoes its edits.

    Args:
        local: The client of the built collection.
        collection: The built collection.
        server: The client of the server.
        node: The node that the client talks to.
        peers: All nodes of the server.
        target: The collection on the server.
        built: The built shards, in the order of their numbers.
        sample: How many points of each shard are compared.
        retry: How long to keep retrying an unreachable server.

    Returns:
        The results of the proofs: count, route, ids, vectors, payloads, searches, indexed, edits.

    Raises:
        ShipmentRefusedError: If a proof fails; its ``left`` is empty.
        ServerUnavailableError: If the server did not answer for too long; nothing is known then.
        AccessDeniedError: If the API key may not read or edit the target.
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
            # A shard that the server cannot read is damaged: retrying does not help.
            raise shipped.refused(name, str(error)) from error
    return tuple(held)


def count(shipped: Shipped, counts: Sequence[int]) -> Proof:
    """Prove that all points have arrived: in every shard, on every replica, and in total.

    The count of a shard is the sum over its segments; the total is exact.

    Args:
        shipped: The shipment.
        counts: The number of points of each built shard.
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
    total = shipped.call_server(
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
        result=f"{total:,} points, as built, in each of {_many(len(counts), 'shard')}, "
        f"{_many(copies, 'replica')} of each",
    )


def route(shipped: Shipped) -> Proof:
    """Prove that every built point is in the shard where the server looks for it.

    In another one it would be counted and searched, but no edit or deletion would ever find it.
    """
    shards = len(shipped.built)
    checked = 0
    for shard, page in _ids_by_shard(shipped):
        checked += len(page)
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
        figure=checked,
        result=f"all {checked:,} ids are in the shard where the server looks for them",
    )


def _ids_by_shard(shipped: Shipped) -> Iterator[tuple[int, list[PointId]]]:
    for shard, page in shipped.local.shard_ids(shipped.collection):
        yield shard, [plain_id(point) for point in page]


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"
