"""Payloads as columns: the same rows, the same digests, as if they were dictionaries."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.digests import payload_digest
from qdrant_static.reading.payloads import PayloadRows

COLUMNS = pa.record_batch({"b": ["x", None, ""], "a": [1, None, 3], "c": [1.5, None, math.nan]})
ROWS = [
    {"b": "x", "a": 1, "c": 1.5},
    {"b": None, "a": None, "c": None},
    {"b": "", "a": 3, "c": None},
]


def test_rows_are_what_the_columns_hold():
    rows = PayloadRows(COLUMNS)
    assert rows == ROWS
    assert (rows[0], rows[-1], rows[1:], list(rows)) == (ROWS[0], ROWS[2], ROWS[1:], ROWS)
    assert (len(rows), rows.take([2, 0])) == (3, [ROWS[2], ROWS[0]])
    with pytest.raises(IndexError):
        rows[3]
    again = PayloadRows(COLUMNS)
    assert [again[at % 3] for at in range(60)] == ROWS * 20


def test_no_columns_are_rows_without_fields():
    none = PayloadRows(pa.RecordBatch.from_struct_array(pa.array([{}] * 3, pa.struct([]))))
    assert (none, none.take([1]), none[0]) == ([{}, {}, {}], [{}], {})
    assert none.digests() == [payload_digest({})] * 3


def test_digests_do_not_depend_on_order_but_on_every_value():
    base = {"a": 1, "b": "x", "c": [1, {"d": None}]}
    assert payload_digest(base) == payload_digest(dict(reversed(base.items())))
    others = [
        {**base, "a": 2}, {**base, "a": "1"}, {**base, "a": 1.0}, {**base, "a": True},
        {**base, "a": None}, {**base, "b": "y"}, {**base, "c": [1, {"d": 0}]}, {**base, "e": None},
        {"a": 1, "b": "x"}, {"a": 1, "bs1": "x", "c": [1, {"d": None}]},
    ]  # fmt: skip
    assert len({payload_digest(one) for one in [base, *others]}) == len(others) + 1


def test_a_digest_never_changes():
    """Ledgers and collections outlive a version."""
    payload = {
        "id": "10.1/a",
        "year": 2020,
        "score": 0.5,
        "ok": True,
        "tags": ["x", "é"],
        "n": None,
    }
    assert payload_digest(payload).hex() == "9015c78a1a9e0d1b166ffdff56449a52"


values = {
    pa.string(): st.text(st.characters(exclude_categories=["Cs"])),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(),
    pa.float32(): st.floats(width=32),
    pa.float16(): st.floats(width=16, allow_nan=False, allow_infinity=False),
    pa.bool_(): st.booleans(),
    pa.list_(pa.int8()): st.lists(st.integers(-5, 5) | st.none(), max_size=3),
}


@pytest.mark.parametrize("kind", values, ids=str)
@given(st.data(), st.integers(0, 3))
def test_digests_of_columns_are_those_of_the_rows(kind, data, skip):
    given_values = data.draw(st.lists(values[kind] | st.none(), max_size=6))
    if kind == pa.float16():
        import numpy as np

        given_values = [None if one is None else np.float16(one) for one in given_values]
    column = pa.array(given_values, kind)
    whole = pa.record_batch({"x": column, "": pa.array(range(len(column)))})
    rows = PayloadRows(whole.slice(min(skip, len(column))))
    assert rows.digests() == [payload_digest(row) for row in rows]
