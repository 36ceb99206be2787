"""What the proofs of a shipment are about, and what one of them says."""

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
    from qdrant_static.shipping.nodes.peers import Holder, Peers
    from qdrant_static.shipping.packing.segments import BuiltShard

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof that held.

    Attributes:
        name: Which: ``"count"``, ``"route"``, ``"ids"``, ``"vectors"``, ``"payloads"``,
            ``"searches"``, ``"indexed"`` or ``"edits"``.
        figure: How many points it looked at; for ``"searches"``, how many queries; for
            ``"indexed"``, how many vectors are indexed.
        told: What was found, in a sentence.
    """

    name: str
    figure: int
    told: str

    def __str__(self) -> str:
        return f"{self.name}: {self.told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A shipment that has arrived, and what it was made from.

    Attributes:
        local: Where the built collection is.
        collection: The built collection.
        server: Where it went.
        node: The server's node that the client talks to.
        peers: The server's nodes.
        target: The collection there.
        built: The shards, in the order of their numbers.
        retry: How long a server that is away is waited for.
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
        """The error of a proof that failed; what is left behind is for the caller to fill in."""
        return ShipmentRefusedError(
            collection=self.collection,
            where=address(self.server),
            proof=proof,
            problem=problem,
            left="",
        )

    def asked(self, operation: str, call: Callable[[], T]) -> T:
        """A call of the client, with patience; raises as `call_with_retries` does."""
        return call_with_retries(self.server, self.target, operation, call, retry=self.retry)

    def again(self, call: Callable[[], T]) -> T:
        """A call of a node or of the peers, with the same patience.

        Raises:
            ServerUnavailableError: If it did not succeed for too long.
        """
        return retry_unavailable(call, self.retry or RetryPolicy())

    def holders(self) -> dict[int, list[Holder]]:
        """The replicas of each shard; raises as `again` does."""
        return self.again(lambda: self.peers.holders(self.target))

    def found(
        self, ids: Sequence[PointId], *, payload: Any = False, vectors: bool = False
    ) -> dict[PointId, Any]:
        """The target's points of some ids, as all replicas have them.

        With this consistency the server gives a point only where the replicas agree.
        """
        if not ids:
            return {}
        records = self.asked(
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
