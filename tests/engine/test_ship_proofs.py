"""The proofs of a shipment without a server: another embedded collection stands for it.

What the server's REST interface says of replicas and optimizers is said by a stand-in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.errors import EngineError, ServerUnavailableError
from qdrant_static.routing import shard_of
from qdrant_static.shipping.nodes.replicas import Replica
from qdrant_static.shipping.packing.segments import BuiltSegment, BuiltShard
from qdrant_static.shipping.proofs import behavior
from qdrant_static.shipping.proofs.shipped import Shipped
from tests.proof_suite import NAMES, SHARDS, Pair, ProofSuite, built_once, create

GRAPH = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "on_disk": False}


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Iterator[EdgeClient]:
    yield from built_once(tmp_path_factory.mktemp("built"), idf=False)


class EdgeServer(EdgeClient):
    """An engine with an address, which numbers its operations."""

    init_options = {"url": "http://edge:6333"}  # noqa: RUF012 - as QdrantClient's
    edits = 0

    def set_payload(self, *args: Any, **options: Any) -> models.UpdateResult:
        done = super().set_payload(*args, **options)
        self.edits += 1
        return done.model_copy(update={"operation_id": self.edits})


@dataclass(slots=True)
class Rest:
    """What a server's REST interface says.

    Attributes:
        queued: What its optimizer has to do.
        running: What it is at.
        config: The collection's.
        segments: What telemetry says of them; None if it may not be asked.
        away: So many questions are not answered.
    """

    url: str = "http://edge:6333"
    queued: list[Any] = field(default_factory=list)
    running: list[Any] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    segments: list[Any] | None = None
    away: int = 0

    def get(self, path: str, **_: Any) -> Any:
        if self.away:
            self.away -= 1
            raise ServerUnavailableError(where=self.url, problem="reset", tried=1, waited_s=0.0)
        if path == "/telemetry":
            if self.segments is None:
                raise EngineError(operation="asking", problem="403")
            shards = [{"local": {"segments": self.segments}}, {"local": None}]
            here = {"id": "target", "shards": shards}
            return {"collections": {"collections": [{"id": "other"}, here]}}
        if path.endswith("/optimizations"):
            return {"running": self.running, "queued": self.queued}
        return {"config": self.config}


@dataclass(frozen=True, slots=True)
class OnePeer:
    """The only peer, which counts what is there."""

    server: EdgeClient
    node: Rest

    def holders(self, collection: str) -> dict[int, list[Replica]]:
        ids = [record.id for record in self.server.scroll(collection, limit=10**6)[0]]
        counts = Counter(shard_of(ids, SHARDS).tolist())
        return {
            shard: [
                Replica(
                    shard=shard,
                    peer_id=1,
                    node=self.node,  # type: ignore[arg-type]
                    state="Active",
                    points=counts[shard],
                )
            ]
            for shard in range(SHARDS)
        }


@dataclass(frozen=True, slots=True)
class TwoPeers:
    """The peer, and another that says it has so many points in each shard."""

    first: OnePeer
    points: int | None

    def holders(self, collection: str) -> dict[int, list[Replica]]:
        return {
            shard: [one, replace(one, peer_id=2, points=self.points)]
            for shard, (one,) in self.first.holders(collection).items()
        }


class TestWithoutAServer(ProofSuite):
    @pytest.fixture
    def pair(self, local, tmp_path) -> Iterator[Pair]:
        with EdgeServer(tmp_path) as server:
            create(server, "target", shards=1, idf=False)
            node = Rest()
            yield Pair(
                local=local,
                server=server,
                node=node,
                peers=OnePeer(server, node),
                target="target",
            )

    @pytest.mark.parametrize(
        ("where", "optimizer", "told"),
        [
            ("queued", "indexing", "has no index yet"),
            ("running", "indexing", "has no index yet"),
            ("queued", "merge", "of more segments than this server keeps"),
            ("queued", "vacuum", "too many deleted points"),
            ("queued", "another", "the server wants to rewrite 7 points ('another')"),
            ("queued", "config mismatch", "the server does not say which field"),
        ],
    )
    def test_what_the_optimizer_has_to_do_is_told(self, pair, where, optimizer, told) -> None:
        segments = [{"uuid": "a", "points_count": 3}, {"uuid": "b", "points_count": 4}]
        setattr(pair.node, where, [{"optimizer": optimizer, "segments": segments}])
        refused = pair.refusal()
        assert refused.proof == "indexed"
        assert told in refused.problem
        assert "7 points" in refused.problem

    @pytest.mark.parametrize(
        ("m", "told"),
        [
            (8, "vectors.full.hnsw.m: built 16, target 8"),
            # Not another graph, another word for the same: the server rewrites it all the same.
            (16, "vector_data.full.index.options.on_disk: built null, target false"),
        ],
    )
    def test_a_mismatch_names_the_field(self, pair, m, told) -> None:
        queued = {"optimizer": "config mismatch", "segments": [{"uuid": "a", "points_count": 3}]}
        pair.node.queued = [queued]
        pair.node.config = target_config(m)
        there = {name: value for name, value in GRAPH.items() if name != "on_disk"}
        pair.node.segments = [
            {"info": {"uuid": "z"}, "config": {}},
            {"info": {"uuid": "a"}, "config": segment_config(there)},
        ]
        assert pair.refusal().problem.endswith(f"('config mismatch'): {told}")

    def test_a_target_that_is_not_what_was_built_is_told(self, pair) -> None:
        pair.node.config = target_config(m=8)
        segment = BuiltSegment(
            name="a", folder=Path(), state={"config": segment_config(GRAPH)}, version="0.6.0"
        )
        shard = BuiltShard(number=0, folder=Path(), segments=(segment,), newest=-1)
        refused = pair.refusal(built=[shard, shard])
        assert refused.proof == "indexed"
        assert refused.problem.endswith("vectors.full.hnsw.m: built 16, target 8")

    def test_a_replica_that_is_empty_is_a_count_that_names_its_peer(self, pair) -> None:
        """As a cluster leaves it when a copy has begun from a log in which nothing is."""
        refused = replace(pair, peers=TwoPeers(pair.peers, points=0)).refusal()
        assert refused.proof == "count"
        assert refused.problem.startswith("shard 0 on peer 2 at http://edge:6333: Active, 0 points")

    def test_a_replica_that_does_not_answer_proves_nothing(self, pair) -> None:
        with pytest.raises(ServerUnavailableError, match=r"peer 2 at .* does not answer"):
            replace(pair, peers=TwoPeers(pair.peers, points=None)).prove()

    def test_a_shard_that_nobody_holds_is_told(self, pair) -> None:
        held = pair.peers.holders("target")
        peers = SimpleNamespace(holders=lambda _: {0: held[0]})
        refused = replace(pair, peers=peers).refusal()
        assert refused.proof == "count"
        assert refused.problem == "no node of the server holds shard 1"

    def test_a_node_that_is_away_for_a_moment_is_waited_for(self, pair) -> None:
        pair.node.away = 2
        assert len(pair.prove()) == len(NAMES)

    def test_a_node_that_stays_away_proves_nothing(self, pair) -> None:
        pair.node.away = 10**6
        with pytest.raises(ServerUnavailableError):
            pair.prove(budget_s=0.2)


def target_config(m: int) -> dict[str, Any]:
    return {
        "params": {"vectors": {"full": {"size": 16, "distance": "Cosine"}}},
        "hnsw_config": {**GRAPH, "m": m},
    }


def segment_config(graph: dict[str, Any]) -> dict[str, Any]:
    return {
        "vector_data": {
            "full": {
                "size": 16,
                "distance": "Cosine",
                "storage_type": "InRamMmap",
                "index": {"type": "hnsw", "options": graph},
                "quantization_config": None,
            }
        },
        "payload_storage_type": {"type": "mmap"},
    }


def test_vectors_that_only_rescore_are_not_read_from_end_to_end(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(behavior, "_LARGE", 2)
    cosine = models.Distance.COSINE
    no_graph = models.HnswConfigDiff(m=0)
    codes = models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
    asked = []

    class Counting(EdgeServer):
        def query_points(self, *args: Any, using: str | None = None, **options: Any) -> Any:
            asked.append(using)
            return super().query_points(*args, using=using, **options)

    def fill(client: EdgeClient) -> None:
        client.create_collection(
            "c",
            {
                "rescores": models.VectorParams(size=2, distance=cosine, hnsw_config=no_graph),
                "coded": models.VectorParams(
                    size=2, distance=cosine, hnsw_config=no_graph, quantization_config=codes
                ),
            },
        )
        client.upsert(
            "c",
            [
                models.PointStruct(id=n, vector={"rescores": [1.0, n], "coded": [1.0, n]})
                for n in range(5)
            ],
        )

    with Counting(tmp_path / "there") as server, EdgeClient(tmp_path / "here") as local:
        fill(server)
        fill(local)
        shipped = Shipped(
            local=local, collection="c", server=server, node=None, peers=None, target="c",
            built=(), retry=None,
        )  # fmt: skip
        proof = behavior.searches(shipped, local.sample_points("c", 5, with_vectors=True))
    assert set(asked) == {"coded"}
    assert proof.figure == 5
