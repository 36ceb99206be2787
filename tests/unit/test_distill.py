"""Distillation is model2vec's: what is called, what is written, and how failures are reported."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest
from typer.testing import CliRunner

from qdrant_static import load_encoder
from qdrant_static.cli import app
from qdrant_static.errors import ArgumentError, EncoderUnavailableError, MissingExtraError
from qdrant_static.training import distill
from tests.fakes import build_static_model


@pytest.fixture
def library(monkeypatch, tmp_path):
    """A stand-in for `model2vec.distill`, whose real one needs PyTorch."""
    from model2vec import StaticModel

    calls = []

    def function(name, **options):
        calls.append((name, options))
        if name == "missing/model":
            raise OSError("missing/model is no folder\nand no name on the hub")
        if name == "empty":
            raise ValueError("The vocabulary is empty")
        return StaticModel.from_pretrained(build_static_model(tmp_path / "made"))

    module = ModuleType("model2vec.distill")
    module.distill = function
    monkeypatch.setitem(sys.modules, "model2vec.distill", module)
    return calls


def test_the_model_is_written_with_a_card_and_loads(library, tmp_path):
    found = distill("some/model", out=tmp_path / "out", dimension=32, vocabulary=["tide"])
    assert library == [
        ("some/model", {"vocabulary": ["tide"], "pca_dims": 32, "pooling": "mean"}),
    ]  # fmt: skip
    encoder = load_encoder(tmp_path / "out")
    assert encoder.info.fingerprint == found.fingerprint
    assert (found.dimension, found.rows) == (32, 30)
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["fingerprint"] == found.fingerprint
    assert card["distilled_from"] == {"name": "some/model"}
    assert card["recipe"]["added_words"] == 1
    assert "next: qdrant-static ingest" in str(found)


def test_a_folder_that_exists_is_refused_before_anything_is_done(library, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_text("mine")
    with pytest.raises(ArgumentError, match="exists: name a new folder"):
        distill("some/model", out=tmp_path / "out")
    assert library == []


def test_a_teacher_that_is_not_found_is_an_error_of_one_line(library, tmp_path):
    with pytest.raises(EncoderUnavailableError, match="missing/model is no folder\\."):
        distill("missing/model", out=tmp_path / "out")
    with pytest.raises(ArgumentError, match="empty: The vocabulary is empty"):
        distill("empty", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_pytorch_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "model2vec.distill", None)
    with pytest.raises(MissingExtraError, match=r'pip install "qdrant-static\[train\]"'):
        distill("some/model", out=tmp_path / "out")


def test_wrong_values_are_refused(library, tmp_path):
    with pytest.raises(ArgumentError, match="dimension"):
        distill("some/model", out=tmp_path / "out", dimension=0)
    with pytest.raises(ArgumentError, match="pooling: 'sum' is unknown"):
        distill("some/model", out=tmp_path / "out", pooling="sum")


def test_the_command_prints_the_report(library, tmp_path):
    done = CliRunner().invoke(
        app, ["train", "distill", "some/model", "--out", str(tmp_path / "out"), "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["teacher"] == "some/model"
