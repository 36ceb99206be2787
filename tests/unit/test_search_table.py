"""Hits on a terminal: to read, or one line each; harmless, no wider than asked."""

from __future__ import annotations

import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static import Hit
from qdrant_static.cli.cells import clip, clusters, padded, width
from qdrant_static.cli.search import as_json_text, passages, table, takes_bold

#: What a terminal obeys, and what turns the direction of writing.
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def hit(**changes) -> Hit:
    values = {"id": 1, "key": "k", "score": 0.5, "payload": {"n": 1}, "text": "some text"}
    return Hit(**{**values, **changes})


def test_a_hit_is_a_line_of_score_key_and_text():
    lines = table([hit(), hit(key=1234, score=-2.25)], columns=60).splitlines()
    assert lines == ["  score  key   text", "  0.500  k     some text", " -2.250  1234  some text"]


def test_no_hits_are_said():
    assert table([]) == "no hits"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_long_text_and_a_long_key_are_clipped_to_the_width(width):
    lines = table([hit(text="word " * 500, key="k" * 20)], columns=width).splitlines()
    assert len(lines) == 2
    assert len(lines[1]) <= width
    assert lines[1].endswith("…")


def test_a_long_key_is_clipped():
    assert "k" * 47 + "…" in table([hit(key="k" * 100)], columns=100)


def test_control_characters_do_not_reach_the_terminal():
    out = table(
        [hit(text="a\x1b[31mred\x07\r\nnext\u2028line\u202edesrever\x00", key="\x1b]0;x\x07")]
    )
    assert all(char.isprintable() or char == "\n" for char in out)
    assert len(out.splitlines()) == 2


@given(st.text(st.characters(), max_size=200), st.text(st.characters(), max_size=80))
def test_any_text_and_key_make_one_printable_line(text, key):
    lines = table([hit(text=text, key=key)], columns=100).split("\n")
    assert len(lines) == 2
    assert not CONTROLS.search(lines[1])
    assert width(lines[1]) <= 100


def test_leading_white_space_does_not_hide_the_text():
    assert "word" in table([hit(text=" " * 5000 + "word")], columns=80)


def test_json_is_a_list_of_everything():
    data = json.loads(as_json_text([hit(text="ä")]))
    assert data == [{"id": 1, "key": "k", "score": 0.5, "text": "ä", "payload": {"n": 1}}]
    assert json.loads(as_json_text([])) == []


# --- hits to read ----------------------------------------------------------------------------

FILLER = "The ship went over the sea. "
LONG = FILLER * 40 + "An mRNA vaccine and its durability were measured. " + FILLER * 40


def read(*hits, query="mRNA vaccines", columns=80, marked=False, **options) -> list[str]:
    return passages(hits, query, None, columns=columns, marked=marked, **options).splitlines()


def test_a_hit_is_score_and_key_and_the_passage_that_matches():
    head, *lines = read(hit(text=LONG, key="PMC1", score=0.713))
    assert head == " 0.713  PMC1"
    assert len(lines) == 3
    assert "An mRNA vaccine and its durability" in " ".join(map(str.strip, lines))
    assert lines[0].startswith("        … ")
    assert lines[-1].endswith("…")
    assert max(map(len, lines)) <= 80


def test_the_words_of_the_query_are_bold_whatever_their_ending():
    text = "The Vaccines of mRNA, not the sea"
    (_, line) = read(hit(text=text), query="the mRNA vaccine", marked=True)
    assert line.strip() == "The \x1b[1mVaccines\x1b[0m of \x1b[1mmRNA\x1b[0m, not the sea"
    assert "\x1b" not in "".join(read(hit(text=text)))


def test_a_passage_begins_with_a_whole_word():
    text = "ship.over." * 80 + "vaccine.mRNA." + "sea." * 200
    line = read(hit(text=text))[1].strip()
    assert re.match(r"… (ship|over|vaccine)\.", line), line


def test_the_window_with_most_different_terms_wins():
    text = "mRNA mRNA mRNA mRNA. " + FILLER * 40 + "vaccine by mRNA. " + FILLER * 40
    assert "vaccine by mRNA." in "".join(read(hit(text=text), lines=1))


def test_without_a_term_the_text_is_shown_from_its_beginning():
    lines = read(hit(text=FILLER * 40), query="bread")
    assert lines[1].strip().startswith("The ship")


def test_a_short_text_is_shown_whole_and_none_is_said():
    assert read(hit(text="one mRNA")) == [" 0.500  k", "        one mRNA"]
    assert read(hit(text="")) == [" 0.500  k", "        (no text in the payload)"]
    assert passages([], "q", None) == "no hits"


def test_a_script_without_spaces_is_found_and_filled_by_cells():
    text = "これは文章です。" * 40 + "ワクチンの効果は半年続く。" + "海と月。" * 80
    lines = read(hit(text=text), query="ワクチンの効果", columns=60, marked=True)
    assert "\x1b[1mワクチンの効果\x1b[0m" in "".join(line.strip() for line in lines)
    plain = [re.sub("\x1b\\[[01]m", "", line) for line in lines]
    assert 55 <= width(plain[1]) <= 60


@given(
    st.text(st.characters(), max_size=400),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.integers(30, 90),
    st.integers(1, 4),
)  # fmt: skip
def test_any_text_is_harmless_and_fits(text, query, columns, lines):
    head, *shown = read(hit(text=text), query=query, columns=columns, lines=lines)
    assert 1 <= len(shown) <= lines or not text.strip()
    assert all(width(line) <= columns for line in shown)
    assert not CONTROLS.search("".join([head, *shown]))


FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("abc", 3), ("漢字", 4), ("e\u0301", 1), (FAMILY, 2), ("\U0001f44d\U0001f3fd", 2),
        ("\u2764\ufe0f", 2), ("\U0001f1e9\U0001f1ea", 2), ("ｶﾞ", 2), ("한글", 4),
        ("\u1112\u1161\u11ab", 2), ("\u0301", 1),
    ],
)  # fmt: skip
def test_a_width_is_counted_in_cells(text, cells):
    assert width(text) == cells
    assert width(padded(text, 20)) == 20


def test_what_belongs_together_is_clipped_together():
    assert clip(FAMILY * 5, 5) == FAMILY * 2 + "…"
    assert clip("e\u0301" * 5, 3) == "e\u0301e\u0301…"
    assert list(clusters("\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7")) == [
        "\U0001f1e9\U0001f1ea", "\U0001f1eb\U0001f1f7",
    ]  # fmt: skip
    assert max(map(len, clusters("a" + "\u0301" * 100))) <= 13


@pytest.mark.parametrize(
    ("terminal", "environment", "bold"),
    [
        (True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True), (True, {"TERM": "dumb"}, False),
    ],
)  # fmt: skip
def test_words_are_bold_on_a_terminal_that_takes_it(monkeypatch, terminal, environment, bold):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    assert takes_bold() == bold
