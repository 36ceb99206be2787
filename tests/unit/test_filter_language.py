"""The text of filters: what is read, and where an error is."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.collection.fieldpaths import as_key, candidates, key_of, parse_key, values_at
from qdrant_static.errors import FilterError
from qdrant_static.querying.filters.language import parse


def read(text: str) -> list[tuple[str, str, tuple[str | None, ...]]]:
    return [
        (one.field, one.operator, tuple(None if v.null else v.text for v in one.values))
        for one in parse(text)
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("year>=2000", [("year", ">=", ("2000",))]),
        (" year  ==  1994 ", [("year", "=", ("1994",))]),
        ("a=1 and b!=2 AND c<3", [("a", "=", ("1",)), ("b", "!=", ("2",)), ("c", "<", ("3",))]),
        ("lang=en,de , fr", [("lang", "=", ("en", "de", "fr"))]),
        ("lang<>en", [("lang", "!=", ("en",))]),
        ("city=New York and n>0", [("city", "=", ("New York",)), ("n", ">", ("0",))]),
        ("text='moon and tide'", [("text", "=", ("moon and tide",))]),
        ('"published date"="a,b=c"', [("published date", "=", ("a,b=c",))]),
        ("`a b`=1", [("a b", "=", ("1",))]),
        ("name='O''Brien'", [("name", "=", ("O'Brien",))]),
        ("name=O'Brien", [("name", "=", ("O'Brien",))]),
        ("name=Sand and n=1", [("name", "=", ("Sand",)), ("n", "=", ("1",))]),
        ("e=''", [("e", "=", ("",))]),
        ("a is null", [("a", "=", (None,))]),
        ("a IS NOT NULL and b=1", [("a", "!=", (None,)), ("b", "=", ("1",))]),
        ("a=null,x", [("a", "=", (None, "x"))]),
        ("a='null'", [("a", "=", ("null",))]),
        ("and=and1", [("and", "=", ("and1",))]),
        ("authors[].name=k", [("authors[].name", "=", ("k",))]),
        ("t>=2024-01-01T00:00:00+02:00", [("t", ">=", ("2024-01-01T00:00:00+02:00",))]),
        ("a='x'and b=1", [("a", "=", ("x",)), ("b", "=", ("1",))]),
    ],
)
def test_a_filter_is_read(text, wanted):
    assert read(text) == wanted


@pytest.mark.parametrize(
    ("text", "character", "told"),
    [
        ("", None, "it is empty"),
        ("year", 1, "after the field 'year' comes one of"),
        ("year 2000", 6, "after the field 'year' comes one of"),
        ("year>=", 7, "a value is missing after '>='"),
        ("year=>2000", 5, "'=>' is not an operator"),
        ("=2000", 1, "expected a field before '=2000'"),
        ("(year=1)", 1, "there are no parentheses"),
        ("year=(1,2)", 6, "there are no parentheses"),
        ("year=1 or year=2", 8, "there is no 'or'"),
        ("year=1 lang=en", 12, "is an 'and' missing?"),
        ("year='1' lang=en", 10, "expected ',', 'and' or the end"),
        ("lang in (en,de)", 6, "written field=a,b"),
        ("lang not null", 6, "field is not null"),
        ("a=1 and", 8, "a comparison is missing"),
        ("a=1 and tide", 9, "in quotes"),
        ("a=,1", 3, "a value is missing after '='"),
        ("a=1,", 5, "a value is missing after ','"),
        ("a='1", 3, "is not closed"),
        ("a>=1,2", 6, "compares with one value"),
        ("a<null", 3, "null has no order"),
        ("''=1", 3, "a field has a name"),
    ],
)
def test_an_error_tells_where_it_is(text, character, told):
    with pytest.raises(FilterError) as raised:
        parse(text)
    assert raised.value.character == character
    assert told in str(raised.value)


@given(st.text(alphabet="ab =<>!,'\"`()and null1.[]é", max_size=30))
def test_only_our_errors_come_out(text):
    with suppress(FilterError):
        assert parse(text)


@given(st.text(min_size=1), st.text())
def test_quotes_carry_any_text(field, value):
    double = '"' + field.replace('"', '""') + '"'
    single = "'" + value.replace("'", "''") + "'"
    assert read(f"{double}={single} and n=1") == [(field, "=", (value,)), ("n", "=", ("1",))]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a", ("a",)), ("a.b-c", ("a", "b-c")), ('a."b.c"', ("a", "b.c")),
        ("a[].b", ("a", "[]", "b")), ("a[3]", ("a", "[3]")), ('"a b"', ("a b",)),
        ("a b", None), ("a.", None), ("", None), ("a[x]", None), (".a", None),
    ],
)  # fmt: skip
def test_keys_of_qdrant_are_paths(key, path):
    assert parse_key(key) == path
    if path is not None:
        assert key_of(path) == key


def test_a_name_with_dots_is_a_name_before_it_is_a_path():
    assert candidates("user.name") == [("user.name",), ("user", "name")]
    assert candidates("year") == [("year",)]
    assert as_key("a b") == '"a b"'
    assert as_key("a.b") == "a.b"


def test_values_of_lists_come_one_by_one():
    payload = {"t": ["x", ["y"]], "a": [{"n": 1}, {"n": 2}, {"m": 3}], "o": {"p": None}}
    assert list(values_at(payload, ("t",))) == ["x", "y"]
    assert list(values_at(payload, ("a", "[]", "n"))) == [1, 2]
    assert list(values_at(payload, ("a", "[1]", "n"))) == [2]
    assert list(values_at(payload, ("a", "n"))) == []
    assert list(values_at(payload, ("o", "p"))) == [None]
