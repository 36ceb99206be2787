"""The vocabulary of a WordPiece model grows and shrinks, and model2vec reads it as we do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from qdrant_static import load_encoder
from qdrant_static.training.modelfolder import save_model
from qdrant_static.training.tablemodel import TableModel
from qdrant_static.training.vocabulary import (
    frequent_words,
    why_fixed,
    with_words,
    without_unused,
)
from tests.fakes import build_static_model

TEXTS = ["the catfish", "ships of the sea", "Fishing, fishing!", "a catfish fishing"] * 10


@pytest.fixture
def model(tmp_path) -> TableModel:
    """A WordPiece model whose words our kernel cuts."""
    folder = build_static_model(tmp_path / "parent", kind="wordpiece")
    model = TableModel.from_encoder(load_encoder(folder))
    tokenizer = Tokenizer.from_str(model.tokenizer.to_str())
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return replace(model, tokenizer=tokenizer, reader=None)


def same_in_model2vec(model: TableModel, folder, texts) -> None:
    save_model(model, folder, {})
    ours = load_encoder(folder)
    assert ours.info.route == "wordpiece"
    theirs = StaticModel.from_pretrained(folder)
    assert np.allclose(ours.encode(texts), theirs.encode(texts), atol=1e-6)
    assert np.allclose(ours.encode(texts), model.vectors(texts), atol=1e-6)


def test_words_that_are_cut_are_found_by_what_they_save(model):
    words = frequent_words(model.tokenizer, TEXTS, 10)
    assert [(one.word, one.texts) for one in words] == [
        ("catfish", 20), ("fishing", 20), ("ships", 10),
    ]  # fmt: skip
    ids = model.tokenizer.get_vocab()
    assert words[0].pieces == (ids["cat"], ids["##fish"])
    assert [one.word for one in frequent_words(model.tokenizer, TEXTS, 1)] == ["catfish"]
    assert frequent_words(model.tokenizer, TEXTS[:3], 10) == []


def test_a_new_word_is_one_token_for_us_and_for_model2vec(model, tmp_path):
    words = frequent_words(model.tokenizer, TEXTS, 2)
    rows = np.full((2, model.dimension), 7, np.float32)
    grown = with_words(model, words, rows)
    assert grown.rows == model.rows + 2
    assert grown.tokenizer.encode("the Catfish").tokens == ["the", "catfish"]
    assert np.array_equal(grown.table[-2:], rows)
    assert np.array_equal(grown.table[:-2], model.table)
    same_in_model2vec(grown, tmp_path / "grown", [*TEXTS, "catfishing fishings", "zebra"])


def test_rows_that_no_text_has_are_dropped_without_any_change_for_the_texts(model, tmp_path):
    small = without_unused(model, model.counts(TEXTS))
    assert small.rows < model.rows
    assert np.allclose(small.vectors(TEXTS), model.vectors(TEXTS), atol=1e-6)
    kept = small.tokenizer.get_vocab()
    assert {"[UNK]", "the", "cat", "##fish", "a"} <= set(kept)
    assert "lava" not in kept
    same_in_model2vec(small, tmp_path / "small", [*TEXTS, "lava and ash"])


def test_both_together(model, tmp_path):
    words = frequent_words(model.tokenizer, TEXTS, 1)
    grown = with_words(model, words, np.ones((1, model.dimension), np.float32))
    small = without_unused(grown, grown.counts(TEXTS))
    assert "catfish" in small.tokenizer.get_vocab()
    same_in_model2vec(small, tmp_path / "both", TEXTS)


def test_other_tokenizers_are_left_as_they_are(tmp_path, model):
    folder = build_static_model(tmp_path / "words")
    words = TableModel.from_encoder(load_encoder(folder))
    assert "of type WordLevel" in why_fixed(words.tokenizer)
    assert why_fixed(model.tokenizer) is None
