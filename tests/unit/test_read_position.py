"""How far a source is read: bytes of its files, compressed ones too."""

from __future__ import annotations

import gzip
import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdrant_static.reading.inputs import ReadPosition
from qdrant_static.reading.sources import open_source


def lines(count: int) -> bytes:
    return b"".join(
        json.dumps({"id": n, "text": f"{n} " + "moon tide " * 50}).encode() + b"\n"
        for n in range(count)
    )


def csv_lines(count: int) -> bytes:
    return b"id,text\n" + b"".join(b"%d,%s\n" % (n, b"moon tide " * 50) for n in range(count))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", lines(8000)),
        ("a.jsonl.gz", gzip.compress(lines(8000))),
        ("a.csv", csv_lines(8000)),
    ],
)
def test_the_part_that_was_read_grows_to_all(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    source = open_source(tmp_path / name)
    parts = []
    for _ in source.batches():
        parts.append(source.position.fraction())
    assert parts == sorted(parts)
    assert 0 < parts[0] < 0.6
    assert parts[-1] == source.position.fraction() == 1.0


def test_files_that_are_over_count_whole(tmp_path):
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.jsonl").write_bytes(lines(10))
    source = open_source(tmp_path)
    parts = [source.position.fraction() for _ in source.batches()]
    assert parts == [0.25, 0.5, 0.75, 1.0]


def test_where_rows_are_known_bytes_are_not_counted(tmp_path):
    pq.write_table(pa.table({"id": [1], "text": ["moon"]}), tmp_path / "a.parquet")
    assert open_source(tmp_path).position is None


def test_another_process_counts_for_itself(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines(10))
    source = open_source(tmp_path)
    batches = source.batches()
    next(batches)
    copy = pickle.loads(pickle.dumps(source))  # noqa: S301
    assert copy.inputs[0].position is copy.position
    assert copy.position.fraction() == 0.0
    list(copy.batches())
    assert copy.position.fraction() == 1.0
    batches.close()


def test_nothing_has_no_parts():
    assert ReadPosition({}).fraction() is None
    assert ReadPosition({"a": 0}).fraction() is None
