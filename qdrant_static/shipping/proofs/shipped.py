"""Defines a shipment as its proofs see it, and the result of a proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from qdrant_client import models

from qdrant_static.clients.connect import address
from qdrant_static.clients.retry import RetryPolicy, call_with_retries, retry_unavailable
from qdrant_static.errors import ShipmentRefusedError
from qdrant_static.ids import PointId, plain_id

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.edge.client import EdgeClient
    from qdrant_static.shipping.nodes.node import Node
    from qdrant_static.shipping.nodes.peers import Peers
    from qdrant_static.shipping.nodes.replicas import Replica
    from qdrant_static.shipping.packing.segments import BuiltShard

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof that held.

    Attributes:
        name: One of ``"count"``, ``"route"``, ``"ids"``, ``"vectors"``, ``"payloads"``,
            ``"searches"``, ``"indexed"`` or ``"edits"``.
        figure: The number of points that it checked; for ``"searches"``, of queries; for
            ``"indexed"``, of indexed vectors.
        result: What it found, as a sentence.
    """

    name: str
    figure: int
    result: str

    def __str__(self) -> str:
        return f"{self.name}: {self.result}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A shipment that has arrived, and the build that it was made from.

    Attributes:
        local: The client of the built collection.
        collection: The built collection.
        server: The client of the server.
        node: The node that the client talks to.
        peers: All nodes of the server.
        target: The collection on the server.
        built: The built shards, in the order of their numbers.
        retry: How long to keep retrying an unreachable server.
    """

    local: EdgeClient
    collection: str
    server: QdrantClient
    node: Node
    peers: Peers
    target: str
    built: Sequence[BuiltShard]
    retry: RetryPolicy | None

    def refused(self, proof: str, problem: str) -> ShipmentRefusedError:
        """Return the error of a proof that failed; the caller sets its ``left``."""
        return ShipmentRefusedError(
            collection=self.collection,
            where=address(self.server),
            proof=proof,
            problem=problem,
            left="",
        )

    def call_server(self, operation: str, call: Callable[[], T]) -> T:
        """Call a method of the client with retries; raises as `call_with_retries` does."""
        return call_with_retries(self.server, self.target, operation, call, retry=self.retry)

    def call_node(self, call: Callable[[], T]) -> T:
        """Call a method of a node or of the peers with retries.

        Raises:
            ServerUnavailableError: If the node is unreachable for too long.
        """
        return retry_unavailable(call, self.retry or RetryPolicy())

    def holders(self) -> dict[int, list[Replica]]:
        """Return the replicas of each shard; raises as `call_node` does."""
        return self.call_node(lambda: self.peers.holders(self.target))

    def retrieve(
        self, ids: Sequence[PointId], *, payload: Any = False, vectors: bool = False
    ) -> dict[PointId, Any]:
        """Read points of the target by their ids; raises as `call_server` does.

        A point is returned only if all replicas agree on it.
        """
        if not ids:
            return {}
        records = self.call_server(
            "looking up points",
            lambda: self.server.retrieve(
                self.target,
                list(ids),
                with_payload=payload,
                with_vectors=vectors,
                consistency=models.ReadConsistencyType.ALL,
            ),
        )
        return {plain_id(record.id): record for record in records}
