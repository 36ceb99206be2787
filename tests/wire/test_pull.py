"""Pulling from a server that does not do what it should: nothing is left but what is whole."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from qdrant_static import EdgeClient
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.edge import directory
from qdrant_static.errors import (
    AccessDeniedError,
    ArgumentError,
    CannotPullError,
    CollectionLockedError,
    EngineError,
    ServerUnavailableError,
    StorageError,
    VerificationError,
)
from qdrant_static.shipping.pull import pull
from tests.fakes import clean_environment

SIZE, EACH = 4, 30
QUICK = RetryPolicy(first_s=0.001, longest_s=0.01, budget_s=0.5)
PATIENCE_S = 30.0


def built(folder: Path, name: str, ids: range) -> bytes:
    """The snapshot of an embedded collection whose points came one by one."""
    with EdgeClient(folder) as client:
        client.create_collection(
            name, vectors_config=models.VectorParams(size=SIZE, distance="Cosine")
        )
        for number in ids:
            vector = [1.0, number / 10, 0.5, 2.0]
            point = models.PointStruct(id=number, vector=vector, payload={"n": number})
            client.upsert(name, [point])
        with client.shard_folders(name) as (shard,):
            return packed(shard)


def packed(shard: Path, *, log: Path | None = None) -> bytes:
    """As a server streams it: segments in folders of their own, and a log, if there is one."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for file in sorted(path for path in shard.glob("segments/**/*") if path.is_file()):
            _, segment, *rest = file.relative_to(shard).parts
            tar.add(file, "/".join(("segments", segment, "files", *rest)))
        for file in sorted(log.iterdir()) if log is not None else ():
            tar.add(file, f"wal/{file.name}")
    return whole.getvalue()


class Canned:
    """A server of one collection, ``there``, over REST.

    Attributes:
        snapshots: Shard -> its snapshot.
        states: Shard -> what its replica is said to be.
        version: The server's.
        counts: What it counts, call by call; the last one stays.
        streams: What happens to a download, call by call; then they are given as they are.
        optimizations: What its optimizer is said to do, call by call, then nothing; None where it
            does not say.
        asked: The shards that were asked for.
    """

    def __init__(self, snapshots: dict[int, bytes]) -> None:
        self.snapshots = snapshots
        self.states = dict.fromkeys(snapshots, "Active")
        self.version = "1.18.3"
        self.counts = [EACH * len(snapshots)]
        self.streams: list[Callable[[BaseHTTPRequestHandler, bytes], None]] = []
        self.optimizations: list[dict[str, Any] | None] = []
        self.asked: list[int] = []
        canned = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                canned.get(self)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                count = canned.counts.pop(0) if len(canned.counts) > 1 else canned.counts[0]
                answer(self, {"count": count})

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def get(self, door: BaseHTTPRequestHandler) -> None:
        path = door.path.partition("?")[0]
        if path == "/":
            door_body = {"title": "qdrant", "version": self.version}
            answer(door, door_body, whole=True)
        elif path == "/aliases":
            answer(door, {"aliases": []})
        elif path == "/cluster":
            answer(door, {"status": "disabled"})
        elif path == "/collections/there":
            answer(door, described(len(self.snapshots)))
        elif path == "/collections/there/optimizations":
            seen = self.optimizations.pop(0) if self.optimizations else {}
            answer(door, seen, status=200 if seen is not None else 404)
        elif path == "/collections/there/cluster":
            shards = [
                {"shard_id": shard, "points_count": EACH, "state": state}
                for shard, state in self.states.items()
            ]
            answer(
                door,
                {
                    "peer_id": 1, "shard_count": len(shards), "local_shards": shards,
                    "remote_shards": [], "shard_transfers": [],
                },
            )  # fmt: skip
        else:
            shard = int(path.split("/")[4])
            self.asked.append(shard)
            stream = self.streams.pop(0) if self.streams else as_it_is
            stream(door, self.snapshots[shard])


def answer(
    door: BaseHTTPRequestHandler, result: Any, *, status: int = 200, whole: bool = False
) -> None:
    body = json.dumps(result if whole else {"result": result, "status": "ok", "time": 0}).encode()
    door.send_response(status)
    door.send_header("Content-Type", "application/json")
    door.send_header("Content-Length", str(len(body)))
    door.end_headers()
    door.wfile.write(body)


