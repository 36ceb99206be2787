"""Whole jobs into a real server: killed on either side, held back, kept out."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

from qdrant_static.errors import AccessDeniedError
from qdrant_static.ids import point_id
from tests.fakes import REPOSITORY, FakeEncoder, write_jsonl
from tests.ingest_child import COLLECTION
from tests.server.ingest_child import BATCH_ROWS, run
from tests.server.own_server import OwnServer, needs_binary

pytestmark = [pytest.mark.server, needs_binary]

ROWS = 6000


@pytest.fixture
def folder(tmp_path) -> Path:
    rows: list[Any] = [
        {"id": f"k{n}", "title": f"title {n}", "text": f"row {n % 11} {n}", "n": n}
        for n in range(ROWS)
    ]
    rows[17] = "torn {"
    write_jsonl(tmp_path / "rows.jsonl", rows)
    return tmp_path


@pytest.fixture
def server(tmp_path) -> Iterator[OwnServer]:
    (tmp_path / "server").mkdir()
    with OwnServer(tmp_path / "server") as started:
        yield started


def check(client: QdrantClient, report: Any) -> None:
    """The account, the manifest and the collection say one thing."""
    assert (report.read, report.stored, sum(report.rejected.values())) == (ROWS, ROWS - 1, 1)
    assert report.points_after == ROWS - 1
    assert json.loads(Path(report.manifest).read_text())
    assert client.count(COLLECTION, exact=True).count == ROWS - 1
    points, _ = client.scroll(COLLECTION, limit=2 * ROWS, with_vectors=["full"])
    texts = [f"{one.payload['title']} {one.payload['text']}" for one in points]
    assert {one.payload["n"] for one in points} == set(range(ROWS)) - {17}
    for one, vector in zip(points, FakeEncoder().encode(texts), strict=True):
        assert one.id == point_id(one.payload["id"])
        assert one.vector["full"] == pytest.approx(vector.tolist(), abs=1e-6)


def test_a_job_killed_again_and_again_is_finished_by_the_last(folder, server):
    dice = random.Random(3)  # noqa: S311
    for batches in (0, 3, 11, 20):
        child = subprocess.Popen(
            [
                sys.executable, "-m", "tests.server.ingest_child", str(folder),
                str(server.http), str(server.grpc),
            ],
            cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for _ in range(batches):
            if child.stdout.readline() != "settled\n":
                break
        time.sleep(dice.random() / 20)
        child.kill()
        child.communicate()
    client = server.client()
    report = run(folder, client)
    assert report.attempts > 1
    check(client, report)


def test_a_server_killed_under_the_job_loses_nothing(folder, server):
    client = server.client()
    counted: list[int] = []

    def kill_twice() -> None:
        """As soon as so much is stored."""
        other = server.client(prefer_grpc=False)
        for share in (0.2, 0.6):
            while True:
                try:
                    count = other.count(COLLECTION, exact=True).count
                    if count >= share * ROWS:
                        break
                except Exception:
                    time.sleep(0.01)
            counted.append(count)
            server.kill()
            server.start()

    killer = threading.Thread(target=kill_twice)
    killer.start()
    report = run(folder, client)
    killer.join(60)
    assert not killer.is_alive()
    assert counted[0] < ROWS - 1, "the job was done before the server was killed"
    check(client, report)


def test_a_rate_limit_slows_the_job_and_loses_nothing(folder, server):
    client = server.client()
    lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    (folder / "rows.jsonl").write_text("".join(lines[:BATCH_ROWS]))
    run(folder, client)
    client.update_collection(
        COLLECTION,
        strict_mode_config=models.StrictModeConfig(enabled=True, write_rate_limit=5700),
    )
    (folder / "rows.jsonl").write_text("".join(lines))
    report = run(folder, client)
    assert report.read == ROWS
    assert client.count(COLLECTION, exact=True).count == ROWS - 1


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_job_with_a_key_that_may_not_write_says_so_and_another_goes_on(folder, tmp_path):
    place = tmp_path / "locked"
    place.mkdir()
    with OwnServer(place, settings="api_key: right, read_only_api_key: reader") as server:
        owner = server.client(api_key="right")
        lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
        (folder / "rows.jsonl").write_text("".join(lines[:BATCH_ROWS]))
        run(folder, owner)  # the collection is there
        (folder / "rows.jsonl").write_text("".join(lines))
        for key in ("reader", "wrong one"):
            with pytest.raises(AccessDeniedError) as caught:
                run(folder, server.client(api_key=key))
            assert key not in str(caught.value)
        report = run(folder, owner)
        assert report.read == ROWS
        assert owner.count(COLLECTION, exact=True).count == ROWS - 1
        state = [path.read_bytes() for path in (folder / "state").rglob("*") if path.is_file()]
        assert not any(b"right" in one or b"reader" in one for one in state)
