"""Asymmetric search on the command line and in a job file, with models that have a card."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from qdrant_static import EdgeClient, load_encoder
from qdrant_static.cli import app
from qdrant_static.clients.aliases import point_alias
from qdrant_static.collection.create import read_spec
from tests.fakes import VOCABULARY, build_fitted_model, build_static_model, write_jsonl

WORDS = VOCABULARY[6:26]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asymmetric-models")
    teacher = build_static_model(folder / "teacher", seed=1)
    build_static_model(folder / "static", seed=2)
    build_fitted_model(folder / "fitted", teacher)
    build_fitted_model(folder / "again", teacher, noise=0.02)
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, own_signals):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": n, "text": f"{WORDS[n % 20]} {WORDS[(7 * n + n // 20) % 20]} {WORDS[n // 3 % 20]}"}
        for n in range(60)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    return tmp_path


def run(*arguments, code: int = 0):
    found = CliRunner().invoke(app, [str(one) for one in arguments])
    assert found.exit_code == code, (found.output, found.exception)
    return found


def ingest(models, *more, code: int = 0):
    given = ("--encoder", models / "teacher", "--query-encoder", models / "fitted")
    return run("ingest", "rows.jsonl", "-c", "c", "--key", "id", *given, *more, code=code)


def spec_of(place, collection: str = "c"):
    with EdgeClient(place / "data") as client:
        return read_spec(client, collection)


def test_ingest_show_and_search(place, models):
    ingest(models)
    shown = run("show", "c").output
    assert f'name = "{models / "teacher"}"' in shown
    assert f'name = "{models / "fitted"}"' in shown
    explained = run("search", "c", "whale", "--explain", "--plan", "dense").output
    assert explained.startswith(f"asymmetric: documents by {models / 'teacher'}, queries by")
    hits = json.loads(run("search", "c", "cat book", "--plan", "dense", "--json").output)
    assert len(hits) == 10
    run("search", "c", "cat book", "--encoder", models / "fitted")
    found = run("search", "c", "cat book", "--encoder", models / "teacher", code=2)
    assert "is searched with the encoder" in found.output
    # A later run takes both encoders from the collection.
    again = run("ingest", "rows.jsonl", "-c", "c", "--key", "id", "--sync", "--json").stdout
    assert json.loads(again)["unchanged"] == 60


def test_a_wrong_pair_is_an_error(place, models):
    found = ingest(models, "--query-encoder", models / "static", code=2)
    assert "does not say what it was fitted to" in found.output
    assert not (place / "data" / "c").exists()


def test_the_encoder_of_queries_is_exchanged_by_apply(place, models):
    ingest(models)
    (place / "spec.toml").write_text(f'queries = "{models / "again"}"\n')
    found = run("diff", "c", "--spec", "spec.toml", code=4)
    assert "encoder of queries" in found.output
    run("apply", "c", "--spec", "spec.toml")
    assert spec_of(place).queries == load_encoder(models / "again").info
    # The short form without `queries` keeps it.
    (place / "spec.toml").write_text("")
    run("diff", "c", "--spec", "spec.toml")


def test_a_job_file_names_both(place, models):
    (place / "models").symlink_to(models)
    (place / "job.toml").write_text(
        'collection = "c"\npaths = "rows.jsonl"\nencoder = "models/teacher"\n'
        'query_encoder = "models/fitted"\n[source]\nkey = "id"\n'
    )
    run("run", "job.toml")
    assert spec_of(place).queries == load_encoder(models / "fitted").info
    run("run", "job.toml")  # once more: nothing to do


def test_a_static_collection_migrates_to_an_asymmetric_one(place, models):
    run("ingest", "rows.jsonl", "-c", "c__v1", "--key", "id", "--encoder", models / "static")
    with EdgeClient(place / "data") as client:
        point_alias(client, "c", "c__v1")
    given = ("--encoder", models / "teacher", "--query-encoder", models / "fitted")
    run("migrate", "start", "c", *given, "--from-collection")
    loose = ("--min-overlap", "0", "--min-ranks", "0", "--max-latency", "1000", "--min-recall")
    run("migrate", "verify", "c", *loose, "0.5", "--accept", "empty")
    run("migrate", "cutover", "c")
    spec = spec_of(place, "c__v2")
    assert (spec.encoder.name, spec.queries.name) == (
        str(models / "teacher"),
        str(models / "fitted"),
    )
