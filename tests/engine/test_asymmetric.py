"""Asymmetric search on a real engine: documents by a slow encoder, queries by a fast one."""

from __future__ import annotations

import json

import pytest

from qdrant_static import (
    CollectionSpec,
    RunOptions,
    ingest,
    open_collection,
    quantize,
    search,
    tune,
)
from qdrant_static.clients.aliases import point_alias, resolve_alias
from qdrant_static.collection.applydiff import apply, ensure_collection
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.diff import diff
from qdrant_static.errors import (
    EncoderMismatchError,
    EncoderPairError,
    MigrationRunningError,
    SpecMismatchError,
)
from qdrant_static.measuring import assess as assessing
from qdrant_static.migration.gates import Thresholds
from qdrant_static.migration.livesearcher import LiveSearcher
from qdrant_static.migration.migration import Migration
from qdrant_static.querying.run import Searcher
from tests.fakes import FakeEncoder, FittedEncoder

WORDS = [f"w{n}" for n in range(40)]
ROWS = [
    {"id": n, "text": " ".join([f"n{n}", *(WORDS[(n * k + k) % 40] for k in range(1, 7))])}
    for n in range(100)
]
LOOSE = Thresholds(
    recall=0.5, overlap_mean=0, overlap_median=0, overlap_p5=0, overlap_min=0, ranks=0,
    latency_factor=1000,
)  # fmt: skip


class Teacher(FakeEncoder):
    """Keeps what it has encoded."""

    def __init__(self) -> None:
        super().__init__("teacher", salt="teacher")
        self.seen: list[str] = []

    def encode(self, texts):
        self.seen += texts
        return super().encode(texts)


@pytest.fixture
def teacher() -> Teacher:
    return Teacher()


@pytest.fixture
def fitted(teacher) -> FittedEncoder:
    return FittedEncoder(teacher)


@pytest.fixture
def filled(client, teacher, fitted):
    ingest(client, "c", ROWS, key="id", text="text", encoder=teacher, query_encoder=fitted)
    teacher.seen.clear()
    fitted.seen.clear()
    return client


def test_documents_and_queries_are_encoded_by_one_encoder_each(client, teacher, fitted):
    ingest(client, "c", ROWS, key="id", text="text", encoder=teacher, query_encoder=fitted)
    assert {row["text"] for row in ROWS} <= set(teacher.seen)
    assert not {row["text"] for row in ROWS} & set(fitted.seen)
    spec = read_spec(client, "c")
    assert (spec.encoder, spec.queries) == (teacher.info, fitted.info)
    teacher.seen.clear()
    (best, *_) = search(client, "c", ROWS[7]["text"], encoder=fitted, plan="dense")
    assert best.key == 7
    assert teacher.seen == []
    assert fitted.seen[-1] == ROWS[7]["text"]


@pytest.mark.parametrize("plan", ["exact", "dense", "hybrid", "cascade"])
def test_all_plans_answer_with_the_encoder_of_queries(client, teacher, fitted, plan):
    spec = CollectionSpec.for_encoder(
        teacher, queries=fitted, matryoshka=(16,), quantization={"full": "int8", "mrl_16": "int8"}
    )
    ingest(client, "c", ROWS, key="id", text="text", encoder=teacher, spec=spec)
    teacher.seen.clear()
    hits = search(client, "c", ROWS[3]["text"], encoder=fitted, plan=plan)
    assert hits[0].key == 3
    assert teacher.seen == []


def test_a_search_loads_the_encoder_of_queries_by_its_name_and_no_other(
    filled, fitted, monkeypatch
):
    loaded = []

    def load(name: str) -> FittedEncoder:
        loaded.append(name)
        return fitted

    monkeypatch.setattr("qdrant_static.querying.run._load_encoder", load)
    assert search(filled, "c", ROWS[5]["text"])[0].key == 5
    assert loaded == ["fitted"]


def test_the_wrong_side_is_an_error_that_says_so(filled, teacher, fitted):
    with pytest.raises(EncoderMismatchError, match="is searched with the encoder 'fitted'"):
        search(filled, "c", "w1", encoder=teacher)
    with pytest.raises(EncoderMismatchError, match="was made with the encoder 'teacher'"):
        ingest(filled, "c", ROWS, key="id", text="text", encoder=fitted)
    other = FittedEncoder(teacher, "other", noise=0.1)
    with pytest.raises(EncoderMismatchError, match=r"make another .* \(`apply`"):
        ingest(filled, "c", ROWS, key="id", text="text", query_encoder=other, encoder=teacher)


