"""Arrow values -> JSON values."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.reading.columns import is_storable, plain
from qdrant_static.reading.payloads import DoubledNameError, to_json

NS = pa.array(np.array(["2020-01-02T03:04:05.123456789", "NaT"], "datetime64[ns]"))
NS_OUT = ["2020-01-02T03:04:05.123456", None]
ONE = uuid.UUID(int=1)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None, -5], pa.int8()), [1, None, -5]),
        (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
        (pa.array([True, None]), [True, None]),
        (pa.array(["a", None, ""]), ["a", None, ""]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array([None, None], pa.null()), [None, None]),
        (pa.array([1.5, math.nan, math.inf, -math.inf, None]), [1.5, None, None, None, None]),
        (pa.array(np.array([1.5, np.nan], np.float16)), [1.5, None]),
        (pa.array([dt.date(2020, 2, 29)]), ["2020-02-29"]),
        (pa.array([dt.date(2020, 2, 29)], pa.date64()), ["2020-02-29"]),
        (pa.array([dt.time(1, 2, 3)], pa.time32("s")), ["01:02:03"]),
        (pa.array([3_723_000_001_999], pa.time64("ns")), ["01:02:03.000001"]),
        (NS, NS_OUT),
        (pa.array([0], pa.timestamp("s")), ["1970-01-01T00:00:00"]),
        (pa.array([0], pa.timestamp("us", "UTC")), ["1970-01-01T00:00:00+00:00"]),
        (pa.array([0], pa.timestamp("ms", "+02:00")), ["1970-01-01T02:00:00+02:00"]),
        (pa.array([1_500], pa.duration("ms")), [1.5]),
        (pa.array([1_500_000_000], pa.duration("ns")), [1.5]),
        (pa.array([decimal.Decimal("1.25")], pa.decimal128(10, 2)), [1.25]),
        (
            pa.array([decimal.Decimal("12345678901234567890.25")], pa.decimal128(30, 2)),
            ["12345678901234567890.25"],
        ),
        (pa.array(["a", "b", None]).dictionary_encode(), ["a", "b", None]),
        (pa.array([math.nan, 2.0]).dictionary_encode(), [None, 2.0]),
        (pa.array([[1, None], None, []]), [[1, None], None, []]),
        (pa.array([[1.0, math.inf]], pa.list_(pa.float32(), 2)), [[1.0, None]]),
        (pa.array([[math.nan]], pa.large_list(pa.float64())), [[None]]),
        (
            pa.array([{"a": math.nan, "b": [dt.date(2020, 1, 1)], "c": None}, None]),
            [{"a": None, "b": ["2020-01-01"], "c": None}, None],
        ),
        (
            pa.array([[("a", 1.5), ("b", math.nan), ("c", None)], None],
                     pa.map_(pa.string(), pa.float64())),
            [{"a": 1.5, "b": None, "c": None}, None],
        ),
        (pa.array([[(1, "x")]], pa.map_(pa.int32(), pa.string())), [{"1": "x"}]),
        (pa.array([ONE.bytes, None], pa.uuid()), [str(ONE), None]),
    ],
)  # fmt: skip
def test_a_value_becomes_what_json_has_for_it(column, expected):
    got = to_json(column)
    assert got == expected
    json.dumps(got, allow_nan=False)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.ListArray.from_arrays([0, 2], NS), [NS_OUT]),
        (pa.StructArray.from_arrays([NS], ["at"]), [{"at": one} for one in NS_OUT]),
        (NS.dictionary_encode(), NS_OUT),
    ],
    ids=["list", "struct", "dictionary"],
)
def test_nanoseconds_are_cut_at_any_depth(column, expected):
    assert to_json(column) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([-1, -1001], pa.timestamp("ns")),
         ["1969-12-31T23:59:59.999999", "1969-12-31T23:59:59.999998"]),
        (pa.array([253402300799], pa.int64()).view(pa.timestamp("s", "Europe/Berlin")),
         ["9999-12-31T23:59:59+00:00"]),
        (pa.array([-11676096000], pa.int64()).view(pa.timestamp("s", "Europe/Berlin")),
         ["1600-01-01T00:00:00+00:00"]),
        (pa.array([86_399_999, -1], pa.int64()).view(pa.date64()), ["1970-01-01", "1969-12-31"]),
    ],
    ids=["cut downwards", "only in UTC a year that exists", "an offset of seconds", "within a day"],
)  # fmt: skip
def test_a_moment_is_not_moved(column, expected):
    """RFC 3339, which the engine's index of dates reads, has no offsets of seconds."""
    assert to_json(column) == expected


