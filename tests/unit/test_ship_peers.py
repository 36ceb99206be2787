"""The peers of a cluster: whose address is believed, and how long copies are waited for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from qdrant_static.errors import ArgumentError, ServerUnavailableError
from qdrant_static.shipping.nodes import peers as peers_module
from qdrant_static.shipping.nodes.node import Node
from qdrant_static.shipping.nodes.peers import Peers

FIRST, SECOND, THIRD = 11, 22, 33
COUNTS = {0: 5, 1: 7}


class Cluster:
    """What the peers of a cluster answer; states, points and addresses are there to be changed.

    Attributes:
        at: Address -> the peer that answers there.
        listed: Peer -> its address in the cluster's list.
        has: (shard, peer) -> state and points.
        moving: The shard transfers that are told.
        away: The peers that do not answer.
        leader: Peer -> whom it believes to lead.
        clock: The time in seconds; `wait` moves it, and `events` happen then.
    """

    def __init__(self) -> None:
        self.at = {"a:6333": FIRST, "b:6333": SECOND, "c:6333": THIRD}
        self.listed = {FIRST: "http://a:6335/", SECOND: "http://b:6335/", THIRD: "http://c:6335/"}
        self.has: dict[tuple[int, int], list[Any]] = {
            (shard, peer): ["Active", points]
            for shard, points in COUNTS.items()
            for peer in (FIRST, SECOND)
        }
        self.moving: list[dict[str, Any]] = []
        self.away: set[int] = set()
        self.lagging: set[int] = set()
        self.leader: dict[int, int | None] = dict.fromkeys(self.listed, FIRST)
        self.asked: list[str] = []
        self.clock = 0.0
        self.events: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds
        while self.events and self.events[0][0] <= self.clock:
            self.events.pop(0)[1]()

    def node(self, address: str = "http://a:6333") -> Node:
        return Node(address, httpx.Client(transport=httpx.MockTransport(self.answer)))

    def answer(self, request: httpx.Request) -> httpx.Response:
        place = f"{request.url.host}:{request.url.port}"
        self.asked.append(place)
        if place not in self.at or self.at[place] in self.away:
            raise httpx.ConnectError("refused", request=request)
        peer = self.at[place]
        if request.url.path == "/cluster":
            result = {
                "status": "enabled",
                "peer_id": peer,
                "peers": {str(one): {"uri": uri} for one, uri in self.listed.items()},
                "raft_info": {"leader": self.leader[peer]},
            }
            return httpx.Response(200, json={"result": result})
        if peer in self.lagging:
            return httpx.Response(404, json={"status": {"error": "Not found"}})
        result = {
            "peer_id": peer,
            "local_shards": [
                {"shard_id": shard, "state": state, "points_count": points}
                for (shard, at), (state, points) in self.has.items()
                if at == peer
            ],
            "remote_shards": [
                {"shard_id": shard, "peer_id": at, "state": state}
                for (shard, at), (state, _) in self.has.items()
                if at != peer
            ],
            "shard_transfers": self.moving,
        }
        return httpx.Response(200, json={"result": result})


@pytest.fixture
def cluster(monkeypatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(peers_module, "time", made)
    return made


# --- addresses -------------------------------------------------------------------------------


def test_the_cluster_s_own_list_gives_the_host_and_the_user_the_port(cluster):
    peers = Peers.of(cluster.node())
    assert peers.node(SECOND).url == "http://b:6333"
    assert peers.node(FIRST).url == "http://a:6333"


def test_each_shard_has_its_holders_with_what_they_have(cluster):
    cluster.has[1, SECOND] = ["Dead", 0]
    holders = Peers.of(cluster.node()).holders("c")
    assert {
        shard: [(one.peer_id, one.node.url, one.state, one.points) for one in replicas]
        for shard, replicas in holders.items()
    } == {
        0: [(FIRST, "http://a:6333", "Active", 5), (SECOND, "http://b:6333", "Active", 5)],
        1: [(FIRST, "http://a:6333", "Active", 7), (SECOND, "http://b:6333", "Dead", 0)],
    }


def test_the_shards_first_holders_are_not_all_on_one_peer(cluster):
    holders = Peers.of(cluster.node()).holders("c")
    assert [holders[shard][0].peer_id for shard in COUNTS] == [FIRST, SECOND]


def test_counts_are_each_peer_s_own(cluster):
    cluster.has[0, SECOND][1] = 4
    assert Peers.of(cluster.node()).counts("c") == {
        0: {FIRST: 5, SECOND: 4},
        1: {FIRST: 7, SECOND: 7},
    }


def test_a_peer_that_holds_nothing_is_never_looked_for(cluster):
    cluster.away.add(THIRD)
    assert Peers.of(cluster.node()).holders("c")
    assert "c:6333" not in cluster.asked


@pytest.mark.parametrize("name", [str(SECOND), "http://b:6335", "http://b:6335/"])
def test_the_user_s_mapping_goes_before_the_list(cluster, name):
    cluster.at["localhost:7002"] = cluster.at.pop("b:6333")
    peers = Peers.of(cluster.node(), {name: "http://localhost:7002"})
    assert peers.node(SECOND).url == "http://localhost:7002"


def test_behind_one_address_for_all_the_mapping_counts_for_the_first_peer_too(cluster):
    cluster.at["balancer:8080"] = THIRD
    cluster.at["localhost:7001"] = FIRST
    mapping = {str(FIRST): "http://localhost:7001", str(SECOND): "http://b:6333"}
    holders = Peers.of(cluster.node("http://balancer:8080"), mapping).holders("c")
    assert [one.node.url for one in holders[0]] == ["http://localhost:7001", "http://b:6333"]


def test_a_peer_that_answers_in_another_s_place_is_not_believed(cluster):
    cluster.at["b:6333"] = THIRD
    with pytest.raises(ArgumentError) as caught:
        Peers.of(cluster.node()).holders("c")
    assert str(caught.value) == (
        "peers: at http://b:6333 (the cluster's own list has it at http://b:6335/) peer 33 "
        "answers, not peer 22: give the URL of its REST interface: --peer 22=URL (peers= in Python)"
    )


def test_a_wrong_mapping_is_told_with_who_is_there(cluster):
    with pytest.raises(ArgumentError, match=r"at http://c:6333 peer 33 answers, not peer 22"):
        Peers.of(cluster.node(), {str(SECOND): "http://c:6333"}).node(SECOND)


def test_a_server_alone_in_a_peer_s_place_is_told(cluster):
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "b":
            return httpx.Response(200, json={"result": {"status": "disabled"}})
        return cluster.answer(request)

    node = Node("http://a:6333", httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises(ArgumentError, match="a single server answers, not peer 22"):
        Peers.of(node).node(SECOND)


def test_a_door_that_is_not_qdrant_s_is_told(cluster):
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "b":
            return httpx.Response(404, text="<html>nginx")
        return cluster.answer(request)

    node = Node("http://a:6333", httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises(ArgumentError, match=r"no peer 22 at http://b:6333 .*nginx.*--peer 22=URL"):
        Peers.of(node).node(SECOND)


def test_a_peer_that_does_not_answer_is_told_with_what_to_give(cluster):
    cluster.away.add(SECOND)
    with pytest.raises(ServerUnavailableError) as caught:
        Peers.of(cluster.node()).holders("c")
    assert "peer 22 at http://b:6333 (the cluster's own list has it at" in str(caught.value)
    assert "if it is up, give the URL of its REST interface: --peer 22=URL" in str(caught.value)


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"44": "http://x:1"}, r"'44' is not a peer of .*: 11 \(http://a:6335/\), 22"),
        ({"http://x:6335": "http://x:1"}, r"'http://x:6335' is not a peer"),
        ({"22": "b:6333"}, "'b:6333' is not an http:// or https:// URL"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(cluster, mapping, problem):
    with pytest.raises(ArgumentError, match=problem):
        Peers.of(cluster.node(), mapping)


def test_one_address_that_leads_to_many_is_found_out(cluster):
    turns = iter([FIRST, FIRST, FIRST, SECOND, SECOND])

    def answer(request: httpx.Request) -> httpx.Response:
        cluster.at["a:6333"] = next(turns)
        return cluster.answer(request)

    node = Node("http://a:6333", httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises(
        ArgumentError, match="a load balancer before the nodes sends requests to one or"
    ):
        Peers.of(node, {str(SECOND): "http://a:6333"}).holders("c")


def test_one_server_alone_holds_all(cluster):
    def answer(request: httpx.Request) -> httpx.Response:
        result: dict[str, Any] = {"status": "disabled"}
        if request.url.path != "/cluster":
            result = {
                "peer_id": 1,
                "local_shards": [{"shard_id": 0, "state": "Active", "points_count": 5}],
                "remote_shards": [],
                "shard_transfers": [],
            }
        return httpx.Response(200, json={"result": result})

    node = Node("http://a:6333", httpx.Client(transport=httpx.MockTransport(answer)))
    peers = Peers.of(node)
    assert not peers.clustered
    assert peers.holders("c")[0][0].node is node
    assert peers.wait_until_active("c", {0: 5}) == ()
    assert cluster.clock == 0
    with pytest.raises(ArgumentError, match="its peers are: none, it is a single server"):
        Peers.of(node, {"1": "http://a:6333"})


# --- waiting ---------------------------------------------------------------------------------


def test_all_is_well_when_it_has_been_for_a_moment(cluster):
    told = []
    peers = Peers.of(cluster.node())
    assert peers.wait_until_active("c", COUNTS, progress=lambda *news: told.append(news)) == ()
    assert set(told) == {(4, 4)}
    assert 1 <= cluster.clock < 2


def test_the_mark_that_comes_after_the_answer_is_waited_for(cluster):
    """So it goes after an upload over points that were there: Active, Dead, copied, Active."""
    cluster.events = [
        (0.5, lambda: cluster.has[0, SECOND].__setitem__(0, "Dead")),
        (1.5, lambda: cluster.has[0, SECOND].__setitem__(0, "Recovery")),
        (20.0, lambda: cluster.has[0, SECOND].__setitem__(0, "Partial")),
        (21.0, lambda: cluster.has[0, SECOND].__setitem__(0, "Active")),
    ]
    assert Peers.of(cluster.node()).wait_until_active("c", COUNTS) == ()
    assert cluster.clock >= 22


def test_a_replica_that_stays_active_and_empty_is_to_be_sent_again(cluster):
    cluster.has[1, SECOND][1] = 0
    assert Peers.of(cluster.node()).wait_until_active("c", COUNTS) == (1,)
    assert 4 <= cluster.clock < 6


def test_a_shard_without_any_active_replica_is_to_be_sent_again(cluster):
    cluster.has[0, FIRST] = ["Dead", 5]
    cluster.has[0, SECOND] = ["Dead", 0]
    assert Peers.of(cluster.node()).wait_until_active("c", COUNTS) == (0,)


def test_nothing_is_given_up_while_no_leader_is_known(cluster):
    cluster.has[1, SECOND][1] = 0
    cluster.leader[SECOND] = None
    cluster.events = [(50.0, lambda: cluster.leader.__setitem__(SECOND, FIRST))]
    assert Peers.of(cluster.node()).wait_until_active("c", COUNTS) == (1,)
    assert cluster.clock >= 50


def test_a_copy_that_says_how_far_it_is_has_time(cluster):
    cluster.has[0, SECOND] = ["Recovery", 0]
    cluster.moving = [{"shard_id": 0, "from": FIRST, "to": SECOND, "comment": "0%"}]

    def further(part: int) -> Callable[[], None]:
        return lambda: cluster.moving[0].__setitem__("comment", f"{part}%")

    def done() -> None:
        cluster.moving = []
        cluster.has[0, SECOND] = ["Active", 5]

    cluster.events = [(8.0 * n, further(n)) for n in range(1, 10)] + [(80.0, done)]
    assert Peers.of(cluster.node()).wait_until_active("c", COUNTS, timeout_s=10) == ()


def test_a_copy_that_hangs_is_given_up(cluster):
    cluster.has[0, SECOND] = ["Recovery", 0]
    cluster.moving = [{"shard_id": 0, "from": FIRST, "to": SECOND}]
    with pytest.raises(
        ServerUnavailableError, match="shard 0 on peer 22 at http://b:6333: Recovery, 0 points"
    ):
        Peers.of(cluster.node()).wait_until_active("c", COUNTS, timeout_s=10)
    assert 10 <= cluster.clock < 12


@pytest.mark.parametrize("victim", [FIRST, SECOND])
def test_a_node_may_be_away_for_a_while(cluster, victim):
    peers = Peers.of(cluster.node())
    peers.holders("c")
    cluster.away.add(victim)
    cluster.events = [(30.0, cluster.away.clear)]
    assert peers.wait_until_active("c", COUNTS) == ()
    assert cluster.clock >= 30


def test_a_node_that_stays_away_is_told(cluster):
    peers = Peers.of(cluster.node())
    peers.holders("c")
    cluster.away.add(SECOND)
    with pytest.raises(ServerUnavailableError, match=r"peer 22 at http://b:6333: Active, does not"):
        peers.wait_until_active("c", COUNTS, timeout_s=10)


def test_a_peer_that_has_not_heard_of_the_collection_is_waited_for(cluster):
    cluster.lagging.add(SECOND)
    cluster.events = [(3.0, cluster.lagging.clear)]
    assert Peers.of(cluster.node()).wait_until_active("c", COUNTS) == ()
    assert cluster.clock >= 3


def test_what_the_peer_says_of_itself_counts_over_what_others_still_believe(cluster):
    def answer(request: httpx.Request) -> httpx.Response:
        response = cluster.answer(request)
        if request.url.host == "b" and request.url.path != "/cluster":
            result = json.loads(response.content)["result"]
            result["local_shards"][0]["state"] = "Dead"
            return httpx.Response(200, json={"result": result})
        return response

    node = Node("http://a:6333", httpx.Client(transport=httpx.MockTransport(answer)))
    states = [one.state for one in Peers.of(node).holders("c")[0]]
    assert states == ["Active", "Dead"]


def test_a_leader_is_waited_for(cluster):
    peers = Peers.of(cluster.node())
    cluster.leader[FIRST] = None
    cluster.events = [(5.0, lambda: cluster.leader.__setitem__(FIRST, SECOND))]
    peers.wait_for_leader(cluster.node())
    assert cluster.clock >= 5
    cluster.leader[FIRST] = None
    with pytest.raises(ServerUnavailableError, match="it knows no leader of its cluster"):
        peers.wait_for_leader(cluster.node(), timeout_s=10)
    cluster.away.add(FIRST)
    with pytest.raises(ServerUnavailableError, match="refused"):
        peers.wait_for_leader(cluster.node(), timeout_s=10)
