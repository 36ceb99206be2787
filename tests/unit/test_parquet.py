"""Parquet: every row is a record or a reject, whatever the column's type."""

from __future__ import annotations

import datetime as dt
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.errors import ArgumentError, ColumnNotFoundError, ColumnTypeError
from qdrant_static.reading import parquet
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection
from qdrant_static.reading.sources import open_source

SELECTION = Selection(key="id", text=("title", "text"), payload=None)


def write(path, columns: dict, **options):
    pq.write_table(pa.table(columns), path, **options)
    return path


def read(path, selection: Selection = SELECTION):
    records, rejects = [], []
    for item in parquet.read(path, selection):
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        keys = item.keys or [None] * len(item)
        texts = item.texts.to_pylist()
        records += zip(item.positions, keys, texts, item.payloads, strict=True)
        rejects += item.rejects
    return records, rejects


def strings(*values: bytes) -> pa.StringArray:
    """Strings whose bytes nobody checks, as other writers leave them."""
    offsets = np.cumsum([0, *map(len, values)]).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.parquet"


def test_a_row_becomes_a_record_with_its_number_key_text_and_payload(path):
    write(path, {"id": ["k"], "title": ["A"], "text": ["b"], "n": [1.5]})
    records, rejects = read(path)
    assert records == [(0, "k", "A b", {"id": "k", "title": "A", "text": "b", "n": 1.5})]
    assert rejects == []


def test_rows_without_key_or_text_are_rejected_with_their_number(path):
    write(
        path,
        {
            "id": [1, None, 3, 4, 5],
            "title": ["a", "b", None, "", "\u2003\t\n"],
            "text": ["x", "y", "z", " ", None],
        },
    )
    records, rejects = read(path)
    assert [record[:3] for record in records] == [(0, 1, "a x"), (2, 3, "z")]
    assert sorted((one.position, one.reason) for one in rejects) == [
        (1, "null_key"), (3, "no_text"), (4, "no_text"),
    ]  # fmt: skip
    assert rejects[0].row == {"id": None, "title": "b", "text": "y"}
    assert {one.unit for one in rejects} == {"row"}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None, " "]),
        pa.array(["a", None, " "], pa.large_string()),
        pa.array(["a", None, " "], pa.string_view()),
        pa.array(["a", None, " "]).dictionary_encode(),
        pa.array(["a", None, " "], pa.large_string()).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
@pytest.mark.parametrize("names", [("text",), ("text", "other")])
def test_text_may_be_of_any_string_type(path, column, names):
    write(path, {"id": [1, 2, 3], "text": column, "other": ["", None, None]})
    selection = Selection(key="id", text=names, payload=None)
    records, rejects = read(path, selection)
    assert [record[2] for record in records] == ["a"]
    assert [one.reason for one in rejects] == ["no_text", "no_text"]


def test_a_column_of_nulls_has_no_text_and_no_key(path):
    write(path, {"id": pa.nulls(2), "text": ["a", "b"], "title": pa.nulls(2)})
    source = open_source(path)
    assert source.selection == SELECTION
    records, rejects = read(path)
    assert (records, [one.reason for one in rejects]) == ([], ["null_key", "null_key"])
    write(path, {"id": [1, 2], "text": pa.nulls(2)})
    records, rejects = read(path, Selection(key="id", text=("text",), payload=None))
    assert (records, [one.reason for one in rejects]) == ([], ["no_text", "no_text"])


