"""Judged data sets in BEIR's form, and files of queries: read, or an error that says where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qdrant_static.errors import ArgumentError, SourceNotFoundError
from qdrant_static.measuring.judged import read_judged, read_queries

QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td3\t1\nq3\td1\t0\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(QRELS)
    queries = [{"_id": f"q{n}", "text": f"question {n}"} for n in (2, 1, 3, 4)]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)) + "\n")
    return tmp_path


def test_judged_queries_come_in_the_order_of_their_file(folder):
    found = read_judged(folder)
    assert [(one.id, one.text, dict(one.relevant)) for one in found.queries] == [
        ("q2", "question 2", {"d3": 1.0}),
        ("q1", "question 1", {"d1": 2.0, "d2": 0.0}),
    ]
    assert (found.split, found.left_out) == ("test", 1)  # q3: judged, and nothing is relevant
    assert found.corpus == folder / "corpus.jsonl"


def test_a_missing_split_lists_those_that_are_there(folder):
    with pytest.raises(SourceNotFoundError, match=r"dev\.tsv.*there are: test"):
        read_judged(folder, split="dev")


def test_missing_files_are_named(folder, tmp_path):
    (folder / "queries.jsonl").unlink()
    with pytest.raises(SourceNotFoundError, match=r"queries\.jsonl"):
        read_judged(folder)
    with pytest.raises(SourceNotFoundError, match="no such folder"):
        read_judged(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", r"queries\.jsonl:5.*not JSON"),
        ("[1]", r"queries\.jsonl:5.*not a JSON object"),
        ('{"_id": "q9"}', r"queries\.jsonl:5.*no 'text'"),
        ('{"_id": "q9", "text": " "}', r"queries\.jsonl:5.*no 'text'"),
        ('{"_id": 9, "text": "a"}', r"queries\.jsonl:5.*'_id'"),
        ('{"_id": "q1", "text": "a"}', r"queries\.jsonl:5.*twice"),
    ],
)
def test_a_bad_query_is_an_error_with_its_line(folder, line, problem):
    with (folder / "queries.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ArgumentError, match=problem):
        read_judged(folder)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("q1\td1\t1\n", r"test\.tsv:1.*first line"),
        ("query-id\tcorpus-id\tscore\nq1 d1 1\n", r"test\.tsv:2.*1 columns"),
        ("query-id\tcorpus-id\tscore\nq1\td1\tyes\n", r"test\.tsv:2.*'yes'"),
        ("query-id\tcorpus-id\tscore\nq1\td1\tinf\n", r"test\.tsv:2.*'inf'"),
        ("query-id\tcorpus-id\tscore\nq9\td1\t1\n", "'q9' is judged but missing in"),
        ("query-id\tcorpus-id\tscore\nq1\td1\t0\n", "no query has a relevant document"),
        ("", "no query has a relevant document"),
    ],
)
def test_bad_judgements_are_an_error_with_their_line(folder, text, problem):
    (folder / "qrels" / "test.tsv").write_text(text)
    with pytest.raises(ArgumentError, match=problem):
        read_judged(folder)


def test_a_file_that_is_no_text_is_an_error(folder):
    (folder / "queries.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ArgumentError, match="not UTF-8"):
        read_judged(folder)


def test_queries_are_lines_or_json_lines(folder, tmp_path):
    lines = tmp_path / "q.txt"
    lines.write_text("first question\n\n  second  \n")
    assert read_queries(lines) == ("first question", "second")
    assert read_queries(folder / "queries.jsonl")[:2] == ("question 2", "question 1")
    lines.write_text("\n")
    with pytest.raises(ArgumentError, match="contains no query"):
        read_queries(lines)
    with pytest.raises(SourceNotFoundError, match="no such file"):
        read_queries(tmp_path / "none.txt")
