"""Adaptation: from texts and a teacher to a folder with a card, and what is refused on the way."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from qdrant_static import load_encoder
from qdrant_static.cli import app
from qdrant_static.encoders.headencoder import HeadEncoder
from qdrant_static.encoders.modelcard import fitted_to
from qdrant_static.errors import ArgumentError, TeacherFailedError
from qdrant_static.training import Adaptation, AdaptOptions, TrainingTexts, adapt
from qdrant_static.training.startingtable import alone, mapped, token_outputs
from qdrant_static.vectors import normalize
from tests.fakes import VOCABULARY, FakeEncoder, build_static_model, write_jsonl
from tests.onnxmodels import write_folder

WORDS = VOCABULARY[2:]
RANDOM = np.random.default_rng(5)
TEXTS = [" ".join(RANDOM.choice(WORDS, 6)) for _ in range(300)]


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """A static model of another dimension than the teacher's, whose table is random."""
    folder = tmp_path_factory.mktemp("models") / "parent"
    return load_encoder(build_static_model(folder, kind="wordpiece", dimension=16))


class Teacher(FakeEncoder):
    """A bag of words in another space: a static table can learn it completely."""

    fails = False

    def encode(self, texts):
        if self.fails and len(texts) > 20:
            raise RuntimeError("out of memory")
        return super().encode(texts)


def test_the_model_learns_its_teacher_and_has_a_card(parent, tmp_path):
    shown = []
    found = adapt(
        TEXTS, teacher=Teacher(), parent=parent, out=tmp_path / "model", progress=shown.append
    )
    assert isinstance(found, Adaptation)
    assert found.agreement > 0.9
    assert found.agreement > found.figures["agreement_before"]
    model = load_encoder(tmp_path / "model")
    assert (model.info.fingerprint, model.info.dimension) == (found.fingerprint, 32)
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["turned_from"] == {"name": "fake", "fingerprint": "fake-plain-32"}
    assert card["parent_fingerprint"] == parent.info.fingerprint
    assert card["corpus"]["passages"] == 300
    assert card["corpus"]["learned_from"] == found.texts == 300
    assert card["recipe"]["start"].startswith("table of ")
    assert card["figures"]["agreement_after"] == round(found.agreement, 4)
    assert {one.phase for one in shown} == {"teacher", "fit"}
    assert "--query-encoder" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["texts"] == 300


def test_the_same_seed_gives_the_same_model(parent, tmp_path):
    prints = {
        adapt(TEXTS, teacher=Teacher(), parent=parent, out=tmp_path / name).fingerprint
        for name in ("one", "two")
    }
    other = adapt(
        TEXTS, teacher=Teacher(), parent=parent, out=tmp_path / "one", options=AdaptOptions(seed=1)
    )
    assert len(prints) == 1
    assert other.fingerprint not in prints


def test_the_vectors_of_the_teacher_are_made_once(parent, tmp_path):
    teacher = Teacher()
    adapt(TEXTS, teacher=teacher, parent=parent, out=tmp_path / "one")
    teacher.fails = True
    adapt(TEXTS, teacher=teacher, parent=parent, out=tmp_path / "two")
    other = Teacher(salt="other", name="second")
    found = adapt(TEXTS, teacher=other, parent=parent, out=tmp_path / "three")
    assert any("also has vectors of other teachers, which were not used: fake" in note
               for note in found.notes)  # fmt: skip


def test_a_teacher_that_fails_can_be_repeated(parent, tmp_path):
    teacher = Teacher()
    teacher.fails = True
    with pytest.raises(TeacherFailedError, match=r"out of memory; 16 vectors are stored"):
        adapt(TEXTS, teacher=teacher, parent=parent, out=tmp_path / "model")
    assert not (tmp_path / "model").exists()
    teacher.fails = False
    assert adapt(TEXTS, teacher=teacher, parent=parent, out=tmp_path / "model").texts == 300


