"""Shares of an input, and the accounts of parts put together; no process, no engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from qdrant_static.errors import StorageError
from qdrant_static.ids import point_id
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.merge import JOINED, join
from qdrant_static.ledger.records import Settlement, Totals
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.rejects import Reject, RejectsFile
from qdrant_static.reading.sources import AnySource, open_source
from qdrant_static.routing import shard_of
from qdrant_static.shipping.localbuild.rejectsmerge import join_rejects
from qdrant_static.shipping.localbuild.shardsource import Share
from tests.fakes import write_jsonl
from tests.unit.test_ledger import begin, rows

KEYS = ("id", None)


@pytest.fixture(params=KEYS)
def source(request, tmp_path):
    """Two files of two batches each; some rows have no text, one file breaks off."""
    records = [
        {"id": n if n % 2 else f"k{n}", "text": f"text {n}" if n % 100 else " ", "n": n}
        for n in range(2500)
    ]
    write_jsonl(tmp_path / "a.jsonl", records[:1300])
    torn = write_jsonl(tmp_path / "b.jsonl.gz", records[1300:])
    torn.write_bytes(torn.read_bytes()[: -len(torn.read_bytes()) // 3])
    given = {"key": "id"} if request.param else {}
    opened = open_source([tmp_path / "a.jsonl", torn], text="text", **given)
    return opened if request.param else replace(opened, selection=_keyless(opened.selection))


def _keyless(selection):
    return replace(selection, key=None)


def _rows(items) -> list[tuple]:
    found = []
    for item in items:
        if isinstance(item, Batch):
            found += [(item.file, place, text) for place, text in _texts(item)]
    return found


def _texts(batch: Batch) -> Iterator[tuple[int, str]]:
    return zip(batch.positions, batch.texts.to_pylist(), strict=True)


def test_every_row_is_in_one_share_under_its_own_address(source):
    whole = list(source.batches())
    shares = [Share(source=source, shard=shard, of=3) for shard in range(3)]
    parts = [list(share.batches()) for share in shares]
    assert all(isinstance(share, AnySource) for share in shares)
    assert sorted(row for part in parts for row in _rows(part)) == sorted(_rows(whole))
    assert all(_rows(part) for part in parts)
    for part in parts:
        batches = [item for item in part if isinstance(item, Batch)]
        assert [(one.file, one.start, one.stop) for one in batches] == [
            (one.file, one.start, one.stop) for one in whole if isinstance(one, Batch)
        ]
        for one in batches:
            assert len(one) == len(one.payload_rows()) == len(one.payload_digests())


def test_a_row_is_in_the_share_of_its_id(source):
    share = Share(source=source, shard=1, of=4)
    keys = [key for item in share.batches() if isinstance(item, Batch) for key in item.keys or ()]
    assert (shard_of([point_id(key) for key in keys], 4) == 1).all()
    assert bool(keys) == (source.selection.key is not None)


def test_rejected_rows_are_in_the_first_share_and_broken_files_in_all(source):
    def rejects(source):
        items = list(source.batches())
        rows = [r for item in items if isinstance(item, Batch) for r in item.rejects]
        return len(rows), [item.reason for item in items if isinstance(item, Reject)]

    found = [rejects(Share(source=source, shard=n, of=2)) for n in range(2)]
    count, broken = rejects(source)
    assert found == [(count, broken), (0, broken)]
    assert count > 20
    assert broken == ["unreadable_file"]


def test_what_is_settled_is_left_out(source):
    share = Share(source=source, shard=0, of=2)
    name = source.inputs[0].name
    assert {item.file for item in share.batches({name: [(0, 10_000)]})} == {source.inputs[1].name}


def test_the_rest_is_the_sources(source):
    share = Share(source=source, shard=0, of=2)
    assert share.fingerprints() == source.fingerprints()
    assert (share.files, share.left_out) == (source.files, source.left_out)
    assert share.selection is source.selection
    assert share.total_rows is None


# --- ledgers -------------------------------------------------------------------------------------


def _settle(ledger: Ledger, run: int, start: int, stop: int, ids, *, file=0, rejected=0) -> None:
    part = rows(ids, start=start)
    totals = Totals(
        read=len(part) + rejected,
        stored=len(part),
        new=len(part),
        points=len(part),
        rejected=rejected,
        reasons={"no_text": rejected} if rejected else {},
    )
    done = Settlement(file=file, start=start, stop=stop, totals=totals, rows={"stored": part})
    ledger.settle(run, done, rejects_bytes=0)


def _batches(ledger: Ledger) -> list[tuple]:
    return list(ledger.query("SELECT file, start, stop, state, read, stored, reasons FROM batches"))


@pytest.fixture
def ledgers(tmp_path):
    with ExitStack() as stack:
        yield [stack.enter_context(Ledger(tmp_path / f"{n}.sqlite")) for n in range(3)]


def test_sums_are_added_by_address(ledgers):
    whole, one, other = ledgers
    for part, ids in ((one, [1, 2]), (other, [3])):
        run = begin(part)
        _settle(part, run, 0, 10, ids, rejected=int(part is one))
        _settle(part, run, 0, 5, [ids[0] + 100], file=1)
    run = begin(whole, building=True)
    join(whole, run, [one, other], state="built", rejects_bytes=7)
    assert _batches(whole) == [
        (0, 0, 10, "built", 4, 3, '{"no_text": 1}'),
        (1, 0, 5, "built", 2, 2, "{}"),
    ]
    assert whole.runs.totals(run) == one.runs.totals(1) + other.runs.totals(1)
    assert whole.runs.totals(run).adds_up
    assert (whole.rows.count_built(), whole.runs.last().rejects_bytes) == (5, 7)
    assert whole.notes[JOINED] == run
    assert whole.runs.settled(run) == {0: [(0, 10)], 1: [(0, 5)]}


def test_ranges_that_overlap_become_one_and_those_of_one_part_alone_stay(ledgers):
    whole, one, other = ledgers
    run = begin(one)
    for start, stop in ((0, 10), (10, 20), (20, 30), (30, 40)):
        _settle(one, run, start, stop, [start])
    run = begin(other)
    for start, stop in ((0, 10), (10, 15), (15, 25), (25, 30)):
        _settle(other, run, start, stop, [start + 1])
    run = begin(whole)
    join(whole, run, [one, other], state="stored", rejects_bytes=0)
    assert [found[:6] for found in _batches(whole)] == [
        (0, 0, 10, "stored", 2, 2),
        (0, 10, 30, "stored", 5, 5),
        (0, 30, 40, "stored", 1, 1),
    ]


def test_rows_have_the_files_of_the_whole(ledgers):
    whole, one, other = ledgers
    run = begin(one, files=[("b", "2"), ("late", "")])
    _settle(one, run, 0, 5, [10, 11])
    _settle(one, run, 0, 5, [12], file=1)
    run = begin(other, files=[("a", "1"), ("b", "2")])
    _settle(other, run, 0, 5, [20])
    run = begin(whole)
    join(whole, run, [one, other], state="stored", rejects_bytes=0)
    assert [name for name, _ in whole.runs.files(run)] == ["a", "b", "late"]
    asked = rows([10, 12, 20])
    assert whole.rows.classify(run, asked) == {"seen": [0, 1, 2]}
    digests = [bytes(one) for one in np.asarray(asked.ids)]
    assert [whole.rows.known(one)[:3] for one in digests] == [(run, 1, 0), (run, 2, 0), (run, 0, 0)]


def test_what_the_whole_had_is_replaced(ledgers):
    whole, one, _ = ledgers
    _settle(whole, begin(whole), 0, 10, [1, 2, 3])
    run = begin(whole)
    _settle(whole, run, 0, 10, [4])
    part = begin(one)
    _settle(one, part, 0, 3, [5])
    for _ in range(2):  # a second time, nothing changes
        join(whole, run, [one], state="stored", rejects_bytes=0)
        assert whole.rows.count() == 1
        assert whole.runs.totals(run).read == 1


def test_broken_files_are_counted_once(ledgers):
    whole, *parts = ledgers
    for part in parts:
        assert not part.runs.add_unreadable(begin(part), "a", "torn")
        part.commit()
    run = begin(whole)
    join(whole, run, parts, state="stored", rejects_bytes=0)
    assert len(whole.runs.unreadable(run)) == 1


def test_a_join_that_fails_leaves_nothing(ledgers):
    whole, one, other = ledgers
    for part in (one, other):
        _settle(part, begin(part), 0, 10, [1])  # the same point in both: no parts of one whole
    run = begin(whole)
    with pytest.raises(StorageError):
        join(whole, run, [one, other], state="stored", rejects_bytes=0)
    whole.close()
    with Ledger(whole.path) as again:
        assert (again.rows.count(), again.runs.totals(run), list(again.notes)) == (0, Totals(), [])


# --- rejects -------------------------------------------------------------------------------------


def _written(path, *rejects: tuple[str, int | None]) -> tuple:
    with RejectsFile(path) as file:
        for name, position in rejects:
            reason = "no_text" if position is not None else "unreadable_file"
            file.add(Reject(reason=reason, message="m", file=name, unit="line", position=position))
        return path, file.bytes


def test_rejects_come_by_address_and_a_broken_file_once(tmp_path):
    parts = [
        _written(tmp_path / "0", ("gone", None), ("a", 2), ("a", 11), ("a", None), ("b", 1)),
        _written(tmp_path / "1", ("gone", None), ("a", 3), ("a", None), ("b", 0)),
        (tmp_path / "none", 0),
    ]
    with (tmp_path / "1").open("ab") as file:
        file.write(b'{"torn')  # behind what counts
    with RejectsFile(tmp_path / "all") as into:
        join_rejects(into, parts, ["a", "b"])
    found = [json.loads(line) for line in (tmp_path / "all").read_text().splitlines()]
    assert [(one["file"], one["line"]) for one in found] == [
        ("gone", None), ("a", 2), ("a", 3), ("a", 11), ("a", None), ("b", 0), ("b", 1),
    ]  # fmt: skip
    assert into.bytes == (tmp_path / "all").stat().st_size


def test_no_rejects_make_no_file(tmp_path):
    with RejectsFile(tmp_path / "all") as into:
        join_rejects(into, [(tmp_path / "none", 0)], ["a"])
    assert not into
    assert not into.path.exists()
