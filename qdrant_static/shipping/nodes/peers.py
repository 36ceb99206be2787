"""Asks the peers of a cluster which of them hold a shard, and waits for their replicas."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from qdrant_static.errors import ArgumentError, ServerUnavailableError
from qdrant_static.shipping.nodes.node import Node, collection_path
from qdrant_static.shipping.nodes.peeraddresses import PeerAddresses
from qdrant_static.shipping.nodes.replicas import (
    ACTIVE,
    Replica,
    ReplicaStates,
    in_short,
    is_stuck,
    wrong_replicas,
)

#: How often the states are asked for, in seconds.
_POLL_S = 0.2
#: A state goes through the cluster's consensus, and a recovery starts, within about a second
#: (measured, see `Peers.wait_until_active`): a replica that is wrong for this long stays wrong.
_STUCK_S = 4.0
#: A replica that is right for this long will not be marked as dead any more, in seconds.
_STEADY_S = 1.0


class Peers:
    """The nodes of a cluster, or one node without a cluster.

    Args:
        addresses: The URLs of their REST interfaces.
    """

    def __init__(self, addresses: PeerAddresses) -> None:
        self._addresses = addresses

    @classmethod
    def of(cls, node: Node, mapping: Mapping[str, str] | None = None) -> Peers:
        """Read the peers that a node knows.

        Args:
            node: The node that the user named.
            mapping: Peer id, or address in the cluster's list -> address of its REST interface.

        Raises:
            ArgumentError: If the mapping names a peer that is not there.
            ServerUnavailableError: If the node does not answer.
        """
        return cls(PeerAddresses(node, mapping or {}))

    @property
    def clustered(self) -> bool:
        """Whether the node is part of a cluster."""
        return self._addresses.clustered

    def node(self, peer_id: int) -> Node:
        """Return the REST interface of a peer; raises as `PeerAddresses.node` does."""
        return self._addresses.node(peer_id)

    def holders(self, collection: str) -> dict[int, list[Replica]]:
        """Return the replicas of each shard; raises as `replicas` does."""
        return self.replicas(collection).holders

    def counts(self, collection: str) -> dict[int, dict[int, int | None]]:
        """Return shard -> peer -> points, or None if the peer does not answer.

        Raises as `replicas` does.
        """
        return {
            shard: {replica.peer_id: replica.points for replica in replicas}
            for shard, replicas in self.holders(collection).items()
        }

    def replicas(self, collection: str) -> ReplicaStates:
        """Read the state of all replicas, each from the peer that holds it.

        Raises:
            ArgumentError, AccessDeniedError: As `node` does, the first time a peer is asked.
            ServerUnavailableError: If a peer has never answered, or none answers now.
            EngineError: If the collection does not exist.
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
                own = self._own_view(node, collection, peer)
                led = led and self._leader(node) is not None
            except ServerUnavailableError:
                continue
            if own is None:
                continue
            for one in own["shard_transfers"]:  # the sending peer adds a comment with the progress
                moving[one["shard_id"]] = one.get("comment") or moving.get(one["shard_id"], "")
            for one in own["local_shards"]:
                counts[one["shard_id"], peer] = one["points_count"]
                # A peer that lags behind still calls a replica active that another knows is dead.
                if one["state"] != ACTIVE and (one["shard_id"], peer) in states:
                    states[one["shard_id"], peer] = one
        holders: dict[int, list[Replica]] = {}
        for shard, peer in sorted(states):
            holders.setdefault(shard, []).append(
                Replica(
                    shard=shard,
                    peer_id=peer,
                    node=self.node(peer),
                    state=states[shard, peer]["state"],
                    points=counts.get((shard, peer)),
                )
            )
        for shard, replicas in holders.items():
            turn = shard % len(replicas)  # so that the first replicas are spread over the peers
            replicas[:] = replicas[turn:] + replicas[:turn]
            replicas.sort(key=lambda one: (one.state != ACTIVE, one.points is None))
        return ReplicaStates(holders=holders, moving=moving, led=led)

    def wait_for_leader(self, node: Node, *, timeout_s: float = 60.0) -> None:
        """Wait until a node knows the leader of its cluster; without a cluster, return at once.

        Without a leader, what a node proposes is lost silently: among it, after an upload, that
        the other replicas of the shard are to be copied again.

        Raises:
            ServerUnavailableError: If it knows none within ``timeout_s``, or does not answer.
        """
        started = time.monotonic()
        tried = 0
        while True:
            tried += 1
            problem = "it knows no leader of its cluster: too few of the peers are up"
            try:
                if not self.clustered or self._leader(node) is not None:
                    return
            except ServerUnavailableError as error:
                problem = error.problem
            waited = time.monotonic() - started
            if waited > timeout_s:
                raise ServerUnavailableError(
                    where=node.url, problem=problem, tried=tried, waited_s=waited
                )
            time.sleep(_POLL_S)

    def wait_until_active(
        self,
        collection: str,
        counts: Mapping[int, int],
        *,
        timeout_s: float = 300.0,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[int, ...]:
        """Wait until every replica is active and has its points.

        The state alone is not enough. The server answers an upload before it marks the other
        replicas as dead, so for a moment all are active and one has the data; and if that mark is
        lost (the node was restarted and did not know a leader yet) they stay active and empty. So
        the points are counted on every peer, and shards that stay wrong are returned, to be sent
        again.

        Args:
            collection: The collection.
            counts: Shard -> the number of points that each of its replicas must have.
            timeout_s: How long nothing may change, in seconds.
            progress: Called with the number of replicas that are as they must be, and of all.

        Returns:
            The shards that stay wrong while no copy of them runs; none if all are right.

        Raises:
            ServerUnavailableError: If nothing changes for ``timeout_s``, and a peer is unreachable
                or a copy hangs.
            ArgumentError, AccessDeniedError, EngineError: As `replicas` does.
        """
        last: Any = None
        changed = time.monotonic()
        tried = 0
        problem = ""
        while True:
            tried += 1
            try:
                seen = self.replicas(collection)
            except ServerUnavailableError as error:
                state, seen, problem = error.where, None, error.problem
            else:
                state = str(seen)
            now = time.monotonic()
            if state != last:
                last, changed = state, now
            if seen is not None:
                wrong = wrong_replicas(seen, counts)
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
                if now - changed > _STUCK_S and is_stuck(seen, wrong):
                    return tuple(sorted(open_shards))
                problem = in_short(wrong) or f"shards {sorted(seen.moving)} are being copied"
            if now - changed > timeout_s:
                raise ServerUnavailableError(
                    where=f"a replica of {collection!r} behind {self._addresses.known()[0].url}",
                    problem=problem,
                    tried=tried,
                    waited_s=now - changed,
                )
            time.sleep(_POLL_S)

    def _leader(self, node: Node) -> int | None:
        if not self.clustered:
            return 0
        leader = node.get("/cluster")["raft_info"]["leader"]
        return None if leader is None else int(leader)

    def _placement(self, collection: str) -> dict[str, Any]:
        """Read where the shards are from the first peer that answers."""
        first: ServerUnavailableError | None = None
        for node in self._addresses.known():
            try:
                return dict(node.get(collection_path(collection, "cluster")))
            except ServerUnavailableError as error:
                first = first or error
        assert first is not None  # noqa: S101 - the first node is always asked
        raise first

    def _own_view(self, node: Node, collection: str, peer_id: int) -> dict[str, Any] | None:
        """Read a peer's view of its replicas; None if it does not know the collection yet."""
        own = node.get_or_none(collection_path(collection, "cluster"))
        if own is not None and own["peer_id"] != peer_id:
            raise ArgumentError(
                field="peers",
                problem=f"at {node.url} peer {peer_id} answered, and now {own['peer_id']}: a load "
                "balancer before the nodes sends requests to one or the other. Give the URL of "
                "each node's own REST interface: --peer ID=URL (peers= in Python)",
            )
        return None if own is None else dict(own)
