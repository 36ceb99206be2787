"""Texts made of several columns."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.collection.fields import Template
from qdrant_static.errors import ArgumentError
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.sources import open_source

ROWS = [
    {"id": 1, "title": "A", "meta": {"body": "b"}},
    {"id": 2, "title": None, "meta": {"body": "b"}},
    {"id": 3, "title": "A", "meta": None},
    {"id": 4, "title": " ", "meta": {"body": ""}},
]
TEXTS = ["{A}: b.", "{}: b.", "{A}: ."]


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_missing_parts_are_blank_and_braces_are_doubled(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.write_text("\n".join(map(json.dumps, ROWS)))
    (batch,) = open_source(path, options=SourceOptions(template="{{{title}}}: {meta.body}."))
    assert batch.texts.to_pylist() == TEXTS
    assert [one.reason for one in batch.rejects] == ["no_text"]
    assert batch.rejects[0].message == "no text in title, meta.body"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("no column", "names no column"),
        ("{{title}}", "names no column"),
        ("{}", "names no column"),
        ("{title", "expected '}'"),
        ("title}", "Single '}'"),
        ("{title:>10}", "has a format"),
        ("{title!r}", "has a format"),
    ],
)
def test_a_template_that_cannot_be_read_is_an_error(template, told):
    with pytest.raises(ArgumentError, match="template") as caught:
        Template.parse(template)
    assert told in str(caught.value)


def test_columns_and_a_template_exclude_each_other():
    with pytest.raises(ArgumentError, match="or a template"):
        SourceOptions(text=("a",), template="{a}")


pieces = st.text(st.sampled_from("ab {}.é"), max_size=5)


@given(st.lists(st.tuples(pieces, st.sampled_from(["title", "a.b", "x y"])), min_size=1), pieces)
def test_what_is_written_is_read_again(parts, last):
    template = Template(
        pieces=(*(one for one, _ in parts), last), columns=tuple(name for _, name in parts)
    )
    assert Template.parse(str(template)) == template
    filled = template.fill(["!"] * len(parts))
    assert filled == "".join(f"{one}!" for one, _ in parts) + last
