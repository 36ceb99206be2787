"""BM25: the weights by the formula, the counts by a counter."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_edge import Bm25, Bm25Config

from qdrant_static.encoders.sparse import K1, B, Bm25Encoder
from qdrant_static.errors import SpecError, TextInputError

#: One term each: not stop words, unchanged by stemming, all different.
TERMS = ("moon", "cat", "lava", "fish", "bread", "sea")
words = st.lists(st.sampled_from([*TERMS, "the", "of", "and"]), max_size=30)


def weights(row) -> dict[int, float]:
    assert len(row.indices) == len(set(row.indices)) == len(row.values)
    return dict(zip(row.indices, row.values, strict=True))


def term(word: str) -> int:
    (index,) = Bm25Encoder().encode_query(word).indices
    return index


@given(words)
def test_a_query_term_weighs_the_root_of_its_count_or_one(text):
    counts = {term(word): text.count(word) for word in TERMS if word in text}
    engine = Bm25Encoder()
    by_root = weights(engine.encode_query(" ".join(text)))
    assert by_root == pytest.approx({index: math.sqrt(c) for index, c in counts.items()})
    once = weights(engine.encode_query(" ".join(text), repeated_terms="one"))
    assert once == dict.fromkeys(counts, 1.0)


@given(words)
def test_one_each_is_the_engines_own_query(text):
    theirs = Bm25(Bm25Config(k=K1, b=B, avg_len=256, language="english")).embed_query(
        " ".join(text)
    )
    ours = Bm25Encoder().encode_query(" ".join(text), repeated_terms="one")
    assert weights(ours) == weights(theirs)


@given(st.lists(words, min_size=1, max_size=5), st.floats(1, 300))
def test_a_document_weighs_by_the_formula(texts, mean_length):
    """tf (k + 1) / (tf + k (1 - b + b len / mean)), the length after stop words."""
    rows = Bm25Encoder(mean_length=mean_length).encode_documents(" ".join(text) for text in texts)
    for text, row in zip(texts, rows, strict=True):
        kept = [word for word in text if word in TERMS]
        scale = K1 * (1 - B + B * len(kept) / mean_length)
        expected = {term(word): kept.count(word) * (K1 + 1) / (kept.count(word) + scale)
                    for word in kept}  # fmt: skip
        assert weights(row) == pytest.approx(expected, rel=1e-5)


@given(st.lists(words, min_size=1, max_size=8))
def test_the_mean_length_counts_terms_after_stop_words(texts):
    terms = sum(word in TERMS for text in texts for word in text)
    mean = Bm25Encoder().mean_length([" ".join(text) for text in texts])
    assert mean == pytest.approx(max(1.0, terms / len(texts)))


def test_large_counts_are_counted_exactly():
    for count in (1, 2, 1000, 100_000):
        assert Bm25Encoder().encode_query("moon " * count).values == [math.sqrt(count)]


def test_no_texts_have_the_engines_mean_length():
    assert Bm25Encoder().mean_length([]) == 256


def test_stemming_and_stop_words_are_the_languages():
    english, german = Bm25Encoder(), Bm25Encoder(language="german")
    assert english.encode_query("running runs") == english.encode_query("run run")
    assert german.encode_query("der die das").indices == []
    assert english.encode_query("the and of").indices == []
    assert len(english.encode_query("der").indices) == 1


def test_an_unknown_language_is_an_error_that_names_it():
    with pytest.raises(SpecError, match="klingon"):
        Bm25Encoder(language="klingon")


@pytest.mark.parametrize("bad", ["moon \ud800", 5, None])
def test_what_is_no_text_is_an_error_of_ours(bad):
    for call in (Bm25Encoder().encode_query, lambda one: Bm25Encoder().encode_documents([one])):
        with pytest.raises(TextInputError):
            call(bad)
