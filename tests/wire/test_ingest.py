"""Whole jobs into a server while things go wrong: nothing lost, nothing twice, all of it told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from qdrant_client.http.exceptions import ResponseHandlingException

from qdrant_static import CollectionSpec, ingest
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.errors import (
    AccessDeniedError,
    CollectionNotFoundError,
    QdrantStaticError,
    ServerUnavailableError,
    SpecMismatchError,
)
from qdrant_static.ids import point_id
from qdrant_static.sinks.serversink import ServerSink
from tests.fakes import FakeEncoder, grouped
from tests.wire.faults import Fault, What
from tests.wire.server import WireServer

ROWS = 600
QUICK = RetryPolicy(first_s=0.01, longest_s=0.05, budget_s=20.0)


@pytest.fixture(autouse=True)
def small_requests(monkeypatch):
    """Many requests of few points, and a job's patience for a test's."""
    with_patience(monkeypatch, QUICK)


def with_patience(monkeypatch, retry: RetryPolicy) -> None:
    made = ServerSink.for_spec

    def for_spec(*arguments: Any, **options: Any) -> ServerSink:
        sink = made(*arguments, **{"retry": retry, **options})
        sink._pace.points = sink._pace._most = 40
        return sink

    monkeypatch.setattr(ServerSink, "for_spec", for_spec)


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for number in range(ROWS):
            row = {"id": f"key {number}", "text": f"word{number} of row {number}", "n": number}
            file.write(json.dumps(row) + "\n")
            if number % 200 == 7:
                file.write("no json\n")
    return path


def run(wire: WireServer, source: Path, client: Any = None, **options: Any) -> Any:
    encoder = FakeEncoder()
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,))
    return ingest(
        client or wire.client(),
        "c",
        source,
        **grouped(
            spec=spec,
            encoder=encoder,
            key="id",
            text="text",
            state=source.parent / "state",
            **options,
        ),
    )


def check(wire: WireServer, report: Any, *, refused: int = 0) -> None:
    """The report, the manifest, the rejects and what is stored say one thing."""
    assert report.read == ROWS + 3
    assert report.read == report.stored + sum(report.rejected.values())
    assert sum(report.rejected.values()) == 3 + refused
    assert report.points_after == report.points_before + report.new - report.deleted
    assert len(report.rejects_path.read_text().splitlines()) == 3 + refused

    manifest = json.loads(Path(report.manifest).read_text())
    found = manifest.get("report", manifest)
    assert found["read"] == report.read
    assert found["stored"] == report.stored
    assert found["points_after"] == report.points_after

    with wire.engine() as engine:
        assert engine.count("c", exact=True).count == report.points_after == ROWS - refused
        points, _ = engine.scroll("c", limit=2 * ROWS, with_vectors=["full"])
    vectors = FakeEncoder().encode([point.payload["text"] for point in points])
    for point, vector in zip(points, vectors, strict=True):
        assert point.id == point_id(point.payload["id"])
        assert point.vector["full"] == pytest.approx(vector.tolist(), abs=1e-6)


SCENARIOS = {
    "lost before and after": [
        Fault(at=3, what=What.LOST, times=2),
        Fault(at=9, what=What.UNACKNOWLEDGED, times=3),
    ],
    "breaks and a restart": [
        Fault(at=4, what=What.BREAK_AFTER),
        Fault(at=12, what=What.RESTART, seconds=0.1),
    ],
    "exhausted and slow": [
        Fault(at=2, what=What.EXHAUSTED, times=3),
        Fault(at=8, what=What.DELAY, times=4, seconds=0.05),
    ],
}


@pytest.mark.parametrize("faults", SCENARIOS.values(), ids=SCENARIOS)
def test_what_passes_by_is_not_seen_in_the_account(wire, source, faults):
    wire.faults = faults
    report = run(wire, source)
    assert all(fault.at <= len(wire.upserts) for fault in faults), "a fault that never struck"
    check(wire, report)
    assert report.attempts == 1


def test_a_refused_point_is_a_reject_with_the_servers_words(wire, source):
    wire.refused = {point_id("key 77"), point_id("key 555")}
    report = run(wire, source)
    check(wire, report, refused=2)
    rejects = [json.loads(line) for line in report.rejects_path.read_text().splitlines()]
    said = {one["value"]["id"]: one["message"] for one in rejects if one["reason"] == "refused"}
    assert set(said) == {"key 77", "key 555"}
    assert all("Wrong input: this point" in message for message in said.values())


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        (What.LOST, ServerUnavailableError),
        (What.DENIED, AccessDeniedError),
    ],
)
def test_a_job_that_was_given_up_goes_on_where_it_was(wire, source, monkeypatch, what, kind):
    with_patience(monkeypatch, RetryPolicy(first_s=0.01, longest_s=0.02, budget_s=0.1))
    wire.faults = [Fault(at=8, what=what, times=100_000)]
    with pytest.raises(kind):
        run(wire, source)
    wire.faults = []
    report = run(wire, source)
    check(wire, report)
    assert report.attempts == 2


@pytest.mark.parametrize(
    ("what", "kind"),
    [(What.OTHER_SIZE, SpecMismatchError), (What.NO_COLLECTION, CollectionNotFoundError)],
)
def test_a_collection_that_changes_under_way_ends_the_job(wire, source, what, kind):
    wire.faults = [Fault(at=8, what=what)]
    with pytest.raises(kind):
        run(wire, source)


def test_indexing_is_as_before_after_a_job_that_failed(wire, source):
    client = wire.client()
    wire.faults = [Fault(at=8, what=What.DENIED)]
    with pytest.raises(QdrantStaticError):
        run(wire, source, client, bulk=True)
    config = client.get_collection("c").config.optimizer_config
    assert config.indexing_threshold != 0
    check(wire, run(wire, source, client, bulk=True))


def stumbling(monkeypatch, client: Any, *names: str) -> None:
    """The first call of each of these methods finds nobody."""
    for name in names:
        method, failed = getattr(client, name), []

        def call(*arguments, method=method, failed=failed, **options):
            if not failed:
                failed.append(True)
                raise ResponseHandlingException(httpx.ConnectError("refused"))
            return method(*arguments, **options)

        monkeypatch.setattr(client, name, call)


def test_a_sync_writes_what_changed_and_deletes_what_went(wire, source, monkeypatch):
    run(wire, source)
    asked = len(wire.upserts)
    rows = [json.loads(line) for line in source.read_text().splitlines() if line != "no json"]
    rows[3]["n"] = -3
    rows[4]["text"] = "another text"
    del rows[7]
    rows.append({"id": "new", "text": "new", "n": 0})
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    wire.faults = [Fault(at=asked + 1, what=What.UNACKNOWLEDGED, times=2)]
    client = wire.client()
    # What is not an upsert (payloads, deletions, counts) is not heard the first time either.
    stumbling(monkeypatch, client, "batch_update_points", "delete", "count", "upsert")

    report = run(wire, source, client, sync=True, delete_missing=True)

    assert (report.stored, report.payload_updated, report.unchanged) == (2, 1, ROWS - 3)
    assert (report.new, report.deleted, report.points_after) == (1, 1, ROWS)
    with wire.engine() as engine:
        assert engine.count("c", exact=True).count == ROWS
        points, _ = engine.scroll("c", limit=2 * ROWS)
    assert sorted((one.payload["id"], one.payload["n"]) for one in points) == sorted(
        (row["id"], row["n"]) for row in rows
    )
