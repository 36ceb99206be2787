"""BM25: the weights by the formula, the counts by a counter."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_edge import Bm25, Bm25Config

from qdrant_static.encoders.sparse import Bm25Encoder

K1, B = 1.2, 0.75  # the engine's defaults

#: One term each: not stop words, unchanged by stemming, all different.
TERMS = ("moon", "cat", "lava", "fish", "bread", "sea")
words = st.lists(st.sampled_from([*TERMS, "the", "of", "and"]), max_size=30)


def weights(row) -> dict[int, float]:
    assert len(row.indices) == len(set(row.indices)) == len(row.values)
    return dict(zip(row.indices.tolist(), row.values.tolist(), strict=True))


def term(word: str) -> int:
    (index,) = Bm25Encoder().encode_query(word).indices
    return int(index)


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
    assert weights(ours) == dict(zip(theirs.indices, theirs.values, strict=True))


@given(st.lists(words, min_size=1, max_size=5), st.floats(1, 300))
def test_a_document_weighs_by_the_formula(texts, mean_length):
    """tf (k + 1) / (tf + k (1 - b + b len / mean)), the length after stop words."""
    documents = [" ".join(text) for text in texts]
    rows = Bm25Encoder(avg_len=mean_length).encode_documents(documents)
    for number, text in enumerate(texts):
        kept = [word for word in text if word in TERMS]
        scale = K1 * (1 - B + B * len(kept) / mean_length)
        expected = {term(word): kept.count(word) * (K1 + 1) / (kept.count(word) + scale)
                    for word in kept}  # fmt: skip
        assert weights(rows.row(number)) == pytest.approx(expected, rel=1e-5)


def test_large_counts_are_counted_exactly():
    for count in (1, 2, 1000, 100_000):
        (value,) = Bm25Encoder().encode_query("moon " * count).values
        assert value == pytest.approx(math.sqrt(count))
