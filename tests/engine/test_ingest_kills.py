"""Jobs are killed at random moments and run again: the outcome is that of one undisturbed run."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdrant_static import EdgeClient
from qdrant_static.ingestion.verify import verify
from qdrant_static.ledger.ledger import Ledger
from tests.fakes import REPOSITORY, write_jsonl
from tests.ingest_child import COLLECTION, run


def _write_input(folder: Path, rows: int) -> None:
    """Two files with duplicates across both, and rows that are rejected."""
    dice = random.Random(5)  # noqa: S311
    records = [
        {"id": n if n % 3 else f"k{n}", "title": f"title {n}", "text": f"row {n % 11} {n}", "n": n}
        for n in range(rows)
    ]
    for _ in range(rows // 50):
        records.insert(dice.randrange(rows), dict(dice.choice(records), n=-1))
    half = len(records) // 2
    lines: list = list(records[:half])
    for place in range(10, half, 400):
        lines[place] = ["torn {", {"id": place, "text": " "}, {"text": "no key"}][place % 3]
    (folder / "in").mkdir(parents=True)
    write_jsonl(folder / "in" / "a.jsonl", lines)
    strings = [{**one, "id": str(one["id"])} for one in records[half:]]
    pq.write_table(pa.Table.from_pylist(strings), folder / "in" / "b.parquet", row_group_size=700)


def _start(folder: Path, options: dict) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.ingest_child", str(folder), json.dumps(options)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _kill_after(child: subprocess.Popen, batches: int, wait_s: float) -> None:
    assert child.stdout is not None
    for _ in range(batches):
        line = child.stdout.readline()
        if line != "settled\n":  # it has come to its end
            break
    time.sleep(wait_s)
    child.kill()
    child.communicate()


def _points(folder: Path) -> dict:
    with EdgeClient(folder / "db") as client:
        records, more = client.scroll(COLLECTION, limit=1_000_000, with_vectors=True)
    assert more is None
    return {record.id: (record.payload, record.vector) for record in records}


def _rejects(report: dict) -> Counter[str]:
    lines = Path(report["rejects_path"]).read_text().splitlines()
    return Counter(line.replace(str(Path(report["ledger"]).parents[3]), "") for line in lines)


SUM = ("read", "stored", "superseded", "rejected", "points_before", "points_after", "new", "exact")


@pytest.mark.parametrize(
    ("on_duplicate", "kills", "rows"),
    [
        pytest.param("last", 3, 4_000, id="few"),
        pytest.param("reject", 30, 50_000, id="thirty", marks=pytest.mark.full),
        pytest.param("last", 30, 50_000, id="thirty-last", marks=pytest.mark.full),
    ],
)
def test_a_job_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, on_duplicate: str, kills: int, rows: int
) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    for folder in (whole, torn):
        _write_input(folder, rows)
    options = {"on_duplicate": on_duplicate, "threads": 2}
    expected = run(whole, **options)
    dice = random.Random(kills + len(on_duplicate))  # noqa: S311
    settled = []
    for _ in range(kills):
        # Never so late that the job could have ended: a batch takes a hundredth of a second there.
        batches = dice.randrange(rows // 100 // kills - 3)
        _kill_after(_start(torn, options), batches, dice.uniform(0, 0.02))
        path = torn / "db" / "_state" / COLLECTION / "ledger.sqlite"
        if path.exists():
            with Ledger(path) as ledger:
                last = ledger.runs.last()
                settled.append(0 if last is None else ledger.runs.totals(last.id).read)
    assert settled == sorted(settled)  # nothing that was settled is ever lost
    child = _start(torn, options)
    out, err = child.communicate(timeout=600)
    assert child.returncode == 0, err
    report = json.loads(out.splitlines()[-1])
    assert report["attempts"] > 1

    assert {name: report[name] for name in SUM} == {name: expected[name] for name in SUM}
    assert report["exact"]
    assert _points(torn) == _points(whole)
    assert _rejects(report) == _rejects(expected)
    manifest = json.loads(Path(report["manifest"]).read_text())
    assert {name: manifest[name] for name in SUM} == {name: expected[name] for name in SUM}
    with EdgeClient(torn / "db") as client:
        found = verify(client, COLLECTION)
    assert found.is_sound
    assert (found.points, found.expected, found.unknown) == (
        report["points_after"], report["points_after"], 0,
    )  # fmt: skip
