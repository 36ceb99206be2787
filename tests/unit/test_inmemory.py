"""Data in memory: Arrow columns and dictionaries give the batches that files give."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from qdrant_static.errors import ArgumentError, ColumnNotFoundError, SourceNotFoundError
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.sources import open_data

TABLE = pa.table({"id": [1, 2, 3], "text": ["a b", "c d", None], "year": [1999, None, 2001]})


class Frame:
    """A data frame of another library, as far as this one knows it."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def read(data, settled=None, **options):
    rows, rejects = [], []
    for item in open_data(data, options=SourceOptions(**options)).batches(settled):
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        assert isinstance(item, Batch)
        rows += zip(item.positions, item.texts.to_pylist(), item.payload_rows(), strict=True)
        rejects += item.rejects
    return rows, rejects


@pytest.mark.parametrize(
    "data",
    [
        TABLE,
        TABLE.to_batches()[0],
        TABLE.to_reader(),
        Frame(TABLE),
        TABLE.to_pylist(),
        iter(TABLE.to_pylist()),
    ],
    ids=["table", "batch", "reader", "frame", "list", "iterator"],
)
def test_every_form_gives_the_same_rows_and_rejects(data):
    rows, rejects = read(data)
    assert [(at, text, one["id"], one["year"]) for at, text, one in rows] == [
        (0, "a b", 1, 1999),
        (1, "c d", 2, None),
    ]
    assert [(one.position, one.reason) for one in rejects] == [(2, "no_text")]


def test_the_rows_are_known_where_the_data_knows_them():
    assert open_data(TABLE).total_rows == open_data(TABLE.to_pylist()).total_rows == 3
    assert open_data(iter(TABLE.to_pylist())).total_rows is None


def test_values_are_stored_as_the_client_stores_them():
    record = {
        "id": 1, "text": "a", "day": dt.date(2024, 1, 2), "price": Decimal("1.5"),
        "uid": UUID(int=1), "n": np.int64(5), "v": np.array([1.0, 2.0], np.float32), 7: "seven",
    }  # fmt: skip
    ((_, _, payload),), rejects = read([record])
    assert rejects == []
    assert payload == {
        "id": 1, "text": "a", "day": "2024-01-02", "price": "1.5", "n": 5,
        "uid": "00000000-0000-0000-0000-000000000001", "v": [1.0, 2.0], "7": "seven",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("record", "reason", "told"),
    [
        ("text", "not_an_object", "a str, not a dictionary"),
        ({"text": "a", "x": b"bytes"}, "wrong_type", "'x' holds a bytes"),
        ({"text": "a", "x": {"y": object()}}, "wrong_type", "'x.y' holds a object"),
        ({"text": "a", "x": float("nan")}, "not_json", "NaN"),
        ({"text": "a\ud800"}, "not_unicode", "UTF-8"),
        ({"text": 5}, "wrong_type", "is a number"),
    ],
)
def test_a_record_that_cannot_be_stored_is_a_reject_and_the_others_are_not(record, reason, told):
    rows, (reject,) = read([{"text": "before"}, record, {"text": "after"}])
    assert [text for _, text, _ in rows] == ["before", "after"]
    assert (reject.position, reject.reason) == (1, reason)
    assert told in f"{reject.message}"


def test_what_is_settled_is_passed_over():
    records = [{"id": n, "text": f"row {n}"} for n in range(5)]
    assert [at for at, _, _ in read(records, {"records": [(1, 3)]})[0]] == [0, 3, 4]
    table = pa.Table.from_pylist(records)
    assert [at for at, _, _ in read(table, {"table": [(1, 3)]})[0]] == [0, 3, 4]


def test_ready_vectors_are_taken_from_either_form():
    records = [{"id": n, "text": "a", "v": [1.0, float(n)]} for n in range(3)]
    for data in (records, pa.Table.from_pylist(records)):
        source = open_data(data, options=SourceOptions(vectors="v"))
        assert source.selection.dimension == 2
        (batch,) = source.batches()
        assert batch.vectors.tolist() == [[1, 0], [1, 1], [1, 2]]


def test_more_than_one_batch_of_records(tmp_path):
    source = open_data({"id": n, "text": "a"} for n in range(2500))
    batches = list(source.batches())
    assert [(one.start, one.stop) for one in batches] == [(0, 1000), (1000, 2000), (2000, 2500)]


def test_a_single_column_is_no_table():
    """As a Series of polars is offered."""
    with pytest.raises(ArgumentError, match="a ChunkedArray cannot be read as a table of named"):
        open_data(pa.chunked_array([["a", "b"]]))


@pytest.mark.parametrize("data", [{"id": [1], "text": ["a"]}, 5, None])
def test_what_is_neither_paths_nor_rows_is_refused_by_its_type(data):
    with pytest.raises(ArgumentError, match=f"a {type(data).__name__} is neither paths, nor"):
        open_data(data)


def test_no_rows_and_a_column_that_is_not_there():
    with pytest.raises(SourceNotFoundError, match="there is no record"):
        open_data(iter([]))
    for data in (TABLE, TABLE.to_pylist()):
        with pytest.raises(ColumnNotFoundError, match="'title'"):
            open_data(data, text="title")


def test_an_error_of_the_iterator_reaches_the_caller():
    def broken():
        yield {"id": 1, "text": "a"}
        raise OSError("the connection is gone")

    with pytest.raises(OSError, match="the connection is gone"):
        list(open_data(broken()).batches())
