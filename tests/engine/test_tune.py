"""tune: the cheapest plan that reaches a target, on a collection where the answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import (
    CollectionSpec,
    EdgeClient,
    SearchPlan,
    create_collection,
    ingest,
    load_encoder,
    search,
)
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.foreign import foreign_spec
from qdrant_static.collection.quantization import Binary
from qdrant_static.errors import ArgumentError, CollectionNotFoundError, SourceNotFoundError
from qdrant_static.measuring.tune import tune
from tests.fakes import VOCABULARY, FakeEncoder, run_cli, write_jsonl

POINTS = 2000
DIMENSION = 64
WORDS = [f"w{n}" for n in range(300)]


def texts(count: int, seed: int, shortest: int = 6) -> list[str]:
    """Texts of one of 30 topics each, so that there is something to be near to."""
    generator = np.random.default_rng(seed)
    topics = [generator.choice(WORDS, 25, replace=False) for _ in range(30)]
    return [
        " ".join(generator.choice(topics[generator.integers(30)], generator.integers(shortest, 20)))
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def encoder() -> FakeEncoder:
    return FakeEncoder(dimension=DIMENSION)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tune")


@pytest.fixture(scope="module")
def client(folder, encoder):
    """2,000 texts in ``c``: one-bit codes of 64 dimensions, and a first pass by 16 of them."""
    path = write_jsonl(
        folder / "corpus.jsonl",
        [{"_id": str(n), "text": text, "half": n % 2} for n, text in enumerate(texts(POINTS, 1))],
    )
    spec = CollectionSpec.for_encoder(
        encoder, matryoshka=(16,), quantization="binary", sparse=None,
        payload_indexes={"half": "integer"},
    )  # fmt: skip
    with EdgeClient(folder / "db") as opened:
        ingest(opened, "c", path, spec=spec, encoder=encoder)
        hybrid = CollectionSpec.for_encoder(encoder, matryoshka=(16,), quantization="binary")
        ingest(opened, "h", path, spec=hybrid, encoder=encoder)
        yield opened


@pytest.fixture(scope="module")
def vectors(encoder) -> np.ndarray:
    return encoder.encode(texts(POINTS, 1))


def queries(count: int = 150) -> list[str]:
    return texts(count, 1)[:0] + texts(POINTS + count, 1)[POINTS:]


def brute_force(vectors, rows, k: int = 10) -> list[set[str]]:
    """The keys of the k nearest of each row, equals of the last included."""
    found = []
    for scores in rows @ vectors.T:
        last = np.sort(scores)[-k] - 1e-5
        found.append({str(n) for n in np.flatnonzero(scores >= last)})
    return found


def recall(client, collection, plan, encoder, asked, truth) -> float:
    """Of a plan, by searching with texts, against brute force."""
    shares = [
        len({hit.key for hit in search(client, collection, one, plan=plan, encoder=encoder)} & near)
        / 10
        for one, near in zip(asked, truth, strict=True)
    ]
    return sum(shares) / len(shares)


def test_it_takes_the_cheapest_plan_that_reaches_the_target(client, encoder, vectors):
    asked = queries(300)
    report = tune(
        client, "c", target_recall=0.95, queries=asked, encoder=encoder, cost="bytes", store=False
    )
    assert report.reached
    assert report.choice.low >= 0.95
    assert report.choice.bytes_read < report.exact.bytes_read / 4
    assert (report.queries, report.fresh.queries) == (200, 100)
    cheaper = [row for row in report.rows if row.bytes_read < report.choice.bytes_read]
    assert cheaper
    assert all(row.low < 0.95 for row in cheaper)

    # And by a yardstick of its own: brute force in numpy, on all queries.
    truth = brute_force(vectors, encoder.encode(asked))
    assert recall(client, "c", report.choice.plan, encoder, asked, truth) >= 0.95
    best = max(cheaper, key=lambda row: row.value)
    assert recall(client, "c", best.plan, encoder, asked, truth) < report.choice.value


def test_its_figures_are_those_of_brute_force(client, encoder, vectors):
    asked = queries(90)
    report = tune(
        client, "c", target_recall=0.9, queries=asked, encoder=encoder, cost="bytes", store=False
    )
    shown = [report.before, report.choice, report.exact]
    assert report.exact.value == 1
    truth = brute_force(vectors, encoder.encode(asked))
    fresh = report.fresh.value * report.fresh.queries + report.choice.value * report.choice.queries
    assert report.choice.queries == 60
    assert fresh / 90 == pytest.approx(
        recall(client, "c", report.choice.plan, encoder, asked, truth), abs=1e-9
    )
    for one in shown:
        assert one.low <= one.value <= one.high
        assert 0 < one.p50_ms <= one.p95_ms


def test_without_queries_points_ask_and_are_left_out_of_their_answers(client):
    report = tune(client, "c", target_recall=0.9, sample=100, cost="bytes", store=False)
    assert report.reached
    assert (report.queries, report.fresh.queries) == (100, 50)
    assert report.exact.value == 1
    assert any("easier than real queries" in note for note in report.notes)
    # One bit without rescoring would find the point itself, and little else.
    worst = min(report.rows, key=lambda row: row.value)
    assert worst.value < 0.8


def test_the_choice_is_stored_with_its_evidence_and_used(client, encoder):
    before = read_spec(client, "c")
    report = tune(
        client, "c", target_recall=0.9, queries=queries(90), encoder=encoder, cost="bytes"
    )
    after = read_spec(client, "c")
    try:
        assert report.stored
        assert SearchPlan.of(after.plan) == report.choice.plan
        assert after.evidence["value"] == report.choice.value
        assert after.evidence["fresh"]["queries"] == 30
        assert after.evidence["engine"].startswith("Qdrant Edge")
        assert after.evidence["points"] == POINTS
        for text in queries(20):
            own = search(client, "c", text, encoder=encoder)
            named = search(client, "c", text, plan=report.choice.plan, encoder=encoder)
            assert [hit.id for hit in own] == [hit.id for hit in named]
        again = tune(client, "c", target_recall=0.9, queries=queries(90), encoder=encoder,
                     cost="bytes", store=False)  # fmt: skip
        assert again.before.plan == report.choice.plan
    finally:
        client.update_collection("c", metadata={"qdrant_static": before.to_dict()})
    assert (
        json.loads(json.dumps(report.to_dict()))["choice"]["plan"] == report.choice.plan.to_dict()
    )


def test_a_target_that_only_exact_search_reaches_is_said_and_nothing_is_stored(tmp_path):
    """16 random dimensions in one bit each, asked in one bit: sixteenfold candidates miss some."""
    encoder = FakeEncoder(dimension=16)
    spec = CollectionSpec.for_encoder(
        encoder, quantization={"full": Binary(query_bits=1)}, sparse=None
    )
    rows = np.random.default_rng(2).standard_normal((3000, 16)).astype(np.float32)
    with EdgeClient(tmp_path / "db") as client:
        create_collection(client, "hard", spec)
        client.upload_collection("hard", {"full": rows}, ids=range(3000))
        report = tune(client, "hard", sample=100, cost="bytes")
        assert read_spec(client, "hard").plan is None
    assert not report.reached
    assert not report.stored
    assert report.choice.value == max(r.value for r in report.rows if r.plan.kind != "exact")
    assert "no plan except exact search is shown to reach 0.99" in str(report)
    assert "nothing was stored" in str(report)


def test_where_exact_search_costs_no_more_it_is_the_choice(tmp_path, encoder):
    spec = CollectionSpec.for_encoder(encoder, quantization=None, sparse=None)
    rows = encoder.encode(texts(150, 8))
    with EdgeClient(tmp_path / "db") as client:
        create_collection(client, "small", spec)
        client.upload_collection("small", {"full": rows}, ids=range(150))
        report = tune(client, "small", sample=60, cost="bytes")
        assert read_spec(client, "small").plan["kind"] == "exact"
    assert report.reached
    assert report.choice.plan == report.exact.plan


def test_a_hybrid_stays_a_hybrid_and_its_dense_side_is_tuned(client, encoder):
    report = tune(client, "h", target_recall=0.9, queries=queries(120), encoder=encoder,
                  cost="bytes", store=False)  # fmt: skip
    assert report.choice.plan.kind == "hybrid"
    assert report.exact.plan.kind == "hybrid"
    assert report.exact.value == 1
    assert {row.plan.kind for row in report.rows} == {"hybrid"}
    assert {(row.plan.dense_weight, row.plan.sparse_weight) for row in report.rows} == {(1, 2)}
    sampled = tune(client, "h", target_recall=0.9, sample=60, cost="bytes", store=False)
    assert sampled.choice.plan.kind == "hybrid"


def test_with_a_filter_it_measures_what_the_filter_leaves(client, encoder, vectors):
    half = models.Filter(must=[models.FieldCondition(key="half", match=models.MatchValue(value=1))])
    asked = queries(90)
    report = tune(client, "c", target_recall=0.9, queries=asked, encoder=encoder, cost="bytes",
                  query_filter=half, store=False)  # fmt: skip
    assert (report.points, report.filtered) == (POINTS // 2, True)
    odd = [np.flatnonzero(np.arange(POINTS) % 2)]
    truth = [
        {str(odd[0][int(n)]) for n in near}
        for near in brute_force(vectors[odd[0]], encoder.encode(asked))
    ]
    shares = [
        len({h.key for h in search(client, "c", one, plan=report.choice.plan, encoder=encoder,
                                   query_filter=half)} & near) / 10
        for one, near in zip(asked, truth, strict=True)
    ]  # fmt: skip
    fresh = report.fresh.value * 30 + report.choice.value * 60
    assert fresh / 90 == pytest.approx(sum(shares) / 90, abs=1e-9)


def test_equal_texts_are_no_loss_of_recall(tmp_path, encoder):
    """Whichever of twenty equal texts a plan finds, it found the nearest."""
    path = write_jsonl(
        tmp_path / "a.jsonl",
        [{"id": n, "text": text} for n, text in enumerate(texts(20, 3) * 20)],
    )
    spec = CollectionSpec.for_encoder(encoder, quantization="int8", sparse=None)
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "twins", path, spec=spec, encoder=encoder)
        report = tune(client, "twins", queries=texts(80, 4), encoder=encoder, cost="bytes")
    assert report.reached
    assert report.choice.value == 1


@pytest.fixture(scope="module")
def judged(folder):
    """Queries whose relevant texts are those that the first one is the beginning of."""
    data = texts(POINTS, 1)
    generator = np.random.default_rng(9)
    (folder / "qrels").mkdir()
    lines = ["query-id\tcorpus-id\tscore"]
    asked = []
    for number, row in enumerate(generator.choice(POINTS, 80, replace=False)):
        words = data[row].split()
        asked.append({"_id": f"q{number}", "text": " ".join(words[: len(words) // 2])})
        lines.append(f"q{number}\t{row}\t1")
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines) + "\n")
    write_jsonl(folder / "queries.jsonl", asked)
    return folder


def test_judged_queries_choose_on_one_half_and_report_on_the_other(client, encoder, judged):
    report = tune(client, "h", judged=judged, encoder=encoder, store=False)
    assert (report.metric, report.queries, report.fresh.queries) == ("ndcg@10", 40, 40)
    assert report.target is None
    assert 0 <= report.fresh.p_value <= 1
    assert report.reached
    kinds = {row.plan.kind for row in report.rows}
    assert {"exact", "dense", "bm25", "hybrid"} <= kinds
    assert {row.plan.repeated_terms for row in report.rows} == {"sqrt", "one"}
    assert {row.plan.feedback for row in report.rows} == {0.0, 0.3, 0.6}
    assert report.choice.queries == 40
    assert report.choice.value >= report.before.value
    # The figure of the report is that of other queries than the figure of the table.
    assert report.fresh.before is not None


def test_what_is_there_stays_unless_another_plan_is_better_by_evidence(client, encoder, judged):
    """Plans that differ by the order of a few hits do not chase each other."""
    first = tune(client, "h", judged=judged, encoder=encoder, cost="bytes", store=False)
    again = tune(client, "h", judged=judged, encoder=encoder, cost="bytes", store=False,
                 plan=first.choice.plan)  # fmt: skip
    if again.choice.plan == first.choice.plan:
        assert again.fresh.p_value > 0.05  # hits of equal scores come in any order
    else:  # the graph differs from build to build, and with it which plans are tried
        assert again.choice.value >= again.before.value
        assert again.choice.bytes_read <= 0.8 * again.before.bytes_read


def test_judgements_of_other_documents_are_an_error(client, encoder, tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tnowhere\t1\n")
    write_jsonl(tmp_path / "queries.jsonl", [{"_id": "q", "text": "w1"}])
    with pytest.raises(ArgumentError, match="none of the 1 judged documents"):
        tune(client, "h", judged=tmp_path, encoder=encoder)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"budget_s": 0}, "budget_s: 0 seconds are not enough"),
        ({"budget_s": 1e-9}, "budget_s: 1e-09 s were not enough: 0 queries"),
        ({"target_recall": 1.0}, "by the plan 'exact'"),
        ({"target_recall": 0}, "target_recall"),
        ({"k": 0}, "k: 0"),
        ({"sample": 0}, "sample: 0"),
        ({"sample": 20}, "20 queries .* cannot show a recall@10 of 0.99; 39 are needed"),
        ({"queries": []}, "queries: there are none"),
        ({"queries": ["a"], "judged": "x"}, "omit `queries`"),
        ({"cost": "money"}, "cost: 'money' is not valid; valid: time, bytes"),
        ({"plan": "late"}, "late"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_stored(client, options, problem):
    with pytest.raises(ArgumentError, match=problem):
        tune(client, "c", **options)
    assert read_spec(client, "c").plan is None


def test_bm25_has_no_recall_to_tune(client):
    with pytest.raises(ArgumentError, match="give judged queries"):
        tune(client, "h", plan="bm25")


def test_missing_things_are_named(client, tmp_path, encoder):
    with pytest.raises(CollectionNotFoundError):
        tune(client, "nowhere")
    with pytest.raises(SourceNotFoundError):
        tune(client, "c", queries=tmp_path / "none.txt")
    empty = CollectionSpec.for_encoder(encoder, sparse=None)
    with EdgeClient(tmp_path / "db") as other:
        create_collection(other, "e", empty)
        with pytest.raises(ArgumentError, match="'e' has no points"):
            tune(other, "e")


def test_when_the_time_is_up_what_was_measured_counts(client, encoder, monkeypatch):
    """A clock that jumps past the budget in the middle of the sweep."""
    from qdrant_static.measuring.tuning import tuneclock

    seconds = iter(np.arange(0.0, 1e6, 1.0))
    monkeypatch.setattr(tuneclock.time, "perf_counter", lambda: float(next(seconds)))
    report = tune(
        client, "c", target_recall=0.9, sample=60, budget_s=1500, cost="bytes", store=False
    )
    assert any("the time was up" in note for note in report.notes)
    assert report.choice is not None


def test_interrupting_it_stores_nothing(client, encoder, monkeypatch):
    from qdrant_static.measuring import measurement

    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(measurement, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(client, "c", sample=60, target_recall=0.9)
    assert read_spec(client, "c").plan is None


@pytest.fixture
def theirs(tmp_path, model_folder):
    """A database with a collection of one unnamed vector, int8 codes, integer ids, no metadata."""
    encoder = load_encoder(model_folder)
    generator = np.random.default_rng(6)
    rows = [" ".join(generator.choice(VOCABULARY[6:], 8)) for _ in range(600)]
    with EdgeClient(tmp_path / "db") as client:
        client.create_collection("theirs", models.VectorParams(
            size=encoder.info.dimension, distance=models.Distance.COSINE,
            quantization_config=models.ScalarQuantization(
                scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
            ),
        ))  # fmt: skip
        client.upload_collection("theirs", encoder.encode(rows), ids=range(600),
                                 payload=[{"body": row} for row in rows])  # fmt: skip
    return tmp_path


def test_a_collection_that_others_made_is_tuned_stored_and_searched(theirs, model_folder):
    encoder = load_encoder(model_folder)
    with EdgeClient(theirs / "db") as client:
        spec = foreign_spec(client, "theirs", encoder=encoder, text="body")
        report = tune(client, "theirs", spec=spec, sample=60, target_recall=0.9, cost="bytes")
        assert report.reached
        assert report.stored
        now = foreign_spec(client, "theirs", encoder=encoder)
        assert SearchPlan.of(now.plan) == report.choice.plan
        hits = search(client, "theirs", "moon tide sea", encoder=encoder, spec=now)
        assert "moon" in hits[0].text or "tide" in hits[0].text or "sea" in hits[0].text


def test_the_command_tunes_a_collection_that_others_made(theirs, model_folder):
    options = ("--target-recall", "0.9", "--cost", "bytes", "--db", "db")
    done = run_cli("tune", "theirs", "--sample", "60", *options, cwd=theirs)
    assert done.code == 0, done.err
    (theirs / "q.txt").write_text("\n".join(f"{a} {b}" for a in VOCABULARY[6:20]
                                           for b in VOCABULARY[20:]) + "\n")  # fmt: skip
    done = run_cli("tune", "theirs", "--queries", "q.txt", "--encoder", model_folder, *options,
                   cwd=theirs)  # fmt: skip
    assert done.code == 0, done.err
    assert "stored as the collection's own plan" in done.out


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def db(tmp_path_factory, model_folder):
    """A database whose encoder another process can load by its path."""
    folder = tmp_path_factory.mktemp("tune-cli")
    encoder = load_encoder(model_folder)
    generator = np.random.default_rng(11)
    rows = [
        {"id": n, "text": " ".join(generator.choice(VOCABULARY[6:], generator.integers(4, 14)))}
        for n in range(600)
    ]
    with EdgeClient(folder / "db") as client:
        spec = CollectionSpec.for_encoder(encoder, quantization="int8", sparse=None)
        ingest(client, "c", write_jsonl(folder / "a.jsonl", rows), spec=spec, encoder=encoder)
    return folder


def test_the_command_prints_a_table_of_100_columns_and_stores_the_plan(db):
    (db / "q.txt").write_text("\n".join(f"moon tide {a} {b}" for a in VOCABULARY[6:]
                                        for b in VOCABULARY[6:10]) + "\n")  # fmt: skip
    arguments = ("tune", "c", "--target-recall", "0.9", "--queries", "q.txt", "--cost", "bytes")
    done = run_cli(*arguments, "--dry-run", "--db", "db", cwd=db)
    assert (done.code, "nothing was stored" in done.out) == (0, True), done.err
    done = run_cli(*arguments, "--db", "db", cwd=db)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert all(len(line) <= 100 for line in lines if not line.startswith("note"))
    assert "600 points" in lines[0]
    assert sum(line.startswith(">") for line in lines) == 1
    assert "stored as the collection's own plan" in done.out
    with EdgeClient(db / "db") as client:
        assert read_spec(client, "c").evidence["target"] == 0.9


def test_the_command_as_json_and_its_exit_code_when_the_target_is_out_of_reach(db):
    (db / "few.txt").write_text("moon\n")
    done = run_cli("tune", "c", "--sample", "60", "--target-recall", "0.9", "--json", "--dry-run",
                   "--db", "db", cwd=db)  # fmt: skip
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["metric"] == "recall@10"
    assert report["queries"] == 60
    done = run_cli("tune", "c", "--queries", "few.txt", "--db", "db", cwd=db)
    assert done.code == 2
    assert "1 queries with an answer of exact search cannot show" in done.err


def test_the_command_exits_4_where_nothing_reaches_the_target(tmp_path, model_folder):
    encoder = load_encoder(model_folder)
    spec = CollectionSpec.for_encoder(
        encoder, quantization={"full": Binary(query_bits=1)}, sparse=None
    )
    rows = np.random.default_rng(3).standard_normal((3000, encoder.info.dimension))
    with EdgeClient(tmp_path / "db") as client:
        create_collection(client, "hard", spec)
        client.upload_collection("hard", {"full": rows.astype(np.float32)}, ids=range(3000))
    done = run_cli("tune", "hard", "--sample", "400", "--target-recall", "0.999", "--cost", "bytes",
                   "--db", "db", cwd=tmp_path)  # fmt: skip
    assert done.code == 4, done.out + done.err
    assert "nothing was stored" in done.out
