"""StaticEncoder: what it takes, and what it refuses. Its numbers are in reference/."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from qdrant_static import load_encoder
from qdrant_static.errors import TextInputError


@pytest.fixture
def encoder(model_folder):
    return load_encoder(model_folder)


def test_no_texts_give_no_rows(encoder):
    rows = encoder.encode([])
    assert (rows.shape, rows.dtype) == ((0, 32), np.float32)


def test_a_text_without_a_known_token_is_a_row_of_zeros(encoder):
    rows = encoder.encode(["", "   ", "zebra quagga", "cat"])
    assert not rows[:3].any()
    assert np.isclose(np.linalg.norm(rows[3]), 1)


def test_any_sequence_of_strings_will_do(encoder):
    rows = encoder.encode(["cat", "dog"])
    assert np.array_equal(encoder.encode(("cat", "dog")), rows)
    assert np.array_equal(encoder.encode(np.array(["cat", "dog"])), rows)


def test_one_string_is_an_error(encoder):
    with pytest.raises(TextInputError, match="a single str was given; give a list"):
        encoder.encode("cat")


@pytest.mark.parametrize("bad", [None, 5, 1.5, b"cat", ["cat"], {"text": "cat"}])
def test_what_is_no_string_is_an_error_with_its_place(encoder, bad):
    with pytest.raises(TextInputError) as caught:
        encoder.encode(["cat", bad, "dog"])
    assert caught.value.row == 1
    assert type(bad).__name__ in caught.value.message


def test_half_of_a_surrogate_pair_is_an_error_with_its_place(encoder):
    with pytest.raises(TextInputError, match=r"row 2: .*surrogate"):
        encoder.encode(["cat", "dog", "\ud800"])


def test_a_row_does_not_depend_on_its_neighbours(encoder):
    texts = ["the cat", "a dog in the sea", "", "moon " * 50, "zebra"]
    together = encoder.encode(texts)
    for row, text in zip(together, texts, strict=True):
        assert np.array_equal(encoder.encode([text])[0], row)


def test_several_threads_may_use_it_at_once(encoder):
    texts = [f"the {word} of the sea" for word in ("cat", "dog", "fish", "moon")] * 20
    alone = encoder.encode(texts)
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(encoder.encode, [texts] * 16):
            assert np.array_equal(rows, alone)