def chunked(door: BaseHTTPRequestHandler, content: bytes, *, ended: bool = True) -> None:
    door.send_response(200)
    door.send_header("Transfer-Encoding", "chunked")
    door.end_headers()
    for start in range(0, len(content), 1 << 16):
        piece = content[start : start + (1 << 16)]
        door.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    if ended:
        door.wfile.write(b"0\r\n\r\n")
    else:
        door.close_connection = True


def as_it_is(door: BaseHTTPRequestHandler, content: bytes) -> None:
    chunked(door, content)


def cut(door: BaseHTTPRequestHandler, content: bytes) -> None:
    chunked(door, content[: len(content) // 2], ended=False)


def ended_early(door: BaseHTTPRequestHandler, content: bytes) -> None:
    """As something between may end it that thinks that all is well."""
    chunked(door, content[: len(content) // 2])


def refusing(status: int, words: str) -> Callable[[BaseHTTPRequestHandler, bytes], None]:
    def refuse(door: BaseHTTPRequestHandler, _: bytes) -> None:
        answer(door, {"status": {"error": words}}, status=status, whole=True)

    return refuse


def described(shards: int) -> dict[str, Any]:
    """As a server of 1.18 describes a collection of one vector without a name."""
    return {
        "status": "green", "optimizer_status": "ok", "indexed_vectors_count": 0,
        "points_count": EACH * shards, "segments_count": 2, "payload_schema": {},
        "config": {
            "params": {
                "vectors": {"size": SIZE, "distance": "Cosine"}, "shard_number": shards,
                "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True,
            },
            "hnsw_config": {
                "m": 16, "ef_construct": 100, "full_scan_threshold": 10000,
                "max_indexing_threads": 0, "on_disk": False,
            },
            "optimizer_config": {
                "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000,
                "default_segment_number": 0, "max_segment_size": None, "memmap_threshold": None,
                "indexing_threshold": 10000, "flush_interval_sec": 5,
                "max_optimization_threads": None,
            },
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
            "quantization_config": None,
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory) -> dict[int, bytes]:
    folder = tmp_path_factory.mktemp("built")
    return {n: built(folder, f"s{n}", range(n * EACH, (n + 1) * EACH)) for n in range(2)}


@pytest.fixture
def canned(snapshots) -> Iterator[Canned]:
    server = Canned(dict(snapshots))
    yield server
    server.close()


@pytest.fixture
def server(canned) -> Iterator[QdrantClient]:
    client = QdrantClient(url=canned.url, check_compatibility=False, timeout=10)
    yield client
    client.close()


@pytest.fixture
def local(tmp_path) -> Iterator[EdgeClient]:
    with EdgeClient(tmp_path / "copy") as client:
        yield client


def nothing_left(local: EdgeClient) -> bool:
    """No collection, and no file of one."""
    return not local.get_collections().collections and not (local.path / "there").exists()


def edits_take(local: EdgeClient, ids: range) -> bool:
    """Of every point, whichever shard it came from."""
    local.set_payload("there", {"n": -1}, points=list(ids))
    changed = [one.payload["n"] for one in local.retrieve("there", list(ids))]
    local.delete("there", list(ids[::2]))
    left = {one.id for one in local.retrieve("there", list(ids))}
    return changed == [-1] * len(ids) and left == set(ids[1::2])


def test_two_shards_are_one_collection(server, canned, local):
    report = pull(server, "there", local)
    assert (report.points, report.shards, canned.asked) == (2 * EACH, (0, 1), [0, 1])
    assert report.bytes == sum(len(one) for one in canned.snapshots.values())
    assert sorted(one.payload["n"] for one in local.scroll("there", limit=100)[0]) == [
        *range(2 * EACH)
    ]
    assert edits_take(local, range(2 * EACH))
    local.close()
    with EdgeClient(local.path) as again:
        assert again.count("there").count == EACH


@pytest.mark.parametrize("log", ["none", "behind", "of another form"])
def test_edits_take_whatever_the_log_says(log, server, canned, local, tmp_path, snapshots):
    """The points carry numbers up to 30; a log that begins before them hides edits in silence."""
    if log == "none":
        place = None
    elif log == "behind":
        built(tmp_path / "other", "young", range(3))
        place = tmp_path / "other" / "young" / "shards" / "0" / "wal"
        assert any(place.iterdir())
    else:
        place = tmp_path / "wal"
        place.mkdir()
        (place / "closed-99").write_bytes(b"no log of today's")
    with EdgeClient(tmp_path / "again") as client:
        for shard in (0, 1):
            name = f"s{shard}"
            built_again(client, name, range(shard * EACH, (shard + 1) * EACH))
            with client.shard_folders(name) as (folder,):
                canned.snapshots[shard] = packed(folder, log=place)
    pull(server, "there", local)
    assert edits_take(local, range(2 * EACH))


def built_again(client: EdgeClient, name: str, ids: range) -> None:
    params = models.VectorParams(size=SIZE, distance="Cosine")
    client.create_collection(name, vectors_config=params)
    for number in ids:
        point = models.PointStruct(id=number, vector=[1.0, 2, 3, 4], payload={"n": number})
        client.upsert(name, [point])


def test_a_point_of_two_shards_is_told(server, canned, local, tmp_path):
    canned.snapshots[1] = built(tmp_path / "other", "same", range(EACH - 1, 2 * EACH - 1))
    with pytest.raises(VerificationError, match="60 points with 59 different ids"):
        pull(server, "there", local)
    assert nothing_left(local)
    assert pull(server, "there", local, shards=[1]).points == EACH


@pytest.mark.parametrize("fault", [cut, ended_early, refusing(503, "later")])
def test_a_download_that_fails_is_repeated(fault, server, canned, local):
    canned.streams = [as_it_is, fault, fault]
    assert pull(server, "there", local, retry=QUICK).points == 2 * EACH
    assert canned.asked == [0, 1, 1, 1]
    assert edits_take(local, range(2 * EACH))


@pytest.mark.parametrize("fault", [cut, ended_early])
def test_a_download_that_always_breaks_off_is_given_up(fault, server, canned, local):
    canned.streams = [fault] * 100
    with pytest.raises(ServerUnavailableError, match="shard 0 of 'there'"):
        pull(server, "there", local, retry=RetryPolicy(first_s=0.001, longest_s=0.002))
    assert nothing_left(local)
    assert len(canned.asked) == 6


def test_a_server_that_stays_away_is_given_up(server, canned, local):
    canned.streams = [refusing(503, "shutting down")] * 10_000
    with pytest.raises(ServerUnavailableError, match="shutting down"):
        pull(server, "there", local, retry=QUICK)
    assert nothing_left(local)


def work(*segments: str, uuid: str = "new") -> dict[str, Any]:
    return {"uuid": uuid, "segments": [{"uuid": one, "points_count": 1} for one in segments]}


def segments_of(snapshot: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(snapshot)) as tar:
        return sorted({name.split("/")[1] for name in tar.getnames()})


@pytest.mark.parametrize("state", ["running", "completed"])
def test_a_snapshot_of_a_shard_that_is_rewritten_is_not_taken(state, server, canned, local):
    mine = segments_of(canned.snapshots[0])
    canned.optimizations = [{}, {state: [work("other", mine[0])]}]
    assert pull(server, "there", local, retry=QUICK).points == 2 * EACH
    assert canned.asked == [0, 0, 1]


def test_a_pause_of_the_optimizer_is_waited_for(server, canned, local):
    mine = segments_of(canned.snapshots[0])
    busy, done = {"running": [work(*mine)]}, {"completed": [work(*mine)]}
    canned.optimizations = [busy, busy, done, done]
    assert pull(server, "there", local).points == 2 * EACH
    assert canned.asked == [0, 1]


@pytest.mark.parametrize("said", [{"running": [work("of another shard")]}, None])
def test_what_does_not_concern_a_shard_does_not_disturb_it(said, server, canned, local):
    canned.optimizations = [{}, said, {}, said]
    assert pull(server, "there", local).points == 2 * EACH
    assert canned.asked == [0, 1]


def test_a_shard_that_is_always_rewritten_is_given_up(server, canned, local):
    mine = segments_of(canned.snapshots[0])
    canned.optimizations = [{}, {"running": [work(*mine)]}] * 30
    with pytest.raises(ServerUnavailableError, match="its optimizer was running"):
        pull(server, "there", local, retry=RetryPolicy(first_s=0.001, longest_s=0.002))
    assert nothing_left(local)


def test_a_server_without_snapshots_is_told(server, canned, local):
    canned.streams = [refusing(404, "Not found")]
    with pytest.raises(CannotPullError, match="gives no snapshot of shard 0"):
        pull(server, "there", local)
    assert nothing_left(local)


def test_a_key_without_the_right_is_told(server, canned, local):
    canned.streams = [refusing(403, "Forbidden: Global manage access is required")]
    with pytest.raises(AccessDeniedError, match="Global manage access"):
        pull(server, "there", local)
    assert nothing_left(local)


def test_another_version_must_be_asked_for(server, canned, local):
    canned.version = "1.17.1"
    with pytest.raises(CannotPullError, match=r"the server is 1\.17\.1, .*1\.18 only"):
        pull(server, "there", local)
    assert nothing_left(local)
    assert canned.asked == []
    assert pull(server, "there", local, untested=True).points == 2 * EACH


def test_a_shard_that_nobody_has_whole_is_told(server, canned, local):
    canned.states[1] = "Recovery"
    with pytest.raises(CannotPullError, match=r"shard 1 is Active \(peer 1: Recovery\)"):
        pull(server, "there", local)
    assert nothing_left(local)


def test_what_is_no_snapshot_is_refused(server, canned, local):
    canned.snapshots[1] = bytes(10240)
    with pytest.raises((EngineError, StorageError)):
        pull(server, "there", local)
    assert nothing_left(local)


def test_a_segment_that_cannot_be_opened_leaves_nothing(server, canned, local, tmp_path):
    with EdgeClient(tmp_path / "other") as client:
        built_again(client, "damaged", range(EACH))
        with client.shard_folders("damaged") as (folder,):
            next(folder.glob("segments/*/segment.json")).write_text('{"version": 3}')
            canned.snapshots[0] = packed(folder)
    with pytest.raises(EngineError, match="opening what was received of 'there'"):
        pull(server, "there", local)
    assert nothing_left(local)


def test_a_full_disk_is_told_before_it_is_full(server, canned, local, monkeypatch):
    usage = shutil.disk_usage(local.path.parent)
    monkeypatch.setattr(directory.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StorageError, match="the disk is full"):
        pull(server, "there", local)
    assert canned.asked == []
    monkeypatch.undo()
    assert nothing_left(local)


def test_room_is_looked_for_while_a_shard_arrives(server, canned, local, monkeypatch):
    usage = shutil.disk_usage(local.path.parent)
    asked = []

    def shrinking(_: Path) -> Any:
        asked.append(None)
        return usage if len(asked) == 1 else usage._replace(free=1000)

    monkeypatch.setattr(directory.shutil, "disk_usage", shrinking)
    with pytest.raises(StorageError, match="the disk is full"):
        pull(server, "there", local)
    assert canned.asked == [0]
    monkeypatch.undo()
    assert nothing_left(local)


def test_points_that_did_not_come_are_told(server, canned, local):
    canned.counts = [2 * EACH + 1]
    with pytest.raises(VerificationError, match="60 points arrived, and the server counted 61"):
        pull(server, "there", local)
    assert nothing_left(local)


def test_points_that_came_meanwhile_are_no_fault(server, canned, local):
    canned.counts = [2 * EACH - 1, 2 * EACH + 5]
    assert pull(server, "there", local).points == 2 * EACH


def test_the_ends_must_be_a_server_and_a_folder(server, local, tmp_path):
    with pytest.raises(ArgumentError, match="server: is not the client of a server"):
        pull(local, "there", local)
    with pytest.raises(ArgumentError, match="local: is not the client of a folder"):
        pull(server, "there", server)


CHILD = """
import sys
from qdrant_client import QdrantClient
from qdrant_static import EdgeClient
from qdrant_static.shipping.pull import pull

def told(progress):
    if progress.shards_done == 1:
        print("one", flush=True)
        sys.stdin.read()

server = QdrantClient(url=sys.argv[1], check_compatibility=False)
pull(server, "there", EdgeClient(sys.argv[2]), progress=told)
"""


def test_a_killed_pull_is_no_collection_and_can_be_repeated(server, canned, local):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, canned.url, str(local.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment() | {"PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    try:
        assert child.stdout.readline() == b"one\n"
        assert (local.path / "there" / "shards" / "0" / "segments").is_dir()
        with pytest.raises(CollectionLockedError):
            pull(server, "there", local)
        assert local.get_collections().collections == []
    finally:
        child.kill()
        child.communicate(timeout=PATIENCE_S)
    assert local.get_collections().collections == []
    assert not local.collection_exists("there")
    assert pull(server, "there", local).points == 2 * EACH
    assert not (local.path / "there" / "shards" / "incoming").exists()