@pytest.mark.parametrize(
    ("column", "keys"),
    [
        (pa.array([1, 2], pa.uint64()), [1, 2]),
        (pa.array([-1, 2], pa.int8()), [-1, 2]),
        (pa.array(["a", ""]), ["a", ""]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (
            pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes], pa.uuid()),
            [uuid.UUID(int=1), uuid.UUID(int=2)],
        ),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_keys_may_be_integers_strings_and_uuids(path, column, keys):
    write(path, {"id": column, "text": ["a", "b"]})
    source = open_source(path)
    records, rejects = read(path, source.selection)
    assert ([record[1] for record in records], rejects) == (keys, [])


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"id": [1.5], "text": ["a"]}, "id"),
        ({"id": [True], "text": ["a"]}, "id"),
        ({"id": [b"a"], "text": ["a"]}, "id"),
        ({"id": [[1]], "text": ["a"]}, "id"),
        ({"id": [1], "text": [5]}, "text"),
        ({"id": [1], "text": [b"a"]}, "text"),
        ({"id": [1], "text": [["a"]]}, "text"),
        ({"id": [1], "title": [dt.date(2020, 1, 1)], "text": ["a"]}, "title"),
    ],
)
def test_a_column_of_a_type_that_cannot_serve_is_an_error_before_a_row_is_read(
    path, columns, named
):
    write(path, columns)
    with pytest.raises(ColumnTypeError) as caught:
        open_source(path)
    assert caught.value.column == named
    assert str(pq.read_schema(path).field(named).type) in caught.value.message


def test_a_missing_column_is_an_error_that_lists_those_there(path):
    write(path, {"id": [1], "text": ["a"]})
    with pytest.raises(ColumnNotFoundError, match=r"no column 'doi'.*its columns are: id, text"):
        open_source(path, key="doi")


def test_a_column_that_only_a_later_file_lacks_is_an_error_before_a_row_is_read(tmp_path):
    write(tmp_path / "a.parquet", {"id": [1], "text": ["a"]})
    write(tmp_path / "b.parquet", {"text": ["a"]})
    with pytest.raises(ColumnNotFoundError, match=r"no column 'id' in .*b\.parquet"):
        open_source(tmp_path)


def test_binary_columns_are_left_out_and_named(path):
    write(path, {"id": [1], "text": ["a"], "b": [b"x"], "l": [[b"x"]], "n": [2]})
    source = open_source(path)
    assert source.left_out == ("b", "l")
    records, _ = read(path, source.selection)
    assert records[0][3] == {"id": 1, "text": "a", "n": 2}


def test_a_string_that_is_not_utf8_rejects_its_row_alone(path):
    write(path, {"id": [1, 2, 3], "text": strings(b"one", b"\xff\xfe", b"three")})
    records, rejects = read(path, Selection(key="id", text=("text",), payload=None))
    assert [record[:3] for record in records] == [(0, 1, "one"), (2, 3, "three")]
    assert [(one.reason, one.position) for one in rejects] == [("not_unicode", 1)]


def test_a_nested_string_that_is_not_utf8_rejects_its_row_alone(path):
    tags = pa.ListArray.from_arrays([0, 1, 2, 3], strings(b"x", b"\xff", b"z"))
    write(path, {"id": [1, 2, 3], "text": ["a", "b", "c"], "tags": tags})
    records, rejects = read(path, Selection(key="id", text=("text",), payload=None))
    assert [record[1] for record in records] == [1, 3]
    assert [(one.reason, one.position) for one in rejects] == [("not_unicode", 1)]


@pytest.mark.parametrize("column", ["text", "payload"])
def test_a_dictionary_entry_that_is_not_utf8_rejects_the_rows_that_use_it_alone(path, column):
    bad = pa.DictionaryArray.from_arrays(
        pa.array([0, 1, 2, 0], pa.int32()), strings(b"one", b"\xff", b"three")
    )
    columns = {"id": [1, 2, 3, 4], "text": ["a", "b", "c", "d"], "payload": ["p"] * 4}
    write(path, {**columns, column: bad})
    records, rejects = read(path, Selection(key="id", text=("text",), payload=None))
    assert [record[1] for record in records] == [1, 3, 4]
    assert [(one.reason, one.position) for one in rejects] == [("not_unicode", 1)]


