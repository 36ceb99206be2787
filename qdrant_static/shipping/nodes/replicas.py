"""The replicas of a collection's shards at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qdrant_static.shipping.nodes.node import Node

ACTIVE = "Active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A replica of a shard.

    Attributes:
        shard: The shard's number.
        peer_id: The peer that holds it.
        node: The REST interface of that peer.
        state: Its state as the cluster reports it, such as "Active" or "Dead".
        points: Its number of points: the sum over its segments, which is exact unless an id is in
            two of them; None if the peer does not answer.
    """

    shard: int
    peer_id: int
    node: Node
    state: str
    points: int | None

    def __str__(self) -> str:
        has = "does not answer" if self.points is None else f"{self.points:,} points"
        return f"shard {self.shard} on peer {self.peer_id} at {self.node.url}: {self.state}, {has}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStates:
    """All replicas of a collection at one moment.

    Attributes:
        holders: Shard -> its replicas: active ones first, and among equals a different peer first
            for every shard.
        moving: The shards that are being copied between peers, with the cluster's comment.
        led: Whether every peer that answered knows the leader of the cluster: without one, what a
            peer proposes may be lost.
    """

    holders: dict[int, list[Replica]]
    moving: dict[int, str]
    led: bool


def wrong_replicas(seen: ReplicaStates, counts: Mapping[int, int]) -> list[Replica]:
    """Return the replicas that are not active, or do not have their shard's number of points."""
    return [
        one
        for shard, replicas in seen.holders.items()
        for one in replicas
        if one.state != ACTIVE or one.points != counts.get(shard, one.points)
    ]


def in_short(wrong: list[Replica]) -> str:
    """Describe the first few replicas of a list."""
    named = "; ".join(map(str, wrong[:3]))
    return named if len(wrong) <= 3 else f"{named}; and {len(wrong) - 3} more"


def is_stuck(seen: ReplicaStates, wrong: list[Replica]) -> bool:
    """Return whether waiting does not help: no copy is running, and none will start."""
    if seen.moving or not seen.led or any(one.points is None for one in wrong):
        return False
    return all(
        one.state == ACTIVE
        # A dead replica is copied from an active one; where there is none, it stays dead.
        or all(other.state != ACTIVE for other in seen.holders[one.shard])
        for one in wrong
    )