def test_a_wrong_pair_creates_nothing(client, teacher):
    with pytest.raises(EncoderPairError):
        ingest(
            client, "c", ROWS, key="id", text="text", encoder=FakeEncoder(salt="x"),
            query_encoder=FittedEncoder(teacher),
        )  # fmt: skip
    assert not client.collection_exists("c")


def test_a_later_run_encodes_only_what_changed_and_needs_no_encoder_of_queries(
    filled, teacher, fitted
):
    changed = [{**row, "text": "w1 w2 w3"} if row["id"] == 4 else row for row in ROWS]
    report = ingest(filled, "c", changed, key="id", text="text", encoder=teacher)
    assert (report.stored, report.unchanged) == (100, 0)  # without `sync` all are written
    teacher.seen.clear()
    report = ingest(
        filled, "c", ROWS, key="id", text="text", encoder=teacher,
        spec=CollectionSpec.for_encoder(teacher), run_options=RunOptions(sync=True),
    )  # fmt: skip
    assert (report.stored, report.unchanged) == (1, 99)
    assert set(teacher.seen) == {ROWS[4]["text"]}
    assert read_spec(filled, "c").queries == fitted.info


def test_an_encoder_of_queries_is_exchanged_in_place(filled, teacher, fitted):
    again = FittedEncoder(teacher, "again", noise=0.1)
    wanted = CollectionSpec.for_encoder(teacher, queries=again)
    with pytest.raises(SpecMismatchError, match="encoder of queries"):
        ensure_collection(filled, "c", wanted)
    changes = diff(filled, "c", wanted)
    assert [(one.field, one.remedy) for one in changes.differences] == [("queries", "in place")]
    apply(filled, "c", changes)
    assert teacher.seen == []
    assert read_spec(filled, "c").queries == again.info
    assert search(filled, "c", ROWS[9]["text"], encoder=again)[0].key == 9
    with pytest.raises(EncoderMismatchError):
        search(filled, "c", "w1", encoder=fitted)
    # ... and removed: the encoder of the documents does both again.
    apply(filled, "c", diff(filled, "c", CollectionSpec.for_encoder(teacher)))
    assert read_spec(filled, "c").queries is None


def test_a_tuned_plan_does_not_survive_another_encoder_of_queries(filled, teacher, fitted):
    tune(filled, "c", target_recall=0.5, sample=40, encoder=fitted)
    assert read_spec(filled, "c").evidence is not None
    again = FittedEncoder(teacher, "again", noise=0.1)
    lines: list[str] = []
    wanted = CollectionSpec.for_encoder(teacher, queries=again)
    apply(filled, "c", diff(filled, "c", wanted), notify=lines.append)
    spec = read_spec(filled, "c")
    assert (spec.plan, spec.evidence) == (None, None)
    assert "queries" in lines[-1]


def test_tune_asks_with_beginnings_of_texts_by_the_encoder_of_queries(filled, teacher, fitted):
    report = tune(filled, "c", target_recall=0.5, sample=40, encoder=fitted)
    assert report.source.startswith("the beginnings of its own texts")
    assert fitted.seen
    assert teacher.seen == []


def test_recall_is_measured_with_queries_of_the_encoder_of_queries(
    client, teacher, fitted, monkeypatch
):
    monkeypatch.setattr(assessing, "FEWEST_POINTS", 100)
    ingest(client, "c", ROWS, key="id", text="text", encoder=teacher, query_encoder=fitted)
    assert read_spec(client, "c").measured["dense"]["recall"] > 0.5
    assert fitted.seen
    fitted.seen.clear()
    report = quantize(
        client, "c", quantization="int8", queries=50, target_recall=0.5, encoder=fitted
    )
    assert report.kept
    assert fitted.seen


def test_what_cannot_be_measured_fails_no_ingest(client, teacher, fitted, monkeypatch):
    monkeypatch.setattr(assessing, "FEWEST_POINTS", 100)
    spec = CollectionSpec.for_encoder(teacher, queries=fitted)
    # The model is not given, and there is none of the name.
    report = ingest(client, "c", ROWS, key="id", text="text", encoder=teacher, spec=spec)
    assert any("recall could not be measured: no encoder 'fitted'" in one for one in report.notes)


