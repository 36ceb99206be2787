"""The ledger: rows compared and written by the batch, runs, sums, and what a crash leaves."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from qdrant_static.digests import as_digests
from qdrant_static.errors import StorageError
from qdrant_static.ids import id_digest
from qdrant_static.ledger import rows as module
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.ledgerfile import UPGRADES
from qdrant_static.ledger.records import Rows, Settlement, Totals
from qdrant_static.ledger.runidentity import differences


def digest(value: int) -> bytes:
    return value.to_bytes(16, "big")


def rows(ids, text=1, payload=1, start=0) -> Rows:
    ids = list(ids)
    return Rows(
        ids=as_digests(map(id_digest, ids)),
        texts=as_digests([digest(text)] * len(ids)),
        payloads=as_digests([digest(payload)] * len(ids)),
        positions=range(start, start + len(ids)),
    )


def begin(ledger: Ledger, **changes) -> int:
    values = {"identity": {"encoder": "e"}, "files": [("a", "1"), ("b", "2")], "rejects": "r"}
    return ledger.begin(**{**values, "versions": {}, **changes})


def settle(ledger: Ledger, run: int, part: Rows, *, file=0, outcome="stored", **changes) -> None:
    start, stop = part.positions[0], part.positions[-1] + 1
    counts = {"stored": "stored", "payload": "payload_updated", "unchanged": "unchanged"}
    totals = {"read": len(part), "points": len(part)}
    if outcome in counts:
        totals[counts[outcome]] = len(part)
    else:
        totals |= {"rejected": len(part), "reasons": {"refused": len(part)}}
    ledger.sent(run, file, start, stop, part)
    ledger.settle(
        run,
        Settlement(
            file=file, start=start, stop=stop, totals=Totals(**totals), rows={outcome: part},
            **changes,
        ),
        rejects_bytes=0,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.mark.parametrize("merged", [True, False])
def test_rows_are_told_apart(path, merged):
    with Ledger(path) as ledger:
        first = begin(ledger)
        settle(ledger, first, rows(range(8)))
        second = begin(ledger)
        settle(ledger, second, rows([7]))
        if merged:
            ledger.rows.merge()
        asked = rows(range(10))
        asked.texts = np.array(asked.texts)
        asked.payloads = np.array(asked.payloads)
        asked.texts[2] = asked.texts[3] = asked.payloads[3] = asked.payloads[4] = 9
        expected = {"same": [0, 1, 5, 6], "changed": [2, 3], "payload": [4]}
        assert ledger.rows.classify(second, asked) == {**expected, "seen": [7], "new": [8, 9]}


def test_what_is_under_way_is_seen_with_its_address(path):
    with Ledger(path) as ledger:
        run = begin(ledger)
        ledger.sent(run, 1, 100, 110, rows(range(10), start=100))
        assert ledger.rows.classify(run, rows([3, 50])) == {"seen": [0], "new": [1]}
        assert ledger.rows.address(id_digest(3)) == (1, 103)
        assert ledger.rows.address(id_digest(50)) is None


def test_only_what_is_committed_survives(path):
    with Ledger(path) as ledger:
        run = begin(ledger)
        settle(ledger, run, rows(range(5)))
        ledger.sent(run, 0, 5, 10, rows(range(5, 10), start=5))
    with Ledger(path) as again:
        assert again.runs.settled(run) == {0: [(0, 5)]}
        assert again.rows.count() == 5
        again.resume(run)
        assert again.runs.last().attempts == 2
        assert again.rows.classify(run, rows([2, 7])) == {"seen": [0], "new": [1]}


def test_what_was_not_merged_is_merged_by_the_next(path, monkeypatch):
    monkeypatch.setattr(module, "_MERGE_ROWS", 10**9)
    with Ledger(path) as ledger:
        run = begin(ledger)
        for start in range(0, 50, 10):
            settle(ledger, run, rows(range(start, start + 10), start=start))
    with Ledger(path) as again:
        assert again.connection.execute("SELECT count(*) FROM rows").fetchone() == (50,)
        assert again.rows.known(id_digest(37)) == (run, 0, 37, "stored")


def test_merging_many_times_is_the_same(path, monkeypatch):
    monkeypatch.setattr(module, "_MERGE_ROWS", 25)
    with Ledger(path) as ledger:
        run = begin(ledger)
        for start in range(0, 100, 10):
            settle(ledger, run, rows(range(start, start + 10), start=start), file=start // 50)
        assert ledger.rows.count() == 100
        assert ledger.runs.totals(run).read == 100
        assert ledger.runs.settled(run) == {0: [(0, 50)], 1: [(50, 100)]}
        assert ledger.rows.known(id_digest(60)) == (run, 1, 60, "stored")


def test_settled_ranges_have_their_holes(path):
    with Ledger(path) as ledger:
        run = begin(ledger)
        for start in (20, 0, 40, 10):
            settle(ledger, run, rows(range(start, start + 10), start=start))
        assert ledger.runs.settled(run) == {0: [(0, 30), (40, 50)]}


def test_a_refused_row_takes_its_key_and_is_no_point(path):
    with Ledger(path) as ledger:
        first = begin(ledger)
        settle(ledger, first, rows([1]))
        run = begin(ledger)
        settle(ledger, run, rows([1, 2], text=2), outcome="refused")
        assert ledger.rows.count() == 1  # what was there under the key of 1 is still there
        assert ledger.rows.classify(run, rows([1, 2])) == {"seen": [0, 1]}
        third = begin(ledger)
        assert ledger.rows.classify(third, rows([1, 2])) == {"changed": [0], "new": [1]}
        assert ledger.runs.totals(run).reasons == {"refused": 2}


@pytest.mark.parametrize("to", ["superseded", "rejected"])
def test_a_row_that_is_displaced_changes_its_own_batch(path, to):
    with Ledger(path) as ledger:
        run = begin(ledger)
        settle(ledger, run, rows(range(10)))
        settle(ledger, run, rows([3, 99], start=10), displaced=[id_digest(3)], displaced_as=to)
        totals = ledger.runs.totals(run)
        assert totals.adds_up
        assert (totals.read, totals.stored, getattr(totals, to)) == (12, 11, 1)
        assert totals.reasons == ({"duplicate_key": 1} if to == "rejected" else {})
        assert ledger.rows.known(id_digest(3)) == (run, 0, 10, "stored")


def test_a_new_run_leaves_the_unfinished_one(path):
    with Ledger(path) as ledger:
        first = begin(ledger)
        ledger.runs.update(first, state="failed")
        second = begin(ledger)
        assert [run.state for run in ledger.runs.all()] == ["abandoned", "running"]
        ledger.runs.update(second, state="finished", points_before=0, points_after=5, complete=True)
        third = begin(ledger)
        assert [run.state for run in ledger.runs.all()] == ["abandoned", "finished", "running"]
        assert ledger.runs.last().id == third


def test_old_runs_lose_their_batches(path):
    with Ledger(path) as ledger:
        first = begin(ledger)
        settle(ledger, first, rows(range(5)))
        for _ in range(30):
            last = begin(ledger)
        assert ledger.runs.settled(first) == {}
        assert (ledger.runs.files(first), len(ledger.runs.files(last))) == ([], 2)
        assert ledger.rows.count() == 5


def test_a_broken_file_is_told_once(path):
    with Ledger(path) as ledger:
        run = begin(ledger)
        assert not ledger.runs.add_unreadable(run, "a", "torn")
        assert ledger.runs.add_unreadable(run, "a", "torn")
        assert len(ledger.runs.unreadable(run)) == 1


def test_notes_are_durable_at_once(path):
    with Ledger(path) as ledger:
        ledger.notes["threshold:c"] = {"deep": [1, None]}
        assert dict(ledger.notes) == {"threshold:c": {"deep": [1, None]}}
    with Ledger(path) as again:
        assert again.notes["threshold:c"] == {"deep": [1, None]}
        del again.notes["threshold:c"]
        assert len(again.notes) == 0
        with pytest.raises(KeyError):
            again.notes["threshold:c"]
        with pytest.raises(KeyError):
            del again.notes["threshold:c"]


def test_what_vanished_is_found_and_forgotten(path):
    with Ledger(path) as ledger:
        settle(ledger, begin(ledger), rows(range(10)))
        run = begin(ledger)
        settle(ledger, run, rows(range(4)), outcome="unchanged")
        assert (ledger.rows.count_vanished(run), ledger.rows.count()) == (6, 10)
        pages = list(ledger.rows.pages(not_in_run=run, size=4))
        gone = [one for page in pages for one, _, _ in page]
        assert gone == [id_digest(n) for n in range(4, 10)]
        ledger.rows.remove_deleted(run, gone)
        assert (
            ledger.rows.count_vanished(run),
            ledger.rows.count(),
            ledger.runs.last().deleted,
        ) == (0, 4, 6)


def test_what_is_built_is_not_in_the_collection_until_it_is_shipped(path):
    with Ledger(path) as ledger:
        run = begin(ledger, building=True)
        settle(ledger, run, rows(range(10)))
        settle(ledger, run, rows([20, 21], start=10), outcome="refused")
        ledger.runs.update(run, state="built")
        assert (ledger.rows.count(), ledger.rows.count_built()) == (
            10,
            10,
        )  # to the run that builds
        assert (ledger.runs.totals(run).read, ledger.runs.settled(run)) == (12, {0: [(0, 12)]})
        assert batch_states(ledger) == {"built"}
    with Ledger(path) as other:
        assert (other.rows.count(), other.rows.count_built(), other.rows.count_vanished(99)) == (
            0,
            10,
            0,
        )
        assert list(other.rows.pages()) == []
        assert list(other.rows.samples(5)) == []
        assert other.runs.last().building
    with Ledger(path) as again:
        again.resume(run)
        assert again.rows.count() == 10
        assert again.rows.classify(run, rows([3, 50])) == {"seen": [0], "new": [1]}
        again.shipped(run, points=10)
        last = again.runs.last()
        assert (last.state, last.building, last.points_before, last.points_after) == (
            "finished", False, 0, 10,
        )  # fmt: skip
    with Ledger(path) as after:
        assert (after.rows.count(), after.rows.count_built()) == (10, 0)
        assert batch_states(after) == {"stored"}
        assert after.runs.totals(run).adds_up
        following = begin(after)
        assert after.rows.classify(following, rows([3, 50])) == {"same": [0], "new": [1]}


def test_what_is_pending_when_a_building_run_dies_stays_built(path, monkeypatch):
    monkeypatch.setattr(module, "_MERGE_ROWS", 10**9)
    with Ledger(path) as ledger:
        run = begin(ledger, building=True)
        settle(ledger, run, rows(range(10)))
        assert ledger.connection.execute("SELECT count(*) FROM rows").fetchone() == (0,)
    with Ledger(path) as other:
        assert (other.rows.count(), other.rows.count_built()) == (0, 10)


def test_another_run_forgets_what_was_built(path):
    with Ledger(path) as ledger:
        settle(ledger, begin(ledger, building=True), rows(range(10)))
    with Ledger(path) as other:
        run = begin(other)
        assert other.rows.classify(run, rows([3])) == {"new": [0]}
        assert (other.rows.count(), other.rows.count_built()) == (0, 0)


def test_what_two_building_runs_have_built_is_shipped_together(path):
    with Ledger(path) as ledger:
        first = begin(ledger, building=True)
        settle(ledger, first, rows(range(10)))
        run = begin(ledger, building=True)
        assert ledger.rows.count_built() == 10
        settle(ledger, run, rows(range(8)), outcome="unchanged")
        settle(ledger, run, rows([8], start=8, payload=2), outcome="payload")
        settle(ledger, run, rows([30], start=9))
        ledger.rows.remove_deleted(run, [id_digest(9)])
        ledger.shipped(run, points=10)
        totals = ledger.runs.totals(run)
        assert (totals.stored, totals.payload_updated, totals.unchanged) == (10, 0, 0)
        assert totals.adds_up
        assert (ledger.rows.count(), ledger.runs.last().deleted) == (10, 0)


def batch_states(ledger: Ledger) -> set[str]:
    return {state for (state,) in ledger.connection.execute("SELECT DISTINCT state FROM batches")}


#: The table that version 2 changed, as version 1 made it.
RUNS_1 = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, state TEXT NOT NULL, started TEXT NOT NULL, finished TEXT,
    attempts INTEGER NOT NULL DEFAULT 1, identity TEXT NOT NULL, points_before INTEGER,
    points_after INTEGER, deleted INTEGER NOT NULL DEFAULT 0, complete INTEGER NOT NULL DEFAULT 0,
    rejects TEXT, rejects_bytes INTEGER NOT NULL DEFAULT 0, versions TEXT NOT NULL
);
"""


