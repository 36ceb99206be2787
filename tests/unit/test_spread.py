"""What is measured of a sample is measured of one from all over the input."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdrant_static.reading import textsample as module
from qdrant_static.reading.sources import open_source
from qdrant_static.reading.textsample import spread

ROWS = 2000


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "_PLACE_BYTES", 400)
    monkeypatch.setattr(module, "_SMALL_BYTES", 20_000)


def records(start: int = 0) -> list[dict]:
    return [{"id": n, "text": f"text {n} " + "x" * (n % 40)} for n in range(start, start + ROWS)]


def ids(batches) -> list[int]:
    return sorted(int(key) for one in batches for key in one.keys)


def assert_spread(found: list[int], rows: int = ROWS) -> None:
    """From all over, each once, and not nearly all."""
    assert 0 < len(found) == len(set(found)) < rows * 0.8
    for eighth in range(8):
        part = range(eighth * rows // 8, (eighth + 1) * rows // 8)
        assert any(one in part for one in found), (eighth, found)


def test_lines_of_json_come_from_everywhere(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records()))
    source = open_source(path)
    found = spread(source, 500)
    assert_spread(ids(found))
    texts = {key: text for one in found for key, text in zip(one.keys, one.texts, strict=True)}
    assert all(text.as_py() == records()[key]["text"] for key, text in texts.items())
    assert sum(len(one) for one in source.batches()) == ROWS  # nothing of it was read


def test_lines_of_csv_come_from_everywhere_and_have_the_header(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,text\n" + "".join(f"{one['id']},{one['text']}\n" for one in records()))
    assert_spread(ids(spread(open_source(path), 500)))


def test_several_files_have_their_share(tmp_path):
    for number in (0, 1):
        rows = records(number * ROWS)
        (tmp_path / f"{number}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert_spread(ids(spread(open_source(tmp_path), 500)), 2 * ROWS)


def test_row_groups_of_parquet_give_their_first_rows(tmp_path):
    table = pa.Table.from_pylist(records())
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100)
    found = ids(spread(open_source(tmp_path), 200))
    assert_spread(found)
    assert found == sorted(100 * group + row for group in range(20) for row in range(10))
    pq.write_table(table, tmp_path / "a.parquet")  # one row group has only a beginning
    assert spread(open_source(tmp_path), 200) == []


def test_where_it_is_not_cheap_the_beginning_must_do(tmp_path):
    content = "".join(json.dumps(one) + "\n" for one in records()).encode()
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content))
    assert spread(open_source(tmp_path), 500) == []
    (tmp_path / "a.jsonl.gz").unlink()
    (tmp_path / "a.jsonl").write_bytes(content[:5000])  # small: all of it is looked at
    assert spread(open_source(tmp_path), 500) == []
    source = open_source(tmp_path)
    (tmp_path / "a.jsonl").unlink()  # the load says so
    assert spread(source, 500) == []


def test_a_line_of_any_length_is_no_obstacle(tmp_path):
    rows = [{"id": 0, "text": "y" * 30_000}, *records()[1:]]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    found = ids(spread(open_source(path), 500))
    assert len(found) == len(set(found)) > 50
    assert max(found) > 1800
