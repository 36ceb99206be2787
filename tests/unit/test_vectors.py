"""Arithmetic on matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from qdrant_static.errors import ArgumentError
from qdrant_static.vectors import fingerprint, normalize, truncate

matrices = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20),
    elements=st.floats(-1e3, 1e3, width=32),
)


@given(matrices)
def test_every_row_gets_length_one_and_a_row_of_zeros_stays(matrix):
    matrix = np.where(np.abs(matrix) < 1e-3, 0, matrix)  # squares must not vanish in float32
    rows = normalize(matrix)
    norms = np.linalg.norm(rows, axis=1)
    empty = ~matrix.any(axis=1)
    assert rows.dtype == np.float32
    assert rows.shape == matrix.shape
    assert np.allclose(norms[~empty], 1, atol=1e-5)
    assert not rows[empty].any()


@given(matrices)
def test_normalizing_gives_a_new_array_and_leaves_the_old_one(matrix):
    before = matrix.copy()
    rows = normalize(matrix)
    rows[:] = 7
    assert np.array_equal(matrix, before)


@given(matrices, st.data())
def test_a_truncated_matrix_is_the_normalized_prefix(matrix, data):
    size = data.draw(st.integers(1, matrix.shape[1]))
    cut = truncate(matrix, size)
    assert cut.shape == (len(matrix), size)
    assert np.array_equal(cut, normalize(matrix[:, :size]))


@pytest.mark.parametrize("size", [0, -1, 5])
def test_a_size_outside_the_matrix_is_an_error_with_the_bounds(size):
    with pytest.raises(ArgumentError, match=f"{size} is not within 1 to 4"):
        truncate(np.ones((2, 4), np.float32), size)


def test_other_dtypes_become_float32():
    for dtype in (np.float16, np.float64):
        assert normalize(np.eye(3, dtype=dtype)).dtype == np.float32


def test_the_form_of_a_fingerprint_never_changes():
    parts = ("a", b"a", np.arange(3, dtype="<f4"))
    assert fingerprint(*parts) == "8e9ef59a3dba172117aa36f5398e748b"


def test_a_fingerprint_tells_order_type_shape_and_boundaries_apart():
    array = np.arange(6, dtype="<f4")
    variants = [
        ("ab", "c"), ("a", "bc"), ("abc",), (b"abc",), ("c", "ab"), (array,),
        (array.reshape(2, 3),), (array.reshape(3, 2),), (array.astype("<f8"),),
        (array.view("<i4"),), (array[:5],), ("ab", "c", ""),
    ]  # fmt: skip
    assert len({fingerprint(*parts) for parts in variants}) == len(variants)


def test_a_fingerprint_does_not_depend_on_the_memory_layout():
    matrix = np.arange(12, dtype="<f4").reshape(3, 4)
    assert fingerprint(np.asfortranarray(matrix)) == fingerprint(matrix)
    assert fingerprint(np.repeat(matrix, 2, axis=1)[:, ::2]) == fingerprint(matrix)
