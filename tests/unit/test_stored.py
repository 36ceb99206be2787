"""stored_form: what a named vector stores, and is asked with."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static.collection.spec import VectorSpec
from qdrant_static.collection.vectorform import original_form, stored_form
from qdrant_static.collection.vectorspec import uint8_scale
from qdrant_static.errors import ArgumentError
from qdrant_static.vectors import normalize, truncate

ROWS = normalize(np.random.default_rng(1).standard_normal((50, 64)))
UINT8 = {"distance": "euclid", "datatype": "uint8", "scale": uint8_scale(64)}


def test_rows_of_the_vectors_size_are_taken_as_they_are():
    assert stored_form(ROWS * 3, VectorSpec(name="full", size=64)) is not None
    assert np.array_equal(stored_form(ROWS * 3, VectorSpec(name="full", size=64)), ROWS * 3)


def test_longer_rows_are_cut_and_renormalized():
    found = stored_form(ROWS, VectorSpec(name="mrl_8", size=8))
    assert np.array_equal(found, truncate(ROWS, 8))


def test_shorter_rows_are_an_error():
    with pytest.raises(ArgumentError, match="128 is not within 1 to 64"):
        stored_form(ROWS, VectorSpec(name="full", size=128))


def test_uint8_rows_are_whole_numbers_that_come_back():
    vector = VectorSpec(name="full", size=64, **UINT8)
    found = stored_form(ROWS, vector)
    assert found.dtype == np.float32
    assert np.array_equal(found, found.astype(np.uint8))
    inside = np.abs(ROWS) * vector.scale < 127
    error = np.abs(original_form(found, vector) - ROWS)[inside]
    assert error.max() <= 0.5 / vector.scale + 1e-6
    assert stored_form(ROWS[:1] * 100, vector).max() == 255


def test_uint8_keeps_the_order_of_the_cosine_nearly():
    vector = VectorSpec(name="full", size=64, **UINT8)
    stored = stored_form(ROWS, vector).astype(float)
    distances = np.linalg.norm(stored - stored[0], axis=1)
    cosine = 1 - (distances / vector.scale) ** 2 / 2
    assert np.abs(cosine - ROWS @ ROWS[0]).max() < 0.03
