"""Paths into structs and objects, several keys, what is stored: alike in every format."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from qdrant_static.collection.spec import Fields
from qdrant_static.errors import ArgumentError, ColumnNotFoundError, ColumnTypeError
from qdrant_static.reading import storedcolumns
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.sources import open_source

ROWS = [
    {
        "id": 1,
        "text": "one",
        "a.b": 1,
        "meta": {"title": "A", "lang": "en", "at": {"x": 1, "y": 2}},
    },
    {"id": 2, "text": "two", "a.b": 2, "meta": None},
    {
        "id": 3,
        "text": "ten",
        "a.b": 3,
        "meta": {"title": None, "lang": "de", "at": {"x": 3, "y": 4}},
    },
]
ENDINGS = ["parquet", "arrow", "jsonl"]


def write_json(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def write(path, rows=ROWS):
    table = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    else:
        write_json(path, rows)
    return path


@pytest.fixture(params=ENDINGS)
def path(request, tmp_path):
    return write(tmp_path / f"a.{request.param}")


def one_batch(path, **options):
    (batch,) = open_source(path, options=SourceOptions(**options))
    return batch


def test_text_and_key_may_lie_in_a_struct(path):
    batch = one_batch(path, text=("meta.title", "text"), key=("meta.at.x",))
    assert (batch.keys, batch.texts.to_pylist()) == ([1, 3], ["A one", "ten"])
    assert [(one.reason, one.message) for one in batch.rejects] == [
        ("null_key", "no key in 'meta.at.x'")
    ]


def test_a_key_may_have_several_parts(path):
    source = open_source(path, key=["meta.lang", "id"])
    (batch,) = source
    assert batch.keys == [("en", 1), ("de", 3)]
    assert source.selection.fields == Fields(key=("meta.lang", "id"), text=("text",))
    assert source.selection.fields.key_of(batch.payloads[0]) == ("en", 1)
    assert Fields.from_dict(json.loads(json.dumps(source.selection.fields.to_dict()))) == (
        source.selection.fields
    )


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({"payload": ()}, {"id": 1}),
        ({"payload": ("a.b",)}, {"id": 1, "a.b": 1}),
        ({"payload": ("meta.title",)}, {"id": 1, "meta": {"title": "A"}}),
        ({"payload": ("meta.at",)}, {"id": 1, "meta": {"at": {"x": 1, "y": 2}}}),
        ({"payload": ("meta.at.y", "text")}, {"id": 1, "text": "one", "meta": {"at": {"y": 2}}}),
        ({"exclude": ("meta", "a.b")}, {"id": 1, "text": "one"}),
        (
            {"exclude": ("meta.at", "a.b")},
            {"id": 1, "text": "one", "meta": {"title": "A", "lang": "en"}},
        ),
        (
            {"payload": ("meta",), "exclude": ("meta.at.x", "meta.lang")},
            {"id": 1, "meta": {"title": "A", "at": {"y": 2}}},
        ),
        (
            {"payload": (), "key": ("meta.lang",), "exclude": ("meta.title",)},
            {"meta": {"lang": "en"}},
        ),
        ({"exclude": ("meta",), "rename": {"text": "body"}}, {"id": 1, "body": "one", "a.b": 1}),
        (
            {"payload": (), "rename": {"meta.title": "title", "meta.at.y": "y", "id": "key"}},
            {"key": 1, "title": "A", "y": 2},
        ),
        (
            {"exclude": ("a.b",), "rename": {"meta.at": "place"}},
            {
                "id": 1,
                "text": "one",
                "meta": {"title": "A", "lang": "en"},
                "place": {"x": 1, "y": 2},
            },
        ),
        (
            {"exclude": ("meta.at.x", "meta.lang"), "rename": {"meta": "m"}},
            {"id": 1, "text": "one", "m": {"title": "A", "at": {"y": 2}}, "a.b": 1},
        ),
        (
            {"payload": (), "exclude": ("meta.at.x",), "rename": {"meta.at": "place"}},
            {"id": 1, "place": {"y": 2}},
        ),
    ],
    ids=str,
)
def test_what_is_stored_is_what_was_chosen(path, options, first):
    batch = one_batch(path, **options)
    assert batch.payloads[0] == first
    assert len(batch) + len(batch.rejects) == 3


FLAT = {"user": "u", "user.name": "Ann", "user.age": 7}
BOTH = {"s.x": "column", "s": {"x": "inner", "y": 2}}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("given", "options", "kept"),
    [
        (FLAT, {"exclude": ("user",)}, {"user.name": "Ann", "user.age": 7}),
        (FLAT, {"exclude": ("user.name",)}, {"user": "u", "user.age": 7}),
        (FLAT, {"payload": ("user",)}, {"user": "u"}),
        (FLAT, {"payload": ("user.name",)}, {"user.name": "Ann"}),
        (FLAT, {"payload": (), "key": ("user",)}, {"user": "u"}),
        (FLAT, {"rename": {"user": "u"}}, {"u": "u", "user.name": "Ann", "user.age": 7}),
        (FLAT, {"rename": {"user.name": "n"}}, {"user": "u", "n": "Ann", "user.age": 7}),
        (BOTH, {"exclude": ("s.x",)}, {"s": {"x": "inner", "y": 2}}),
        (BOTH, {"exclude": ("s",)}, {"s.x": "column"}),
        (BOTH, {"exclude": ("s.y",)}, {"s.x": "column", "s": {"x": "inner"}}),
        (BOTH, {"rename": {"s.x": "q"}}, {"q": "column", "s": {"x": "inner", "y": 2}}),
        (BOTH, {"payload": ("s.x",)}, {"s.x": "column"}),
        (BOTH, {"payload": ("s",)}, {"s": {"x": "inner", "y": 2}}),
        (BOTH, {"payload": ("s.y",)}, {"s": {"y": 2}}),
    ],
    ids=str,
)
def test_a_column_with_a_dot_in_its_name_is_no_part_of_another(
    tmp_path, ending, given, options, kept
):
    """json_normalize and many exports name columns so."""
    path = write(tmp_path / f"a.{ending}", [{"id": 1, "text": "a", **given}])
    source = open_source(path, options=SourceOptions(**options))
    (batch,) = source
    has_text = "payload" not in options
    own = {} if options.get("key") else {"id": 1}
    assert batch.payload_rows() == [own | ({"text": "a"} if has_text else {}) | kept]
    assert source.selection.fields.text == (("text",) if has_text else ())


def test_fields_say_whether_a_text_with_a_dot_in_its_name_is_stored(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"id": 1, "user": "u", "user.bio": "text"}])
    for exclude, text in (("user", ("user.bio",)), ("user.bio", ())):
        options = SourceOptions(text=("user.bio",), exclude=(exclude,))
        assert open_source(path, options=options).selection.fields.text == text


@pytest.mark.parametrize(
    ("value", "kept"),
    [("a word", "a word"), (5, 5), ([1, 2], [1, 2]), ({"x": 1, "y": 2}, {"y": 2}),
     ([{"x": 1, "y": 2}, 3, {"y": 4}], [{"y": 2}, 3, {"y": 4}])],
)  # fmt: skip
def test_a_field_that_is_excluded_takes_nothing_else_with_it(tmp_path, value, kept):
    rows = [{"id": 1, "text": "a", "m": {"x": 0}}, {"id": 2, "text": "b", "m": value}]
    batch = one_batch(write_json(tmp_path / "a.jsonl", rows), exclude=("m.x",))
    assert batch.payload_rows() == [{"id": 1, "text": "a"}, {"id": 2, "text": "b", "m": kept}]


def test_two_columns_may_change_names(path):
    batch = one_batch(path, rename={"text": "id", "id": "text"}, exclude=("meta",))
    assert batch.payloads[0] == {"text": 1, "id": "one", "a.b": 1}
    assert batch.keys == [1, 2, 3]


def test_the_fields_have_the_names_of_the_payload(path):
    source = open_source(path, options=SourceOptions(rename={"text": "body", "id": "key"}))
    assert source.selection.fields == Fields(key="key", text=("body",), columns=("text",))
    source = open_source(path, options=SourceOptions(exclude=("text",)))
    assert source.selection.fields == Fields(key="id", columns=("text",), unstored=("text",))


@pytest.mark.parametrize(
    "options",
    [
        {"rename": {"text": "meta"}},
        {"rename": {"text": "x", "id": "x"}},
        {"exclude": ("id",), "key": ("id",)},
        {"exclude": ("text",), "payload": ("text",)},
        {"exclude": ("text",), "rename": {"text": "x"}},
        {"key": ("id", "id")},
    ],
    ids=str,
)
def test_choices_in_each_others_way_are_errors(path, options):
    with pytest.raises(ArgumentError):
        open_source(path, options=SourceOptions(**options))


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("name", ["meta.none", "meta.title.x", "a.c", "none"])
def test_a_path_to_nowhere_is_an_error_that_lists_the_paths(tmp_path, ending, name):
    path = write(tmp_path / f"a.{ending}")
    for options in ({"text": (name,)}, {"exclude": (name,)}, {"rename": {name: "x"}}):
        with pytest.raises(ColumnNotFoundError, match=name) as caught:
            open_source(path, options=SourceOptions(**options))
    assert caught.value.columns == (
        "id", "text", "a.b", "meta", "meta.title", "meta.lang", "meta.at", "meta.at.x", "meta.at.y",
    ) or name in ("none", "a.c")  # fmt: skip


def test_the_type_at_the_end_of_a_path_counts(tmp_path):
    with pytest.raises(ColumnTypeError, match=r"'meta\.at' .* of type struct"):
        open_source(write(tmp_path / "a.parquet"), text=["meta.at"])


def test_parquet_reads_the_leaves_that_are_needed_and_no_more(tmp_path):
    path = write(tmp_path / "a.parquet")
    source = open_source(path, text="meta.title", payload=["meta.at.y"])
    leaves = storedcolumns.leaves(pq.read_schema(path), source.selection)
    assert leaves == (("id",), ("meta", "title"), ("meta", "at", "y"))
    (batch,) = source
    assert batch.payloads == [{"id": 1, "meta": {"at": {"y": 2}}}]


def test_binary_fields_of_structs_are_left_out_and_named(tmp_path):
    rows = [{"id": 1, "text": "t", "m": {"a": 1, "raw": b"x"}, "b": b"y"}]
    source = open_source(write(tmp_path / "a.parquet", rows))
    assert source.left_out == ("m.raw", "b")
    (batch,) = source
    assert batch.payloads == [{"id": 1, "text": "t", "m": {"a": 1}}]


def test_a_record_of_json_that_would_have_a_name_twice_is_rejected(tmp_path):
    rows = [{"id": 1, "text": "a"}] * 1001 + [{"id": 2, "text": "b", "body": "c"}]
    source = open_source(
        write(tmp_path / "a.jsonl", rows), options=SourceOptions(rename={"text": "body"})
    )
    rejects = [one for item in source for one in item.rejects]
    assert [(one.reason, one.position) for one in rejects] == [("wrong_type", 1002)]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("limits", "reasons"),
    [
        ({"max_text_bytes": 100}, {2: "too_long", 3: "too_long"}),
        ({"max_payload_bytes": 2500}, {3: "too_long"}),
        ({"max_text_bytes": 10_000}, {}),
    ],
)
def test_rows_over_a_limit_are_rejected_and_kept_whole(tmp_path, ending, limits, reasons):
    rows = [{"id": 1, "text": "a"}, {"id": 2, "text": "é" * 51}, {"id": 3, "text": "x" * 3000}]
    batch = one_batch(write(tmp_path / f"a.{ending}", rows), **limits)
    first = batch.start
    assert {one.position - first + 1: one.reason for one in batch.rejects} == reasons
    assert len(batch) == 3 - len(reasons)
    for one in batch.rejects:
        assert one.row["text"] == rows[one.position - first]["text"]
        assert not one.is_cut


@pytest.mark.parametrize("ending", ["parquet", "arrow", "jsonl", "csv"])
def test_a_row_of_20_mb_is_rejected_and_those_around_it_are_read(tmp_path, ending):
    rows = [{"id": n, "text": "x" * (20_000_000 if n == 3 else 10)} for n in range(5)]
    path = tmp_path / f"a.{ending}"
    if ending == "csv":
        path.write_text("id,text\n" + "".join(f"{r['id']},{r['text']}\n" for r in rows))
    else:
        write(path, rows)
    items = list(open_source(path))
    assert sum(map(len, items)) == 4
    (reject,) = (one for item in items for one in item.rejects)
    assert (reject.reason, reject.is_cut) == ("too_long", True)
    assert len(reject.row["text"]) < 3000
    assert max(item.texts.nbytes for item in items) < 1_000_000


def test_options_come_from_a_job_file():
    data = {"key": ["a", "b"], "template": "{x}", "payload": [], "rename": {"x": "y"}, "types": {},
            "max_text_bytes": 5, "format": "csv"}  # fmt: skip
    assert SourceOptions.from_dict(data) == SourceOptions(
        key=("a", "b"),
        template="{x}",
        payload=(),
        rename={"x": "y"},
        max_text_bytes=5,
        format="csv",
    )
    assert SourceOptions.from_dict({"key": "a"}).key == ("a",)


@pytest.mark.parametrize(
    "data",
    [
        {"nonsense": 1}, {"key": 5}, {"text": ["a", 1]}, {"rename": ["a"]}, {"rename": {"a": 1}},
        {"format": "xml"}, {"max_text_bytes": "5"}, {"max_text_bytes": 0}, {"max_text_bytes": True},
        {"delimiter": ""}, {"delimiter": "ab"}, {"types": {"a": "date"}}, {"template": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_option_is_an_error_that_names_it(data):
    (name,) = data
    with pytest.raises(ArgumentError, match=name) as caught:
        SourceOptions.from_dict(data)
    assert caught.value.exit_code == 2
