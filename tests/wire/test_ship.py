"""Preparing and sending over a loopback connection, while things go wrong.

What is checked is what the server has: collections, marks, operation numbers, shards. The proofs
are left out; they have their own tests.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from qdrant_static import EdgeClient
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.errors import (
    AccessDeniedError,
    AliasMovedError,
    ArgumentError,
    CannotShipError,
    EngineError,
    JobRunningError,
    ServerUnavailableError,
    ShipmentRefusedError,
)
from qdrant_static.routing import shard_of
from qdrant_static.shipping import push
from qdrant_static.shipping.progress import ShipProgress
from qdrant_static.shipping.targets.target import MARK
from tests.shipping import build
from tests.wire.shipdoor import ShipDoor

COUNT = 300
QUICK = RetryPolicy(first_s=0.01, longest_s=0.02, budget_s=0.3)


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Iterator[EdgeClient]:
    with EdgeClient(tmp_path_factory.mktemp("built")) as client:
        build(client, "one", COUNT, metadata={"made": "here"})
        build(client, "three", COUNT, shard_number=3)
        yield client


@pytest.fixture
def door(tmp_path, local) -> Iterator[ShipDoor]:
    with ShipDoor(tmp_path) as server:
        server.place = lambda point: int(shard_of([point], 3)[0])
        server.counts = {1: [COUNT], 3: local.shard_counts("three")}
        yield server


@pytest.fixture(autouse=True)
def unproved(monkeypatch) -> None:
    monkeypatch.setattr(push, "prove", lambda *_, **__: ())


def ship(local: EdgeClient, door: ShipDoor, collection: str = "three", **options: Any):
    client = door.client(**options.pop("client", {}))
    try:
        return push.ship(local, collection, client, **{"retry": QUICK, **options})
    finally:
        client.close()


def mark(door: ShipDoor, name: str = "three") -> dict[str, Any]:
    return door.collections[name]["config"]["metadata"][MARK]


def requests(door: ShipDoor, method: str) -> list[str]:
    return [one for one in door.told if one.startswith(method + " ")]


def test_what_is_made_is_what_was_built_in_the_servers_words(local, door):
    heard: list[ShipProgress] = []
    door.counts = {}
    shipment = ship(local, door, alias="live", progress=heard.append)
    there = door.collections["three"]
    assert there["shards"] == dict(enumerate(local.shard_counts("three")))
    assert there["config"]["params"] == {
        "vectors": {
            "full": {
                "size": 32, "distance": "Cosine", "on_disk": False,
                "hnsw_config": {"on_disk": False},
                "quantization_config": {"binary": {"always_ram": True}},
            },
            "short": {
                "size": 8, "distance": "Cosine", "on_disk": False, "hnsw_config": {"m": 0},
            },
        },
        "sparse_vectors": {"bm25": {"modifier": "idf"}},
        "shard_number": 3, "on_disk_payload": True,
    }  # fmt: skip
    assert there["config"]["optimizer_config"] == {
        "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
        "indexing_threshold": 5,
    }  # fmt: skip
    assert {field: one["data_type"] for field, one in there["payload_schema"].items()} == {
        "n": "integer", "kind": "keyword",
    }  # fmt: skip
    assert door.aliases == {"live": "three"}
    assert (mark(door)["id"], mark(door)["state"]) == (shipment.id, "live")
    assert heard[-1].phase == "done"
    assert heard[-1].sent_bytes == heard[-1].total_bytes == shipment.sent_bytes
    sent = [one.sent_bytes for one in heard]
    assert max(sent) == shipment.sent_bytes


def test_every_shards_numbers_are_beyond_its_points_before_it_is_sent(local, door):
    reached: list[dict] = []
    door.hook = lambda told: reached.append(dict(door.numbers)) if "upload" in told else None
    ship(local, door)
    with local.shard_folders("three") as folders:
        newest = [shard.newest for shard in push.read_shards(folders)]
    assert len(reached) == 3
    assert [reached[0]["three", shard] > newest[shard] for shard in range(3)] == [True] * 3


def test_the_mark_is_there_before_anything_else_is(local, door):
    seen: list[tuple[str, Any]] = []

    def look(told: str) -> None:
        if "three" in door.collections:
            seen.append((told, mark(door)["state"]))

    door.hook = look
    ship(local, door)
    assert {state for _, state in seen} == {"under way"}
    assert mark(door)["by"] == f"{socket.gethostname()} {os.getpid()}"


@pytest.mark.parametrize("fault", ["cut", (503, "Service unavailable"), (502, "<html>")])
def test_a_shard_that_fails_once_is_sent_again_alone(local, door, fault):
    door.faults = [fault]
    ship(local, door, workers=1)
    assert door.uploads == [0, 0, 1, 2]
    assert sum(door.collections["three"]["shards"].values()) == COUNT


@pytest.mark.parametrize("workers", [1, 3])
def test_a_server_that_stays_away_leaves_the_mark_and_the_same_call_finishes(local, door, workers):
    door.faults = ["cut"] * 1000
    with pytest.raises(ServerUnavailableError, match=r"shard \d of 'three'") as caught:
        ship(local, door, workers=workers)
    assert "the same command continues with it" in caught.value.__notes__[0]
    assert caught.value.tried > 1
    assert mark(door)["state"] == "under way"
    door.faults = []
    ship(local, door)
    assert mark(door)["state"] == "live"
    assert sum(door.collections["three"]["shards"].values()) == COUNT


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ((413, "Payload too large"), EngineError, "client_max_body_size"),
        ((400, "Malformed tar archive"), EngineError, "sending shard 0.*Malformed tar"),
        ((500, "No space left on device"), EngineError, "disk is full"),
        ((403, "Forbidden"), AccessDeniedError, "Forbidden"),
    ],
)
def test_what_repeating_does_not_help_with_ends_it_and_leaves_nothing(
    local, door, fault, kind, says
):
    door.faults = [fault]
    with pytest.raises(kind, match=says) as caught:
        ship(local, door, workers=1)
    assert door.collections == {}
    assert caught.value.__notes__ == ["'three' was removed: nothing of it is left on the server"]
    assert door.uploads == [0]


def test_a_proof_that_fails_leaves_nothing_and_says_so(local, door, monkeypatch):
    def refuse(*_: Any, **__: Any) -> Any:
        raise ShipmentRefusedError(
            collection="three", where="there", proof="count", problem="one is missing", left=""
        )

    monkeypatch.setattr(push, "prove", refuse)
    with pytest.raises(ShipmentRefusedError, match="nothing of it is left") as caught:
        ship(local, door, alias="live")
    assert "no alias points at it" in caught.value.left
    assert door.collections == door.aliases == {}


def target(door: ShipDoor, **body: Any) -> dict[str, Any]:
    """An empty target for ``one``, of somebody else."""
    vectors = {
        "full": {
            "size": 32, "distance": "Cosine",
            "quantization_config": {"binary": {"always_ram": True}},
        },
        "short": {"size": 8, "distance": "Cosine", "hnsw_config": {"m": 0}},
    }  # fmt: skip
    made = {
        "vectors": vectors,
        "sparse_vectors": {"bm25": {"modifier": "idf"}},
        "metadata": {"theirs": 1},
        **body,
    }
    assert door.answer("PUT", "/collections/one", made)[0] == 200
    return made


def test_an_empty_target_is_used_and_stays_theirs(local, door):
    target(door)
    door.place = lambda _: 0
    ship(local, door, "one")
    there = door.collections["one"]
    assert there["config"]["metadata"]["theirs"] == 1
    assert "made" not in there["config"]["metadata"]
    assert there["shards"] == {0: COUNT}
    assert requests(door, "DELETE") == []
    assert set(there["payload_schema"]) == {"n", "kind"}


def test_an_empty_target_is_as_it_was_after_a_failure(local, door):
    target(door, optimizers_config={"indexing_threshold": 77})
    door.answer("PUT", "/collections/one/index", {"field_name": "n", "field_schema": "integer"})
    before = deepcopy(door.answer("GET", "/collections/one", None))
    door.place = lambda _: 0
    door.faults = [(413, "")]
    with pytest.raises(EngineError) as caught:
        ship(local, door, "one")
    assert caught.value.__notes__ == ["'one' is as it was before: empty"]
    assert door.answer("GET", "/collections/one", None) == before


def test_an_empty_target_survives_a_dead_shipment_too(local, door):
    target(door, optimizers_config={"indexing_threshold": 77})
    door.place = lambda _: 0
    door.faults = ["cut"] * 1000
    with pytest.raises(ServerUnavailableError):
        ship(local, door, "one")
    assert mark(door, "one")["found"] is True
    door.faults = []
    ship(local, door, "one")
    config = door.collections["one"]["config"]
    assert config["optimizer_config"] == {"indexing_threshold": 77}
    assert config["metadata"]["theirs"] == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"hnsw_config": {"m": 8}}, "vectors.full.hnsw.m: built 16, target 8"),
        ({"shard_number": 2}, "shard_number: built 1, target 2"),
        ({"sparse_vectors": {}}, "sparse_vectors.bm25: built present, target missing"),
    ],
)
def test_another_target_is_left_alone(local, door, body, says):
    target(door, **body)
    before = deepcopy(door.answer("GET", "/collections/one", None))
    with pytest.raises(CannotShipError, match=says):
        ship(local, door, "one")
    assert door.answer("GET", "/collections/one", None) == before


def test_another_payload_index_is_a_difference(local, door):
    target(door)
    door.answer("PUT", "/collections/one/index", {"field_name": "n", "field_schema": "float"})
    with pytest.raises(CannotShipError, match="payload index n: built integer, target float"):
        ship(local, door, "one")


def test_a_target_with_points_is_left_alone(local, door):
    target(door)
    door.collections["one"]["shards"][0] = 1
    with pytest.raises(CannotShipError, match="holds 1 point:"):
        ship(local, door, "one")
    assert MARK not in door.collections["one"]["config"]["metadata"]


def unfinished(door: ShipDoor, **changed: Any) -> None:
    """What another shipment has left."""
    theirs = {
        "id": "other", "state": "under way", "by": "elsewhere 12", "started": "yesterday",
        "found": False, **changed,
    }  # fmt: skip
    target(door, metadata={MARK: theirs})
    door.collections["one"]["shards"][0] = 5
    door.place = lambda _: 0


def test_what_another_shipment_left_is_named_and_removed_only_if_asked(local, door):
    unfinished(door)
    with pytest.raises(CannotShipError, match="started by elsewhere 12 at yesterday"):
        ship(local, door, "one")
    assert mark(door, "one")["id"] == "other"
    ship(local, door, "one", discard_unfinished=True)
    assert mark(door, "one")["state"] == "live"
    assert door.collections["one"]["shards"] == {0: COUNT}


def test_another_process_that_runs_is_not_disturbed(local, door):
    unfinished(door, by=f"{socket.gethostname()} {os.getppid()}")
    with pytest.raises(JobRunningError, match=f"process {os.getppid()} of this machine"):
        ship(local, door, "one", discard_unfinished=True)


def test_a_process_that_died_is_no_hindrance(local, door):
    unfinished(door, by=f"{socket.gethostname()} {2**22 + 1}")
    ship(local, door, "one", discard_unfinished=True)


def test_what_is_live_is_not_sent_again(local, door):
    ship(local, door)
    shipment = ship(local, door, alias="live")
    assert shipment.already
    assert sorted(door.uploads) == [0, 1, 2]
    assert door.aliases == {"live": "three"}


def test_an_alias_that_somebody_moved_is_left_where_it_is(local, door):
    door.aliases = {"live": "old"}

    def move(progress: ShipProgress) -> None:
        if progress.phase == "proving":
            door.aliases["live"] = "theirs"

    with pytest.raises(AliasMovedError) as caught:
        ship(local, door, alias="live", progress=move)
    assert (caught.value.expected, caught.value.found) == ("old", "theirs")
    assert door.aliases == {"live": "theirs"}
    assert mark(door)["state"] == "live"


def test_an_alias_moves_from_the_old_collection(local, door):
    door.aliases = {"live": "old"}
    ship(local, door, alias="live")
    assert door.aliases == {"live": "three"}


@pytest.mark.parametrize("version", ["1.17.1", "1.19.0", "2.0.0", "dev"])
def test_another_version_is_refused_unless_it_is_to_be_tried(local, door, version):
    door.version = version
    with pytest.raises(CannotShipError, match=r"tested with 1\.18 only.*--untested"):
        ship(local, door)
    assert requests(door, "PUT") == []
    if version == "1.17.1":
        ship(local, door, untested=True)
        assert mark(door)["state"] == "live"


def test_a_server_without_snapshots_of_shards_is_told_and_left_as_it_was(local, door):
    door.streams = False
    with pytest.raises(CannotShipError, match=r"it gives no snapshots of its shards.*404") as told:
        ship(local, door)
    assert "Ingest into the server instead" in str(told.value)
    assert door.collections == {}


def test_a_wrong_key_is_told_and_shown_nowhere(local, door):
    door.key = "right"
    with (
        pytest.warns(UserWarning, match="insecure"),
        pytest.raises(AccessDeniedError, match="API key") as caught,
    ):
        ship(local, door, client={"api_key": "wr0ng-key"})
    assert "wr0ng-key" not in str(caught.value)


def test_the_right_key_goes_with_every_request(local, door):
    door.key = "right-key"
    with pytest.warns(UserWarning, match="insecure"):
        ship(local, door, client={"api_key": "right-key"})
    assert mark(door)["state"] == "live"


def test_ctrl_c_leaves_nothing(local, door):
    def interrupt(progress: ShipProgress) -> None:
        if progress.phase == "copying":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ship(local, door, progress=interrupt)
    assert door.collections == {}
    assert local.count("three").count == COUNT


@pytest.mark.parametrize("option", ["workers", "sample", "replicas"])
def test_numbers_below_one_are_refused(local, door, option):
    with pytest.raises(ArgumentError, match=option):
        ship(local, door, **{option: 0})
    assert door.told == []
