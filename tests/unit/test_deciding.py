"""What becomes of rows, whatever the order in which their batches arrive."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest

from qdrant_static.errors import ArgumentError
from qdrant_static.ids import id_digest, point_id
from qdrant_static.ingestion.deciding import decide, prepare, settlement
from qdrant_static.ingestion.options import RejectLimit
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.records import Totals
from qdrant_static.reading.batch import Batch

KEY = b"k" * 16
FILES = ["a.jsonl", "b.jsonl"]


def batch(file: int, start: int, keys: list) -> Batch:
    return Batch(
        file=FILES[file],
        unit="line",
        positions=range(start, start + len(keys)),
        keys=list(keys),
        texts=pa.array([f"text {file} {start + n}" for n in range(len(keys))], pa.large_string()),
        payloads=[{"key": key, "at": [file, start + n]} for n, key in enumerate(keys)],
        rejects=[],
        start=start,
        stop=start + len(keys),
    )


def run_all(tmp_path, batches, policy, *, settle_at_once=True):
    """Decide and settle batches in the order given: the sum, the rejects, who has which key."""
    rejects = []
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        run = ledger.begin(
            identity={}, files=[(name, "1") for name in FILES], rejects="r", versions={}
        )
        waiting = []
        for file, one in batches:
            prepared = prepare(one, KEY)
            prepared.file = file
            decided = decide(ledger, run, prepared, on_duplicate=policy, sync=False, files=FILES)
            kept = sorted((*decided.write, *decided.payload, *decided.unchanged))
            ledger.sent(run, file, one.start, one.stop, prepared.rows.take(kept))
            waiting.append(decided)
            if settle_at_once or decided.displaced:
                while waiting:
                    done, told = settlement(waiting.pop(0), {}, on_duplicate=policy)
                    rejects += told
                    ledger.settle(run, done, rejects_bytes=0)
        for decided in waiting:
            done, told = settlement(decided, {}, on_duplicate=policy)
            rejects += told
            ledger.settle(run, done, rejects_bytes=0)
        totals = ledger.runs.totals(run)
        holders = {key: ledger.rows.known(id_digest(point_id(key)))[1:3] for key in "xyz"}
    return totals, rejects, holders


BATCHES = [(0, batch(0, 1, ["x", "y", "x"])), (0, batch(0, 4, ["y", "z"])), (1, batch(1, 1, "zx"))]


@pytest.mark.parametrize("settle_at_once", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("policy", ["reject", "first", "last"])
def test_the_outcome_does_not_depend_on_the_order(tmp_path, policy, order, settle_at_once):
    batches = [BATCHES[number] for number in order]
    totals, rejects, holders = run_all(tmp_path, batches, policy, settle_at_once=settle_at_once)
    assert totals.adds_up
    assert (totals.read, totals.stored) == (7, 3)
    if policy == "last":
        assert holders == {"x": (1, 2), "y": (0, 4), "z": (1, 1)}
    else:
        assert holders == {"x": (0, 1), "y": (0, 2), "z": (0, 5)}
    if policy == "reject":
        assert (totals.rejected, totals.superseded) == (4, 0)
        assert dict(totals.reasons) == {"duplicate_key": 4}
        assert sorted((one.file, one.position) for one in rejects) == [
            ("a.jsonl", 3), ("a.jsonl", 4), ("b.jsonl", 1), ("b.jsonl", 2),
        ]  # fmt: skip
    else:
        assert (totals.rejected, totals.superseded, rejects) == (0, 4, [])


def test_a_refused_row_is_a_reject_and_no_point(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        run = ledger.begin(identity={}, files=[("a.jsonl", "1")], rejects="r", versions={})
        prepared = prepare(batch(0, 1, "xyz"), KEY)
        prepared.file = 0
        decided = decide(ledger, run, prepared, on_duplicate="reject", sync=False, files=FILES)
        done, rejects = settlement(decided, {1: "too odd"}, on_duplicate="reject")
    assert (done.totals.stored, done.totals.new, done.totals.rejected) == (2, 2, 1)
    assert [(one.reason, one.message, one.position) for one in rejects] == [
        ("refused", "too odd", 2)
    ]
    assert {name: len(rows) for name, rows in done.rows.items()} == {"stored": 2, "refused": 1}


@pytest.mark.parametrize(
    ("given", "totals", "early", "late"),
    [
        (5, Totals(read=10, rejected=5), False, False),
        ("5", Totals(read=10, rejected=6), True, True),
        (0, Totals(read=10, rejected=1), True, True),
        ("10%", Totals(read=10, rejected=2), False, True),
        ("10%", Totals(read=10, rejected=1), False, False),
        ("0.5 %", Totals(read=1000, rejected=6), True, True),
        ("0%", Totals(read=1000, rejected=0), False, False),
    ],
)
def test_a_limit_of_rejects(given, totals, early, late):
    limit = RejectLimit.parse(given)
    assert limit.is_exceeded(totals, at_end=False) is early
    assert limit.is_exceeded(totals, at_end=True) is late


def test_no_limit_and_no_sense():
    assert RejectLimit.parse(None) is None
    for given in ("", "five", "-3", -3, True, "200%", 1.5):
        with pytest.raises(ArgumentError, match="max_rejects"):
            RejectLimit.parse(given)
