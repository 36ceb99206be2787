"""Where a payload holds key and text, how the text was made, and what of it is kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.collection.fields import Fields, Template
from qdrant_static.errors import ArgumentError
from qdrant_static.reading.batchbuilder import _text
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.selection import select
from qdrant_static.reading.storedcolumns import RecordShape

WHOLE = Fields(
    key="id",
    text=("head:line", "meta.body"),
    template=Template.parse("{meta.body}, {{as}} {title}: {meta.body}"),
    columns=("title", "meta.body"),
)
PART = Fields(key="id", text=("title",), columns=("body", "title"), unstored=("body",))


@pytest.mark.parametrize(
    "fields", [WHOLE, PART, Fields(), Fields(key=("a", "b"), text=("t",), ready_vectors=True)]
)
def test_what_is_written_is_read_again(fields):
    again = Fields.from_dict(json.loads(json.dumps(fields.to_dict())))
    assert again == fields
    assert again.is_complete


def test_what_an_earlier_version_wrote_is_read_and_known_to_be_less():
    fields = Fields.from_dict({"key": None, "text": ["title"]})
    assert fields == Fields(text=("title",))
    assert not fields.is_complete
    assert Fields.from_dict(fields.to_dict()).is_complete is False


def test_an_earlier_version_reads_what_is_written():
    assert {"key": "id", "text": ["title"]}.items() <= PART.to_dict().items()


def test_the_text_is_made_by_the_template_of_the_names_in_the_payload():
    payload = {"head:line": "A", "title": "no", "meta": {"body": "b"}}
    assert WHOLE.text_of(payload) == "b, {as} A: b"
    assert WHOLE.text_of({"head:line": "A", "meta": {"body": " "}}) == ", {as} A: "
    assert WHOLE.text_of({"meta": {"body": " "}, "head:line": 3}) == ""


def test_a_field_of_the_name_of_a_column_that_is_not_stored_is_no_text():
    assert PART.text_of({"title": "A", "body": "another thing"}) == "A"


def test_what_cannot_be_made_again_is_refused_by_name():
    WHOLE.require_text("c", "nothing")
    with pytest.raises(
        ArgumentError, match=r"'c' are made of body, title, and body is not stored.*so"
    ):
        PART.require_text("c", "so")


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        (Fields(text=("a",)), Fields(text=("a",)), True),
        (Fields(text=("a",)), Fields(text=("b",)), False),
        (Fields(text=("a",)), Fields(key="id", text=("a",)), False),
        # The same columns, stored by one and not by the other.
        (PART, Fields(key="id", text=("body", "title")), True),
        (PART, Fields(key="id", text=("title",)), False),
        # Another name in another input, and the same in the payload.
        (Fields(text=("b",), columns=("a",)), Fields(text=("b",)), True),
        (Fields(text=("b",), columns=("a",)), Fields(text=("a",)), False),
        (WHOLE, Fields(key="id", text=("meta.body", "head:line")), False),
        # Another template of the same columns.
        (WHOLE, Fields(key="id", text=("head:line", "meta.body")), True),
        (
            WHOLE,
            Fields(
                key="id", text=("head:line", "meta.body"), columns=("h", "m"),
                template=Template.parse("{m}, {{as}} {h}: {m}"),
            ),
            True,
        ),
        # An earlier version did not say.
        (WHOLE, Fields(key="id", text=("head:line", "meta.body"), is_complete=False), True),
        (WHOLE, Fields(key="id", text=("x",), is_complete=False), False),
    ],
)  # fmt: skip
def test_jobs_agree_where_they_make_the_same_text(one, other, agree):
    assert one.agrees(other) is agree
    assert other.agrees(one) is agree


def test_of_points_of_two_templates_nobody_knows_the_text():
    joined = Fields(key="id", text=("head:line", "meta.body"), columns=("title", "meta.body"))
    assert not WHOLE.same_text(joined)
    both = WHOLE.with_points_of(joined)
    assert both.mixed
    assert Fields.from_dict(both.to_dict()) == both
    with pytest.raises(ArgumentError, match="different templates"):
        both.require_text("c", "so")
    assert WHOLE.same_text(WHOLE)
    assert not WHOLE.with_points_of(WHOLE).mixed


def test_of_points_of_two_jobs_what_both_store_is_stored():
    both = Fields(key="id", text=("body", "title")).with_points_of(PART)
    assert (both.text, both.unstored, both.all_columns) == (
        ("title",), ("body",), ("body", "title"),
    )  # fmt: skip
    assert PART.with_points_of(Fields(key="id", text=("body", "title"))) == PART


NAMES = ["a", "b", "m.x", "m.y"]
texts = st.one_of(st.none(), st.text(st.sampled_from("ab \u00a0é"), max_size=4))


@given(
    values=st.tuples(texts, texts, texts, texts),
    text=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4),
    rename=st.dictionaries(
        st.sampled_from([*NAMES, "m"]), st.sampled_from(["r:1", "s", "t{}"]), max_size=2
    ),
    template=st.booleans(),
)
def test_the_text_of_a_payload_is_the_text_of_its_record(values, text, rename, template):
    """Whatever is renamed, wherever it lies, whatever is blank: what is stored says it again."""
    if len(set(rename.values())) < len(rename):
        return
    a, b, x, y = values
    record = {"id": 1, "a": a, "b": b, "m": {"x": x, "y": y}}
    columns = (
        {"template": "<" + "|".join(f"{{{one}}}" for one in text) + ">"}
        if template
        else {"text": tuple(text)}
    )
    selection = select(tuple(record), "x", SourceOptions(rename=rename, **columns))
    made = _text(record, selection, optional=True)
    assert selection.fields.text_of(RecordShape(selection).stored(record)) == made
