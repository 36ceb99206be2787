"""Points of matrices: stored as `upsert` stores them, checked as strictly, all or none."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static.encoders.sparsevectors import SparseRows
from qdrant_static.errors import ArgumentError, PointError

N = 20


@pytest.fixture
def columns():
    dice = np.random.default_rng(1)
    lengths = [row % 4 for row in range(N)]  # some rows have no terms
    pointers = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    count = int(pointers[-1])
    return {
        "dense": {
            "full": dice.standard_normal((N, 8), dtype=np.float32),
            "mrl_4": dice.standard_normal((N, 4), dtype=np.float32),
        },
        "sparse": {
            "bm25": SparseRows(
                indices=np.arange(count, dtype=np.uint32) * 7 + 2**31,
                values=dice.random(count, dtype=np.float32) + 0.1,
                pointers=pointers,
                n_terms=count,
            )
        },
        "payloads": [{"n": row, "deep": {"list": [row, None, "x"]}} for row in range(N)],
    }


@pytest.fixture
def made(client):
    client.create_collection(
        "c",
        {
            "full": models.VectorParams(size=8, distance=models.Distance.DOT),
            "mrl_4": models.VectorParams(size=4, distance=models.Distance.COSINE),
        },
        sparse_vectors_config={"bm25": models.SparseVectorParams()},
    )
    return client


def test_they_are_what_upsert_stores(made, columns):
    made.upsert_matrices("c", range(N), **columns)
    matrices, terms = columns["dense"], columns["sparse"]["bm25"]
    points = []
    for row in range(N):
        vector = {name: matrix[row].tolist() for name, matrix in matrices.items()}
        one = terms.row(row)
        if len(one.indices):
            vector["bm25"] = models.SparseVector(
                indices=one.indices.tolist(), values=one.values.tolist()
            )
        points.append(
            models.PointStruct(id=row + N, vector=vector, payload=columns["payloads"][row])
        )
    made.upsert("c", points)
    found = {one.id: one for one in made.retrieve("c", list(range(2 * N)), with_vectors=True)}
    assert len(found) == 2 * N
    for row in range(N):
        assert found[row].vector == found[row + N].vector
        assert found[row].payload == found[row + N].payload


@pytest.mark.parametrize("order", ["F", "C"])
def test_any_order_in_memory_will_do(made, columns, order):
    matrices = columns["dense"]
    columns["dense"] = {name: np.array(matrix, order=order) for name, matrix in matrices.items()}
    made.upsert_matrices("c", range(N), **columns)
    (point,) = made.retrieve("c", [7], with_vectors=["full"])
    np.testing.assert_array_equal(np.float32(point.vector["full"]), matrices["full"][7])


def spoil(columns, what):
    if what == "nan":
        columns["dense"]["full"][5, 3] = np.nan
    elif what == "inf":
        columns["dense"]["mrl_4"][5, 0] = -np.inf
    elif what == "terms":
        terms = columns["sparse"]["bm25"]
        terms.values[terms.pointers[5]] = np.inf
    elif what == "payload":
        columns["payloads"][5] = {"n": b"bytes"}
    elif what == "integer":
        columns["payloads"][5] = {"n": 2**70}


@pytest.mark.parametrize("what", ["nan", "inf", "terms", "payload", "integer"])
def test_a_point_that_does_not_fit_is_named_and_nothing_is_stored(made, columns, what):
    spoil(columns, what)
    with pytest.raises(PointError) as caught:
        made.upsert_matrices("c", range(100, 100 + N), **columns)
    assert caught.value.point == 105
    assert made.count("c", exact=True).count == 0


def test_an_id_that_is_none_is_named(made, columns):
    with pytest.raises(PointError, match="-1"):
        made.upsert_matrices("c", [-1, *range(1, N)], **columns)


def test_large_finite_numbers_are_no_reason_to_refuse(made, columns):
    columns["dense"]["full"][:] = 3e38
    made.upsert_matrices("c", range(N), **columns)
    assert made.count("c", exact=True).count == N


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dense": {"fall": np.zeros((N, 8), np.float32)}}, "vectors.fall"),
        ({"dense": {"full": np.zeros((N, 7), np.float32)}}, "vectors.full"),
        ({"dense": {"full": np.zeros((N - 1, 8), np.float32)}}, "vectors.full"),
        ({"payloads": [{}]}, "payloads"),
    ],
)
def test_columns_that_do_not_fit_are_named(made, columns, change, field):
    with pytest.raises(ArgumentError) as caught:
        made.upsert_matrices("c", range(N), **{**columns, **change})
    assert caught.value.field == field
    assert made.count("c", exact=True).count == 0


def test_an_unknown_sparse_vector_is_named(made, columns):
    columns["sparse"] = {"splade": columns["sparse"]["bm25"]}
    with pytest.raises(ArgumentError, match=r"vectors\.splade: no sparse vector; there are: bm25"):
        made.upsert_matrices("c", range(N), **columns)
