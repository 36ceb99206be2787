"""The bytes that go to a server: what protobuf itself reads from them is what was put in."""

from __future__ import annotations

import enum
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import grpc
from qdrant_client.conversions.conversion import grpc_to_payload, payload_to_grpc

from qdrant_static.encoders.sparsevectors import SparseRows
from qdrant_static.sinks.pointbytes import (
    MAX_DEPTH,
    PointBytes,
    UnfitPayloadError,
    entries,
    packed_varints,
    request_head,
    varint,
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)
PAYLOADS = st.dictionaries(st.text(), JSON, max_size=5)


def read(content: bytes) -> grpc.PointStruct:
    return grpc.PointStruct.FromString(content)


def sparse(rows: list[dict[int, float]]) -> SparseRows:
    return SparseRows(
        indices=np.array([term for row in rows for term in row], dtype=np.uint32),
        values=np.array([weight for row in rows for weight in row.values()], dtype=np.float32),
        pointers=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        n_terms=0,
    )


@settings(max_examples=200)
@given(PAYLOADS)
def test_a_payload_is_what_protobuf_makes_of_it(payload):
    made = read(entries(b"\x1a", payload))
    assert made == grpc.PointStruct(payload=payload_to_grpc(payload))
    assert grpc_to_payload(made.payload) == payload


def test_a_payload_keeps_the_types_that_python_takes_for_equal():
    made = read(entries(b"\x1a", {"a": True, "b": 1, "c": 1.0, "d": -0.0, "e": (1, 2)})).payload
    assert [made[name].WhichOneof("kind") for name in "abc"] == [
        "bool_value",
        "integer_value",
        "double_value",
    ]
    assert math.copysign(1, made["d"].double_value) == -1
    assert grpc_to_payload(made)["e"] == [1, 2]


def test_what_stands_for_a_plain_type_travels_as_that_type():
    class Number(enum.IntEnum):
        TWO = 2

    class Word(enum.StrEnum):
        UP = "up"

    payload = {"n": Number.TWO, "w": Word.UP, "f": np.float64(0.5)}
    assert grpc_to_payload(read(entries(b"\x1a", payload)).payload) == {"n": 2, "w": "up", "f": 0.5}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2**63, "the integer 9223372036854775808 is outside"),
        (-(2**63) - 1, "is outside"),
        (math.nan, "nan is not a JSON number"),
        (-math.inf, "-inf is not a JSON number"),
        ("\ud800", "a string is not Unicode"),
        (b"bytes", "a payload cannot hold a bytes"),
        ({1: 2}, "a field's name is int, not a string"),
        ([{"a": {1, 2}}], "a payload cannot hold a set"),
    ],
)
def test_what_cannot_travel_is_said(value, said):
    with pytest.raises(UnfitPayloadError, match=said):
        entries(b"\x1a", {"x": value})


@pytest.mark.parametrize("wrap", [lambda one: [one], lambda one: {"a": one}])
def test_the_depth_that_is_allowed_can_be_read(wrap):
    value = 1
    for _ in range(MAX_DEPTH):
        value = wrap(value)
    assert grpc_to_payload(read(entries(b"\x1a", {"x": value})).payload) == {"x": value}
    with pytest.raises(UnfitPayloadError, match=f"nested deeper than {MAX_DEPTH} levels"):
        entries(b"\x1a", {"x": wrap(value)})


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_that_of_protobuf(number):
    assert grpc.PointId.FromString(b"\x08" + varint(number)).num == number


@given(st.lists(st.lists(st.integers(0, 2**32 - 1))))
def test_packed_varints_are_those_of_protobuf(rows):
    values = np.array([one for row in rows for one in row], dtype=np.uint32)
    pointers = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    packed, starts = packed_varints(values, pointers)
    for row, begin, end in zip(rows, starts, starts[1:], strict=False):
        assert packed[begin:end] == b"".join(varint(one) for one in row)


@settings(max_examples=50)
@given(st.data())
def test_a_request_is_what_protobuf_makes_of_it(data):
    rows = data.draw(st.integers(1, 4))
    sizes = data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    dense = {
        f"vector {size} ü": rng.standard_normal((rows, size), dtype=np.float32)
        for size in dict.fromkeys(sizes)
    }
    numbers = st.dictionaries(
        st.integers(0, 2**32 - 1), st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
    terms = data.draw(st.none() | st.lists(numbers, min_size=rows, max_size=rows))
    ids = data.draw(
        st.lists(st.integers(0, 2**64 - 1) | st.uuids().map(str), min_size=rows, max_size=rows)
    )
    payloads = data.draw(st.lists(PAYLOADS, min_size=rows, max_size=rows))

    made = PointBytes(
        ids, dense, payloads, sparse=None if terms is None else sparse(terms), sparse_name="bm25"
    )
    request = request_head("täst") + b"".join(made.point(row) for row in range(rows))

    assert grpc.UpsertPoints.FromString(request) == grpc.UpsertPoints(
        collection_name="täst",
        wait=True,
        points=[
            grpc.PointStruct(
                id=grpc.PointId(**{"num" if isinstance(ids[row], int) else "uuid": ids[row]}),
                payload=payload_to_grpc(payloads[row]),
                vectors=grpc.Vectors(vectors=grpc.NamedVectors(vectors=named(dense, terms, row))),
            )
            for row in range(rows)
        ],
    )


def named(dense, terms, row) -> dict[str, grpc.Vector]:
    vectors = {
        name: grpc.Vector(dense=grpc.DenseVector(data=matrix[row].tolist()))
        for name, matrix in dense.items()
    }
    if terms and terms[row]:
        vectors["bm25"] = grpc.Vector(
            sparse=grpc.SparseVector(indices=list(terms[row]), values=list(terms[row].values()))
        )
    return vectors


@pytest.mark.parametrize("view", [lambda m: m[::2], lambda m: m[:, ::2], lambda m: m.T])
def test_a_view_of_a_matrix_is_sent_as_it_reads(view):
    matrix = view(np.arange(64, dtype=np.float32).reshape(8, 8))
    made = PointBytes(range(len(matrix)), {"full": matrix}, [{}] * len(matrix))
    for row in range(len(matrix)):
        point = grpc.UpsertPoints.FromString(made.point(row)).points[0]
        assert list(point.vectors.vectors.vectors["full"].dense.data) == matrix[row].tolist()
