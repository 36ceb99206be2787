"""Hard negatives: which hits are chosen, by a teacher's scores, and how they are written."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.errors import ArgumentError
from qdrant_static.training.hardnegatives import HardNegatives, TeacherScores
from qdrant_static.training.minedfiles import MinedPair, open_writer
from qdrant_static.training.pairfile import read_pairs
from qdrant_static.training.pairoptions import MiningOptions
from qdrant_static.training.pairset import Pair, PairSet

PAIR = MinedPair(query="q", passage="p", negatives=("a", "b"), scores=(0.8, 0.5, 0.25))
SHORT = MinedPair(query="q2", passage="b", negatives=("a",), scores=(0.8, 0.5))


class AngleTeacher:
    """Encodes ``"30 anything"`` as the direction of 30 degrees; a query is at 0."""

    def __init__(self) -> None:
        self.info = EncoderInfo(name="angles", dimension=2, fingerprint="angles")
        self.encoded: list[str] = []

    def encode(self, texts):
        self.encoded += texts
        angles = np.radians([float(text.split()[0]) for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def encode_queries(self, texts):
        return np.tile(np.float32([[3, 0]]), (len(texts), 1))


def chosen(pairs, hits, *, negatives=2, share=0.95):
    teacher = AngleTeacher()
    chooser = HardNegatives(
        PairSet.of(pairs), TeacherScores(teacher), negatives=negatives, share=share
    )
    return list(chooser.choose(0, hits)), chooser.counts, teacher


PAIRS = [
    Pair(query="one", passage="30 answer"),
    Pair(query="one", passage="40 another answer"),
    Pair(query="two", passage="95 doubtful"),
]


def test_hits_as_good_as_the_passage_are_false_negatives():
    # cos 30 = .866; 95% of it is .823, that of 34.6 degrees
    hits = ["20 better", "34 nearly", "35 worse", "60 far", "70 farther"]
    found, counts, _ = chosen(PAIRS[:1] + PAIRS[2:], [hits, []])
    assert found[0].negatives == ("35 worse", "60 far")
    expected = np.cos(np.radians([30, 35, 60]))
    assert found[0].scores == pytest.approx(tuple(expected), abs=1e-6)
    assert counts["false_negatives"] == 2
    assert counts["unused"] == 1
    assert (counts["full"], counts["fewer"], counts["without"]) == (1, 0, 1)
    found, _, _ = chosen(PAIRS[:1] + PAIRS[2:], [hits, []], share=1)
    assert found[0].negatives == ("34 nearly", "35 worse")


def test_answers_of_the_query_repetitions_and_empty_texts_are_left_out():
    hits = ["A title. 30  ANSWER", "40 another", "", "60 far", "60 Far", "70 farther"]
    found, counts, _ = chosen(PAIRS, [hits, ["10 near", "96 opposite"]])
    assert [one.negatives for one in found[:2]] == [("60 far", "70 farther")] * 2
    assert counts["answers"] == 4  # two pairs of the query, two hits
    assert counts["textless"] == 4
    assert counts["found"] == 2
    # The passage of the last scores below 0: what scores higher is left out.
    assert found[2].negatives == ("96 opposite",)
    assert (counts["doubtful"], counts["fewer"]) == (1, 1)


def test_every_hit_is_counted_once_and_every_text_encoded_once():
    hits = [f"{angle} x" for angle in (20, 33, 50, 51, 52, 53, 54)]
    found, counts, teacher = chosen(PAIRS, [hits, hits], negatives=3)
    assert len(found) == 3
    kinds = ("answers", "textless", "false_negatives", "negatives", "unused")
    assert sum(counts[kind] for kind in kinds) == counts["hits"] == 3 * len(hits)
    assert len(teacher.encoded) == len(set(teacher.encoded))
    assert "54 x" in teacher.encoded  # the last pair needed it
    _, _, teacher = chosen(PAIRS[:2], [hits], negatives=1)
    assert "54 x" not in teacher.encoded  # no more than needed


def test_our_format_is_read_again(tmp_path):
    place = tmp_path / "deep" / "mined.jsonl"
    writer = open_writer(place, "pairs", 2)
    assert writer.add(PAIR)
    assert writer.add(SHORT)
    assert not place.exists()
    writer.finish()
    writer.discard()
    assert read_pairs(place) == (
        Pair(query="q", passage="p", negatives=("a", "b")),
        Pair(query="q2", passage="b", negatives=("a",)),
    )
    assert list(place.parent.iterdir()) == [place]


def test_the_format_of_sentence_transformers_has_one_column_for_each_negative(tmp_path):
    writer = open_writer(tmp_path / "mined.jsonl", "sentence-transformers", 2)
    assert writer.add(PAIR)
    assert not writer.add(SHORT)  # all rows have the same columns
    writer.finish()
    (line,) = (tmp_path / "mined.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "anchor": "q", "positive": "p", "negative_1": "a", "negative_2": "b",
        "scores": [0.8, 0.5, 0.25],
    }  # fmt: skip
    assert read_pairs(tmp_path / "mined.jsonl")[0].negatives == ("a", "b")


def test_the_format_of_pylate_is_three_tables(tmp_path):
    writer = open_writer(tmp_path / "kd", "pylate", 2)
    other = MinedPair(query="q2", passage="B", negatives=("a", "c"), scores=(0.9, 0.2, 0.1))
    assert writer.add(PAIR)
    assert writer.add(other)
    assert not writer.add(SHORT)
    writer.finish()
    queries, documents, train = (
        pq.read_table(tmp_path / "kd" / f"{name}.parquet").to_pydict()
        for name in ("queries", "documents", "train")
    )
    assert queries == {"query_id": ["q0", "q1"], "text": ["q", "q2"]}
    assert documents == {"document_id": ["d0", "d1", "d2", "d3"], "text": ["p", "a", "b", "c"]}
    assert train["query_id"] == ["q0", "q1"]
    assert train["document_ids"] == [["d0", "d1", "d2"], ["d2", "d1", "d3"]]
    assert train["scores"][1] == pytest.approx([0.9, 0.2, 0.1])
    assert "config_name: train" in (tmp_path / "kd" / "README.md").read_text()


def test_nothing_is_left_behind_where_mining_fails(tmp_path):
    writer = open_writer(tmp_path / "mined.jsonl", "pairs", 2)
    writer.add(PAIR)
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_place_or_format_is_an_error(tmp_path):
    with pytest.raises(ArgumentError, match="did you mean 'pylate'"):
        open_writer(tmp_path / "x", "pylat", 2)
    with pytest.raises(ArgumentError, match="is a folder"):
        open_writer(tmp_path, "pairs", 2)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r"holds other files \(thesis.txt\)"):
        open_writer(tmp_path, "pylate", 2)
    with pytest.raises(ArgumentError, match="is a file"):
        open_writer(tmp_path / "thesis.txt", "pylate", 2)


@pytest.mark.parametrize(
    "wrong", [{"negatives": 0}, {"depth": 0}, {"share": 0}, {"share": 1.5}, {"share": "x"}]
)
def test_options_are_checked(wrong):
    with pytest.raises(ArgumentError):
        MiningOptions(**wrong)
