"""Shipping to a cluster of two nodes, four shards, two replicas: undisturbed, and nodes killed."""

from __future__ import annotations

import tarfile
import threading
import time
from collections.abc import Iterator
from tempfile import TemporaryFile

import pytest

from qdrant_static import EdgeClient
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.errors import ArgumentError, ServerUnavailableError, ShipmentRefusedError
from qdrant_static.shipping import push
from qdrant_static.shipping.nodes.node import collection_path, node_of
from qdrant_static.shipping.nodes.peers import Peers
from qdrant_static.shipping.packing import shardsnapshot
from qdrant_static.shipping.progress import ShipProgress
from qdrant_static.shipping.push import ship
from qdrant_static.shipping.send import Sender
from tests.server.own_cluster import OwnCluster
from tests.server.own_server import needs_binary
from tests.shipping import build, point_id

pytestmark = [pytest.mark.server, needs_binary]

POINTS = 2000
SHARDS = 4
SNAPSHOT = ("shards", 0, "snapshot")
#: What a node is away, in seconds: longer than the cluster takes to notice it.
AWAY_S = 2.0
#: Patience that ends while the node is still away, and so ends the shipment.
IMPATIENT = RetryPolicy(first_s=0.1, longest_s=0.5, budget_s=3.0)


@pytest.fixture
def cluster(tmp_path) -> Iterator[OwnCluster]:
    with OwnCluster(tmp_path / "cluster") as started:
        yield started


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Iterator[EdgeClient]:
    with EdgeClient(tmp_path_factory.mktemp("built")) as client:
        build(client, "c", POINTS, shard_number=SHARDS)
        yield client


class KillsHalfway:
    """Kills a node when half of the bytes are sent, once."""

    def __init__(self, cluster: OwnCluster, victim: int, *, away_s: float | None = None) -> None:
        self._node = cluster.nodes[victim]
        self._away_s = away_s
        self.killed = False
        self._back: threading.Thread | None = None

    def __call__(self, progress: ShipProgress) -> None:
        if self.killed or progress.phase != "sending":
            return
        if 2 * progress.sent_bytes >= progress.total_bytes:
            self.killed = True
            self._node.kill()
            if self._away_s is not None:
                self._back = threading.Thread(target=self._come_back)
                self._back.start()

    def _come_back(self) -> None:
        assert self._away_s is not None
        time.sleep(self._away_s)
        self._node.start()

    def join(self) -> None:
        assert self.killed
        if self._back is not None:
            self._back.join()


def check(cluster: OwnCluster, local: EdgeClient, target: str, alias: str) -> None:
    """Every replica has its shard whole; edits take, asked of either node; the alias is there."""
    first, second = (node.client() for node in cluster.nodes)
    with node_of(first) as node:
        peers = Peers.of(node, cluster.addresses)
        expected = local.shard_counts("c")
        assert sum(expected) == POINTS
        counts = peers.counts(target)
        assert counts == {
            shard: dict.fromkeys(counts[shard], expected[shard]) for shard in range(SHARDS)
        }
        assert all(len(replicas) == 2 for replicas in counts.values())
        ids = [point_id(number) for number in range(40)]
        first.set_payload(alias, {"edited": 1}, points=ids[:20], wait=True)
        second.set_payload(alias, {"edited": 2}, points=ids[20:], wait=True)
        second.delete(alias, [point_id(number) for number in range(40, 60)], wait=True)
        for client in (first, second):
            seen = {one.id: one.payload["edited"] for one in client.retrieve(alias, ids)}
            assert seen == {one: 1 if n < 20 else 2 for n, one in enumerate(ids)}
            assert client.count(target, exact=True).count == POINTS - 20
            assert {one.alias_name for one in client.get_aliases().aliases} == {alias}
        totals = {
            peer: sum(replicas[peer] for replicas in peers.counts(target).values())
            for peer in counts[0]
        }
        assert set(totals.values()) == {POINTS - 20}, "a replica did not take the deletion"


