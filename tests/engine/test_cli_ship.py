"""``qdrant-static ship``: what it hands on, what it prints, and what it exits with."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from qdrant_static import CollectionSpec, EdgeClient, ingest, load_encoder
from qdrant_static.cli import app
from qdrant_static.clients import retry
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.errors import ShipmentRefusedError
from qdrant_static.shipping import push
from qdrant_static.shipping.progress import ShipProgress, progress_callback
from qdrant_static.shipping.reports import Shipment
from tests.fakes import write_jsonl

SHIPMENT = Shipment(
    id="0" * 32, collection="articles", where="http://localhost:1", target="green", alias="live",
    points=20, shards=1, sent_bytes=10**6, prepare_s=0.1, send_s=0.2, copy_s=0.0, prove_s=0.3,
    proofs=(),
)  # fmt: skip


@pytest.fixture
def place(tmp_path, model_folder, monkeypatch):
    """A folder ``data`` with a collection ``articles``, and the working directory beside it."""
    monkeypatch.chdir(tmp_path)
    rows = [{"id": n, "text": f"the cat {n}"} for n in range(20)]
    encoder = load_encoder(str(model_folder))
    with EdgeClient(tmp_path / "data") as client:
        spec = CollectionSpec.for_encoder(encoder, quantization=None)
        source = write_jsonl(tmp_path / "rows.jsonl", rows)
        ingest(client, "articles", source, spec=spec, encoder=encoder)
    return tmp_path


def run(*arguments, code: int = 0):
    found = CliRunner().invoke(app, ["ship", *map(str, arguments)])
    assert found.exit_code == code, (found.output, found.exception)
    return found


NOTHING = {"sent_bytes": 0, "total_bytes": 0, "shards_done": 0, "shards": 1}


@dataclass
class Recorded:
    """In the place of `ship`: what it was asked."""

    answer: object = None
    asked: tuple = ()
    options: dict | None = None

    def __call__(self, local, collection, server, *, progress, **options):
        self.asked = (local, collection, server)
        self.options = options
        with progress_callback(progress) as report:
            if report is not None:
                report(ShipProgress(phase="preparing", **NOTHING))
        if isinstance(self.answer, Exception):
            raise self.answer
        return SHIPMENT


@pytest.fixture
def recorded(monkeypatch):
    found = Recorded()
    monkeypatch.setattr(push, "ship", found)
    return found


def test_every_option_is_handed_on(place, recorded):
    found = run(
        "articles", "--db", "data", "--to", "https://localhost:1", "--as", "green",
        "--alias", "live", "--replicas", "2", "--peer", "7=http://a", "--peer", "8=http://b",
        "--workers", "3", "--sample", "5", "--untested", "--discard-unfinished",
        "--max-mb-s", "50",
        "--api-key", "secret", "--timeout", "9", "--json",
    )  # fmt: skip
    local, collection, server = recorded.asked
    assert isinstance(local, EdgeClient)
    assert collection == "articles"
    assert (server.init_options["api_key"], server.init_options["timeout"]) == ("secret", 9)
    assert recorded.options == {
        "name": "green", "alias": "live", "replicas": 2,
        "peers": {"7": "http://a", "8": "http://b"}, "workers": 3, "sample": 5, "untested": True,
        "discard_unfinished": True, "max_mb_s": 50.0,
    }  # fmt: skip
    assert json.loads(found.stdout) == {**SHIPMENT.to_dict(), "proofs": []}
    assert found.stderr == ""


def test_without_options_the_defaults_are_those_of_the_function(place, recorded):
    found = run("articles", "--to", "http://localhost:1")
    assert recorded.options == {"name": None, "workers": 2, "sample": 100}
    assert found.stdout == f"{SHIPMENT}\n"
    assert re.fullmatch(r"\S+Z preparing\n", found.stderr)


def test_a_proof_that_fails_exits_with_4(place, recorded):
    recorded.answer = ShipmentRefusedError(
        collection="articles", where="there", proof="count", problem="19 of 20", left="Nothing."
    )
    found = run("articles", "--to", "http://localhost:1", code=4)
    assert "error: the shipment of 'articles' to there was refused by the proof 'count'" in (
        found.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("articles", "--db", "http://localhost:1", "--to", "http://localhost:1"), "give a folder"),
        (("articles", "--to", "elsewhere"), "--to: 'elsewhere' is a folder; give a server's URL"),
        (("articles", "--to", "localhost:6333"), "for a server write http://localhost:6333"),
        (("articles", "--to", "http://localhost:1", "--peer", "7"), "--peer: '7' is not ID=URL"),
        (("nothing", "--to", "http://localhost:1"), "no collection 'nothing'"),
        (("articles",), "--to"),
    ],
)
def test_wrong_usage_exits_with_2_before_anybody_is_asked(place, arguments, told):
    found = run(*arguments, code=2)
    assert told in " ".join(found.output.split())
    assert "Traceback" not in found.output


def test_a_server_that_is_away_exits_with_1(place, monkeypatch):
    monkeypatch.setattr(retry, "FIRST_CONTACT", RetryPolicy(budget_s=0.1))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        found = run("articles", "--to", url, code=1)
    assert "error: " in found.stderr
    assert "Traceback" not in found.stderr
