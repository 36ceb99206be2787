"""Past runs of a ledger, and the files of old ones."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from qdrant_static.errors import ArgumentError, LedgerNotFoundError, StorageError
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.ledger import runs as runs_module
from qdrant_static.ledger.history import past_runs, remove_old_files
from qdrant_static.ledger.ledger import Ledger, now
from tests.unit.test_ledger import begin, make_version_1, rows, settle


def make_run(ledger: Ledger, number: int, *, state: str = "finished", **changes) -> int:
    """A run of two rows, one of them rejected, with its files."""
    folder = ledger.path.parent
    rejects = folder / f"rejects-{number}.jsonl"
    run = begin(ledger, **{"rejects": str(rejects), **changes})
    settle(ledger, run, rows([number]))
    settle(ledger, run, rows([1000 + number], start=1), outcome="refused")
    rejects.write_text("{}\n")
    (folder / f"manifest-{run}.json").write_text("{}")
    ledger.runs.update(
        run, state=state, finished=now(), rejects_bytes=3, points_before=run - 1, points_after=run
    )
    return run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


def files_in(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir() if "ledger" not in one.name)


def test_the_last_run_comes_first_with_its_sums_and_files(path):
    with Ledger(path) as ledger:
        make_run(ledger, 1)
        begin(ledger)
        last, first = past_runs(path)  # while a job has it open
    assert (first.run, first.state, first.attempts) == (1, "finished", 1)
    assert (first.totals.read, first.totals.stored, first.totals.rejected) == (2, 1, 1)
    assert first.totals.reasons == {"refused": 1}
    assert first.rejects == path.with_name("rejects-1.jsonl")
    assert first.manifest == path.with_name("manifest-1.json")
    assert first.started <= first.ended
    assert (last.run, last.state, last.ended, last.rejects) == (2, "running", None, None)
    assert last.totals.read == 0
    assert json.loads(json.dumps(first.to_dict()))["totals"]["stored"] == 1
    assert [one.run for one in past_runs(path, limit=1)] == [2]


def test_a_run_is_told_in_lines(path):
    with Ledger(path) as ledger:
        make_run(ledger, 1)
    head, *rest = str(past_runs(path)[0]).splitlines()
    assert head.startswith("run 1: finished, 20")
    assert head.endswith(" UTC")
    assert [one.strip() for one in rest] == [
        "read 2 = stored 1 + rejected 1", "rejected: refused 1", "1 points (0 before)",
        f"rejects: {path.with_name('rejects-1.jsonl')}",
    ]  # fmt: skip


def test_looking_changes_nothing(path):
    make_version_1(path)
    before = path.read_bytes()
    (run,) = past_runs(path)
    assert (run.state, run.totals.stored, run.removed) == ("running", 5, ())
    assert path.read_bytes() == before


def test_without_a_ledger_it_is_said_where_it_was_looked_for(path):
    with pytest.raises(LedgerNotFoundError, match=r"no ledger .*ledger\.sqlite"):
        past_runs(path)


def test_what_cannot_be_read_is_an_error_of_ours(path):
    path.write_bytes(b"no database" * 100)
    with pytest.raises(StorageError, match="cannot be read"):
        past_runs(path)
    path.unlink()
    make_version_1(path, "99")
    with pytest.raises(StorageError, match="version 99"):
        past_runs(path)


def test_the_sums_stay_when_the_batches_go(path, monkeypatch):
    monkeypatch.setattr(runs_module, "_KEPT_RUNS", 2)
    with Ledger(path) as ledger:
        for number in range(1, 5):
            make_run(ledger, number)
        (left,) = ledger.query("SELECT count(DISTINCT run) FROM batches")
        assert left == (2,)
    assert [one.totals.stored for one in past_runs(path)] == [1, 1, 1, 1]
    assert past_runs(path)[-1].totals.reasons == {"refused": 1}


def test_the_files_of_old_runs_go_and_the_ledger_says_so(path, tmp_path):
    with Ledger(path) as ledger:
        for number in range(1, 5):
            make_run(ledger, number)
        gone = remove_old_files(ledger, tmp_path, 2)
        assert {one.name for one in gone} == {
            "rejects-1.jsonl", "manifest-1.json", "rejects-2.jsonl", "manifest-2.json",
        }  # fmt: skip
        assert remove_old_files(ledger, tmp_path, None) == []  # as it was said last
        make_run(ledger, 5)
        assert len(remove_old_files(ledger, tmp_path, None)) == 2
    assert files_in(tmp_path) == [
        "manifest-4.json", "manifest-5.json", "rejects-4.jsonl", "rejects-5.jsonl",
    ]  # fmt: skip
    oldest = past_runs(path)[-1]
    assert oldest.removed == ("rejects-1.jsonl", "manifest-1.json")
    assert (oldest.rejects, oldest.manifest) == (None, None)
    assert "removed since: rejects-1.jsonl" in str(oldest)
    assert oldest.totals.rejected == 1


def test_twenty_runs_are_kept_where_nothing_is_said(path, tmp_path):
    with Ledger(path) as ledger:
        for number in range(1, 22):
            make_run(ledger, number)
        assert [one.name for one in remove_old_files(ledger, tmp_path, None)] == [
            "rejects-1.jsonl", "manifest-1.json",
        ]  # fmt: skip


def test_what_may_be_continued_keeps_its_files(path, tmp_path):
    with Ledger(path) as ledger:
        make_run(ledger, 1, state="finished")
        make_run(ledger, 2, state="interrupted")
        remove_old_files(ledger, tmp_path, 1)
    assert files_in(tmp_path) == ["manifest-2.json", "rejects-2.jsonl"]


def test_a_file_of_the_callers_or_of_a_later_run_stays(path, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    theirs = own / "rejects-theirs.jsonl"
    copy = tmp_path / "retry-rejects-1.jsonl"
    copy.write_text("")
    with Ledger(path) as ledger:
        make_run(ledger, 1, rejects=str(theirs), files=[(str(copy), "1")])
        theirs.write_text("{}")
        make_run(ledger, 2, files=[(str(copy), "1")])
        remove_old_files(ledger, tmp_path, 1)
        assert theirs.exists()
        assert copy.exists()  # run 2 has read it as well
        make_run(ledger, 3)
        remove_old_files(ledger, tmp_path, 1)
        assert not copy.exists()


def test_a_number_that_keeps_nothing_is_refused():
    with pytest.raises(ArgumentError, match="keep_runs: 0 is not an integer of at least 1"):
        RunOptions(keep_runs=0)
    assert RunOptions(keep_runs=None).keep_runs is None


def test_a_ledger_of_version_2_gets_the_new_columns(path):
    make_version_1(path)
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE runs ADD COLUMN building INTEGER NOT NULL DEFAULT 0")
        db.execute("UPDATE meta SET value = '2' WHERE key = 'version'")
    db.close()
    with Ledger(path) as ledger:
        assert (ledger.runs.last().totals, ledger.runs.last().removed) == (None, None)
