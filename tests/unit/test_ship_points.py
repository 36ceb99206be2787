"""A point as built and as a server has it: what counts as the same, and how it is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static.shipping.proofs.points import payload_difference, vector_difference, vectors_of

DENSE = [0.1, -0.25, 0.5]
SPARSE = models.SparseVector(indices=[3, 9], values=[0.5, 1.5])
LATE = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]


def test_the_same_vectors_are_the_same_whatever_the_transport_made_of_them() -> None:
    built = {"full": DENSE, "bm25": SPARSE, "late": LATE}
    found = {
        "full": np.asarray(DENSE, np.float32).tolist(),
        "bm25": models.SparseVector(indices=[9, 3], values=[1.5, 0.5]),
        "late": np.asarray(LATE, np.float32).tolist(),
    }
    assert vector_difference(built, found) is None


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({}, "vector 'full' is missing"),
        ({"full": DENSE, "other": DENSE}, "vector 'other' exists, and was not built"),
        ({"full": DENSE[:2]}, "vector 'full' has 2 components, and 3 components were built"),
        ({"full": [0.1, 0.25, 0.5]}, "vector 'full' differs in 1 of its 3 components"),
        ({"full": [0.1, float("nan"), 0.5]}, "vector 'full' differs in 1 of its 3 components"),
        ({"full": [0.0, 0.0, 0.0]}, "vector 'full' differs in 3 of its 3 components"),
        ({"full": [0.1, -0.25, 0.500002]}, "vector 'full' differs in 1 of its 3 components"),
        ({"full": SPARSE}, "vector 'full' is sparse on one side only"),
    ],
)
def test_a_dense_difference_is_told(found: dict[str, Any], told: str) -> None:
    assert vector_difference({"full": DENSE}, found) == told


def test_a_zero_vector_is_itself_and_nothing_else() -> None:
    assert vector_difference({"full": [0.0, 0.0]}, {"full": [0.0, 0.0]}) is None
    assert vector_difference({"full": [0.0, 0.0]}, {"full": [0.0, 1e-30]}) is not None


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (
            models.SparseVector(indices=[3], values=[0.5]),
            "vector 'bm25' has other terms: 2 were built, 1 were found",
        ),
        (
            models.SparseVector(indices=[3, 8], values=[0.5, 1.5]),
            "vector 'bm25' has other terms: 2 were built, 2 were found",
        ),
        (
            models.SparseVector(indices=[3, 9], values=[0.5, 2.5]),
            "vector 'bm25' differs in 1 of its 2 components",
        ),
    ],
)
def test_a_sparse_difference_is_told(found: models.SparseVector, told: str) -> None:
    assert vector_difference({"bm25": SPARSE}, {"bm25": found}) == told


def test_a_late_vector_of_fewer_rows_is_told() -> None:
    told = vector_difference({"late": LATE}, {"late": LATE[:2]})
    assert told == "vector 'late' has 2 x 2 components, and 3 x 2 components were built"


def test_a_vector_without_a_name_is_told_without_one() -> None:
    point = models.Record(id=1, vector=DENSE)
    assert vectors_of(point) == {"": DENSE}
    assert vectors_of(models.Record(id=1)) == {}
    assert vector_difference(vectors_of(point), {}) == "the vector is missing"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"n": 1}, "field 'title' is missing"),
        ({"n": 1, "title": "a", "x": None}, "field 'x' exists, and was not built"),
        ({"n": 2, "title": "a"}, "field 'n' has another value"),
        ({"n": 1, "title": "secret"}, "field 'title' has another value"),
        ({"n": "1", "title": "a"}, "field 'n' has another value"),
    ],
)
def test_a_difference_of_payloads_names_the_field_and_no_value(
    found: dict[str, Any], told: str
) -> None:
    assert payload_difference({"n": 1, "title": "a"}, found) == told


def test_payloads_may_come_back_in_another_order_and_a_float_a_hair_off() -> None:
    built = {"a": {"x": [0.1, 2.5]}, "b": "text"}
    assert payload_difference(built, {"b": "text", "a": {"x": [0.1 * (1 + 2**-52), 2.5]}}) is None
