"""Where each peer of a cluster is reached, proved by its own word."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from qdrant_static.errors import ArgumentError, EngineError, ServerUnavailableError
from qdrant_static.shipping.nodes.node import Node

#: A server's own port, should the user's address name none.
_REST_PORT = 6333


class Addresses:
    """The REST addresses of a cluster's peers.

    An address is asked for its own peer id before anything is sent there: the list of a cluster
    holds the addresses by which the peers know each other, and a REST port or a host that is
    right among them may lead elsewhere from here.

    Args:
        node: The node that the user named.
        mapping: Peer id, or address in the cluster's list -> address of its REST interface.

    Attributes:
        clustered: Whether the node is in a cluster at all.

    Raises:
        ArgumentError: If the mapping names a peer that is not there.
        ServerUnavailableError: If the node does not answer.
    """

    def __init__(self, node: Node, mapping: Mapping[str, str]) -> None:
        self._node = node
        self._nodes: dict[int, Node] = {}
        self._listed: dict[int, str] = {}
        status = node.get("/cluster")
        self.clustered: bool = status.get("status") == "enabled"
        if self.clustered:
            self._listed = {int(peer): one["uri"] for peer, one in status["peers"].items()}
        self._mapped = self._understood(mapping)

    def known(self) -> tuple[Node, ...]:
        """The user's node, and those that were found."""
        return (self._node, *self._nodes.values())

    def node(self, peer_id: int) -> Node:
        """A peer by its number.

        Raises:
            ArgumentError: If another peer, or nobody of a cluster, is where it should be.
            ServerUnavailableError: If nobody answers there.
            AccessDeniedError: If it refuses the key.
        """
        if peer_id not in self._nodes:
            self._nodes[peer_id] = self._found(peer_id)
        return self._nodes[peer_id]

    def _understood(self, mapping: Mapping[str, str]) -> dict[int, str]:
        by_uri = {uri.rstrip("/"): peer for peer, uri in self._listed.items()}
        understood = {}
        for name, url in mapping.items():
            peer = by_uri.get(str(name).rstrip("/"))
            if peer is None and str(name).isdigit() and int(name) in self._listed:
                peer = int(name)
            if peer is None:
                known = ", ".join(f"{one} ({uri})" for one, uri in sorted(self._listed.items()))
                raise ArgumentError(
                    field="peers",
                    problem=f"{name!r} is no peer of the cluster behind {self._node.url}; its "
                    f"peers are: {known or 'none, it is one server alone'}",
                )
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ArgumentError(
                    field="peers", problem=f"{url!r} is no http:// or https:// address"
                )
            understood[peer] = url
        return understood

    def _found(self, peer_id: int) -> Node:
        if not self.clustered:
            return self._node
        if peer_id not in self._mapped:
            # The user's own address first: it works, whatever the cluster calls that peer.
            try:
                if self._id_at(self._node) == peer_id:
                    return self._node
                self._refresh()
            except ServerUnavailableError:
                pass  # it may be up again later; the one that is looked for may be up now
        url = self._mapped.get(peer_id) or self._expected(peer_id)
        node = self._node.at(url)
        given = peer_id in self._mapped
        listed = self._listed.get(peer_id, "no address")
        source = "" if given else f" (the cluster's own list has it at {listed})"
        ask = f"say where its REST interface is: --peer {peer_id}=URL (peers= in Python)"
        try:
            found = self._id_at(node)
        except ServerUnavailableError as error:
            raise ServerUnavailableError(
                where=f"peer {peer_id} at {node.url}{source}",
                problem=f"{error.problem}; if it is up, {ask}",
                tried=error.tried,
                waited_s=error.waited_s,
            ) from error
        except EngineError as error:
            raise ArgumentError(
                field="peers", problem=f"no peer {peer_id} at {node.url}{source}: {error}. {ask}"
            ) from error
        if found != peer_id:
            answers = f"peer {found} answers" if found is not None else "a server alone answers"
            raise ArgumentError(
                field="peers",
                problem=f"at {node.url}{source} {answers}, not peer {peer_id}: {ask}",
            )
        return node

    def _expected(self, peer_id: int) -> str:
        """The host of the cluster's own list, with the scheme and the port of the user."""
        given = urlsplit(self._node.url)
        host = urlsplit(self._listed.get(peer_id, "")).hostname or ""
        host = f"[{host}]" if ":" in host else host
        return f"{given.scheme}://{host}:{given.port or _REST_PORT}"

    def _refresh(self) -> None:
        peers = self._node.get("/cluster").get("peers", {})
        self._listed |= {int(peer): one["uri"] for peer, one in peers.items()}

    @staticmethod
    def _id_at(node: Node) -> int | None:
        found = node.get("/cluster").get("peer_id")
        return None if found is None else int(found)
