"""The table of hits: one line a hit, printable, no wider than asked."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static import Hit
from qdrant_static.cli.search import as_json_text, table


def hit(**changes) -> Hit:
    values = {"id": 1, "key": "k", "score": 0.5, "payload": {"n": 1}, "text": "some text"}
    return Hit(**{**values, **changes})


def test_a_hit_is_a_line_of_score_key_and_text():
    lines = table([hit(), hit(key=1234, score=-2.25)], width=60).splitlines()
    assert lines == ["  score  key   text", "  0.500  k     some text", " -2.250  1234  some text"]


def test_no_hits_are_said():
    assert table([]) == "no hits"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_long_text_and_a_long_key_are_clipped_to_the_width(width):
    lines = table([hit(text="word " * 500, key="k" * 20)], width=width).splitlines()
    assert len(lines) == 2
    assert len(lines[1]) <= width
    assert lines[1].endswith("…")


def test_a_long_key_is_clipped():
    assert "k" * 47 + "…" in table([hit(key="k" * 100)], width=100)


def test_control_characters_do_not_reach_the_terminal():
    out = table(
        [hit(text="a\x1b[31mred\x07\r\nnext\u2028line\u202edesrever\x00", key="\x1b]0;x\x07")]
    )
    assert all(char.isprintable() or char == "\n" for char in out)
    assert len(out.splitlines()) == 2


@given(st.text(st.characters(), max_size=200), st.text(st.characters(), max_size=80))
def test_any_text_and_key_make_one_printable_line(text, key):
    lines = table([hit(text=text, key=key)], width=100).split("\n")
    assert len(lines) == 2
    assert all(char.isprintable() for char in lines[1])
    assert len(lines[1]) <= 100


def test_leading_white_space_does_not_hide_the_text():
    assert "word" in table([hit(text=" " * 5000 + "word")], width=80)


def test_json_is_a_list_of_everything():
    data = json.loads(as_json_text([hit(text="ä")]))
    assert data == [{"id": 1, "key": "k", "score": 0.5, "text": "ä", "payload": {"n": 1}}]
    assert json.loads(as_json_text([])) == []
