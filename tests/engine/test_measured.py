"""What was measured of a collection: at the end of an ingest, and bound to its layout."""

from __future__ import annotations

import logging
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import CollectionSpec, EdgeClient, create_collection, ingest, tune
from qdrant_static.clients.indexing import wait_until_indexed
from qdrant_static.collection.applydiff import apply
from qdrant_static.collection.create import read_spec, write_spec
from qdrant_static.collection.diff import diff
from qdrant_static.collection.foreign import carried_spec, foreign_spec
from qdrant_static.collection.passes import dense_passes
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.planevidence import LAYOUT
from qdrant_static.collection.specfile import spec_from_toml, spec_to_toml
from qdrant_static.measuring import assess as assessing
from qdrant_static.measuring.assess import assess
from qdrant_static.measuring.quantize import quantize
from qdrant_static.migration.addvector import add_vector
from qdrant_static.querying.answer import answer
from qdrant_static.querying.query import Query
from qdrant_static.querying.run import Searcher
from tests.fakes import FakeEncoder, grouped, write_jsonl

ROWS = 300
FINISHING = import_module(
    "qdrant_static.ingestion.finishing"
)  # the package's `ingest` is a function
TUNED = {"kind": "dense", "vector": "full", "rescore": False}
INT8 = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99)
)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(assessing, "FEWEST_POINTS", 100)
    # The engine's random sample has no seed: every point is a query, so that no figure is chance.
    monkeypatch.setattr(assessing, "QUERIES", ROWS)
    monkeypatch.setattr(assessing, "_EXACT_S", 60.0)


def made(
    client: EdgeClient, encoder: FakeEncoder, codes: str | None = "turbo4", **given
) -> CollectionSpec:
    """A collection ``c`` of random vectors, with these codes."""
    spec = CollectionSpec.for_encoder(encoder, quantization=codes, sparse=None, **given)
    create_collection(client, "c", spec)
    rows = np.random.default_rng(3).standard_normal((ROWS, 32)).astype(np.float32)
    vectors = {"full": rows} | {one.name: rows[:, : one.size] for one in spec.vectors[1:]}
    client.upload_collection("c", vectors=vectors, ids=range(ROWS))
    client.optimize("c")
    return spec


def with_plan(client: EdgeClient, *, bound: bool = True) -> CollectionSpec:
    """The collection's spec with a plan that `tune` might have found, and its evidence."""
    from qdrant_static.collection.planevidence import layout_of

    spec = read_spec(client, "c")
    layout = layout_of(SearchPlan.of(TUNED), spec, client.get_collection("c"))
    evidence = {"value": 0.974, **({LAYOUT: layout} if bound else {})}
    write_spec(client, "c", replace(spec, plan=TUNED, evidence=evidence))
    assert read_spec(client, "c").plan == TUNED
    return read_spec(client, "c")


# --- recall is measured, and candidates added -------------------------------------------------


def test_codes_that_lose_recall_get_more_candidates(client, encoder):
    spec = made(client, encoder, "turbo2")
    found = assess(client, "c", spec, by="test")
    (side,) = found.sides
    assert found.queries == ROWS
    assert side.factor > 1
    assert side.usual < 0.98 <= side.recall
    assert str(side).startswith("recall@10 of 'dense' against exact search: ")
    assert f"with {side.factor} times the usual candidates ({side.usual:.3f} without)" in str(side)
    now = read_spec(client, "c")
    assert now == found.spec
    assert now.measured["dense"]["factor"] == side.factor
    assert now.measured["queries"] == ROWS
    # Every plan that names no number of candidates takes them, and no other.
    usual = dense_passes(SearchPlan(kind="dense"), spec, 10)[0].oversampling
    for plan in ("dense", {"kind": "dense", "vector": "full"}):
        assert dense_passes(SearchPlan.of(plan), now, 10)[0].oversampling == usual * side.factor
    given = SearchPlan(kind="dense", oversampling=1)
    assert dense_passes(given, now, 10)[0].oversampling == 1
    assert CollectionSpec.from_dict(now.to_dict()) == now
    assert spec_from_toml(spec_to_toml(now), encoder=encoder).measured == now.measured