def make_version_1(path, number: str = "1") -> int:
    """A ledger as version 1 left it, with one run that was cut short."""
    with Ledger(path) as ledger:
        run = begin(ledger)
        settle(ledger, run, rows(range(5)))
    with sqlite3.connect(path) as db:
        kept = "id, state, started, attempts, identity, deleted, complete, rejects_bytes, versions"
        db.executescript(f"ALTER TABLE runs RENAME TO newer; {RUNS_1}")
        db.execute(f"INSERT INTO runs ({kept}) SELECT {kept} FROM newer")  # noqa: S608
        db.execute("DROP TABLE newer")
        db.execute("UPDATE meta SET value = ? WHERE key = 'version'", (number,))
    db.close()
    return run


def test_a_ledger_of_version_1_is_brought_up_to_date(path):
    run = make_version_1(path)
    with Ledger(path) as ledger:
        assert ledger.runs.last().id == run
        assert not ledger.runs.last().building
        assert (ledger.rows.count(), ledger.runs.totals(run).stored) == (5, 5)
        ledger.resume(run)
        settle(ledger, run, rows([7], start=5))
        assert batch_states(ledger) == {"stored"}
    with Ledger(path) as again:
        assert again.rows.count() == 6


def test_a_change_that_fails_half_way_leaves_the_version_before(path, monkeypatch):
    run = make_version_1(path)
    change = UPGRADES[1]
    monkeypatch.setitem(UPGRADES, 1, change + "DROP TABLE no_such_table;")
    with pytest.raises(StorageError):
        Ledger(path)
    monkeypatch.setitem(UPGRADES, 1, change)
    with Ledger(path) as ledger:
        assert ledger.runs.last().id == run


@pytest.mark.parametrize("number", ["4", "none"])
def test_a_ledger_of_a_version_to_come_is_left_alone(path, number):
    make_version_1(path, number)
    with pytest.raises(StorageError, match=f"is a ledger of version {number}.* reads 3"):
        Ledger(path)


def test_a_file_that_is_no_ledger_is_a_clear_error(path):
    path.write_bytes(b"something else, and long enough to be looked at" * 50)
    with pytest.raises(StorageError, match="the ledger is damaged"):
        Ledger(path)


def test_differences_of_runs_are_named():
    same = {"encoder": "e", "spec": "s", "options": "o"}
    files = [("a", "1"), ("b", "2")]
    assert differences(same, same, files, files) == []
    assert differences(same, {**same, "spec": "t"}, files, files) == ["another spec"]
    assert differences(same, same, files, files[::-1]) == ["the files come in another order"]
    assert differences(same, same, files, [("a", "9"), ("c", "3")]) == [
        "a has changed", "c is new", "b is gone",
    ]  # fmt: skip
