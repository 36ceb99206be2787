"""Pairs that are made of texts: which queries, and that test queries are found."""

from __future__ import annotations

import json

import pytest

from qdrant_static import SourceOptions
from qdrant_static.errors import ArgumentError
from qdrant_static.training.madepairs import MadePairs, pairs_of_text, without_queries
from qdrant_static.training.pairfile import read_pairs
from qdrant_static.training.pairs import fit_pairs
from qdrant_static.training.pairset import Pair
from tests.fakes import build_static_model, run_cli, write_jsonl

FIRST = "The moon and the sun raise the sea twice a day."
REST = "Where a bay is narrow, the tide rises by ten meters and more."
ROWS = [
    {"id": 1, "title": "Tides", "text": f"{FIRST} {REST}"},
    {"id": 2, "title": "Sourdough", "text": "Wild yeast leavens the bread."},
    {"id": 3, "title": "", "text": "Only one sentence, and no title."},
]


FIRST_ONLY = ("title", "heading", "first")


def made(text: str, title: str = "", kinds=FIRST_ONLY) -> list[tuple[str, str, str]]:
    return [(kind, pair.query, pair.passage) for kind, pair in pairs_of_text(text, title, kinds)]


def test_a_title_asks_for_the_text_and_the_first_sentence_for_the_rest():
    assert made(f"Tides {FIRST} {REST}", "Tides") == [
        ("title", "Tides", f"{FIRST} {REST}"),
        ("first", FIRST, f"Tides {REST}"),
    ]
    assert made(f"{FIRST} {REST}") == [("first", FIRST, REST)]
    assert made("Tides", "Tides") == []
    assert made(FIRST) == []


def test_a_heading_asks_for_its_section():
    text = f"# Causes\n\n{FIRST}\n\n## Bays ##\n{REST}\n### Empty\n"
    found = made(text, "On tides")
    assert found[1:3] == [("heading", "Causes", f"On tides {FIRST}"),
                          ("heading", "Bays", f"On tides {REST}")]  # fmt: skip
    assert found[3] == ("first", FIRST, f"On tides {REST}")
    assert "#" not in found[3][2]


def test_rows_are_counted_by_what_they_gave():
    found = MadePairs.read(ROWS, kinds=FIRST_ONLY)
    assert (found.rows, found.without, found.rejected) == (3, 1, 0)
    assert found.made == {"title": 2, "heading": 0, "first": 1}
    assert [pair.query for pair in found.pairs] == ["Tides", FIRST, "Sourdough"]
    only = MadePairs.read(ROWS, kinds=["sentence"])
    assert [(pair.query, pair.passage) for pair in only.pairs] == [
        (FIRST, f"Tides {REST}"), (REST, f"Tides {FIRST}"),
    ]  # fmt: skip
    assert only.made == {"sentence": 2}
    assert str(only) == (
        "rows in memory: 2 pairs of 3 rows (2 of a sentence); 2 rows without a pair, 0 rejected"
    )


def test_texts_that_give_no_pair_and_unknown_kinds_are_errors():
    with pytest.raises(ArgumentError, match="Name the title's column first"):
        MadePairs.read([{"text": "short"}], source_options=SourceOptions(text=("text",)))
    with pytest.raises(ArgumentError, match="did you mean 'title'"):
        MadePairs.read(ROWS, kinds=["titel"])


def test_test_queries_are_found_by_their_words(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    write_jsonl(tmp_path / "queries.jsonl", [{"_id": "q1", "text": "What raises the sea?"}])
    clean = Pair(query="Tides", passage=FIRST)
    leaked = Pair(query="what raises the SEA", passage=FIRST)
    assert without_queries([clean], tmp_path) == (clean,)
    assert without_queries([leaked, clean], tmp_path, leave_out=True) == (clean,)
    with pytest.raises(
        ArgumentError, match=r"1 of 2 pairs have a test query .*what raises the SEA"
    ):
        without_queries([leaked, clean], tmp_path)
    encoder = build_static_model(tmp_path / "small")
    with pytest.raises(ArgumentError, match="leave_out_judged=True"):
        fit_pairs(encoder, [leaked, clean], out=tmp_path / "m", judged=tmp_path)
    more = [Pair(query=f"the {word}", passage=f"{word} of sea") for word in ("cat", "dog", "fish")]
    report = fit_pairs(
        encoder, [leaked, *more], out=tmp_path / "m", judged=tmp_path, leave_out_judged=True
    )
    assert report.dropped["test queries"] == 1
    assert report.given == 4


def test_the_command_makes_pairs_of_files_or_of_a_collection(tmp_path):
    write_jsonl(tmp_path / "texts.jsonl", ROWS)
    make = ("train", "make-pairs", "--out", "pairs.jsonl")
    done = run_cli(*make, "texts.jsonl", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert json.loads(done.out)["made"] == {"title": 2, "heading": 0, "sentence": 2}
    once = read_pairs(tmp_path / "pairs.jsonl")
    assert len(once) == 4
    build_static_model(tmp_path / "small")
    done = run_cli(
        "ingest", "texts.jsonl", "-c", "c", "--db", "db", "--encoder", "./small", cwd=tmp_path
    )
    assert done.code == 0, done.err
    done = run_cli(*make, "-c", "c", "--db", "db", cwd=tmp_path)
    assert done.code == 0, done.err
    assert sorted(read_pairs(tmp_path / "pairs.jsonl"), key=str) == sorted(once, key=str)
    done = run_cli(*make, cwd=tmp_path)
    assert done.code == 2
    assert "either files or a --collection" in done.err


def test_of_a_long_text_eight_sentences_become_queries_from_all_over_it():
    text = " ".join(f"This is sentence number {n} of the text." for n in range(30))
    found = made(text, kinds=("sentence",))
    assert 5 <= len(found) <= 8
    assert "number 0 " in found[0][1]
    assert "number 28 " in found[-1][1]
    for _, query, passage in found:
        assert query not in passage
        assert passage.count("sentence") == 29