def test_bad_strings_in_a_column_that_nobody_wants_do_no_harm(path):
    write(path, {"id": [1], "text": ["a"], "other": strings(b"\xff")})
    records, rejects = read(path, Selection(key="id", text=("text",), payload=("text",)))
    assert ([record[1] for record in records], rejects) == ([1], [])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**40, 1], pa.timestamp("s")),
        pa.array([5_000_000, 1], pa.int32()).cast(pa.date32()),
        pa.array([[1, 2], []], pa.list_(pa.timestamp("ns"))),
        pa.array([{"at": 1}, {"at": 2}], pa.struct([("at", pa.timestamp("ns"))])),
        pa.array([2**62, 1], pa.duration("s")),
    ],
    ids=["late timestamp", "late date", "list of ns", "struct of ns", "long duration"],
)
def test_a_value_that_python_cannot_hold_does_not_end_the_run(path, column):
    write(path, {"id": [1, 2], "text": ["a", "b"], "at": column})
    records, rejects = read(path, Selection(key="id", text=("text",), payload=None))
    assert len(records) + len(rejects) == 2
    assert 2 in [record[1] for record in records]


FAR = [dt.datetime(9999, 12, 31, 23, 59, 59, 999999), None, dt.datetime(1, 1, 1)]


@pytest.mark.parametrize("store_schema", [True, False])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda one: one, lambda one: [one], lambda one: {"a": one}, lambda one: [("k", one)],
        lambda one: [{"a": [one]}],
    ],
    ids=["flat", "list", "struct", "map", "list of structs of lists"],
)  # fmt: skip
def test_timestamps_of_96_bits_keep_dates_that_nanoseconds_cannot_count(path, wrap, store_schema):
    moment = pa.timestamp("us")
    kind = {
        "datetime": moment, "list": pa.list_(moment), "dict": pa.struct([("a", moment)]),
        "tuple": pa.map_(pa.string(), moment),
        "nested": pa.list_(pa.struct([("a", pa.list_(moment))])),
    }  # fmt: skip
    sample = wrap(FAR[0])
    name = type(sample).__name__
    if name == "list" and isinstance(sample[0], tuple | dict):
        name = "tuple" if isinstance(sample[0], tuple) else "nested"
    column = pa.array([wrap(one) for one in FAR], kind[name])
    write(
        path, {"id": [1, 2, 3], "text": ["a"] * 3, "at": column},
        use_deprecated_int96_timestamps=True, store_schema=store_schema,
    )  # fmt: skip
    records, rejects = read(path, Selection(key="id", text=("text",), payload=None))
    expected = [wrap(None) if one is None else wrap(one.isoformat()) for one in FAR]
    if name == "tuple":
        expected = [dict(one) for one in expected]
    assert [record[3]["at"] for record in records] == expected
    assert rejects == []


def test_a_value_that_its_type_has_not_rejects_its_row_and_says_what(path):
    late = pa.array([90_000, 1], pa.int32()).view(pa.time32("s"))
    write(path, {"id": [1, 2], "text": ["a", "b"], "at": late})
    records, rejects = read(path, Selection(key="id", text=("text",), payload=None))
    assert [record[1] for record in records] == [2]
    assert [(one.reason, one.position) for one in rejects] == [("wrong_type", 0)]
    assert rejects[0].message.startswith("'at': ")


def test_a_map_with_a_name_twice_rejects_its_row_and_shows_it(path):
    pairs = pa.array([[("a", 1), ("a", 2)], [("a", 3)]], pa.map_(pa.string(), pa.int8()))
    write(path, {"id": [1, 2], "text": ["a", "b"], "m": pairs})
    records, (reject,) = read(path, Selection(key="id", text=("text",), payload=None))
    assert [record[3]["m"] for record in records] == [{"a": 3}]
    assert (reject.reason, reject.message) == ("wrong_type", "'m': a map has the name 'a' twice")
    assert reject.row["m"] == [["a", 1], ["a", 2]]


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: pa.list_(pa.struct([("a", one)]))])
def test_a_time_zone_that_nobody_knows_is_an_error_before_a_row_is_read(path, wrap):
    column = pa.nulls(1, wrap(pa.timestamp("us", "Mars/Phobos")))
    write(path, {"id": [1], "text": ["a"], "at": column})
    with pytest.raises(ColumnTypeError, match=r"'at'.*Mars/Phobos.*a time zone that .* knows"):
        open_source(path)
    (batch,) = open_source(path, options=SourceOptions(exclude=("at",)))
    assert batch.payload_rows() == [{"id": 1, "text": "a"}]


