"""``qdrant-static show``, ``diff``, ``apply`` and ``quantize``: output, files, exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qdrant_client import models
from typer.testing import CliRunner

from qdrant_static import CollectionSpec, EdgeClient, create_collection
from qdrant_static.cli import app
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.foreign import carried_spec, foreign_spec
from qdrant_static.collection.quantization import Turbo
from tests.fakes import FakeEncoder


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments, code: int = 0):
        done = CliRunner().invoke(app, [str(one) for one in arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, (done.stdout, done.stderr)
        return done

    return invoke


@pytest.fixture
def ours(run):
    """A collection of ours, empty."""
    with EdgeClient("data") as client:
        create_collection(client, "c", CollectionSpec.for_encoder(FakeEncoder(), matryoshka=(8,)))


@pytest.fixture
def theirs(run):
    """A collection that others made: 300 unnamed vectors of 16 dimensions."""
    rows = np.random.default_rng(1).standard_normal((300, 16)).astype(np.float32)
    with EdgeClient("data") as client:
        client.create_collection("c", models.VectorParams(size=16, distance=models.Distance.COSINE))
        client.upload_collection(
            "c", vectors=rows, ids=range(300), payload=[{"body": f"cat {n}"} for n in range(300)]
        )


def test_what_show_prints_is_no_difference(run, ours, tmp_path):
    shown = run("show", "c").stdout
    (tmp_path / "spec.toml").write_text(shown)
    assert "[[vectors]]" in shown
    assert run("diff", "c", "--spec", "spec.toml").stdout == "c: no difference\n"
    data = json.loads(run("show", "c", "--json").stdout)
    with EdgeClient("data") as client:
        assert CollectionSpec.from_dict(data) == read_spec(client, "c")


def test_a_short_spec_is_compared_and_applied(run, ours, tmp_path):
    (tmp_path / "s.toml").write_text('matryoshka = [8]\nquantization = "int8"\n')
    told = run("diff", "c", "--spec", "s.toml", code=4).stdout
    assert "vector full: quantization is turbo4, wanted int8 [in place: " in told
    differences = json.loads(run("diff", "c", "--spec", "s.toml", "--json", code=4).stdout)[
        "differences"
    ]
    assert [one["field"] for one in differences] == [
        "vectors.full.quantization", "vectors.mrl_8.quantization",
    ]  # fmt: skip
    assert set(differences[0]) == {"field", "is", "wanted", "remedy", "reason"}
    assert run("apply", "c", "--spec", "s.toml").stdout == told
    assert run("diff", "c", "--spec", "s.toml").stdout == "c: no difference\n"


def test_what_needs_a_migration_is_refused(run, ours, tmp_path):
    (tmp_path / "s.toml").write_text('sparse = "none"\nquantization = "int8"\n')
    told = run("apply", "c", "--spec", "s.toml", code=2).stderr
    assert "bm25: is english" in told
    assert "Nothing was changed" in told
    with EdgeClient("data") as client:
        assert read_spec(client, "c").vectors[0].quantization == Turbo(bits=4)


def test_show_tells_what_others_made(run, theirs):
    shown = run("show", "c").stdout
    assert 'name = ""' in shown
    assert "planned = false" in shown


def test_a_collection_of_others_has_no_spec_to_compare(run, theirs, tmp_path):
    (tmp_path / "s.toml").write_text('quantization = "int8"\n')
    told = run("diff", "c", "--spec", "s.toml", code=2).stderr
    assert "was not made by qdrant-static" in told


def test_a_missing_file_is_an_error_with_its_name(run, ours):
    assert "s.toml" in run("diff", "c", "--spec", "s.toml", code=2).stderr


def test_quantize_tries_keeps_and_takes_back(run, theirs):
    dry = run("quantize", "c", "--quantization", "int8", "--dry-run")
    assert "nothing was changed" in dry.stdout
    done = json.loads(run("quantize", "c", "--quantization", "turbo4", "--json").stdout)
    assert (done["kept"], done["after"]["quantization"]) == (True, "turbo4")
    assert done["reached"] is True
    refused = run("quantize", "c", "--quantization", "binary", "--target-recall", "1.0", code=4)
    assert "undone: recall" in refused.stdout
    with EdgeClient("data") as client:
        assert foreign_spec(client, "c").vectors[0].quantization == Turbo(bits=4)
        assert carried_spec(client, "c") is None
    assert "the codes are removed" in run("quantize", "c", "--quantization", "none").stdout


def test_quantize_adds_bm25(run, theirs):
    told = run("quantize", "c", "--bm25", code=2).stderr
    assert "--text: name the payload fields" in told
    assert "for --bm25" in run("quantize", "c", "--text", "body", code=2).stderr
    done = json.loads(run("quantize", "c", "--bm25", "--text", "body", "--json").stdout)
    assert done["terms"] == 300
    with EdgeClient("data") as client:
        assert carried_spec(client, "c").fields.text == ("body",)


def test_an_unknown_quantization_is_wrong_usage(run, theirs):
    assert (
        "'ternary' is unknown" in run("quantize", "c", "--quantization", "ternary", code=2).stderr
    )


def test_ingest_without_options_takes_the_collection_as_it_is(run, model_folder, tmp_path):
    from dataclasses import replace

    from qdrant_static import load_encoder
    from tests.fakes import write_jsonl

    spec = CollectionSpec.for_encoder(load_encoder(model_folder), placement="disk")
    special = replace(spec.vectors[0], datatype="float16", codes="disk")
    with EdgeClient("data") as client:
        create_collection(client, "c", replace(spec, vectors=(special,)))
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "cat dog"}])
    run("ingest", path, "-c", "c")
    told = run("ingest", path, "-c", "c", "--quantization", "int8", code=2).stderr
    assert "vector full: quantization is turbo4, wanted int8" in told
    with EdgeClient("data") as client:
        assert read_spec(client, "c").vectors == (special,)
        assert client.count("c").count == 1
