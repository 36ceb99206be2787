"""``qdrant-static migrate`` and ``collections``: what they print, and what they exit with."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from qdrant_static import CollectionSpec, EdgeClient, ingest, load_encoder
from qdrant_static.cli import app
from qdrant_static.clients.aliases import point_alias, resolve_alias
from tests.fakes import VOCABULARY, build_static_model, write_jsonl

WORDS = VOCABULARY[6:26]
LOOSE = ("--min-overlap", "0", "--min-ranks", "0", "--max-latency", "1000", "--min-recall", "0.5")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migrate-models")
    return [build_static_model(folder / name, seed=seed) for name, seed in (("old", 1), ("new", 2))]


@pytest.fixture
def place(tmp_path, models, monkeypatch, own_signals):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": n, "text": f"{WORDS[n % 20]} {WORDS[(7 * n + n // 20) % 20]} {WORDS[n // 3 % 20]}"}
        for n in range(60)
    ]
    source = write_jsonl(tmp_path / "rows.jsonl", rows)
    encoder = load_encoder(str(models[0]))
    with EdgeClient(tmp_path / "data") as client:
        spec = CollectionSpec.for_encoder(encoder, quantization=None)
        ingest(client, "articles__v1", source, spec=spec, encoder=encoder)
        point_alias(client, "articles", "articles__v1")
    return tmp_path


def run(*arguments, code: int = 0, answer: str | None = None):
    found = CliRunner().invoke(app, [str(one) for one in arguments], input=answer)
    assert found.exit_code == code, (found.output, found.exception)
    return found


def target(place) -> str:
    with EdgeClient(place / "data") as client:
        return resolve_alias(client, "articles")


def test_the_whole_way_on_the_command_line(place, models):
    found = run("migrate", "start", "articles", "--encoder", models[1], "--from-collection")
    assert "next: `migrate verify articles`" in found.output
    found = run("migrate", "verify", "articles", code=4)
    assert "refused by" in found.output
    assert "overlap" in found.output
    assert target(place) == "articles__v1"
    run("migrate", "cutover", "articles", code=2)
    found = run("migrate", "verify", "articles", "--json", *LOOSE, "--accept", "empty")
    assert json.loads(found.output)["passed"]
    status = json.loads(run("migrate", "status", "articles", "--json").output)
    assert (status["phase"], status["target"]) == ("verified", "articles__v1")
    assert "next: `migrate cutover articles`" in run("migrate", "status", "articles").output
    assert "articles__v1 -> articles__v2" in run("migrate", "cutover", "articles").output
    assert target(place) == "articles__v2"
    run("search", "articles", "cat fish", "--plan", "exact")
    assert "articles -> articles__v2 already" in run("migrate", "cutover", "articles").output
    assert "migrate abort" in run("migrate", "rollback", "articles").output
    assert target(place) == "articles__v1"
    found = run("migrate", "retire", "articles", answer="n\n", code=2)  # what it would ask is wrong
    assert "Delete" not in found.output
    run("migrate", "verify", "articles", *LOOSE, "--accept", "empty")
    run("migrate", "cutover", "articles", "--json")
    found = run("migrate", "retire", "articles", "--yes", code=2)
    assert "wait" in found.output
    run("migrate", "retire", "articles", "--after", "0", answer="n\n", code=1)
    found = run("migrate", "retire", "articles", "--after", "0", answer="y\n")
    assert "articles__v1 is deleted" in found.output
    run("migrate", "status", "articles", code=2)
    listed = json.loads(run("collections", "--json").output)
    assert [(one["name"], one["aliases"], one["rows"]) for one in listed] == [
        ("articles__v2", ["articles"], 60)
    ]
    assert listed[0]["created"].startswith("20")
    assert "articles__v2" in run("collections").output


def test_from_files_with_a_spec_and_given_up(place, models):
    (place / "new.toml").write_text('quantization = "binary"\nmatryoshka = [8]\n')
    run(
        "migrate", "start", "articles", "--encoder", models[1], "--from-source", "rows.jsonl",
        "--spec", "new.toml", "--max-rate", "100000", "--freeze-writes", "--json",
    )  # fmt: skip
    found = run("migrate", "start", "articles", "--encoder", models[0], "--from-collection", code=1)
    assert "is running" in found.output
    found = run("migrate", "abort", "articles", "--yes")
    assert "articles__v2 is deleted; articles stays" in found.output
    assert target(place) == "articles__v1"


def test_wrong_usage(place, models):
    found = run("migrate", "start", "articles", "--encoder", models[1], code=2)
    assert "--from-source" in found.output
    found = run(
        "migrate", "start", "articles__v1", "--encoder", models[1], "--from-collection", code=2
    )
    assert "migrate adopt articles__v1" in found.output
    run("migrate", "adopt", "articles__v1", "--as", "x", "--keep-name", code=2)
    assert "--keep-name" in run("migrate", "adopt", "articles__v1").output
    assert "x -> articles__v1" in run("migrate", "adopt", "articles__v1", "--as", "x").output


def test_a_vector_is_added_in_place(place):
    found = run("migrate", "add-vector", "articles", "mrl_8")
    assert "60 of 60 points have 'mrl_8'" in found.output


def test_a_folder_that_an_application_has_open_is_told(place, models):
    run("migrate", "start", "articles", "--encoder", models[1], "--from-source", "rows.jsonl")
    with EdgeClient(place / "data") as client:
        client.count("articles")
        found = run("migrate", "verify", "articles", code=1)
        assert "stop the application" in found.output
        assert "Migration(client, 'articles')" in found.output
