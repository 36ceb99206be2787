"""BM25 weights for another mean length, made of the weights alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.encoders.reweighing import reweigh
from qdrant_static.encoders.sparse import Bm25Encoder

WORDS = [f"w{number}" for number in range(30)]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=200).map(" ".join)


def weights(text: str, mean: float) -> list[float]:
    encoder = Bm25Encoder(language=None, avg_len=mean)
    return encoder.encode_documents([text]).row(0).values.tolist()


@given(text=TEXTS, before=st.floats(1, 500), after=st.floats(1, 500))
def test_weights_are_those_of_an_encoder_with_the_other_mean(text, before, after):
    found = reweigh(weights(text, before), means=[before], mean=after)
    assert found is not None
    np.testing.assert_allclose(found, weights(text, after), atol=1e-6)


@pytest.mark.parametrize("copies", [1, 40, 5000])
def test_a_very_long_text_is_weighed_right(copies):
    text = " ".join([*WORDS * copies, "once"])
    found = reweigh(weights(text, 54.8), means=[54.8], mean=108.9)
    np.testing.assert_allclose(found, weights(text, 108.9), atol=1e-5)


def test_weights_tell_which_mean_they_were_made_with():
    for words in (WORDS[:7], WORDS * 2 + WORDS[:4], ["a"]):
        text = " ".join(words)
        for mean in (40.0, 55.5, 61.0):
            found = reweigh(weights(text, mean), means=[40.0, 61.0, 55.5], mean=55.5)
            np.testing.assert_allclose(found, weights(text, 55.5), atol=1e-6)
        assert reweigh(weights(text, 40.0), means=[61.0], mean=55.5) is None


def test_what_is_no_weight_is_left_alone():
    assert reweigh([], means=[5], mean=6).tolist() == []
    assert reweigh([3.5, 1.0], means=[5], mean=6) is None
    assert reweigh([0.0], means=[5], mean=6) is None
    assert reweigh([2.19999], means=[5], mean=6) is None