@pytest.mark.parametrize("wrap", ["bare", "list", "struct", "map", "fixed"])
@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([["x"], None, ["y", None], []], pa.list_view(pa.string())),
         [["x"], None, ["y", None], []]),
        (pa.array([["x"], [], ["y"], None], pa.large_list_view(pa.string())),
         [["x"], [], ["y"], None]),
        (pa.ListViewArray.from_arrays(
            pa.array([2, 0, 1, 1], pa.int32()), pa.array([1, 2, 2, 0], pa.int32()),
            pa.array(["a", "b", "c"])),
         [["c"], ["a", "b"], ["b", "c"], []]),
        (pa.RunEndEncodedArray.from_arrays([1, 4], pa.array([10**18, 0], pa.timestamp("us"))),
         ["33658-09-27T01:46:40"] + ["1970-01-01T00:00:00"] * 3),
        (pa.DictionaryArray.from_arrays(
            pa.array([1, 0, None, 1], pa.int8()), pa.array([["a"], [None]])),
         [[None], ["a"], None, [None]]),
        (pa.array(["a", None, "b", ""], pa.string_view()), ["a", None, "b", ""]),
        (pa.ExtensionArray.from_storage(
            pa.opaque(pa.timestamp("s"), "t", "v"), pa.array([0, None, 1, 2], pa.timestamp("s"))),
         ["1970-01-01T00:00:00", None, "1970-01-01T00:00:01", "1970-01-01T00:00:02"]),
        (pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(8.0).reshape(4, 2)),
         [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]),
    ],
    ids=lambda value: str(value.type)[:20] if isinstance(value, pa.Array) else "",
)  # fmt: skip
def test_columns_of_any_layout_give_their_values_rows_of_them_too(column, expected, wrap):
    wrapped, expected = {
        "bare": lambda: (column, expected),
        "list": lambda: (pa.ListArray.from_arrays([0, 3, 4], column),
                         [expected[:3], expected[3:]]),
        "struct": lambda: (pa.StructArray.from_arrays([column], ["a"]),
                           [{"a": one} for one in expected]),
        "map": lambda: (pa.MapArray.from_arrays([0, 1, 4], list("abcd"), column),
                        [{"a": expected[0]}, dict(zip("bcd", expected[1:], strict=True))]),
        "fixed": lambda: (pa.FixedSizeListArray.from_arrays(column, 2),
                          [expected[:2], expected[2:]]),
    }[wrap]()  # fmt: skip
    assert to_json(wrapped) == expected
    assert to_json(wrapped.slice(1)) == expected[1:]
    readable = plain(wrapped.slice(1))
    readable.validate(full=True)
    rows = list(range(len(readable)))[::-1]
    assert to_json(readable.take(pa.array(rows))) == expected[1:][::-1]


@pytest.mark.parametrize(
    "kind", [pa.list_view(pa.int8()), pa.list_(pa.dictionary(pa.int8(), pa.string()), 2)]
)
def test_a_null_stays_one_in_a_list_that_is_written_out(kind):
    one = [1, 2] if pa.types.is_integer(kind.value_type) else ["a", "b"]
    column = pa.array([None, one, None, one], kind)
    assert to_json(plain(column)) == [None, one, None, one]
    assert to_json(plain(column.slice(2))) == [None, one]


def test_a_name_that_a_map_has_twice_is_refused_and_shown():
    column = pa.array([[("a", 1)], [("a", 1), ("b", 2), ("a", 3)]], pa.map_(pa.string(), pa.int8()))
    assert to_json(column, pairs=True) == [{"a": 1}, [["a", 1], ["b", 2], ["a", 3]]]
    for whole in (column, pa.ListArray.from_arrays([0, 2], column)):
        with pytest.raises(DoubledNameError, match="the name 'a' twice"):
            to_json(whole)


def test_uuids_are_strings_at_any_depth():
    """Of pyarrow before 25 the list has no Python form; a row must not end the run."""
    storage = pa.array([ONE.bytes], pa.binary(16))
    extension = pa.ExtensionArray.from_storage(pa.uuid(), storage)
    assert to_json(pa.ListArray.from_arrays([0, 1], extension)) == [[str(ONE)]]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([2**40], pa.timestamp("s")), ["36812-02-20T00:36:16"]),
        (pa.array([-(2**40)], pa.timestamp("s", "UTC")), ["-32873-11-12T23:23:44+00:00"]),
        (pa.array([10**18 + 5, None, 0], pa.timestamp("us")),
         ["33658-09-27T01:46:40.000005", None, "1970-01-01T00:00:00"]),
        (pa.array([5_000_000], pa.int32()).cast(pa.date32()), ["15659-07-15"]),
        (pa.array([2**62], pa.duration("s")), [4.611686018427388e18]),
    ],
    ids=["late timestamp", "early timestamp", "microseconds", "late date", "long duration"],
)  # fmt: skip
def test_a_time_that_python_cannot_hold_is_written_as_others_are(column, expected):
    """Placeholders such as 9999999-12-31 are common."""
    assert to_json(column) == expected


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(), pa.large_binary(), pa.binary(16), pa.binary_view(), pa.list_(pa.binary()),
        pa.struct([("a", pa.int8()), ("b", pa.large_binary())]), pa.map_(pa.string(), pa.binary()),
        pa.dictionary(pa.int8(), pa.binary()), pa.run_end_encoded(pa.int32(), pa.binary()),
        pa.month_day_nano_interval(), pa.list_view(pa.binary_view()),
        pa.list_(pa.dense_union([pa.field("a", pa.int8()), pa.field("b", pa.int16())])),
    ],
    ids=str,
)  # fmt: skip
def test_binary_data_intervals_and_unions_cannot_be_stored_at_any_depth(kind):
    assert not is_storable(kind)


@pytest.mark.parametrize(
    "kind",
    [
        pa.int64(), pa.string(), pa.string_view(), pa.null(), pa.list_(pa.string()), pa.uuid(),
        pa.struct([("a", pa.list_(pa.float16()))]), pa.dictionary(pa.int8(), pa.string()),
        pa.map_(pa.string(), pa.int8()), pa.decimal128(20, 3), pa.timestamp("ns"),
    ],
    ids=str,
)  # fmt: skip
def test_all_else_can(kind):
    assert is_storable(kind)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats() | st.none()), max_size=5))
def test_structs_of_any_floats_become_strict_json(rows):
    got = to_json(pa.array(rows, pa.struct([(name, pa.float64()) for name in "abc"])))
    json.dumps(got, allow_nan=False)
    for row, out in zip(rows, got, strict=True):
        for name, value in out.items():
            given_value = row.get(name)
            finite = given_value is not None and math.isfinite(given_value)
            assert value == (given_value if finite else None)