def test_the_figure_is_that_of_the_search(client, encoder):
    spec = made(client, encoder, "binary")
    found = assess(client, "c", spec, by="test")
    rows = np.random.default_rng(3).standard_normal((ROWS, 32)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    hits = answer(
        client, "c", found.spec, SearchPlan(kind="dense"), [Query(dense=row) for row in rows],
        limit=11,
    )  # fmt: skip
    scores = rows @ rows.T
    np.fill_diagonal(scores, -2)
    near = np.argsort(-scores, axis=1)[:, :10]
    recall = np.mean(
        [
            len({one.id for one in points if one.id != row} & set(near[row])) / 10
            for row, points in enumerate(hits)
        ]
    )
    assert found.sides[0].recall == pytest.approx(recall, abs=0.001)
    assert recall > found.sides[0].usual


def test_codes_too_coarse_for_any_number_of_candidates_are_told(client, encoder, monkeypatch):
    monkeypatch.setattr(assessing, "_FACTORS", (1, 2))
    spec = made(client, encoder, "binary")
    (line,) = assess(client, "c", spec, by="test").lines()
    assert line.startswith("warning: recall@10 of 'dense' against exact search: 0.")
    assert "below the 0.98 that is wanted: the codes (binary) are too coarse" in line
    assert "qdrant-static quantize c --quantization turbo4" in line


def test_a_cascade_is_widened_by_itself(client, encoder, monkeypatch):
    monkeypatch.setattr("qdrant_static.collection.presets.passed_on", lambda size, hits: 2 * hits)
    spec = made(client, encoder, "turbo4", matryoshka=(8,))
    found = assess(client, "c", spec, by="test")
    dense, cascade = found.sides
    assert (dense.name, dense.factor) == ("dense", 1)
    assert cascade.name == "cascade"
    assert cascade.factor > 1
    assert cascade.recall > cascade.usual
    first = dense_passes(SearchPlan(kind="cascade"), found.spec, 10)[0]
    assert first.limit == 20 * cascade.factor


def test_equal_vectors_are_equally_right(client, encoder):
    spec = CollectionSpec.for_encoder(encoder, quantization="turbo4", sparse=None)
    create_collection(client, "c", spec)
    rows = np.tile(np.eye(32, dtype=np.float32)[:5], (40, 1))
    client.upload_collection("c", vectors={"full": rows}, ids=range(200))
    client.optimize("c")
    assert assess(client, "c", spec, by="test").sides[0].recall == 1.0


def test_where_nothing_is_approximate_nothing_is_measured(client, encoder, monkeypatch):
    spec = made(client, encoder, None)
    assert assess(client, "c", spec, by="test") is None
    client.delete_collection("c")
    spec = made(client, encoder, "binary")
    monkeypatch.setattr(assessing, "_EXACT_S", -1.0)  # exact search is too slow here
    assert assess(client, "c", spec, by="test") is None
    monkeypatch.setattr(assessing, "_EXACT_S", 60.0)
    monkeypatch.setattr(assessing, "FEWEST_POINTS", ROWS + 1)
    assert assess(client, "c", spec, by="test") is None
    assert read_spec(client, "c").measured is None


def test_the_own_plan_is_measured_as_it_is(client, encoder):
    made(client, encoder, "binary")
    spec = with_plan(client)
    dense, own = assess(client, "c", spec, by="test").sides
    assert (own.name, own.factor) == ("plan", 1)
    assert own.recall < dense.recall
    assert "of its own plan against exact search" in str(own)
    assert set(read_spec(client, "c").measured) >= {"dense", "plan"}


# --- at the end of an ingest ------------------------------------------------------------------


@pytest.fixture
def ingested(client, encoder, tmp_path) -> dict:
    words = [f"w{n}" for n in range(40)]
    draw = np.random.default_rng(1)
    texts = [" ".join(draw.choice(words, 6)) for _ in range(150)]
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"id": n, "text": text} for n, text in enumerate(texts)]
    )
    spec = CollectionSpec.for_encoder(encoder, quantization="binary")
    return {"source": path, "client": client, "collection": "c", "spec": spec, "encoder": encoder}


def test_an_ingest_ends_with_its_recall(ingested, capsys):
    ingest(**grouped(progress=True, **ingested))
    assert "recall@10 of 'dense' against exact search: " in capsys.readouterr().err
    measured = read_spec(ingested["client"], "c").measured
    assert measured["points"] == 150
    assert measured["by"].endswith(" ingest")


def test_a_sync_without_changes_measures_nothing(ingested, monkeypatch):
    ingest(**grouped(sync=True, **ingested))
    before = read_spec(ingested["client"], "c")
    monkeypatch.setattr(FINISHING, "assess", pytest.fail)
    ingest(**grouped(sync=True, **ingested))
    assert read_spec(ingested["client"], "c") == before


def test_a_figure_that_cannot_be_had_fails_no_ingest(ingested, monkeypatch, capsys):
    def refused(*_, **__):
        raise RuntimeError("exact search is forbidden")

    monkeypatch.setattr(FINISHING, "assess", refused)
    report = ingest(**grouped(progress=True, **ingested))
    assert report.stored == 150
    assert "recall could not be measured: exact search is forbidden" in capsys.readouterr().err


# --- evidence is bound to the layout ----------------------------------------------------------


def test_quantize_drops_what_was_tuned_and_measures_again(client, encoder):
    made(client, encoder, "turbo4")
    with_plan(client)
    report = quantize(client, "c", quantization="int8", target_recall=0.5)
    assert "its plan was tuned with other codes" in report.note
    assert "recall@10 of 'dense' against exact search" in report.note
    now = read_spec(client, "c")
    assert (now.plan, now.evidence) == (None, None)
    assert now.measured["by"].endswith(" quantize")
    assert Searcher(client, "c", encoder=encoder).plan() == SearchPlan(kind="dense")


