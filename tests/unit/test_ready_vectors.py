"""Ready vectors take the encoder's place; a row without one that serves is rejected."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdrant_static.errors import ArgumentError, ColumnNotFoundError, ColumnTypeError
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.sources import open_source

NAN, INF = float("nan"), float("inf")
VECTORS = [[1, 2, 3], None, [4, 5], [6, NAN, 8], [9, None, 1], [2, 3, 1e39], [-1, 0, 0.5], []]
GOOD = {0: [1, 2, 3], 6: [-1, 0, 0.5]}
TOLD = {
    1: "no vector",
    2: "a vector of 2 dimensions, not of 3",
    3: "a number of the vector is missing or not finite",
    4: "a number of the vector is missing or not finite",
    5: "a number of the vector is missing or not finite",
    7: "a vector of 0 dimensions, not of 3",
}
OPTIONS = SourceOptions(vectors="embedding")


def write(path, column: pa.Array, **more):
    count = len(column)
    columns = {"id": range(count), "text": ["t"] * count, "embedding": column, **more}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float64()), pa.large_list(pa.float64()), pa.list_view(pa.float64())],
    ids=str,
)
def test_rows_without_a_vector_that_serves_are_rejected(tmp_path, kind):
    source = open_source(write(tmp_path / "a.parquet", pa.array(VECTORS, kind)), options=OPTIONS)
    assert source.selection.dimension == 3
    (batch,) = source
    assert batch.vectors.dtype == np.float32
    assert dict(zip(batch.positions, batch.vectors.tolist(), strict=True)) == GOOD
    assert {one.position: one.message for one in batch.rejects} == TOLD
    assert {one.reason for one in batch.rejects} == {"bad_vector"}
    assert batch.payloads == [{"id": 0, "text": "t"}, {"id": 6, "text": "t"}]
    assert batch.take([1]).vectors.tolist() == [[-1, 0, 0.5]]


@pytest.mark.parametrize("inner", [pa.float16(), pa.float32(), pa.float64(), pa.int8()], ids=str)
def test_lists_of_one_size_may_be_of_any_numbers(tmp_path, inner):
    values = pa.array(np.array([1, 2, 3, 4, 5, 6]).astype(inner.to_pandas_dtype()), inner)
    column = pa.FixedSizeListArray.from_arrays(values, 3)
    (batch,) = open_source(write(tmp_path / "a.parquet", column), options=OPTIONS)
    assert batch.vectors.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_tensors_of_one_dimension_are_vectors(tmp_path):
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(
        np.arange(6, dtype=np.float32).reshape(2, 3)
    )
    (batch,) = open_source(write(tmp_path / "a.parquet", column), options=OPTIONS)
    assert batch.vectors.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_nulls_among_lists_of_one_size_are_rejected_alone(tmp_path):
    column = pa.array([[1, 2], None, [3, 4], [5, None]], pa.list_(pa.float32(), 2))
    (batch,) = open_source(write(tmp_path / "a.parquet", column), options=OPTIONS)
    assert batch.vectors.tolist() == [[1, 2], [3, 4]]
    assert [one.position for one in batch.rejects] == [1, 3]


def test_the_dimension_is_that_of_the_first_vector_of_the_input(tmp_path):
    write(tmp_path / "a.parquet", pa.array([None, [], [1, 2]], pa.list_(pa.float32())).slice(0, 1))
    write(tmp_path / "b.parquet", pa.array([[1, 2], [1, 2, 3]], pa.list_(pa.float32())))
    source = open_source(tmp_path, options=OPTIONS)
    assert source.selection.dimension == 2
    assert [len(batch) for batch in source] == [0, 1]


def test_json_lines_have_vectors_as_lists_of_numbers(tmp_path):
    path = tmp_path / "a.jsonl"
    vectors = [*VECTORS[:3], VECTORS[4], VECTORS[5], VECTORS[6], "x", [True, 1, 2], {"a": 1}]
    lines = [json.dumps({"id": n, "text": "t", "embedding": v}) for n, v in enumerate(vectors)]
    path.write_text("\n".join([*lines, '{"id": 99, "text": "t"}']))
    (batch,) = open_source(path, options=OPTIONS)
    assert batch.vectors.tolist() == [[1, 2, 3], [-1, 0, 0.5]]
    assert batch.vectors.dtype == np.float32
    assert len(batch.rejects) == 8
    assert {one.reason for one in batch.rejects} == {"bad_vector"}
    assert "embedding" not in batch.payloads[0]


def test_text_may_be_missing_beside_a_vector_and_a_key(tmp_path):
    path = write(tmp_path / "a.parquet", pa.array([[1.0], [2.0]]))
    pq.write_table(pq.read_table(path).drop_columns("text"), path)
    (batch,) = open_source(path, options=OPTIONS)
    assert batch.texts.to_pylist() == ["", ""]
    jsonl = tmp_path / "b.jsonl"
    jsonl.write_text('{"id": 1, "embedding": [1], "text": null}')
    (batch,) = open_source(jsonl, options=OPTIONS)
    assert (batch.texts.to_pylist(), batch.vectors.tolist()) == ([""], [[1]])


def test_without_key_and_text_nothing_would_tell_rows_apart(tmp_path):
    pq.write_table(pa.table({"embedding": [[1.0]]}), tmp_path / "a.parquet")
    with pytest.raises(ArgumentError, match="neither text nor key"):
        open_source(tmp_path, options=OPTIONS)
    pq.write_table(pa.table({"embedding": [[1.0]], "text": [None]}), tmp_path / "a.parquet")
    (batch,) = open_source(tmp_path, options=OPTIONS)
    assert [one.reason for one in batch.rejects] == ["no_text"]


def test_a_vector_is_payload_only_where_it_is_named(tmp_path):
    path = write(tmp_path / "a.parquet", pa.array([[1.0]]))
    options = SourceOptions(vectors="embedding", payload=("embedding",))
    (batch,) = open_source(path, options=options)
    assert batch.payloads == [{"id": 0, "embedding": [1.0]}]


def test_vectors_may_lie_in_a_struct(tmp_path):
    rows = [
        {"id": 1, "text": "a", "m": {"v": [1.0, 2.0], "x": 1}},
        {"id": 2, "text": "b", "m": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (batch,) = open_source(tmp_path, options=SourceOptions(vectors="m.v"))
    assert batch.vectors.tolist() == [[1, 2]]
    assert batch.payloads == [{"id": 1, "text": "a", "m": {"x": 1}}]


@pytest.mark.parametrize(
    ("column", "error"),
    [(pa.array(["x"]), ColumnTypeError), (pa.array([["x"]]), ColumnTypeError),
     (pa.array([1.0]), ColumnTypeError)],
)  # fmt: skip
def test_a_column_that_holds_no_vectors_is_an_error(tmp_path, column, error):
    with pytest.raises(error, match="lists of numbers"):
        open_source(write(tmp_path / "a.parquet", column), options=OPTIONS)
    with pytest.raises(ColumnNotFoundError):
        open_source(tmp_path / "a.parquet", options=SourceOptions(vectors="none"))
