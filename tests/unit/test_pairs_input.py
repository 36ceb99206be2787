"""Pairs: how they are read, numbered, and put into batches; the loss and its gradient."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdrant_static.errors import ArgumentError, SourceNotFoundError
from qdrant_static.training.pairfile import read_pairs
from qdrant_static.training.pairset import Pair, PairSet
from tests.fakes import write_jsonl


def test_pairs_of_json_lines_have_our_names_or_those_of_sentence_transformers(tmp_path):
    path = write_jsonl(
        tmp_path / "pairs.jsonl",
        [
            {"query": "q1", "passage": "p1", "negatives": ["n1", "n2"], "scores": [0.5, 0.1, 0.2]},
            {"anchor": "q2", "positive": "p2", "negative": "n3"},
            "",
            {"anchor": "q3", "positive": "p3", "negative_1": "n4", "negative_2": "n5"},
            {"query": "q4", "passage": "p4", "negatives": None},
        ],
    )
    assert read_pairs(path) == (
        Pair(query="q1", passage="p1", negatives=("n1", "n2")),
        Pair(query="q2", passage="p2", negatives=("n3",)),
        Pair(query="q3", passage="p3", negatives=("n4", "n5")),
        Pair(query="q4", passage="p4"),
    )


def test_pairs_of_parquet_are_those_of_json_lines(tmp_path):
    table = pa.table(
        {"query": ["q1", "q2"], "passage": ["p1", "p2"], "negatives": [["n1"], None], "n": [1, 2]}
    )
    pq.write_table(table, tmp_path / "pairs.parquet")
    assert read_pairs(tmp_path / "pairs.parquet") == (
        Pair(query="q1", passage="p1", negatives=("n1",)),
        Pair(query="q2", passage="p2"),
    )


def test_problems_name_the_file_and_the_lines(tmp_path):
    path = write_jsonl(
        tmp_path / "pairs.jsonl.gz",
        [
            {"query": "q", "passage": "p"},
            {"query": "q"},
            "{",
            {"query": "q", "passage": 3},
            {"query": " ", "passage": "p"},
            {"query": "q", "passage": "p", "negatives": "n"},
            {"query": "q", "passage": "p", "negatives": [""]},
            [1],
        ],
    )
    with pytest.raises(ArgumentError) as caught:
        read_pairs(path)
    assert caught.value.field == str(path)
    for part in (
        "line 2: passage: is missing (or 'positive')", "line 3: not JSON",
        "line 4: passage: is not a text but of type int", "line 5: query: is empty",
        "line 6: negatives: is not a list of texts", "; and 2 more",
    ):  # fmt: skip
        assert part in caught.value.problem


def test_a_file_that_is_missing_empty_or_of_another_format_is_an_error(tmp_path):
    with pytest.raises(SourceNotFoundError):
        read_pairs(tmp_path / "none.jsonl")
    with pytest.raises(ArgumentError, match="neither JSON Lines"):
        read_pairs(write_jsonl(tmp_path / "pairs.csv", ["query,passage"]))
    with pytest.raises(ArgumentError, match="has no pair"):
        read_pairs(write_jsonl(tmp_path / "pairs.jsonl", [""]))
    (tmp_path / "pairs.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ArgumentError, match="row 0"):
        read_pairs(tmp_path / "pairs.parquet")


def test_equal_texts_have_one_number_and_what_teaches_nothing_is_counted():
    found = PairSet.of(
        [
            Pair(query="Tides", passage="The moon  raises the sea.", negatives=("Ash", "Yeast")),
            Pair(query="tides", passage="the moon raises the sea.", negatives=("Lava",)),
            Pair(query="tides", passage="Yeast"),  # so it is no negative of the first
            Pair(query="same", passage=" SAME "),
            Pair(query="bread", passage="Yeast"),
        ]
    )
    assert found.queries == ("Tides", "bread")
    assert found.texts == ("The moon  raises the sea.", "Ash", "Yeast", "Lava")
    assert found.query.tolist() == [0, 0, 1]
    assert found.passage.tolist() == [0, 2, 2]
    assert [one.tolist() for one in found.negatives] == [[1, 3], [], []]
    assert (found.given, found.repeated, found.same, found.contradicting) == (5, 1, 1, 1)
    assert found.positives().toarray().tolist() == [
        [True, False, True, False],
        [False, False, True, False],
    ]


def test_one_pair_is_too_few():
    with pytest.raises(ArgumentError, match="1 of 3 pairs can be learned from"):
        PairSet.of([Pair(query="a", passage="b")] * 2 + [Pair(query="a", passage="A")])
