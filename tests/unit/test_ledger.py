"""The ledger: rows compared and written by the batch, runs, sums, and what a crash leaves."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static.errors import StorageError
from qdrant_static.ids import id_digest
from qdrant_static.ingest.accounting import ledger as module
from qdrant_static.ingest.accounting.accounts import Rows, Settlement, Totals
from qdrant_static.ingest.accounting.hashes import as_digests
from qdrant_static.ingest.accounting.identity import differences
from qdrant_static.ingest.accounting.ledger import Ledger


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
            ledger.merge()
        asked = rows(range(10))
        asked.texts = np.array(asked.texts)
        asked.payloads = np.array(asked.payloads)
        asked.texts[2] = asked.texts[3] = asked.payloads[3] = asked.payloads[4] = 9
        expected = {"same": [0, 1, 5, 6], "changed": [2, 3], "payload": [4]}
        assert ledger.classify(second, asked) == {**expected, "seen": [7], "new": [8, 9]}


def test_what_is_under_way_is_seen_with_its_address(path):
    with Ledger(path) as ledger:
        run = begin(ledger)
        ledger.sent(run, 1, 100, 110, rows(range(10), start=100))
        assert ledger.classify(run, rows([3, 50])) == {"seen": [0], "new": [1]}
        assert ledger.address(id_digest(3)) == (1, 103)
        assert ledger.address(id_digest(50)) is None


def test_only_what_is_committed_survives(path):
    with Ledger(path) as ledger:
        run = begin(ledger)
        settle(ledger, run, rows(range(5)))
        ledger.sent(run, 0, 5, 10, rows(range(5, 10), start=5))
    with Ledger(path) as again:
        assert again.settled(run) == {0: [(0, 5)]}
        assert again.points() == 5
        again.resume(run)
        assert again.last().attempts == 2
        assert again.classify(run, rows([2, 7])) == {"seen": [0], "new": [1]}


def test_what_was_not_merged_is_merged_by_the_next(path, monkeypatch):
    monkeypatch.setattr(module, "_MERGE_ROWS", 10**9)
    with Ledger(path) as ledger:
        run = begin(ledger)
        for start in range(0, 50, 10):
            settle(ledger, run, rows(range(start, start + 10), start=start))
    with Ledger(path) as again:
        assert again._db.execute("SELECT count(*) FROM rows").fetchone() == (50,)
        assert again.known(id_digest(37)) == (run, 0, 37, "stored")


def test_merging_many_times_is_the_same(path, monkeypatch):
    monkeypatch.setattr(module, "_MERGE_ROWS", 25)
    with Ledger(path) as ledger:
        run = begin(ledger)
        for start in range(0, 100, 10):
            settle(ledger, run, rows(range(start, start + 10), start=start), file=start // 50)
        assert ledger.points() == 100
        assert ledger.totals(run).read == 100
        assert ledger.settled(run) == {0: [(0, 50)], 1: [(50, 100)]}
        assert ledger.known(id_digest(60)) == (run, 1, 60, "stored")


def test_settled_ranges_have_their_holes(path):
    with Ledger(path) as ledger:
        run = begin(ledger)
        for start in (20, 0, 40, 10):
            settle(ledger, run, rows(range(start, start + 10), start=start))
        assert ledger.settled(run) == {0: [(0, 30), (40, 50)]}


def test_a_refused_row_takes_its_key_and_is_no_point(path):
    with Ledger(path) as ledger:
        first = begin(ledger)
        settle(ledger, first, rows([1]))
        run = begin(ledger)
        settle(ledger, run, rows([1, 2], text=2), outcome="refused")
        assert ledger.points() == 1  # what was there under the key of 1 is still there
        assert ledger.classify(run, rows([1, 2])) == {"seen": [0, 1]}
        third = begin(ledger)
        assert ledger.classify(third, rows([1, 2])) == {"changed": [0], "new": [1]}
        assert ledger.totals(run).reasons == {"refused": 2}


@pytest.mark.parametrize("to", ["superseded", "rejected"])
def test_a_row_that_is_displaced_changes_its_own_batch(path, to):
    with Ledger(path) as ledger:
        run = begin(ledger)
        settle(ledger, run, rows(range(10)))
        settle(ledger, run, rows([3, 99], start=10), displaced=[id_digest(3)], displaced_as=to)
        totals = ledger.totals(run)
        assert totals.adds_up
        assert (totals.read, totals.stored, getattr(totals, to)) == (12, 11, 1)
        assert totals.reasons == ({"duplicate_key": 1} if to == "rejected" else {})
        assert ledger.known(id_digest(3)) == (run, 0, 10, "stored")


def test_a_new_run_leaves_the_unfinished_one(path):
    with Ledger(path) as ledger:
        first = begin(ledger)
        ledger.note(first, state="failed")
        second = begin(ledger)
        assert [run.state for run in ledger.runs()] == ["abandoned", "running"]
        ledger.note(second, state="finished", points_before=0, points_after=5, complete=True)
        third = begin(ledger)
        assert [run.state for run in ledger.runs()] == ["abandoned", "finished", "running"]
        assert ledger.last().id == third


def test_old_runs_lose_their_batches(path):
    with Ledger(path) as ledger:
        first = begin(ledger)
        settle(ledger, first, rows(range(5)))
        for _ in range(30):
            last = begin(ledger)
        assert ledger.settled(first) == {}
        assert (ledger.files(first), len(ledger.files(last))) == ([], 2)
        assert ledger.points() == 5


def test_a_broken_file_is_told_once(path):
    with Ledger(path) as ledger:
        run = begin(ledger)
        assert not ledger.is_broken(run, "a", "torn")
        assert ledger.is_broken(run, "a", "torn")
        assert ledger.broken_files(run) == 1


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
        assert (ledger.vanished(run), ledger.points()) == (6, 10)
        pages = list(ledger.each(not_in_run=run, size=4))
        gone = [one for page in pages for one, _, _ in page]
        assert gone == [id_digest(n) for n in range(4, 10)]
        ledger.forget(run, gone)
        assert (ledger.vanished(run), ledger.points(), ledger.last().deleted) == (0, 4, 6)


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