def test_a_struct_with_a_field_twice_is_an_error_that_names_both(path):
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    write(path, {"id": [1], "text": ["a"], "s": pa.ListArray.from_arrays([0, 1], twice)})
    with pytest.raises(ArgumentError, match="the field 'a' twice in the column 's'"):
        open_source(path)


@pytest.mark.parametrize("twice", ["text", "other"])
def test_two_columns_of_one_name_are_an_error_that_names_it(path, twice):
    columns = [("id", pa.array([1])), ("text", pa.array(["a"])), (twice, pa.array(["b"]))]
    if twice == "other":
        columns.append((twice, pa.array(["c"])))
    table = pa.table([one for _, one in columns], names=[name for name, _ in columns])
    pq.write_table(table, path)
    with pytest.raises(ArgumentError, match=twice):
        list(open_source(path))


def test_a_column_that_comes_twice_may_be_left_out(path):
    columns = [pa.array([1]), pa.array(["a"]), pa.array(["b"]), pa.array(["c"])]
    pq.write_table(pa.table(columns, names=["id", "text", "other", "other"]), path)
    with pytest.raises(ArgumentError, match="column 'other' twice: exclude it, or rename one"):
        open_source(path)
    for options in (SourceOptions(exclude=("other",)), SourceOptions(payload=("text",))):
        (batch,) = open_source(path, options=options)
        assert batch.payload_rows() == [{"id": 1, "text": "a"}]


def test_names_with_dots_are_names_and_not_paths(path):
    write(path, {"id": [1], "text": ["a"], "a.b": [3], "s": [{"b": 4, "text": "q"}]})
    records, _ = read(path, Selection(key="id", text=("text",), payload=None))
    assert records[0][3] == {"id": 1, "text": "a", "a.b": 3, "s": {"b": 4, "text": "q"}}


def test_batches_are_bounded_by_rows_and_number_them_through(path):
    write(path, {"id": range(2500), "text": ["a"] * 2500}, row_group_size=700)
    batches = list(parquet.read(path, SELECTION.__class__(key="id", text=("text",), payload=None)))
    assert max(map(len, batches)) <= 1000
    assert [p for batch in batches for p in batch.positions] == list(range(2500))


def test_wide_rows_come_in_small_batches(path, monkeypatch):
    monkeypatch.setattr(parquet, "MAX_BYTES", 10_000)
    texts = ["".join(chr(97 + (n * k) % 26) for k in range(3000)) for n in range(10)]
    write(path, {"id": range(10), "text": texts}, use_dictionary=False, compression="none")
    batches = list(parquet.read(path, Selection(key="id", text=("text",), payload=None)))
    assert max(map(len, batches)) <= 3
    assert sum(map(len, batches)) == 10


def test_a_row_larger_than_the_bound_is_a_batch_of_its_own(path, monkeypatch):
    monkeypatch.setattr(parquet, "MAX_BYTES", 100)
    write(path, {"id": [1, 2], "text": ["a" * 500, "b" * 500]}, use_dictionary=False)
    batches = list(parquet.read(path, Selection(key="id", text=("text",), payload=None)))
    assert [batch.keys for batch in batches] == [[1], [2]]


@pytest.mark.parametrize(
    "columns", [{"id": pa.array([], pa.int64()), "text": pa.array([], pa.string())}]
)
def test_a_file_without_rows_has_none(path, columns):  # fmt: skip
    write(path, columns)
    source = open_source(path)
    assert (source.total_rows, list(source)) == (0, [])


def test_a_break_in_the_file_costs_its_row_group_and_comes_last(path):
    texts = [f"row {n * 7919 % 100_003}" for n in range(4000)]
    write(path, {"id": range(4000), "text": texts}, row_group_size=1000, compression="zstd")
    offset = pq.read_metadata(path).row_group(2).column(0).data_page_offset
    raw = bytearray(path.read_bytes())
    raw[offset : offset + 200] = b"\xff" * 200
    path.write_bytes(raw)
    records, rejects = read(path, Selection(key="id", text=("text",), payload=None))
    assert [record[0] for record in records] == [*range(2000), *range(3000, 4000)]
    (reject,) = rejects
    assert (reject.reason, reject.is_file, reject.position) == ("unreadable_file", True, None)
    assert reject.message.startswith("rows 2000 to 2999 cannot be read: ")


