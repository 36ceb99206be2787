"""``qdrant-static ship`` and ``pull`` on a real server: there, live, and back again."""

from __future__ import annotations

import json
import os

import pytest
from typer.testing import CliRunner

from qdrant_static import CollectionSpec, EdgeClient, connect, ingest, load_encoder
from qdrant_static.cli import app
from qdrant_static.clients.aliases import resolve_alias
from tests.fakes import VOCABULARY, write_jsonl

pytestmark = pytest.mark.server

WORDS = VOCABULARY[6:26]
NAME, ALIAS = "cli-ship", "cli-ship-live"


@pytest.fixture
def server():
    if not os.environ.get("QDRANT_URL"):
        pytest.skip("set QDRANT_URL")
    client = connect(os.environ["QDRANT_URL"])
    client.delete_collection(NAME)
    yield client
    client.delete_collection(NAME)
    client.close()


@pytest.fixture
def place(tmp_path, model_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": n, "text": f"{WORDS[n % 20]} {WORDS[(7 * n + n // 20) % 20]} {WORDS[n // 3 % 20]}"}
        for n in range(300)
    ]
    encoder = load_encoder(str(model_folder))
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,), quantization="binary")
    with EdgeClient(tmp_path / "data") as client:
        source = write_jsonl(tmp_path / "rows.jsonl", rows)
        ingest(client, NAME, source, spec=spec, encoder=encoder)
    return tmp_path


def run(*arguments, code: int = 0):
    found = CliRunner().invoke(app, [*map(str, arguments)])
    assert found.exit_code == code, (found.output, found.exception)
    return found


def to() -> tuple[str, str]:
    return "--to", os.environ["QDRANT_URL"]


def test_there_live_and_back(place, server):
    found = run("ship", NAME, *to(), "--alias", ALIAS, "--json")
    told = json.loads(found.stdout)
    assert told["points"] == 300
    assert server.count(NAME, exact=True).count == 300
    assert resolve_alias(server, ALIAS) == NAME
    asked = ("--plan", "exact", "--json")
    there = json.loads(run("search", ALIAS, "cat fish", "--db", to()[1], *asked).stdout)
    here = json.loads(run("search", NAME, "cat fish", *asked).stdout)
    assert [hit["id"] for hit in there] == [hit["id"] for hit in here]
    run("pull", NAME, "--from", to()[1], "--db", "copy")
    back = json.loads(run("search", NAME, "cat fish", "--db", "copy", *asked).stdout)
    assert [hit["id"] for hit in back] == [hit["id"] for hit in here]


def test_what_is_there_already_is_proved_again_and_what_is_another_is_refused(place, server):
    assert f"{300:,}" in run("ship", NAME, *to()).stdout
    run("ship", NAME, *to())
    with EdgeClient(place / "data") as local:
        local.delete(NAME, [7])
        local.optimize(NAME)
    found = run("ship", NAME, *to(), code=2)
    assert "error: " in found.stderr
    assert server.count(NAME, exact=True).count == 300


def test_progress_is_told_in_a_log(place, server):
    told = run("ship", NAME, *to()).stderr
    assert "preparing" in told
    assert "sending: 0 of " in told
    assert "proving" in told
