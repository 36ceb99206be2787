"""Collections built here and shipped to a real server; killed at every step, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from qdrant_client import QdrantClient, models
from typer.testing import CliRunner

from qdrant_static import CollectionSpec, create_collection
from qdrant_static.cli import app
from qdrant_static.clients.aliases import aliases_of
from qdrant_static.collection.create import read_spec
from qdrant_static.errors import CannotShipError, ShipmentRefusedError
from qdrant_static.ids import point_id
from qdrant_static.ingestion.verify import verify
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.shipping import push
from tests.fakes import REPOSITORY, FakeEncoder
from tests.server.build_child import STEPS, run

pytestmark = pytest.mark.server

ROWS = 1000
REJECTS = {"duplicate_key": 1, "not_json": 1}


def _connected() -> QdrantClient:
    url = os.environ["QDRANT_URL"]
    return QdrantClient(
        url=url,
        grpc_port=(urlsplit(url).port or 6333) + 1,  # the server's own convention
        prefer_grpc=True,
        check_compatibility=False,
        timeout=60,
    )


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    made = _connected()
    yield made
    made.close()


@pytest.fixture
def name(client) -> Iterator[str]:
    made = f"built-{uuid4().hex[:8]}"
    yield made
    client.delete_collection(made)


@pytest.fixture
def folder(tmp_path) -> Path:
    write_rows(tmp_path)
    return tmp_path


def row(number: int, **changes) -> dict:
    key = number if number % 3 else f"key {number}"
    text = f"row {number % 9} {number}"
    return {"id": key, "title": f"t {number}", "text": text, "n": number, **changes}


def write_rows(folder: Path, count: int = ROWS, **changed) -> None:
    lines = [json.dumps(row(n, **changed.get(f"row{n}", {}))) for n in range(count)]
    lines[400:400] = [json.dumps(row(7)), "torn {"]
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")


def check(client, name, folder, report, shards=1) -> None:
    """Every row is there, indexed, and known to the ledger as stored."""
    told = report if isinstance(report, dict) else report.to_dict()
    assert (told["read"], told["stored"], told["built"]) == (ROWS + 2, ROWS, 0)
    assert told["rejected"] == REJECTS
    assert (told["points_before"], told["points_after"], told["new"]) == (0, ROWS, ROWS)
    assert told["shipment"]["points"] == ROWS
    assert told["shipment"]["shards"] == shards
    assert client.count(name, exact=True).count == ROWS
    records, _ = client.scroll(name, limit=ROWS, with_payload=["n"])
    assert sorted(one.payload["n"] for one in records) == list(range(ROWS))
    info = client.get_collection(name)
    assert info.status == models.CollectionStatus.GREEN
    assert info.config.params.shard_number == shards
    assert info.payload_schema["n"].points == ROWS
    found = verify(client, name, state=folder / "state")
    assert found.is_sound
    assert (found.points, found.expected, found.unknown) == (ROWS, ROWS, 0)
    with Ledger(folder / "state" / "ledger.sqlite") as ledger:
        last = ledger.runs.last()
        assert (last.state, last.building) == ("finished", False)
        states = ledger.query("SELECT DISTINCT state FROM batches WHERE run = ?", last.id)
        assert [state for (state,) in states] == ["stored"]
    assert not (folder / "state" / "build").exists()


@pytest.mark.parametrize("shards", [1, 3])
def test_what_was_built_is_served_and_kept_fresh_in_the_ordinary_way(client, name, folder, shards):
    report = run(folder, client, name, shards)
    check(client, name, folder, report, shards)
    encoder = FakeEncoder()
    query = encoder.encode(["row 4 13"])[0].tolist()
    (hit,) = client.query_points(name, query, using="full", limit=1).points
    assert hit.id == 13
    assert read_spec(client, name).sparse.mean_length is not None

    again = run(folder, client, name, shards, build=None, spec=None, sync=True)
    assert (again.unchanged, again.stored, again.exact) == (ROWS, 0, True)
    write_rows(folder, 990, row5={"text": "another text"}, row8={"n": 88}, row9={"extra": [1]})
    changed = run(
        folder, client, name, shards, build=None, spec=None, sync=True, delete_missing=True
    )
    assert (changed.stored, changed.payload_updated, changed.unchanged) == (1, 2, 987)
    assert changed.deleted == 10
    assert client.retrieve(name, [8])[0].payload["n"] == 88
    assert client.retrieve(name, [5])[0].payload["text"] == "another text"
    assert client.retrieve(name, [point_id("key 9")])[0].payload["extra"] == [1]
    assert verify(client, name, state=folder / "state").is_sound


def _child(folder: Path, name: str, shards: int, *steps: str) -> subprocess.CompletedProcess[str]:
    port = urlsplit(os.environ["QDRANT_URL"]).port or 6333
    arguments = [str(folder), str(port), str(port + 1), name, str(shards), *steps]
    return subprocess.run(
        [sys.executable, "-m", "tests.server.build_child", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
    )


def _stored(folder: Path, name: str) -> int:
    with Ledger(folder / "state" / "ledger.sqlite") as ledger:
        return ledger.rows.count()


def test_a_command_that_is_killed_at_every_step_ends_as_if_it_had_not_been(client, name, folder):
    for step in STEPS:
        done = _child(folder, name, 2, step)
        assert done.returncode == -signal.SIGKILL, (step, done.stderr)
        if step != "shipped":
            assert _stored(folder, name) == 0, step  # nothing is stored before it was proved
    done = _child(folder, name, 2)
    assert done.returncode == 0, done.stderr
    check(client, name, folder, json.loads(done.stdout.splitlines()[-1]), shards=2)


@pytest.mark.full
@pytest.mark.parametrize("step", STEPS)
def test_one_kill_at_a_step(client, name, folder, step):
    assert _child(folder, name, 2, step).returncode == -signal.SIGKILL
    done = _child(folder, name, 2)
    assert done.returncode == 0, done.stderr
    check(client, name, folder, json.loads(done.stdout.splitlines()[-1]), shards=2)


def test_a_proof_that_fails_leaves_it_built_and_the_server_as_it_was(
    client, name, folder, monkeypatch
):
    def refuse(*_, **__):
        raise ShipmentRefusedError(
            collection=name, where="there", proof="ids", problem="one is missing", left=""
        )

    with monkeypatch.context() as patched:
        patched.setattr(push, "prove", refuse)
        with pytest.raises(ShipmentRefusedError, match="was removed"):
            run(folder, client, name, 1)
    assert not client.collection_exists(name)
    assert _stored(folder, name) == 0
    check(client, name, folder, run(folder, client, name, 1))


def test_an_empty_collection_is_filled_and_keeps_what_it_is(client, name, folder):
    spec = CollectionSpec.for_encoder(
        FakeEncoder(), matryoshka=(8,), payload_indexes={"n": "integer"}
    )
    create_collection(client, name, spec, metadata={"mine": "stays"})
    report = run(folder, client, name, 1, spec=None)
    check(client, name, folder, report)
    assert client.get_collection(name).config.metadata["mine"] == "stays"


def test_a_collection_with_points_is_refused_before_anything_is_built(client, name, folder):
    run(folder, client, name, 1, build=None)
    with pytest.raises(CannotShipError, match="it has 1,000 points there"):
        run(folder, client, name, 1)
    assert client.count(name, exact=True).count == ROWS
    assert verify(client, name, state=folder / "state").is_sound


@pytest.mark.parametrize("processes", [(), ("--shards", "2", "--workers", "2")], ids=["one", "two"])
def test_the_command_line_builds_ships_and_points_the_alias(
    processes, client, name, folder, model_folder, monkeypatch
):
    monkeypatch.chdir(folder)
    alias = f"{name}-alias"
    done = CliRunner().invoke(
        app,
        [
            "ingest", "rows.jsonl", "-c", name, "--encoder", str(model_folder), "--to",
            os.environ["QDRANT_URL"], "--build", "here", "--alias", alias, "--json",
            "--index", "n:integer", "--state", "state", *processes,
        ],
    )  # fmt: skip
    assert done.exit_code == 0, (done.stdout, done.stderr)
    assert "one process builds all shards" not in done.stderr
    check(client, name, folder, json.loads(done.stdout), shards=2 if processes else 1)
    assert aliases_of(client)[alias] == name
