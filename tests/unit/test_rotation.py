"""Rotation of a model's table: what stays, what gets better, and wrong calls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from qdrant_static import load_encoder
from qdrant_static.cli import app
from qdrant_static.errors import ArgumentError
from qdrant_static.training import find_model, rotate
from qdrant_static.training.directions import (
    binary_directions,
    common_direction,
    discriminant_directions,
    fixed_signs,
    power,
)
from qdrant_static.training.sentencescatter import found_first, own_passages, sentence_scatter
from qdrant_static.training.tablemodel import TableModel
from qdrant_static.vectors import normalize
from tests.fakes import VOCABULARY, build_static_model, write_jsonl

WORDS = VOCABULARY[2:]


def corpus(passages: int = 400, seed: int = 0) -> list[str]:
    """Passages about one of a few words each; the other words are the same everywhere."""
    random = np.random.default_rng(seed)
    subjects, others = WORDS[:8], WORDS[8:]

    def sentence(subject: str) -> str:
        words = [subject, subject, *random.choice(others, 4)]
        return " ".join(random.permutation(words)) + "."

    return [
        " ".join(sentence(subject) for _ in range(4))
        for subject in random.choice(subjects, passages)
    ]


@pytest.fixture(scope="module")
def parent(tmp_path_factory) -> Path:
    return build_static_model(tmp_path_factory.mktemp("parent") / "model", dimension=24)


def gram(vectors: np.ndarray) -> np.ndarray:
    return vectors @ vectors.T


@pytest.mark.parametrize("for_", ["prefixes", "binary"])
def test_all_cosines_of_whole_vectors_stay(parent, tmp_path, for_):
    texts = corpus()
    report = rotate(parent, texts, out=tmp_path / "m", for_=for_)
    before, after = load_encoder(parent), load_encoder(tmp_path / "m")
    assert report.fingerprint == after.info.fingerprint != before.info.fingerprint
    assert report.dimension == after.info.dimension == before.info.dimension
    found = gram(after.encode(texts)) - gram(before.encode(texts))
    assert np.abs(found).max() < 1e-5


def test_prefixes_find_more_and_the_report_says_so(parent, tmp_path):
    report = rotate(parent, corpus(), out=tmp_path / "m")
    assert report.measured == 40
    assert report.passages == 360
    assert report.sentences == 4 * 360
    assert report.before["24"] == report.after["24"]
    fresh = own_passages(corpus(200, seed=9), seed=1)
    old, new = load_encoder(parent), load_encoder(tmp_path / "m")

    def subjects_kept(encoder, size):
        """How much nearer passages of one subject are than others, in deviations."""
        vectors = normalize(encoder.encode(list(fresh.rests))[:, :size])
        words = [max(WORDS[:8], key=text.split().count) for text in fresh.rests]
        same = np.equal.outer(words, words)
        scores = gram(vectors)
        return (scores[same].mean() - scores[~same].mean()) / scores[~same].std()

    for size in (4, 8):
        assert subjects_kept(new, size) > subjects_kept(old, size) + 0.5
    assert "before" in str(report)


def test_signs_keep_more_after_a_rotation_for_binary(parent, tmp_path):
    texts = corpus()
    # Signs lose most where few dimensions carry most.
    rotate(parent, texts, out=tmp_path / "prefixes")
    rotate(tmp_path / "prefixes", texts, out=tmp_path / "m", for_="binary")
    vectors = load_encoder(tmp_path / "prefixes").encode(texts)
    exact = gram(vectors)

    def agreement(matrix):
        signs = np.where(matrix > 0, 1.0, -1.0)
        return np.corrcoef(gram(signs).ravel(), exact.ravel())[0, 1]

    assert agreement(load_encoder(tmp_path / "m").encode(texts)) > agreement(vectors) + 0.02


def test_the_same_seed_gives_the_same_model(parent, tmp_path):
    texts = corpus()
    prints = [
        rotate(parent, texts, out=tmp_path / str(number), for_="binary", seed=seed).fingerprint
        for number, seed in enumerate((3, 3, 4))
    ]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("for_", ["prefixes", "binary"])
def test_a_dimension_keeps_the_best_ones(parent, tmp_path, for_):
    texts = corpus()
    report = rotate(parent, texts, out=tmp_path / "m", for_=for_, dimension=8)
    whole = rotate(parent, texts, out=tmp_path / "whole")
    cut = load_encoder(tmp_path / "m")
    assert report.dimension == cut.info.dimension == 8
    prefix = normalize(load_encoder(whole.path).encode(texts)[:, :8])
    assert np.abs(gram(cut.encode(texts)) - gram(prefix)).max() < 1e-5


def test_whitening_evens_out_the_scatter_inside_passages(parent, tmp_path):
    texts = corpus()
    rotate(parent, texts, out=tmp_path / "m", whiten=1.0)
    spread = {}
    for name in (parent, tmp_path / "m"):
        scatter = sentence_scatter(TableModel.from_encoder(load_encoder(name)), texts).matrix
        values = np.linalg.eigvalsh(scatter)
        spread[name] = values[-1] / np.median(values)
    assert spread[tmp_path / "m"] < spread[parent] / 2


def test_sif_takes_out_frequent_tokens_and_what_all_share(parent, tmp_path):
    texts = corpus()
    rotate(parent, texts, out=tmp_path / "m", sif=1e-3)
    made = load_encoder(tmp_path / "m").encode(texts)
    was = load_encoder(parent).encode(texts)
    assert np.linalg.norm(made.mean(0)) < np.linalg.norm(was.mean(0)) / 2
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    assert card["recipe"]["sif"] == 1e-3


def test_an_int8_table_becomes_float32(parent, tmp_path):
    import shutil

    from safetensors.numpy import load_file, save_file

    shutil.copytree(parent, tmp_path / "int8")
    path = tmp_path / "int8" / "model.safetensors"
    table = load_file(path)["embeddings"]
    save_file({"embeddings": np.rint(table / np.abs(table).max() * 127).astype(np.int8)}, path)
    before = load_encoder(tmp_path / "int8")
    assert before.info.dtype == "int8"
    rotate(before, corpus(), out=tmp_path / "m")
    after = load_encoder(tmp_path / "m")
    assert after.info.dtype == "float32"
    texts = corpus(50)
    assert np.abs(gram(after.encode(texts)) - gram(before.encode(texts))).max() < 1e-5


def test_few_passages_and_passages_of_one_sentence_are_said(parent, tmp_path):
    report = rotate(parent, ["the cat", "a dog", "the fish in the sea"], out=tmp_path / "m")
    assert report.measured == 0
    assert any("3 passages cannot determine 24 directions" in note for note in report.notes)
    assert any("no passage has two sentences" in note for note in report.notes)
    texts = corpus(50)
    before, after = load_encoder(parent), load_encoder(tmp_path / "m")
    assert np.abs(gram(after.encode(texts)) - gram(before.encode(texts))).max() < 1e-5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"for_": "speed"}, "for: 'speed' is unknown; known: prefixes, binary"),
        ({"dimension": 25}, "dimension: 25 is above 24"),
        ({"dimension": 1}, "dimension: 1 is not an integer of at least 2"),
        ({"whiten": 1.5}, "whiten: 1.5 is not within 0 to 1"),
        ({"sif": 0}, "sif: 0 is not a number above 0"),
        ({"texts": []}, "has no text"),
        ({"texts": ["qwertz"]}, "no token"),
    ],
)
def test_wrong_calls(parent, tmp_path, options, message):
    texts = options.pop("texts", None)
    with pytest.raises(ArgumentError, match=message):
        rotate(parent, corpus(10) if texts is None else texts, out=tmp_path / "m", **options)
    assert not (tmp_path / "m").exists()


def test_a_folder_of_others_is_not_replaced(parent, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "thesis.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="did not write"):
        rotate(parent, corpus(10), out=tmp_path / "m")


def test_a_direction_in_which_sentences_of_a_passage_differ_comes_late():
    random = np.random.default_rng(0)
    passages = random.standard_normal((500, 6)) * [3, 1, 1, 1, 1, 1] + [0, 0, 0, 0, 0, 9]
    within = np.diag([100.0, 1, 1, 1, 1, 1])
    found = discriminant_directions(passages, within)
    assert np.abs(found.T @ found - np.eye(6)).max() < 1e-12
    assert abs(found[5, 5]) > 0.99  # the mean is last
    assert abs(found[0, 4]) > 0.9  # the noisy direction before it, though passages differ most
    plain = discriminant_directions(passages, np.zeros((6, 6)))
    assert abs(plain[0, 0]) > 0.9  # without sentences: principal components


def test_directions_for_binary_lower_the_distance_to_the_signs():
    random = np.random.default_rng(0)
    passages = random.standard_normal((400, 12)) * np.linspace(3, 0.3, 12) + 1
    found = binary_directions(passages, seed=0)
    assert np.abs(found.T @ found - np.eye(12)).max() < 1e-12

    def distance(matrix):
        rest = normalize((passages @ matrix)[:, :-1])
        return ((rest - np.where(rest > 0, 1, -1) / np.sqrt(11)) ** 2).sum()

    assert distance(found) < distance(binary_directions(passages, seed=0, rounds=0)) * 0.9
    balance = ((passages @ found)[:, :-1] > 0).mean(axis=0)
    assert (np.abs(balance - 0.5) < 0.1).all()


def test_the_power_of_a_scatter_evens_it_out():
    scatter = np.diag([4.0, 1.0])
    matrix = power(scatter, -0.5, shrinkage=0.0)
    assert np.allclose(matrix @ scatter @ matrix, np.eye(2) * 2.5)
    assert np.array_equal(power(np.zeros((2, 2)), -0.5), np.eye(2))


def test_signs_of_directions_are_fixed():
    matrix = np.array([[-2.0, 1.0], [1.0, 0.5]])
    assert np.array_equal(fixed_signs(matrix), [[2.0, 1.0], [-1.0, 0.5]])
    assert np.array_equal(fixed_signs(-matrix), fixed_signs(matrix))
    vectors = np.array([[-3.0, 0.1], [-2.0, -0.1]])
    assert common_direction(vectors)[0] > 0.99


def test_a_sentence_finds_its_own_passage_unless_another_is_as_near():
    rows = np.eye(3, dtype=np.float32)
    assert found_first(rows, rows) == 1.0
    assert found_first(rows, rows[[0, 1, 1]]) == pytest.approx(1 / 3)
    assert found_first(rows[:0], rows[:0]) == 0.0
    taken = own_passages(["One sentence of this. Another sentence of this.", "Just one."], seed=0)
    assert len(taken) == 1
    assert {taken.queries[0], taken.rests[0]} == {
        "One sentence of this.", "Another sentence of this.",
    }  # fmt: skip


def test_the_command_rotates_and_registers(parent, tmp_path, monkeypatch):
    monkeypatch.setenv("QDRANT_STATIC_MODELS", str(tmp_path / "models"))
    rows = [{"id": n, "text": text} for n, text in enumerate(corpus(120))]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    arguments = ["train", "rotate", parent, path, "--text", "text", "--out", tmp_path / "m"]
    more = ["--for", "binary", "--dimension", "16", "--register", "mine", "--json"]
    done = CliRunner().invoke(app, [str(one) for one in [*arguments, *more]])
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["purpose"], report["dimension"]) == ("binary", 16)
    assert "added as mine@1 (in use)" in done.stderr
    assert find_model("mine@1").fingerprint == report["fingerprint"]
    assert find_model("mine").card["recipe"]["for"] == "binary"


def test_prefixes_of_wordllama_find_more_on_real_passages(tmp_path, shared, wordllama):
    path = shared / "data" / "medline" / "corpus.jsonl"
    if not path.exists():
        pytest.skip(f"no shared data: {path} is missing (tests/README.md)")
    texts = [json.loads(line)["text"] for line in path.read_text().splitlines()[:500]]
    report = rotate("wordllama", texts, out=tmp_path / "m")
    for size in ("64", "32", "16"):
        assert report.after[size] > report.before[size]