def test_a_collection_object_holds_both(tmp_path, teacher, fitted):
    with open_collection(tmp_path / "db", "c", encoder=teacher, query_encoder=fitted) as articles:
        assert (articles.encoder, articles.query_encoder) == (teacher, fitted)
        articles.ingest(ROWS, key="id", text="text")
        teacher.seen.clear()
        assert articles.search(ROWS[2]["text"])[0].key == 2
        assert (articles.encoder, articles.query_encoder) == (teacher, fitted)
        assert "documents by teacher, queries by fitted" in str(articles.explain())
        assert ("encoder of queries", "fitted") in articles.info().rows()
        assert articles.tune(target_recall=0.5, sample=40).choice is not None
        assert articles.capacity(1000)
        assert teacher.seen == []


def test_a_collection_object_does_not_search_with_the_encoder_of_documents(
    filled, teacher, fitted, monkeypatch
):
    monkeypatch.setattr("qdrant_static.querying.run._load_encoder", lambda name: fitted)
    articles = open_collection(filled, "c", encoder="not/loaded")
    assert articles.search(ROWS[2]["text"])[0].key == 2
    assert articles.query_encoder is fitted


# --- migration -----------------------------------------------------------------------------------


@pytest.fixture
def blue(client, tmp_path):
    """A collection with a static encoder behind the alias ``articles``."""
    static = FakeEncoder("static", salt="static")
    ingest(client, "articles__v1", ROWS, key="id", text="text", encoder=static)
    point_alias(client, "articles", "articles__v1")
    return static


def test_a_static_collection_becomes_an_asymmetric_one(client, blue, teacher, fitted):
    with Migration(client, "articles", encoders=[blue, teacher, fitted]) as migration:
        report = migration.start(teacher, query_encoder=fitted)
        assert report.stored == 100
        with pytest.raises(MigrationRunningError, match="another encoder of queries"):
            migration.start(teacher, query_encoder=FittedEncoder(teacher, "other", noise=0.1))
        migration.start(teacher, query_encoder=fitted)  # continues
        verified = migration.verify(thresholds=LOOSE, accept=("empty",))
        assert verified.passed, str(verified)
        migration.cutover()
    assert resolve_alias(client, "articles") == "articles__v2"
    spec = read_spec(client, "articles__v2")
    assert (spec.encoder, spec.queries) == (teacher.info, fitted.info)
    teacher.seen.clear()
    with LiveSearcher(client, "articles", encoders=[fitted]) as live:
        assert live.search(ROWS[6]["text"])[0].key == 6
    assert teacher.seen == []


def test_a_wrong_pair_begins_no_migration(client, blue, teacher):
    with Migration(client, "articles", encoders=[blue]) as migration:
        with pytest.raises(EncoderPairError):
            migration.start(FakeEncoder(salt="x"), query_encoder=FittedEncoder(teacher))
        assert client.get_collections().collections == [
            one for one in client.get_collections().collections if one.name == "articles__v1"
        ]


def test_the_next_generation_keeps_the_encoder_of_queries_of_the_same_documents(
    client, teacher, fitted
):
    ingest(client, "a__v1", ROWS, key="id", text="text", encoder=teacher, query_encoder=fitted)
    point_alias(client, "a", "a__v1")
    with Migration(client, "a", encoders=[teacher, fitted]) as migration:
        migration.start(teacher)
        assert read_spec(client, "a__v2").queries == fitted.info
        verified = migration.verify(thresholds=LOOSE)
        assert not verified.gate("vectors").refuses, str(verified)


def test_the_metadata_is_plain_data_that_names_both(filled):
    metadata = filled.get_collection("c").config.metadata["qdrant_static"]
    found = json.loads(json.dumps(metadata))
    assert (found["encoder"]["name"], found["queries"]["name"]) == ("teacher", "fitted")
    assert found["queries"]["fitted_to"] == [found["encoder"]["fingerprint"]]


def test_a_searcher_that_is_given_a_spec_needs_no_metadata(filled, fitted):
    spec = read_spec(filled, "c")
    searcher = Searcher(filled, "c", spec=spec, encoder=fitted)
    assert searcher.search(ROWS[8]["text"])[0].key == 8