def test_without_turning_the_teachers_own_vectors_can_be_searched(parent, tmp_path):
    teacher = Teacher()
    options = AdaptOptions(turn=False)
    found = adapt(TEXTS, teacher=teacher, parent=parent, out=tmp_path / "m", options=options)
    assert f"--encoder head:{found.path} --query-encoder {found.path}" in str(found)
    documents, queries = HeadEncoder(tmp_path / "m", teacher), load_encoder(tmp_path / "m")
    assert queries.info.fitted_to == (documents.info.fingerprint, teacher.info.fingerprint)
    vectors = teacher.encode(TEXTS)
    expected = normalize(vectors - vectors.mean(axis=0))
    assert np.abs(documents.encode(TEXTS) - expected).max() < 0.2  # the mean is of sentences too
    cosines = (documents.encode(TEXTS) * queries.encode(TEXTS)).sum(axis=1)
    assert cosines.mean() > 0.8


@pytest.mark.parametrize("dimension", [None, 12])
def test_the_space_of_documents_and_queries_is_turned(parent, tmp_path, dimension):
    options = AdaptOptions(dimension=dimension)
    teacher = Teacher()
    found = adapt(TEXTS, teacher=teacher, parent=parent, out=tmp_path / "m", options=options)
    assert found.dimension == (dimension or teacher.info.dimension)
    documents, queries = HeadEncoder(tmp_path / "m", teacher), load_encoder(tmp_path / "m")
    assert documents.info.dimension == queries.info.dimension == found.dimension
    assert queries.info.fitted_to == (documents.info.fingerprint,)
    cosines = (documents.encode(TEXTS) * queries.encode(TEXTS)).sum(axis=1)
    assert cosines.mean() > 0.8


def test_words_get_rows_and_unused_rows_go(parent, tmp_path):
    texts = [*TEXTS, *(f"{one} catfish fishing" for one in TEXTS[:30])]
    options = AdaptOptions(grow=5, prune=True)
    found = adapt(texts, teacher=Teacher(), parent=parent, out=tmp_path / "m", options=options)
    vocabulary = load_encoder(tmp_path / "m").tokenizer.get_vocab()
    assert {"catfish", "fishing"} <= set(vocabulary)
    assert "##er" not in vocabulary
    assert found.rows == len(vocabulary)
    card = json.loads((tmp_path / "m" / "card.json").read_text())
    assert card["recipe"]["words"] == ["catfish", "fishing"]


def test_a_vocabulary_that_cannot_grow_is_left_and_said(tmp_path):
    words = load_encoder(build_static_model(tmp_path / "words", dimension=16))
    found = adapt(
        TEXTS, teacher=Teacher(), parent=words, out=tmp_path / "m", options=AdaptOptions(grow=5)
    )
    assert any("stays as it is: its tokenizer is of type WordLevel" in one for one in found.notes)


def test_a_static_teacher_needs_no_parent(parent, tmp_path):
    found = adapt(TEXTS, teacher=parent, out=tmp_path / "m")
    assert found.start == "table of the teacher"
    assert found.agreement > 0.9


def test_wrong_calls_are_refused_before_the_teacher_works(parent, tmp_path):
    teacher = Teacher()
    out = tmp_path / "m"
    for options, message in (
        (AdaptOptions(dimension=64), "dimension: 64 is above the teacher's 32"),
    ):
        with pytest.raises(ArgumentError, match=message):
            adapt(TEXTS, teacher=teacher, parent=parent, out=out, options=options)
    with pytest.raises(ArgumentError, match="name a static model whose vocabulary"):
        adapt(TEXTS, teacher=teacher, out=out)
    with pytest.raises(ArgumentError, match="too few to learn from"):
        adapt(TEXTS[:9], teacher=teacher, parent=parent, out=out)
    with pytest.raises(ArgumentError, match="Start from a model whose vocabulary"):
        adapt(["кот и море номер " + str(n) for n in range(99)], teacher=teacher, parent=parent,
              out=out)  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    with pytest.raises(ArgumentError, match="training did not write"):
        adapt(TEXTS, teacher=teacher, parent=parent, out=tmp_path / "mine")
    assert not (tmp_path / "teacher-vectors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher_minutes": 0}, "teacher_minutes: 0 is not a number above 0"),
        ({"dimension": 8, "turn": False}, "dimension"),
        ({"grow": -1}, "grow"),
        ({"dtype": "float8"}, "dtype: 'float8' is unknown"),
        ({"leave_out_judged": True}, "needs a judged set"),
        ({"prune": "yes"}, "prune"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        AdaptOptions(**options)


def test_a_table_is_mapped_to_another_space():
    counts = np.abs(RANDOM.standard_normal((200, 20))).astype(np.float32)
    table = RANDOM.standard_normal((20, 8)).astype(np.float32)
    turn = RANDOM.standard_normal((8, 12)).astype(np.float32)
    found = mapped(table, counts, counts @ table @ turn)
    assert np.allclose(found, table @ turn, atol=0.1)


def test_the_command_adapts_files(parent, tmp_path):
    rows = [{"id": n, "title": text.split()[0], "text": text} for n, text in enumerate(TEXTS)]
    file = write_jsonl(tmp_path / "a.jsonl", rows)
    done = CliRunner().invoke(app, [
        "train", "adapt", str(file), "--text", "title,text", "--teacher", parent.info.name,
        "--out", str(tmp_path / "m"), "--dimension", "8", "--epochs", "2", "--json",
    ])  # fmt: skip
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["texts"], found["dimension"]) == (found["of_texts"], 8)
    wrong = CliRunner().invoke(app, ["train", "adapt", "--teacher", "t", "--out", "o"])
    assert wrong.exit_code == 2
    assert "give files, or --from-collection NAME" in wrong.stderr


