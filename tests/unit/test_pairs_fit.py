"""Fitting to pairs: it learns what the pairs say, keeps the best epoch, and writes models."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from qdrant_static import load_encoder
from qdrant_static.encoders.modelcard import read_card
from qdrant_static.errors import ArgumentError
from qdrant_static.training.pairfit import KeptAside
from qdrant_static.training.pairoptions import PairOptions
from qdrant_static.training.pairquality import pool_quality
from qdrant_static.training.pairs import fit_pairs
from qdrant_static.training.pairset import Pair, PairSet
from qdrant_static.training.pairtable import FittedTable
from tests.fakes import VOCABULARY, FakeEncoder, build_static_model, run_cli, write_jsonl

#: A query's word stands for the passage's: what a general model cannot know.
MEANS = dict(zip(VOCABULARY[6:16], VOCABULARY[16:26], strict=True))
FAST = PairOptions(epochs=12, batch_size=16, learning_rate=0.3, patience=4, validation=0.2)


def pairs(count: int = 120, seed: int = 0) -> list[Pair]:
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        words = generator.choice(list(MEANS), 3, replace=False)
        passage = " ".join([*(MEANS[word] for word in words), *generator.permutation(["of", "in"])])
        found.append(Pair(query=" ".join(words), passage=f"the {passage}"))
    return found


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return load_encoder(build_static_model(tmp_path_factory.mktemp("models") / "small"))


def test_the_model_finds_passages_that_its_parent_does_not(parent, tmp_path):
    seen: list[tuple[int, int]] = []
    report = fit_pairs(
        parent, pairs(), out=tmp_path / "m", sizes=(8, 16), options=FAST,
        progress=lambda now: seen.append((now.done, now.total)),
    )  # fmt: skip
    assert list(report.after) == [32, 16, 8]
    for size, after in report.after.items():
        assert after["ndcg@10"] > report.before[size]["ndcg@10"] + 0.2, size
    assert report.p_value < 0.01
    assert seen[0] == (1, 12)
    model = load_encoder(tmp_path / "m")
    assert model.info.fingerprint == report.fingerprint
    card = read_card(tmp_path / "m")
    assert card["recipe"] == "pairs"
    assert card["parent_fingerprint"] == parent.info.fingerprint
    assert card["options"]["seed"] == 0
    assert card["figures"]["after"]["32"] == report.after[32]
    assert card["data"]["pairs"] == report.pairs
    # A query that was in no pair: its words were.
    words = list(MEANS)[:3]
    texts = ["the " + " ".join(MEANS[w] for w in words), *(f"the {w} {w}" for w in words)]
    scores = model.encode(texts) @ model.encode([" ".join(words)])[0]
    assert scores.argmax() == 0


def test_the_same_seed_gives_the_same_model(parent, tmp_path):
    options = PairOptions(epochs=2, batch_size=16)
    once, again = (
        fit_pairs(parent, pairs(), out=tmp_path / name, options=options) for name in "ab"
    )
    assert once.fingerprint == again.fingerprint != parent.info.fingerprint
    other = PairOptions(epochs=2, batch_size=16, seed=1)
    assert fit_pairs(parent, pairs(), out=tmp_path / "a", options=other).fingerprint not in (
        once.fingerprint, parent.info.fingerprint,
    )  # fmt: skip


def test_a_fit_that_does_not_help_keeps_the_parent(parent, tmp_path):
    generator = np.random.default_rng(0)
    # The parent finds every passage, which repeats its query; the fit is thrown far off.
    texts = [" ".join(generator.choice(VOCABULARY[6:], 5)) for _ in range(60)]
    easy = [Pair(query=text, passage=f"{text} of") for text in texts]
    options = PairOptions(epochs=5, batch_size=4, learning_rate=50, patience=2)
    report = fit_pairs(parent, easy, out=tmp_path / "m", options=options)
    assert report.best_epoch == 0
    assert report.epochs == 2  # patience
    assert report.after == report.before
    assert "that of the parent" in str(report)
    given, made = (one.encode(texts) for one in (parent, load_encoder(tmp_path / "m")))
    np.testing.assert_allclose(given, made, atol=1e-6)


def test_a_query_table_gives_two_models_and_the_card_names_the_documents(parent, tmp_path):
    report = fit_pairs(parent, pairs(), out=tmp_path / "q", query_table=True, options=FAST)
    documents = load_encoder(tmp_path / "q-documents")
    assert report.documents == str(tmp_path / "q-documents")
    assert read_card(tmp_path / "q")["teacher"]["fingerprint"] == documents.info.fingerprint
    assert report.documents_fingerprint == documents.info.fingerprint
    assert report.after[32]["ndcg@10"] > report.before[32]["ndcg@10"] + 0.2
    assert "documents by" in str(report)


def test_documents_may_keep_any_encoder_of_the_same_dimension(parent, tmp_path):
    teacher = FakeEncoder("teacher")
    report = fit_pairs(parent, pairs(), out=tmp_path / "q", documents=teacher, options=FAST)
    assert not (tmp_path / "q-documents").exists()
    assert report.documents == "teacher"
    assert read_card(tmp_path / "q")["teacher"] == {
        "name": "teacher", "fingerprint": teacher.info.fingerprint, "dimension": 32,
    }  # fmt: skip
    assert report.after[32]["ndcg@10"] > report.before[32]["ndcg@10"] + 0.2
    with pytest.raises(ArgumentError, match="8 dimensions"):
        fit_pairs(parent, pairs(), out=tmp_path / "x", documents=FakeEncoder(dimension=8))


def test_hard_negatives_are_pushed_away(parent, tmp_path):
    hard = [
        Pair(query=one.query, passage=one.passage, negatives=(f"the {one.query}",))
        for one in pairs()
    ]
    report = fit_pairs(parent, hard, out=tmp_path / "m", options=FAST)
    assert report.after[32]["ndcg@10"] > report.before[32]["ndcg@10"] + 0.2
    model = load_encoder(tmp_path / "m")
    query, right, wrong = model.encode([hard[0].query, hard[0].passage, hard[0].negatives[0]])
    assert query @ right > query @ wrong


def test_what_cannot_be_fitted_is_an_error(parent, tmp_path):
    with pytest.raises(ArgumentError, match="not a static model"):
        fit_pairs(FakeEncoder(), pairs(), out=tmp_path / "m")
    with pytest.raises(ArgumentError, match="64 is not within 1 to 32"):
        fit_pairs(parent, pairs(), out=tmp_path / "m", sizes=(64,))
    few = [Pair(query="a", passage="b"), Pair(query="a", passage="c")]
    with pytest.raises(ArgumentError, match="too few"):
        fit_pairs(parent, few, out=tmp_path / "m")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="training did not write"):
        fit_pairs(parent, pairs(), out=tmp_path / "mine")
    path = write_jsonl(tmp_path / "p.jsonl", [{"query": "q"}])
    with pytest.raises(ArgumentError, match="line 1"):
        fit_pairs(parent, path, out=tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0}, {"batch_size": 1}, {"negatives": -1}, {"temperature": 0},
        {"learning_rate": -1}, {"pull": -0.1}, {"validation": 0.6}, {"patience": 0}, {"seed": 1.5},
    ],
)  # fmt: skip
def test_options_are_checked(wrong):
    with pytest.raises(ArgumentError) as caught:
        PairOptions(**wrong)
    assert caught.value.field in wrong


def test_kept_queries_have_no_pair_to_learn_from():
    numbered = PairSet.of(pairs(40))
    kept = KeptAside.of(numbered, 0.25, np.random.default_rng(0))
    assert len(kept.queries) == round(0.25 * len(numbered.queries))
    assert not set(numbered.query[kept.training]) & set(kept.queries)
    for query, answers in zip(kept.queries, kept.answers, strict=True):
        expected = set(numbered.passage[numbered.query == query].tolist())
        assert {int(kept.pool[place]) for place in answers} == expected


def test_the_quality_in_a_pool_is_ndcg_and_the_reciprocal_rank():
    pool = np.eye(12, dtype=np.float32)
    queries = np.float32([[12 - n for n in range(12)], [0] * 11 + [1]])
    found = pool_quality(queries, pool, [[1, 11], [11]], 12)
    ideal = 1 + 1 / np.log2(3)
    assert found.ndcg == pytest.approx([1 / np.log2(3) / ideal, 1])
    assert found.mrr == pytest.approx([0.5, 1])
    assert found.means() == {"ndcg@10": pytest.approx(0.6934), "mrr@10": 0.75}
    few = pool_quality(queries[:1], pool[:3], [[2]], 12)
    assert few.mrr.tolist() == [pytest.approx(1 / 3)]


def test_a_step_of_adam_changes_the_rows_of_the_texts_alone():
    from scipy.sparse import csr_array

    parent = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    counts = csr_array(np.float32([[0.5, 0.5, 0, 0, 0], [0, 0, 0, 1, 0]]))
    pool = ThreadPoolExecutor(1)
    fitted = FittedTable(counts, parent, pull=0.5, pool=pool)
    gradient = np.ones((1, 4), np.float32)
    np.testing.assert_allclose(fitted.sums(np.array([1, 0])), counts[[1, 0]] @ parent, rtol=1e-6)
    fitted.step(np.array([0]), gradient, 0.1)
    scale = 0.1 * np.abs(parent).mean()  # Adam's first step has the gradient's sign alone
    # ... and a twentieth of the way back: the rate times the pull
    np.testing.assert_allclose(fitted.table[:2], parent[:2] - 0.95 * scale, rtol=1e-4)
    assert (fitted.table[2:] == parent[2:]).all()
    before = fitted.table.copy()
    fitted.step(np.array([0]), 0 * gradient, 0.1)
    assert np.abs(fitted.table[0] - before[0]).max() < scale  # momentum, less the pull back
    pool.shutdown()


def test_the_command_fits_and_prints_its_figures(tmp_path):
    build_static_model(tmp_path / "small")
    records = [{"anchor": one.query, "positive": one.passage} for one in pairs()]
    write_jsonl(tmp_path / "pairs.jsonl", records)
    train = ("train", "pairs", "pairs.jsonl", "--encoder", "./small", "--out", "m")
    done = run_cli(*train, "--matryoshka", "16,8", "--epochs", "3", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert list(report["after"]) == ["32", "16", "8"]
    assert load_encoder(tmp_path / "m").info.fingerprint == report["fingerprint"]
    done = run_cli(*train, "--matryoshka", "64", cwd=tmp_path)
    assert (done.code, done.err) == (2, "error: --matryoshka: 64 is not within 1 to 32\n")
    done = run_cli(*train, "--temperature", "0", cwd=tmp_path)
    assert (done.code, done.err) == (2, "error: --temperature: 0.0 is not a number above 0\n")