def test_each_node_s_own_address_comes_from_the_cluster_s_list(tmp_path):
    with OwnCluster(tmp_path / "cluster", apart=True) as cluster:
        client = cluster.nodes[0].client()
        client.create_collection("c", vectors_config={}, shard_number=2, replication_factor=2)
        with node_of(client) as node:
            holders = Peers.of(node).holders("c")
            assert {one.node.url for one in holders[0]} == {one.url for one in cluster.nodes}
            assert Peers.of(node).wait_until_active("c", {0: 0, 1: 0}) == ()


def test_an_address_in_the_list_that_leads_to_another_node_is_not_sent_to(cluster, built):
    client = cluster.nodes[0].client()
    with pytest.raises(
        ArgumentError, match=r"answers, not peer \d+: give the URL .*--peer \d+=URL"
    ):
        ship(built, "c", client, name="refused", replicas=2)


def test_four_shards_arrive_on_both_nodes(cluster, built):
    client = cluster.nodes[0].client()
    shipment = ship(built, "c", client, name="c__1", alias="c", replicas=2, peers=cluster.addresses)
    assert (shipment.points, shipment.shards, shipment.alias) == (POINTS, SHARDS, "c")
    check(cluster, built, "c__1", "c")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_node_that_comes_back_is_waited_for(cluster, built, victim):
    client = cluster.nodes[0].client()
    told = KillsHalfway(cluster, victim, away_s=AWAY_S)
    ship(
        built,
        "c",
        client,
        name="c__1",
        alias="c",
        replicas=2,
        peers=cluster.addresses,
        progress=told,
    )
    told.join()
    check(cluster, built, "c__1", "c")


@pytest.mark.parametrize("victim", [0, 1])
def test_the_same_command_finishes_what_a_dead_node_ended(cluster, built, victim):
    client = cluster.nodes[0].client()
    told = KillsHalfway(cluster, victim)
    asked = {
        "name": "c__1",
        "alias": "c",
        "replicas": 2,
        "peers": cluster.addresses,
        "retry": IMPATIENT,
    }
    with pytest.raises(ServerUnavailableError):
        ship(built, "c", client, **asked, progress=told)
    told.join()
    assert [node.client().get_aliases().aliases for node in cluster.nodes if node.runs] == [[]]
    cluster.nodes[victim].start()
    cluster.wait_for_all()
    shipment = ship(built, "c", client, **{**asked, "retry": None})
    assert shipment.alias == "c"
    check(cluster, built, "c__1", "c")


@pytest.fixture
def clocks_written(monkeypatch) -> list[str]:
    """A target that has had its operations for some seconds: its shards' snapshots have clocks."""
    found: list[str] = []
    take = Sender.fetch_empty_snapshots

    def frame(sender: Sender) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with TemporaryFile() as file:
                holder = sender._holders()[0][0]
                holder.node.stream_to(collection_path(sender._target, *SNAPSHOT), file)
                file.seek(0)
                with tarfile.open(fileobj=file) as tar:
                    found[:] = [name for name in tar.getnames() if name.endswith("clocks.json")]
            if found:
                return take(sender)
            time.sleep(0.2)
        raise AssertionError("the server wrote no clocks")

    monkeypatch.setattr(Sender, "fetch_empty_snapshots", frame)
    return found


def test_replicas_are_whole_though_the_target_has_clocks(cluster, built, clocks_written):
    client = cluster.nodes[0].client()
    ship(built, "c", client, name="c__1", alias="c", peers=cluster.addresses, replicas=2)
    assert clocks_written == ["newest_clocks.json"]
    check(cluster, built, "c__1", "c")


def test_a_shipment_with_clocks_leaves_replicas_empty_and_is_refused(
    cluster, built, clocks_written, monkeypatch
):
    """What the server's own repair does then: it finds that nothing is missing."""
    monkeypatch.setattr(shardsnapshot, "_CLOCKS", ())
    monkeypatch.setattr(push, "_ROUNDS", 1)
    client = cluster.nodes[0].client()
    with pytest.raises(ShipmentRefusedError) as caught:
        push.ship(built, "c", client, name="c__1", peers=cluster.addresses, replicas=2)
    assert caught.value.proof == "count"
    assert not client.collection_exists("c__1")