def test_texts_equal_to_test_queries_are_refused(parent, tmp_path):
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    write_jsonl(folder / "queries.jsonl", [{"_id": "q", "text": TEXTS[3].upper()}])
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    options = AdaptOptions(judged=str(folder))
    with pytest.raises(ArgumentError, match="1 of the texts"):
        adapt(TEXTS, teacher=parent, out=tmp_path / "m", options=options)
    options = replace(options, leave_out_judged=True, epochs=1)
    found = adapt(TrainingTexts.of(TEXTS), teacher=parent, out=tmp_path / "m", options=options)
    assert found.of_texts == 299


@pytest.fixture(scope="module")
def transformer(tmp_path_factory):
    """A small transformer, without the tokens that its model has no finite row for."""
    folder = write_folder(tmp_path_factory.mktemp("onnx") / "tiny")
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    for token in ("bad", "far"):
        del tokenizer["model"]["vocab"][token]
    file.write_text(json.dumps(tokenizer))
    return load_encoder(f"onnx:{folder}")


def test_a_transformer_gives_its_vocabulary_and_its_token_outputs(transformer, tmp_path):
    found = adapt(TEXTS, teacher=transformer, out=tmp_path / "m", options=AdaptOptions(prune=True))
    assert found.start == "token outputs of the teacher"
    assert found.rows == transformer.tokenizer.get_vocab_size()
    assert any("of type WordLevel" in note for note in found.notes)
    assert found.agreement > 0.8
    model = load_encoder(tmp_path / "m")
    queries = model.encode(TEXTS[:50])
    documents = load_encoder(f"head:{tmp_path / 'm'}").encode(TEXTS[:50])
    best = (queries @ documents.T).argmax(axis=1)
    assert (best == np.arange(50)).mean() > 0.9  # its queries find the teacher's documents
    head = load_encoder(f"head:{tmp_path / 'm'}")
    assert fitted_to(tmp_path / "m") == (head.info.fingerprint,)


def test_token_outputs_are_the_vectors_of_words_alone_and_made_once(transformer, tmp_path):
    shown = []
    found = token_outputs(transformer, tmp_path, progress=shown.append)
    ids = transformer.tokenizer.get_vocab()
    assert np.allclose(found[ids["moon"]], transformer.encode(["moon"])[0], atol=1e-6)
    assert [(one.done, one.unit) for one in shown] == [(len(ids), "tokens")]
    again = token_outputs(transformer, tmp_path, progress=shown.append)
    assert np.array_equal(again, found)
    assert len(shown) == 1
    (keys,) = tmp_path.glob("*.tokens.keys")
    keys.write_bytes(keys.read_bytes()[:-32])  # as after kill -9
    assert np.array_equal(token_outputs(transformer, tmp_path), found)
    pieces = [[ids["moon"], ids["tide"]]]
    assert np.allclose(alone(transformer, pieces), transformer.encode(["moon tide"]), atol=1e-6)