def test_quantize_that_is_taken_back_drops_nothing(client, encoder):
    made(client, encoder, "turbo4")
    before = with_plan(client)
    quantize(client, "c", quantization="binary", target_recall=1.0)
    assert read_spec(client, "c") == before


@pytest.mark.parametrize("bound", [True, False], ids=["bound", "of-an-earlier-version"])
def test_apply_drops_what_was_tuned_on_another_layout(client, encoder, bound):
    made(client, encoder, "turbo4")
    there = with_plan(client, bound=bound)
    (full,) = there.vectors
    wanted = replace(
        CollectionSpec.for_encoder(encoder, quantization="binary", sparse=None),
        vectors=(replace(full, quantization=None),),
    )
    said: list[str] = []
    apply(client, "c", diff(client, "c", wanted), notify=said.append)
    assert any("its plan was tuned with other codes" in line for line in said)
    now = read_spec(client, "c")
    assert (now.plan, now.evidence) == (None, None)


@pytest.mark.parametrize("bound", [True, False], ids=["bound", "of-an-earlier-version"])
def test_apply_keeps_a_plan_where_only_the_place_changes(client, encoder, bound):
    made(client, encoder, "turbo4")
    before = with_plan(client, bound=bound)
    (full,) = before.vectors
    wanted = replace(before, vectors=(replace(full, placement="disk"),), plan=None, evidence=None)
    found = diff(client, "c", wanted)
    assert found
    apply(client, "c", found)
    now = read_spec(client, "c")
    assert (now.plan, now.evidence) == (before.plan, before.evidence)


def test_a_plan_that_apply_is_given_is_taken_without_evidence(client, encoder):
    made(client, encoder, "turbo4")
    before = with_plan(client)
    apply(client, "c", diff(client, "c", replace(before, plan="exact", evidence=None)))
    now = read_spec(client, "c")
    assert (now.plan, now.evidence) == ("exact", None)


def test_a_change_through_the_client_alone_is_seen(client, encoder, caplog):
    made(client, encoder, "turbo4")
    spec = with_plan(client)
    assess(client, "c", spec, by="test")
    changes = {"full": models.VectorParamsDiff(quantization_config=INT8)}
    client.update_collection("c", vectors_config=changes)
    with caplog.at_level(logging.WARNING, "qdrant_static"):
        now = read_spec(client, "c")
    assert "its plan was tuned with other codes" in caplog.text
    assert (now.plan, now.evidence, set(now.measured) & {"dense", "plan"}) == (None, None, set())
    assert carried_spec(client, "c") == now
    assert Searcher(client, "c", encoder=encoder).plan() == SearchPlan(kind="dense")


def test_a_plan_without_evidence_is_somebodys_choice_and_stays(client, encoder):
    made(client, encoder, "turbo4", plan=TUNED)
    quantize(client, "c", quantization="int8", target_recall=0.5)
    assert read_spec(client, "c").plan == TUNED


def test_evidence_of_an_earlier_version_stays_until_codes_change(client, encoder):
    made(client, encoder, "turbo4")
    before = with_plan(client, bound=False)
    assert read_spec(client, "c") == before
    quantize(client, "c", quantization="int8", target_recall=0.5)
    now = read_spec(client, "c")
    assert (now.plan, now.evidence) == (None, None)


def test_a_vector_that_the_plan_does_not_look_at_may_come(client, encoder):
    made(client, encoder, "turbo4")
    before = with_plan(client)
    add_vector(client, "c", "mrl_8")
    now = read_spec(client, "c")
    assert len(now.vectors) == 2
    assert (now.plan, now.evidence) == (before.plan, before.evidence)


def test_tune_binds_its_evidence(client, encoder):
    made(client, encoder, "turbo4")
    report = tune(client, "c", target_recall=0.5, sample=40, budget_s=60, cost="bytes")
    assert report.stored
    assert read_spec(client, "c").evidence[LAYOUT]
    wait_until_indexed(client, "c")
    quantize(client, "c", quantization=None, target_recall=0.5)
    assert read_spec(client, "c").plan is None


def test_a_collection_that_others_made_is_told_too(client):
    params = models.VectorParams(size=32, distance=models.Distance.COSINE, quantization_config=INT8)
    client.create_collection("c", {"v": params})
    rows = np.random.default_rng(3).standard_normal((ROWS, 32)).astype(np.float32)
    client.upload_collection("c", vectors={"v": rows}, ids=range(ROWS))
    report = tune(client, "c", target_recall=0.5, sample=40, budget_s=60, cost="bytes")
    assert report.stored
    assert foreign_spec(client, "c").plan == report.choice.plan.to_dict()
    report = quantize(client, "c", quantization="turbo4", target_recall=0.5)
    assert "its plan was tuned with other codes" in report.note
    assert foreign_spec(client, "c").plan is None
