"""The peers of a cluster: who holds a shard, where its REST interface is, and in which state."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qdrant_static.errors import ArgumentError, ServerUnavailableError
from qdrant_static.shipping.nodes.node import Node, collection_path
from qdrant_static.shipping.nodes.peeraddress import Addresses

ACTIVE = "Active"
#: How often the states are asked for, in seconds.
_LOOK_S = 0.2
#: States go through the cluster's consensus, and a recovery begins, within about a second
#: (measured, see `Peers.wait_active`): what is wrong for so long stays wrong, in seconds.
_SETTLED_S = 4.0
#: And what is right for so long was not about to be marked as dead, in seconds.
_STEADY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A replica of a shard, and who has it.

    Attributes:
        shard: The shard's number.
        peer_id: The peer that has it.
        node: That peer.
        state: The replica's, in the cluster's words, such as "Active" or "Dead".
        points: How many it has: the sum over its segments, which is exact where no id is in two
            of them; None if the peer does not answer now.
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
class Replicas:
    """All replicas of a collection at one moment.

    Attributes:
        holders: Shard -> its replicas: the active ones first, and of equals another peer first
            for every shard.
        moving: The shards that are being copied between peers, with what is said about it.
        led: Every peer that answered knows who leads the cluster: else what a peer proposes may
            be lost.
    """

    holders: dict[int, list[Holder]]
    moving: dict[int, str]
    led: bool


class Peers:
    """The nodes of a cluster, or one node without a cluster.

    Args:
        addresses: Where they are reached.
    """

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    @classmethod
    def of(cls, node: Node, mapping: Mapping[str, str] | None = None) -> Peers:
        """The peers that a node knows.

        Args:
            node: The node that the user named.
            mapping: Peer id, or address in the cluster's list -> address of its REST interface.

        Raises:
            ArgumentError: If the mapping names a peer that is not there.
            ServerUnavailableError: If the node does not answer.
        """
        return cls(Addresses(node, mapping or {}))

    @property
    def clustered(self) -> bool:
        """Whether there is a cluster at all."""
        return self._addresses.clustered

    def node(self, peer_id: int) -> Node:
        """A peer by its number.

        Raises:
            ArgumentError: If another peer, or nobody of a cluster, is where it should be.
            ServerUnavailableError: If nobody answers there.
            AccessDeniedError: If it refuses the key.
        """
        return self._addresses.node(peer_id)

    def holders(self, collection: str) -> dict[int, list[Holder]]:
        """Who has each shard; raises as `look` does."""
        return self.look(collection).holders

    def counts(self, collection: str) -> dict[int, dict[int, int | None]]:
        """Shard -> peer -> points, None where the peer does not answer; raises as `look` does."""
        return {
            shard: {one.peer_id: one.points for one in replicas}
            for shard, replicas in self.holders(collection).items()
        }

    def look(self, collection: str) -> Replicas:
        """The replicas now, each asked of the peer that has it.

        Raises:
            ArgumentError, AccessDeniedError: As `node` does, at the first look at a peer.
            ServerUnavailableError: If a peer never answered, or none does now.
            EngineError: If the collection is not there.
        """
        seen = self._placement(collection)
        states = {(shard["shard_id"], seen["peer_id"]): shard for shard in seen["local_shards"]}
        states |= {(shard["shard_id"], shard["peer_id"]): shard for shard in seen["remote_shards"]}
        moving: dict[int, str] = {}
        counts: dict[tuple[int, int], int] = {}
        led = True
        for peer in {peer for _, peer in states}:
            node = self.node(peer)
            try:
                own = self._asked(node, collection, peer)
                led = led and self._leader(node) is not None
            except ServerUnavailableError:
                continue
            if own is None:
                continue
            for one in own["shard_transfers"]:  # the one that sends tells how far it is
                moving[one["shard_id"]] = one.get("comment") or moving.get(one["shard_id"], "")
            for one in own["local_shards"]:
                counts[one["shard_id"], peer] = one["points_count"]
                # A peer that lags behind still calls a replica Active that another knows as dead.
                if one["state"] != ACTIVE and (one["shard_id"], peer) in states:
                    states[one["shard_id"], peer] = one
        holders: dict[int, list[Holder]] = {}
        for shard, peer in sorted(states):
            holders.setdefault(shard, []).append(
                Holder(
                    shard=shard,
                    peer_id=peer,
                    node=self.node(peer),
                    state=states[shard, peer]["state"],
                    points=counts.get((shard, peer)),
                )
            )
        for shard, replicas in holders.items():
            turn = shard % len(replicas)  # so that the shards' firsts are spread over the peers
            replicas[:] = replicas[turn:] + replicas[:turn]
            replicas.sort(key=lambda one: (one.state != ACTIVE, one.points is None))
        return Replicas(holders=holders, moving=moving, led=led)

    def wait_led(self, node: Node, *, patience_s: float = 60.0) -> None:
        """Wait until a node knows who leads its cluster; at once without a cluster.

        What a node proposes before is lost without a word: among it, after an upload, that the
        other replicas of the shard are to be copied anew.

        Raises:
            ServerUnavailableError: If it does not within ``patience_s``, or does not answer.
        """
        begun = time.monotonic()
        tried = 0
        while True:
            tried += 1
            problem = "it knows no leader of its cluster: too few of the peers are up"
            try:
                if not self.clustered or self._leader(node) is not None:
                    return
            except ServerUnavailableError as error:
                problem = error.problem
            waited = time.monotonic() - begun
            if waited > patience_s:
                raise ServerUnavailableError(
                    where=node.url, problem=problem, tried=tried, waited_s=waited
                )
            time.sleep(_LOOK_S)

    def wait_active(
        self,
        collection: str,
        counts: Mapping[int, int],
        *,
        patience_s: float = 300.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[int, ...]:
        """Wait until every replica is Active and has its points.

        Active alone says little. An upload is answered before the other replicas are marked as
        dead, so for a moment all are Active and one has the data; and where that mark was lost
        (its node was restarted and knew no leader yet) they stay Active and empty. So the points
        are counted at every peer, and what stays wrong is told, to be sent again.

        Args:
            collection: Which.
            counts: Shard -> how many points each of its replicas must have.
            patience_s: So long nothing may change, in seconds.
            progress: Called with the number of replicas that are as they must be, and of all.

        Returns:
            The shards that stay wrong with nobody at work on them; none if all is well.

        Raises:
            ServerUnavailableError: If nothing changes for ``patience_s``, and a peer is away or
                a copy hangs.
            ArgumentError, AccessDeniedError, EngineError: As `look` does.
        """
        last: Any = None
        changed = time.monotonic()
        tried = 0
        problem = ""
        while True:
            tried += 1
            try:
                seen = self.look(collection)
            except ServerUnavailableError as error:
                state, seen, problem = error.where, None, error.problem
            else:
                state = str(seen)
            now = time.monotonic()
            if state != last:
                last, changed = state, now
            if seen is not None:
                wrong = _wrong(seen, counts)
                if progress is not None:
                    every = [one for replicas in seen.holders.values() for one in replicas]
                    progress(len(every) - len(wrong), len(every))
                open_shards = {one.shard for one in wrong} | (set(counts) - set(seen.holders))
                if (
                    not open_shards
                    and not seen.moving
                    and (now - changed >= _STEADY_S or not self.clustered)
                ):
                    return ()
                if now - changed > _SETTLED_S and _nobody_at_work(seen, wrong):
                    return tuple(sorted(open_shards))
                problem = _in_short(wrong) or f"shards {sorted(seen.moving)} are being copied"
            if now - changed > patience_s:
                raise ServerUnavailableError(
                    where=f"a replica of {collection!r} behind {self._addresses.known()[0].url}",
                    problem=problem,
                    tried=tried,
                    waited_s=now - changed,
                )
            time.sleep(_LOOK_S)

    def _leader(self, node: Node) -> int | None:
        if not self.clustered:
            return 0
        leader = node.get("/cluster")["raft_info"]["leader"]
        return None if leader is None else int(leader)

    def _placement(self, collection: str) -> dict[str, Any]:
        """Where the shards are, as the first peer that answers sees it."""
        first: ServerUnavailableError | None = None
        for node in self._addresses.known():
            try:
                return dict(node.get(collection_path(collection, "cluster")))
            except ServerUnavailableError as error:
                first = first or error
        assert first is not None  # noqa: S101 - the first node is always asked
        raise first

    def _asked(self, node: Node, collection: str, peer_id: int) -> dict[str, Any] | None:
        """What a peer says of its replicas; None if it has not heard of the collection yet."""
        own = node.get_or_none(collection_path(collection, "cluster"))
        if own is not None and own["peer_id"] != peer_id:
            raise ArgumentError(
                field="peers",
                problem=f"at {node.url} answered peer {peer_id}, and now {own['peer_id']}: "
                "something before the nodes sends requests to one or another. Say where each one's "
                "own REST interface is: --peer ID=URL (peers= in Python)",
            )
        return None if own is None else dict(own)


def _wrong(seen: Replicas, counts: Mapping[int, int]) -> list[Holder]:
    return [
        one
        for shard, replicas in seen.holders.items()
        for one in replicas
        if one.state != ACTIVE or one.points != counts.get(shard, one.points)
    ]


def _in_short(wrong: list[Holder]) -> str:
    named = "; ".join(map(str, wrong[:3]))
    return named if len(wrong) <= 3 else f"{named}; and {len(wrong) - 3} more"


def _nobody_at_work(seen: Replicas, wrong: list[Holder]) -> bool:
    """Whether waiting helps nothing: no copy runs, and none will begin."""
    if seen.moving or not seen.led or any(one.points is None for one in wrong):
        return False
    return all(
        one.state == ACTIVE
        # A dead replica is copied from an active one; where there is none, it stays dead.
        or all(other.state != ACTIVE for other in seen.holders[one.shard])
        for one in wrong
    )
