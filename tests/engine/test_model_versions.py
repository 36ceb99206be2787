"""``name@version`` where an encoder is named: ingest, search, migrate, and who uses a version."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from qdrant_static import EdgeClient, load_encoder, point_alias
from qdrant_static.cli import app
from qdrant_static.collection.create import read_spec
from qdrant_static.errors import EncoderNotFoundError
from qdrant_static.training import register_model, use_model
from tests.fakes import build_static_model, write_jsonl


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in this process, in an empty directory with two versions of a model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QDRANT_STATIC_MODELS", str(tmp_path / "models"))
    for seed in (1, 2):
        register_model(build_static_model(tmp_path / f"m{seed}", seed=seed), "articles")
    words = ("cat", "dog", "fish", "moon", "bread")
    write_jsonl(tmp_path / "a.jsonl", [{"id": n, "text": f"the {w}"} for n, w in enumerate(words)])

    def invoke(*arguments, code: int = 0):
        done = CliRunner().invoke(app, [str(one) for one in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, (done.stdout, done.stderr)
        return done

    return invoke


INGEST = ("ingest", "a.jsonl", "--key", "id", "--text", "text", "--collection", "c")


def test_a_collection_keeps_the_version_that_it_was_made_with(run):
    use_model("articles@2")
    run(*INGEST, "--encoder", "articles@current")
    with EdgeClient("data") as client:
        made = read_spec(client, "c").encoder
    assert made.name == "articles@2"
    use_model("articles@1")
    first = json.loads(run("search", "c", "the moon", "--json").stdout)
    assert first[0]["id"] == 3
    run(*INGEST)  # without an encoder: the collection's own
    refused = run(*INGEST, "--encoder", "articles@current", code=2).stderr
    assert "articles@2" in refused
    assert "articles@1" in refused


def test_a_migration_takes_a_version(run):
    run(*INGEST[:-1], "c__v1", "--encoder", "articles@1")
    with EdgeClient("data") as client:
        point_alias(client, "c", "c__v1")
    run("migrate", "start", "c", "--encoder", "articles@2", "--from-collection")
    with EdgeClient("data") as client:
        assert read_spec(client, "c__v2").encoder.name == "articles@2"


def test_a_version_that_a_collection_uses_is_removed_by_force_only(run):
    run(*INGEST, "--encoder", "articles@2")
    assert json.loads(run("models", "show", "articles@2", "--db", "data", "--json").stdout)[
        "collections"
    ] == ["c"]
    shown = run("models", "show", "articles@1", "--db", "data").stdout
    assert shown.splitlines()[-1].split() == ["collections", "none"]
    refused = run("models", "remove", "articles@2", "--db", "data", code=2).stderr
    assert "c." in refused
    assert "--force" in refused
    removed = run("models", "remove", "articles@2", "--db", "data", "--force", "--json").stdout
    assert json.loads(removed)["collections"] == ["c"]
    with pytest.raises(EncoderNotFoundError, match="articles@2"):
        load_encoder("articles@2")
