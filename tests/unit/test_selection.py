"""Which columns are the key, the text and the payload."""

from __future__ import annotations

import pytest

from qdrant_static.collection.spec import Fields
from qdrant_static.errors import ArgumentError, ColumnNotFoundError
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.selection import Selection, select


def chosen(columns, **options) -> Selection:
    return select(columns, "a.jsonl", SourceOptions().with_columns(**options))


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        (("id", "text"), "id"),
        (("_id", "text"), "_id"),
        (("_id", "id", "text"), "id"),
        (("ID", "text"), None),
        (("text",), None),
    ],
)
def test_the_key_is_id_else_underscore_id_else_none(columns, key):
    assert chosen(columns).key == key


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (("text", "title"), ("title", "text")),
        (("text",), ("text",)),
        (("title", "body"), ("title",)),
    ],
)
def test_the_text_is_title_and_text_as_far_as_they_are_there(columns, text):
    assert chosen(columns).text == text


def test_what_is_named_is_taken_and_one_name_may_be_a_string():
    assert chosen(("a", "b", "id"), key="b", text="a") == Selection(
        key="b", text=("a",), payload=None
    )
    assert chosen(("a", "b"), text=["b", "a"]).text == ("b", "a")


@pytest.mark.parametrize("named", [{"key": "x"}, {"text": "x"}, {"text": ["text", "x"]},
                                   {"payload": ["x"]}])  # fmt: skip
def test_a_missing_column_is_an_error_that_lists_the_columns(named):
    with pytest.raises(ColumnNotFoundError) as caught:
        chosen(("id", "text"), **named)
    assert caught.value.message == "no column 'x' in a.jsonl; its columns are: id, text"


def test_no_column_for_the_text_is_an_error_that_lists_the_columns():
    with pytest.raises(ArgumentError, match=r"neither 'title' nor 'text'.*of: id, body"):
        chosen(("id", "body"))


def test_an_input_without_rows_is_no_error():
    assert chosen((), key="a", text="b") == Selection(key="a", text=("b",), payload=None)


def test_the_payload_keeps_all_or_what_is_named_and_always_the_key():
    everything = chosen(("id", "text", "year"))
    assert everything.payload is None
    assert all(everything.keeps(name) for name in ("id", "text", "year"))
    some = chosen(("id", "text", "year"), payload=["year"])
    assert [name for name in ("id", "text", "year") if some.keeps(name)] == ["id", "year"]


def test_an_empty_payload_is_the_key_alone():
    none = chosen(("id", "text"), payload=())
    assert [name for name in ("id", "text") if none.keeps(name)] == ["id"]


def test_the_fields_tell_what_the_payload_holds():
    assert chosen(("id", "title", "text")).fields == Fields(key="id", text=("title", "text"))
    some = chosen(("id", "title", "text"), payload=["title"])
    assert some.fields == Fields(
        key="id", text=("title",), columns=("title", "text"), unstored=("text",)
    )


def test_a_column_in_a_struct_that_is_renamed_lies_in_its_new_name():
    options = SourceOptions(
        text=("a.b.c", "d.e", "f"), rename={"a.b": "x", "d.e": "y", "d": "z"}, exclude=("f",)
    )
    fields = select(("a", "d", "f"), "a.jsonl", options).fields
    assert (fields.text, fields.unstored) == (("x.c", "y"), ("f",))


def test_needed_columns_come_once():
    selection = chosen(("id", "text", "year"), key="text", text="text", payload=["year", "text"])
    assert selection.needed == ("text", "year")


@pytest.mark.parametrize(
    ("columns", "options", "overlooked"),
    [
        (("id", "title", "text"), {}, set()),
        (("text",), {}, {"id", "_id", "title"}),
        (("_id", "title"), {}, {"id", "text"}),
        (("id", "a"), {"text": "a"}, set()),
        (("a", "text"), {"key": "a"}, {"title"}),
        ((), {}, set()),
    ],
)
def test_defaults_that_may_come_later_are_known(columns, options, overlooked):
    assert chosen(columns, **options).overlooked == overlooked