def test_pages_that_have_a_checksum_are_checked(path):
    texts = [f"row {n}" for n in range(50)]
    write(
        path, {"id": range(50), "text": texts},
        compression="none", use_dictionary=False, write_page_checksum=True,
    )  # fmt: skip
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"row 17", b"row 71"))
    records, (reject,) = read(path, Selection(key="id", text=("text",), payload=None))
    assert records == []
    assert reject.message.startswith("rows 0 to 49 cannot be read: ")


def test_the_total_is_known_beforehand(tmp_path):
    write(tmp_path / "a.parquet", {"id": [1, 2], "text": ["a", "b"]})
    write(tmp_path / "b.parquet", {"id": [3], "text": ["c"]})
    assert open_source(tmp_path).total_rows == 3


def test_a_row_never_gets_the_text_of_another(path):
    """pyarrow 26's binary_join_element_wise leaves out rows whose parts are all null."""
    write(
        path,
        {
            "id": pa.array([1, 2, None, 4]),
            "title": pa.array([None, "b", "c", "d"]),
            "text": pa.array([None, None, None, "D"]),
        },
    )
    records, rejects = read(path)
    assert [record[:3] for record in records] == [(1, 2, "b"), (3, 4, "d D")]
    assert [(one.position, one.reason) for one in rejects] == [(0, "no_text"), (2, "null_key")]


cells = st.sampled_from([None, "", " ", "a", "b c"])


@given(st.lists(st.tuples(st.none() | st.integers(0, 9), cells, cells), min_size=1, max_size=8))
def test_every_row_is_in_exactly_one_place_with_its_own_text(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    keys, titles, texts = (list(column) for column in zip(*rows, strict=True))
    kinds = (pa.int64(), pa.string(), pa.string())
    arrays = [pa.array(c, kind) for c, kind in zip((keys, titles, texts), kinds, strict=True)]
    pq.write_table(pa.table(arrays, names=["id", "title", "text"]), path)
    records, rejects = read(path)
    expected = [
        (row, key, " ".join(part for part in parts if part and part.strip()))
        for row, (key, *parts) in enumerate(rows)
    ]
    assert [record[:3] for record in records] == [
        one for one in expected if one[1] is not None and one[2]
    ]
    assert sorted([r[0] for r in records] + [r.position for r in rejects]) == [*range(len(rows))]


def test_settled_row_groups_are_not_even_read(path):
    """Their bytes are damaged here, and nobody notices."""
    texts = [f"row {n * 7919 % 100_003}" for n in range(4000)]
    write(path, {"id": range(4000), "text": texts}, row_group_size=1000, compression="zstd")
    source = open_source(path)
    raw = bytearray(path.read_bytes())
    for group in (0, 2):
        offset = pq.read_metadata(path).row_group(group).column(1).data_page_offset
        raw[offset : offset + 200] = b"\xff" * 200
    path.write_bytes(raw)
    settled = {str(path): [(0, 1000), (1200, 3000), (3990, 4000)]}
    items = list(source.batches(settled))
    assert [(item.start, item.stop) for item in items] == [(1000, 1200), (3000, 3990)]
    assert [key for item in items for key in item.keys] == [*range(1000, 1200), *range(3000, 3990)]


def test_payloads_stay_columns_until_rows_are_asked_for(path):
    write(path, {"id": [1, 2], "text": ["a", "b"], "n": [1.5, None]})
    (batch,) = open_source(path)
    assert batch.columns.schema.names == ["id", "text", "n"]
    assert batch.columns.num_rows == 2
    assert batch.take([1]).columns.num_rows == 1
    assert batch.payload_rows() == [
        {"id": 1, "text": "a", "n": 1.5}, {"id": 2, "text": "b", "n": None},
    ]  # fmt: skip
