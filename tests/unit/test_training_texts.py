"""Texts of a training: where they come from, what is left out, and which are refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from qdrant_static import SourceOptions, ingest, load_encoder
from qdrant_static.errors import ArgumentError, ColumnNotFoundError, TextInputError
from qdrant_static.training import TrainingTexts
from qdrant_static.training.coverage import coverage_order, unknown_share, vocabulary_use
from qdrant_static.training.sentences import normalized, sentences
from qdrant_static.training.tablemodel import TableModel
from tests.fakes import build_static_model, write_jsonl

ROWS = [
    {
        "id": 1,
        "title": "Tides",
        "text": "The moon raises the sea. Twice a day it falls! And so on.",
    },
    {"id": 2, "title": "Bread", "text": "Yeast lifts the dough slowly.\nThen the oven bakes it."},
    {"id": 3, "title": "Tides", "text": "The moon raises the sea. Ash is what lava leaves behind."},
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("One sentence that is long. Another one, also long!", 2),
        ("Version 1.5 of the program is out now", 1),
        ("Short. Too short.", 0),
        ("A first line that is long\nand a second one, too long", 2),
        ("月が海を持ち上げる。一日に二回下がる。", 2),
        ("", 0),
    ],
)
def test_sentences_end_at_marks_and_lines(text, found):
    assert len(sentences(text)) == found


def test_passages_titles_and_sentences_come_once_each(tmp_path):
    found = TrainingTexts.read(write_jsonl(tmp_path / "a.jsonl", ROWS))
    assert found.passages[0] == "Tides The moon raises the sea. Twice a day it falls! And so on."
    assert found.titles == ("Tides", "Bread")
    assert found.sentences == (
        "The moon raises the sea.", "Twice a day it falls!", "Yeast lifts the dough slowly.",
        "Then the oven bakes it.", "Ash is what lava leaves behind.",
    )  # fmt: skip
    assert (found.rows, found.duplicates, found.short) == (3, 2, 1)
    assert len(found) == len(set(found.all)) == 10
    assert "3 passages, 2 titles, 5 sentences (left out: 2 duplicates" in str(found)


def test_the_text_columns_are_those_of_ingest(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", ROWS)
    found = TrainingTexts.read(file, source_options=SourceOptions(text=("text",)))
    assert found.titles == ()
    assert found.passages[1] == ROWS[1]["text"]
    with pytest.raises(ColumnNotFoundError, match="'body'"):
        TrainingTexts.read(file, source_options=SourceOptions(text=("body",)))


def test_tables_and_texts_in_memory():
    table = pa.table({"title": ["Tides"], "text": ["The moon raises the sea."]})
    assert TrainingTexts.read(table).titles == ("Tides",)
    found = TrainingTexts.of(["The moon raises the sea.", "The moon raises the sea."])
    assert (found.passages, found.sentences) == (("The moon raises the sea.",), ())
    assert found.duplicates == 1
    assert found.digest == TrainingTexts.of(found.passages).digest
    assert found.digest != TrainingTexts.of(["another text"]).digest


def test_a_sentence_that_is_a_later_passage_is_no_text_of_its_own():
    found = TrainingTexts.of(["The moon raises the sea. It falls.", "The moon raises the sea."])
    assert found.sentences == ()
    assert len(found.passages) == 2


def test_rows_that_cannot_be_read_are_counted_and_shown(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [*ROWS, "{broken", {"id": 5, "text": 7}])
    found = TrainingTexts.read(file)
    assert (found.rows, found.rejected) == (5, 2)
    assert "a.jsonl line 4: " in found.problems[0]
    assert "2 rows or files could not be used" in str(found)


def test_no_text_is_an_error(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": " "}])
    with pytest.raises(ArgumentError, match=r"no text to learn from: .*line 1"):
        TrainingTexts.read(file)
    with pytest.raises(TextInputError, match="row 1: a int is not a string"):
        TrainingTexts.of(["a", 7])
    with pytest.raises(TextInputError, match="surrogate"):
        TrainingTexts.of(["\ud800"])


def test_the_texts_of_a_collection_are_those_it_was_filled_by(client, encoder, tmp_path):
    ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", ROWS), encoder=encoder)
    found = TrainingTexts.read_collection(client, "c")
    assert set(found.titles) == {"Tides", "Bread"}
    assert len(found.passages) == 3
    only = TrainingTexts.read_collection(client, "c", source_options=SourceOptions(text=("text",)))
    assert only.titles == ()


@pytest.fixture
def judged(tmp_path):
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    write_jsonl(folder / "queries.jsonl", [{"_id": "q", "text": "the moon raises the SEA"}])
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    return folder


def test_test_queries_among_the_texts_are_refused(judged):
    texts = TrainingTexts.of(["Tides: The moon raises the sea. Twice a day.", "Another text"])
    assert texts.without_queries(judged) is texts
    leaking = TrainingTexts.of(["Twice a day it falls. The moon raises the sea!", "Another text"])
    with pytest.raises(ArgumentError, match=r"1 of the texts .* 'The moon raises the sea!'"):
        leaking.without_queries(judged)
    kept = leaking.without_queries(judged, leave_out=True)
    assert (kept.leaked, kept.sentences) == (1, ("Twice a day it falls.",))
    assert len(kept.passages) == 2


def test_texts_are_compared_by_their_words():
    assert normalized("The  Tide, (again)!") == normalized("the tide AGAIN")
    assert normalized("ﬁsh") == "fish"


@pytest.fixture
def model(tmp_path) -> TableModel:
    folder = build_static_model(tmp_path / "model", kind="wordpiece")
    return TableModel.from_encoder(load_encoder(folder))


def test_what_can_be_learned_is_counted(model):
    texts = [f"the {word} of the sea" for word in ("cat", "dog", "moon", "tide", "ash")] * 10
    use = vocabulary_use(model.counts(texts), texts, model.tokenizer)
    assert (use.used, use.often, use.texts, use.unknown) == (8, 8, 50, 0.0)
    assert use.notes == ()
    assert f"8 of the vocabulary's {model.rows} rows occur" in str(use)


def test_too_few_texts_and_texts_of_another_script_are_refused(model):
    texts = ["the cat"] * 10
    with pytest.raises(ArgumentError, match=r"10 texts are too few .* 2 of the 35 rows"):
        vocabulary_use(model.counts(texts), texts, model.tokenizer)
    foreign = ["кот и море", "луна и прилив"] * 50
    with pytest.raises(ArgumentError, match="does not have 100% of the tokens"):
        vocabulary_use(model.counts(foreign), foreign, model.tokenizer)
    assert unknown_share(["the zebra"], model.tokenizer) == 0.5


def test_few_texts_for_many_rows_are_noted(model):
    texts = ["the cat and the zebra"] * 50
    use = vocabulary_use(model.counts(texts), texts, model.tokenizer)
    assert use.notes == ("40% of the tokens are unknown to the vocabulary, and left out",)


def test_the_sample_covers_rare_tokens_within_its_budget(model):
    common = [f"the cat of the dog {n}" for n in ("one", "two")] * 40
    rare = ["the whale of the river", "lava of ash and yeast"]
    texts = [*common, *rare]
    counts = model.counts(texts)
    lengths = np.full(len(texts), 5)
    none = np.zeros(len(texts), bool)
    rounds = coverage_order(counts, lengths, budget=50, chosen=none)
    taken = np.concatenate(rounds)
    assert len(taken) == len(set(taken)) == 10
    assert {80, 81} <= set(taken)
    again = coverage_order(counts, lengths, budget=50, chosen=none)
    assert all(np.array_equal(one, other) for one, other in zip(rounds, again, strict=True))
    chosen = none.copy()
    chosen[[80, 81]] = True
    assert not {80, 81} & set(
        np.concatenate(coverage_order(counts, lengths, budget=50, chosen=chosen))
    )
