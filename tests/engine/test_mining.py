"""Mining of hard negatives from an embedded collection."""

from __future__ import annotations

import json

import pytest

from qdrant_static import CollectionSpec, SourceOptions, ingest
from qdrant_static.errors import ArgumentError, SourceNotFoundError
from qdrant_static.training.mining import mine_negatives
from qdrant_static.training.pairfile import read_pairs
from qdrant_static.training.pairoptions import MiningOptions
from qdrant_static.training.pairset import Pair
from tests.fakes import FakeEncoder, run_cli, write_jsonl

THINGS = ("tide", "bread", "lava", "whale", "river", "ship")
COLORS = ("red", "blue", "slow", "fast", "moon")
TEXTS = [f"the {thing} of the {color} sea" for thing in THINGS for color in COLORS]


@pytest.fixture
def filled(client, encoder):
    """A client with a collection ``c`` of thirty texts."""
    rows = [
        {"id": number, "title": f"n{number}", "text": text} for number, text in enumerate(TEXTS)
    ]
    ingest(client, "c", rows, spec=CollectionSpec.for_encoder(encoder), encoder=encoder)
    return client


def pairs() -> list[Pair]:
    return [Pair(query=f"{text.split()[1]} {text.split()[4]}", passage=text) for text in TEXTS[:12]]


def test_negatives_come_from_the_collection_and_every_hit_is_accounted_for(
    filled, encoder, tmp_path
):
    teacher = FakeEncoder("teacher", salt="other")
    seen: list[tuple[int, int]] = []
    report = mine_negatives(
        filled, "c", pairs(), out=tmp_path / "mined.jsonl", teacher=teacher, encoder=encoder,
        options=MiningOptions(negatives=3, depth=10, share=0.9),
        progress=lambda now: seen.append((now.done, now.total)),
    )  # fmt: skip
    assert (report.given, report.pairs, report.queries) == (12, 12, 12)
    assert report.found == 12  # the title stands before the passage in the hit
    assert report.hits == 120
    assert report.hits == (
        report.answers + report.textless + report.false_negatives + report.negatives + report.unused
    )
    assert report.full + report.fewer + report.without == report.written == 12
    assert report.negatives > 24
    assert seen == [(12, 12)]
    assert "12 pairs written" in str(report)
    mined = read_pairs(tmp_path / "mined.jsonl")
    assert [one.passage for one in mined] == [one.passage for one in pairs()]
    for one in mined:
        for negative in one.negatives:
            assert negative.partition(" ")[2] in TEXTS
            assert negative.partition(" ")[2] != one.passage
            near, far = teacher.encode([one.passage, negative]) @ teacher.encode([one.query])[0]
            assert far < 0.9 * near


def test_the_plan_and_the_collections_own_encoder_as_teacher(filled, encoder, tmp_path):
    report = mine_negatives(
        filled, "c", pairs(), out=tmp_path / "kd", form="pylate", plan="bm25", encoder=encoder,
        options=MiningOptions(negatives=1),
    )  # fmt: skip
    assert report.teacher == "fake"
    assert report.full == report.written > 0
    assert {one.name for one in (tmp_path / "kd").iterdir()} == {
        "README.md", "queries.parquet", "documents.parquet", "train.parquet",
    }  # fmt: skip


def test_a_payload_without_the_text_is_an_error(client, encoder, tmp_path):
    rows = [{"id": 1, "text": "the sea"}, {"id": 2, "text": "the moon"}]
    ingest(
        client, "c", rows, spec=CollectionSpec.for_encoder(encoder), encoder=encoder,
        source_options=SourceOptions(exclude=("text",)),
    )  # fmt: skip
    with pytest.raises(ArgumentError, match="cannot be mined"):
        mine_negatives(client, "c", pairs(), out=tmp_path / "x.jsonl", encoder=encoder)
    assert not (tmp_path / "x.jsonl").exists()


def test_a_missing_file_of_pairs_is_an_error(filled, encoder, tmp_path):
    with pytest.raises(SourceNotFoundError, match="file of pairs"):
        mine_negatives(
            filled, "c", tmp_path / "no.jsonl", out=tmp_path / "x.jsonl", encoder=encoder
        )


def test_the_command_mines_and_counts(model_folder, tmp_path):
    rows = [{"id": n, "text": text.replace("tide", "cat")} for n, text in enumerate(TEXTS)]
    write_jsonl(tmp_path / "texts.jsonl", rows)
    records = [{"query": one.query, "passage": one.passage} for one in pairs()]
    write_jsonl(tmp_path / "pairs.jsonl", [*records, records[0]])
    done = run_cli(
        "ingest", "texts.jsonl", "-c", "c", "--db", "db", "--encoder", model_folder, cwd=tmp_path
    )
    assert done.code == 0, done.err
    mine = ("train", "mine", "c", "pairs.jsonl", "--out", "mined.jsonl", "--db", "db")
    done = run_cli(*mine, "--negatives", "2", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["given"], report["repeated"], report["pairs"]) == (13, 1, 12)
    assert report["teacher"] == str(model_folder)
    assert len(read_pairs(tmp_path / "mined.jsonl")) == report["written"]
    done = run_cli(*mine, "--format", "pylat", cwd=tmp_path)
    assert done.code == 2
    assert "did you mean 'pylate'" in done.err
