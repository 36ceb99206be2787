"""Finds the REST address of each peer of a cluster, and verifies it with the peer itself."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from qdrant_static.errors import ArgumentError, EngineError, ServerUnavailableError
from qdrant_static.shipping.nodes.node import Node

#: The default REST port, if the user's URL has none.
_REST_PORT = 6333


class PeerAddresses:
    """The REST addresses of a cluster's peers.

    The node at an address is asked for its peer id before anything is sent there: the cluster's
    list has the addresses that the peers use among themselves, and from here the same host or
    port may lead to another node.

    Args:
        node: The node that the user named.
        mapping: Peer id, or address in the cluster's list -> URL of its REST interface.

    Attributes:
        clustered: Whether the node is part of a cluster.

    Raises:
        ArgumentError: If the mapping names a peer that does not exist.
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
        self._mapped = self._by_peer(mapping)

    def known(self) -> tuple[Node, ...]:
        """Return the user's node, and the peers that were found so far."""
        return (self._node, *self._nodes.values())

    def node(self, peer_id: int) -> Node:
        """Return the REST interface of a peer.

        Raises:
            ArgumentError: If another peer, or a server that is not in a cluster, is at its address.
            ServerUnavailableError: If there is no answer from its address.
            AccessDeniedError: If it refuses the API key.
        """
        if peer_id not in self._nodes:
            self._nodes[peer_id] = self._find(peer_id)
        return self._nodes[peer_id]

    def _by_peer(self, mapping: Mapping[str, str]) -> dict[int, str]:
        """Return the user's mapping with peer ids as keys."""
        by_uri = {uri.rstrip("/"): peer for peer, uri in self._listed.items()}
        mapped = {}
        for name, url in mapping.items():
            peer = by_uri.get(str(name).rstrip("/"))
            if peer is None and str(name).isdigit() and int(name) in self._listed:
                peer = int(name)
            if peer is None:
                known = ", ".join(f"{one} ({uri})" for one, uri in sorted(self._listed.items()))
                raise ArgumentError(
                    field="peers",
                    problem=f"{name!r} is not a peer of the cluster of {self._node.url}; its "
                    f"peers are: {known or 'none, it is a single server'}",
                )
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ArgumentError(
                    field="peers", problem=f"{url!r} is not an http:// or https:// URL"
                )
            mapped[peer] = url
        return mapped

    def _find(self, peer_id: int) -> Node:
        if not self.clustered:
            return self._node
        if peer_id not in self._mapped:
            # Try the user's own address first: it works, whatever the cluster's list says.
            try:
                if self._id_at(self._node) == peer_id:
                    return self._node
                self._refresh()
            except ServerUnavailableError:
                pass  # the peer that is looked for may be up nevertheless
        url = self._mapped.get(peer_id) or self._expected(peer_id)
        node = self._node.at(url)
        listed = self._listed.get(peer_id, "no address")
        is_mapped = peer_id in self._mapped
        source = "" if is_mapped else f" (the cluster's own list has it at {listed})"
        ask = f"give the URL of its REST interface: --peer {peer_id}=URL (peers= in Python)"
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
            answers = f"peer {found} answers" if found is not None else "a single server answers"
            raise ArgumentError(
                field="peers",
                problem=f"at {node.url}{source} {answers}, not peer {peer_id}: {ask}",
            )
        return node

    def _expected(self, peer_id: int) -> str:
        """Combine the host of the cluster's list with the scheme and the port of the user's URL."""
        user = urlsplit(self._node.url)
        host = urlsplit(self._listed.get(peer_id, "")).hostname or ""
        host = f"[{host}]" if ":" in host else host
        return f"{user.scheme}://{host}:{user.port or _REST_PORT}"

    def _refresh(self) -> None:
        peers = self._node.get("/cluster").get("peers", {})
        self._listed |= {int(peer): one["uri"] for peer, one in peers.items()}

    @staticmethod
    def _id_at(node: Node) -> int | None:
        found = node.get("/cluster").get("peer_id")
        return None if found is None else int(found)
