"""Deferred indexing, the progress of indexes, and the version, over the wire."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from qdrant_static import EdgeClient
from qdrant_static.clients.connect import is_remote, server_version
from qdrant_static.clients.indexing import (
    NOTE,
    IndexProgress,
    deferred_indexing,
    index_progress,
    restore_all_indexing,
    restore_indexing,
    wait_until_indexed,
)
from qdrant_static.errors import CollectionNotFoundError, EngineError
from tests.wire.server import VERSION


@pytest.fixture
def client(wire) -> QdrantClient:
    made = wire.client()
    made.create_collection(
        "c",
        vectors_config={"full": models.VectorParams(size=4, distance=models.Distance.DOT)},
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=77),
    )
    return made


def threshold(client: QdrantClient) -> int | None:
    return client.get_collection("c").config.optimizer_config.indexing_threshold


class Durable(dict):
    """Notes that know what was there when each was written."""

    def __init__(self, client: QdrantClient) -> None:
        super().__init__()
        self._client = client
        self.seen: list[int | None] = []

    def __setitem__(self, name: str, value: Any) -> None:
        self.seen.append(threshold(self._client))
        super().__setitem__(name, value)


def test_what_was_there_is_noted_before_it_is_changed(client):
    notes = Durable(client)
    with deferred_indexing(client, "c", notes):
        assert notes == {NOTE + "c": 77}
        assert notes.seen == [77]
        assert threshold(client) == 0
    assert threshold(client) == 77
    assert not notes


def test_it_is_restored_after_an_error_too(client):
    notes: dict[str, Any] = {}

    def fail() -> None:
        with deferred_indexing(client, "c", notes):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert threshold(client) == 77
    assert not notes


def test_the_next_run_restores_what_a_killed_one_left(client):
    notes: dict[str, Any] = {}
    abandoned = deferred_indexing(client, "c", notes)
    abandoned.__enter__()
    left = dict(notes)
    with deferred_indexing(client, "c", left):
        assert left == {NOTE + "c": 77}, "the killed run's zero is nobody's choice"
    assert threshold(client) == 77
    abandoned.__exit__(None, None, None)


def test_a_run_restores_what_was_left_in_any_collection(client):
    """The alias of a job may stand for another collection by now."""
    client.update_collection(
        "c", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0)
    )
    notes = {NOTE + "c": 77, NOTE + "gone": 5, "other": 1}
    restore_all_indexing(client, notes)
    assert threshold(client) == 77
    assert notes == {"other": 1}


def test_a_note_about_a_collection_that_is_gone_is_dropped(client):
    notes = {NOTE + "gone": 5}
    assert restore_indexing(client, "gone", notes)
    assert not notes
    assert not restore_indexing(client, "gone", notes)


def test_indexing_that_somebody_switched_off_stays_off(client):
    client.update_collection(
        "c", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0)
    )
    notes: dict[str, Any] = {}
    with deferred_indexing(client, "c", notes):
        assert not notes
    assert threshold(client) == 0


def test_an_embedded_collection_is_left_alone(tmp_path):
    with EdgeClient(tmp_path) as client:
        client.create_collection(
            "c", vectors_config={"full": models.VectorParams(size=4, distance="Dot")}
        )
        before = client.get_collection("c").config
        notes: dict[str, Any] = {}
        with deferred_indexing(client, "c", notes):
            assert not notes
            assert client.get_collection("c").config == before
        assert server_version(client) is None
        assert index_progress(client, "c").queued_points is None


def test_the_progress_is_what_the_server_tells(wire, client):
    def tree(name: str, done: int | None = None, total: int | None = None, *children: Any) -> Any:
        return {"name": name, "done": done, "total": total, "children": list(children)}

    wire.optimizations = {
        "summary": {
            "queued_optimizations": 1, "queued_segments": 2, "queued_points": 300,
            "idle_segments": 0,
        },
        "running": [
            {
                "uuid": "00000000-0000-0000-0000-000000000001",
                "optimizer": "indexing",
                "status": "optimizing",
                "segments": [
                    {"uuid": "00000000-0000-0000-0000-000000000002", "points_count": 60},
                    {"uuid": "00000000-0000-0000-0000-000000000003", "points_count": 40},
                ],
                "progress": tree(
                    "Segment Optimizing", None, None,
                    tree("copy_data"), tree("vector_index", None, None, tree("graph", 25, 100)),
                ),
            }
        ],
    }  # fmt: skip
    assert index_progress(client, "c") == IndexProgress(
        ready=False, status="green", queued_points=300, running_points=100, fraction=0.25
    )
    wire.optimizations["running"] = []
    wire.optimizations["summary"]["queued_optimizations"] = 0
    assert index_progress(client, "c").ready


def test_a_server_that_cannot_tell_has_a_status(client):
    assert index_progress(client, "c") == IndexProgress(ready=True, status="green")


def test_indexes_are_waited_for_and_their_progress_is_told(wire, client):
    wire.status = models.CollectionStatus.YELLOW
    seen: list[IndexProgress] = []

    def wait(_: float) -> None:
        if len(seen) == 3:
            wire.status = None

    wait_until_indexed(client, "c", progress=seen.append, wait=wait)
    assert [one.status for one in seen] == ["yellow"] * 3 + ["green"] * 2
    assert wire.updates == 0


def test_one_ready_answer_between_two_busy_ones_is_not_enough(wire, client):
    """Between two optimizations a server may be green for a moment."""
    coming = [models.CollectionStatus.YELLOW, models.CollectionStatus.YELLOW]
    seen: list[str] = []

    def progress(one: IndexProgress) -> None:
        seen.append(one.status)
        wire.status = coming.pop() if coming and len(seen) % 2 else None

    wait_until_indexed(client, "c", progress=progress, wait=lambda _: None)
    assert seen == ["green", "yellow", "green", "yellow", "green", "green"]


def test_a_server_that_has_stopped_indexing_is_made_to_go_on(wire, client):
    wire.status = models.CollectionStatus.GREY
    seen: list[IndexProgress] = []

    def wait(_: float) -> None:
        assert wire.updates == 1
        wire.status = None

    wait_until_indexed(client, "c", progress=seen.append, wait=wait)
    assert [one.status for one in seen] == ["grey", "green", "green"], "grey is not ready"
    assert threshold(client) == 77


def test_a_server_that_cannot_index_says_so(wire, client):
    wire.status = models.CollectionStatus.RED
    with pytest.raises(EngineError, match="indexing 'c': the server"):
        wait_until_indexed(client, "c")


def test_an_embedded_collection_is_built(tmp_path):
    with EdgeClient(tmp_path) as client:
        client.create_collection(
            "c", vectors_config={"full": models.VectorParams(size=4, distance="Dot")}
        )
        wait_until_indexed(client, "c", progress=lambda _: pytest.fail("nobody is asked"))


def test_the_version_is_asked_of_a_server_only(wire, client):
    assert server_version(client) == tuple(map(int, VERSION.split(".")))
    assert server_version(wire.client(timeout_s=3)) == (1, 18, 3)
    local = QdrantClient(":memory:")
    assert server_version(local) is None
    assert not is_remote(local)
    local.close()


def test_a_collection_that_is_not_there_is_the_servers_error(tmp_path):
    with EdgeClient(tmp_path) as client, pytest.raises(CollectionNotFoundError):
        index_progress(client, "c")
