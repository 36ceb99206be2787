"""Searching and tuning collections that others made: the caller names the encoder."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import load_encoder, search, tune
from qdrant_static.collection.foreign import foreign_spec
from qdrant_static.errors import ArgumentError, NotAPlannedCollectionError
from tests.fakes import run_cli

WORDS = ("amber", "basalt", "cedar", "delta", "ember", "fjord", "grove", "heron", "islet", "jetty")


@pytest.fixture
def texts() -> list[str]:
    dice = np.random.default_rng(3)
    return [" ".join(WORDS[one] for one in dice.integers(0, 10, 6)) for _ in range(300)]


@pytest.fixture
def theirs(client, encoder, texts):
    """An unnamed vector, ids of their own, text in ``body``, no metadata."""
    fill(client, encoder, texts)
    return encoder


def fill(client, encoder, texts) -> None:
    client.create_collection(
        "theirs",
        models.VectorParams(size=encoder.info.dimension, distance=models.Distance.COSINE),
    )
    rows = encoder.encode(texts)
    client.upsert(
        "theirs",
        [
            models.PointStruct(id=number + 7, vector=row.tolist(), payload={"body": text})
            for number, (row, text) in enumerate(zip(rows, texts, strict=True))
        ],
    )
    client.optimize("theirs")


def test_a_search_needs_an_encoder_and_nothing_else(client, theirs, texts):
    with pytest.raises(NotAPlannedCollectionError, match="--encoder"):
        search(client, "theirs", texts[5])
    hits = search(client, "theirs", texts[5], encoder=theirs, limit=3)
    exact = search(client, "theirs", texts[5], encoder=theirs, limit=3, plan="exact")
    assert hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in exact], abs=1e-5)
    assert client.get_collection("theirs").config.metadata is None


def test_a_spec_says_which_field_is_the_text(client, theirs, texts):
    spec = foreign_spec(client, "theirs", encoder=theirs, text="body")
    (hit,) = search(client, "theirs", texts[5], encoder=theirs, spec=spec, limit=1)
    assert hit.text == hit.payload["body"]


def test_points_ask_where_no_encoder_is_known(client, theirs, texts):
    report = tune(client, "theirs", target_recall=0.5, sample=60, k=3, budget_s=60, store=False)
    assert report.choice is not None
    assert client.get_collection("theirs").config.metadata is None
    assert tune(client, "theirs", target_recall=0.5, sample=60, k=3, budget_s=60).stored
    assert search(client, "theirs", texts[5], encoder=theirs, limit=1)


def test_the_command_line_names_the_parts(client, texts, tmp_path, model_folder):
    fill(client, load_encoder(str(model_folder)), ["the red fish", "a slow ship"])
    client.close()
    done = run_cli(
        "search", "theirs", "fish", "--db", tmp_path / "db", "--encoder", model_folder,
        "--text", "body", "--json", "-n", "1", cwd=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.err
    (hit,) = json.loads(done.out)
    assert hit["text"] == hit["payload"]["body"]


def test_a_vector_that_is_not_there_is_named(client, theirs):
    with pytest.raises(ArgumentError, match="'dense' is not a dense vector here"):
        foreign_spec(client, "theirs", encoder=theirs, vector="dense")
