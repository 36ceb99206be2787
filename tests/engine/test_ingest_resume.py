"""Duplicates over the whole input, limits of rejects, resume, locks, and what a full disk does."""

from __future__ import annotations

import json
import os
import sqlite3
import threading

import pytest

from qdrant_static import CollectionSpec, EdgeClient, RunOptions, ingest
from qdrant_static.errors import (
    ArgumentError,
    JobRunningError,
    StorageError,
    TooManyRejectsError,
)
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading import arrowfile, jsonl, parquet
from qdrant_static.reading.fromcollection import open_collection_source
from qdrant_static.reading.options import Passages
from tests.fakes import FakeEncoder, grouped, write_jsonl


def rows(count: int, start: int = 0, **more) -> list[dict]:
    return [{"id": n, "text": f"row {n}", **more} for n in range(start, start + count)]


def everything(client) -> dict:
    records, _ = client.scroll("c", limit=10_000)
    return {record.id: record.payload for record in records}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    for module in (arrowfile, jsonl, parquet):
        monkeypatch.setattr(module, "MAX_ROWS", 100)


def ledger_of(tmp_path) -> Ledger:
    return Ledger(tmp_path / "db" / "_state" / "c" / "ledger.sqlite")


class FailingAt(FakeEncoder):
    """Fails at a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def encode(self, texts):
        if self._text in texts:
            raise RuntimeError("it broke")
        return super().encode(texts)


def cut_short(path, client, at: str, **options) -> None:
    with pytest.raises(RuntimeError, match="it broke"):
        ingest(client, "c", path, **grouped(encoder=FailingAt(at), threads=1, **options))


# --- duplicates ------------------------------------------------------------------------------


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("policy", "stored", "superseded", "rejected", "kept"),
    [
        ("reject", 200, 0, {"duplicate_key": 3}, 1),
        ("first", 200, 3, {}, 1),
        ("last", 200, 3, {}, 2),
    ],
)
def test_a_key_that_comes_twice(
    client, encoder, tmp_path, policy, stored, superseded, rejected, kept, apart
):
    again = [{"id": n, "text": "again", "v": 2} for n in (5, 6, 5)]
    table = rows(200, v=1)
    if not apart:
        table[7:7] = again[:2]
        table.append(again[2])
    else:
        table += again
    path = write_jsonl(tmp_path / "a.jsonl", table)
    report = ingest(client, "c", path, encoder=encoder, run_options=RunOptions(on_duplicate=policy))
    assert (report.read, report.stored, report.superseded) == (203, stored, superseded)
    assert dict(report.rejected) == rejected
    assert (report.new, report.points_after, report.exact) == (200, 200, True)
    found = everything(client)
    assert (found[5]["v"], found[6]["v"], found[7]["v"]) == (kept, kept, 1)


def test_a_reject_names_the_row_that_came_before(client, encoder, tmp_path):
    first = write_jsonl(tmp_path / "a.jsonl", rows(150))
    second = write_jsonl(tmp_path / "b.jsonl", [*rows(2, 500), *rows(1, 3), *rows(1, 501)])
    report = ingest(client, "c", [first, second], encoder=encoder)
    told = [json.loads(line)["message"] for line in report.rejects_path.read_text().splitlines()]
    assert told == [
        "the key 501 came before in this run: line 2",
        f"the key 3 came before in this run: {first}, line 4",
    ] or sorted(told) == sorted([
        "the key 501 came before in this run: line 2",
        f"the key 3 came before in this run: {first}, line 4",
    ])  # fmt: skip


def test_an_unknown_policy_is_an_error(client, encoder, tmp_path):
    with pytest.raises(ArgumentError, match="on_duplicate: 'both' is unknown"):
        ingest(
            client,
            "c",
            write_jsonl(tmp_path / "a.jsonl", rows(1)),
            encoder=encoder,
            run_options=RunOptions(on_duplicate="both"),
        )


# --- limits ----------------------------------------------------------------------------------


def test_a_job_that_eats_rubbish_stops_and_goes_on_with_a_higher_limit(client, encoder, tmp_path):
    table = [row if n % 10 else "torn" for n, row in enumerate(rows(3000))]
    path = write_jsonl(tmp_path / "a.jsonl", table)
    with pytest.raises(TooManyRejectsError) as caught:
        ingest(client, "c", path, encoder=encoder, run_options=RunOptions(max_rejects=25))
    assert caught.value.exit_code == 3
    assert 25 < caught.value.rejected < 60
    assert caught.value.rejected * 10 == caught.value.read < 1000
    so_far = caught.value.report
    assert so_far.read == so_far.stored + sum(so_far.rejected.values()) == caught.value.read
    assert so_far.points_after == so_far.points_before + so_far.new
    report = ingest(client, "c", path, encoder=encoder, run_options=RunOptions(max_rejects="10%"))
    assert (report.read, report.stored, report.attempts) == (3000, 2700, 2)
    assert dict(report.rejected) == {"not_json": 300}
    assert len(report.rejects_path.read_text().splitlines()) == 300


def test_a_share_is_judged_at_the_end_of_a_short_input(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [*rows(50), "torn"])
    with pytest.raises(
        TooManyRejectsError, match="1 of 51 rows were rejected, and the limit is 1%"
    ):
        ingest(client, "c", path, encoder=encoder, run_options=RunOptions(max_rejects="1%"))
    assert (
        ingest(client, "c", path, encoder=encoder, run_options=RunOptions(max_rejects="2%")).stored
        == 50
    )


@pytest.mark.parametrize("limit", ["many", "101%", "-1", -1, True, "1.5", "%"])
def test_a_limit_that_is_none_is_an_error(client, encoder, tmp_path, limit):
    path = write_jsonl(tmp_path / "a.jsonl", rows(1))
    with pytest.raises(ArgumentError, match="max_rejects"):
        ingest(client, "c", path, encoder=encoder, run_options=RunOptions(max_rejects=limit))


# --- resume ----------------------------------------------------------------------------------


def test_what_is_settled_is_not_read_again(client, tmp_path, capsys):
    path = write_jsonl(tmp_path / "a.jsonl", rows(1000))
    cut_short(path, client, "row 550")
    with ledger_of(tmp_path) as ledger:
        settled = ledger.runs.totals(1).read
    assert 300 <= settled < 600

    class Counting(FakeEncoder):
        texts = 0

        def encode(self, texts):
            self.texts += len(texts)
            return super().encode(texts)

    encoder = Counting()
    report = ingest(client, "c", path, encoder=encoder, progress=True)
    assert "going on with run 1, which did not end" in capsys.readouterr().err
    assert report.earlier == settled
    assert (report.read, report.stored, report.run, report.attempts) == (1000, 1000, 1, 2)
    assert (report.points_before, report.new, report.points_after) == (0, 1000, 1000)
    assert encoder.texts == 1000 - settled + report.sampled
    assert "in 2 attempts" in str(report)


def test_a_changed_file_is_named_and_everything_is_read_again(client, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in "ab":
        write_jsonl(folder / f"{name}.jsonl", rows(500, ord(name)))
    cut_short(folder, client, "row 300")
    write_jsonl(folder / "b.jsonl", rows(400, 10_000))
    write_jsonl(folder / "c.jsonl", rows(10, 20_000))
    report = ingest(
        client,
        "c",
        folder,
        encoder=FakeEncoder(),
        progress=True,
        run_options=RunOptions(on_duplicate="first"),
    )
    told = capsys.readouterr().err
    assert "run 1 did not end, and is not continued: another options" in told
    assert f"{folder}/b.jsonl has changed" in told
    assert f"{folder}/c.jsonl is new" in told
    assert (report.run, report.attempts, report.read) == (2, 1, 910)


def test_a_collection_that_was_lost_meanwhile_is_filled_from_the_beginning(
    client, tmp_path, capsys
):
    path = write_jsonl(tmp_path / "a.jsonl", rows(1000))
    cut_short(path, client, "row 550")
    client.delete_collection("c")
    report = ingest(client, "c", path, encoder=FakeEncoder(), progress=True)
    assert "the collection has 0 points, and had" in capsys.readouterr().err
    assert (report.run, report.stored, report.points_after) == (2, 1000, 1000)


def test_a_stop_is_no_failure_and_the_next_run_goes_on(client, encoder, tmp_path):
    stop = threading.Event()
    path = write_jsonl(tmp_path / "a.jsonl", rows(1000))
    upsert = client.upsert_matrices

    def stopping(*arguments, **options):
        stop.set()
        return upsert(*arguments, **options)

    client.upsert_matrices = stopping
    first = ingest(client, "c", path, encoder=encoder, stop=stop)
    assert first.interrupted
    assert first.manifest is None
    assert 0 < first.read < 1000
    with ledger_of(tmp_path) as ledger:
        assert ledger.runs.last().state == "interrupted"
    del client.upsert_matrices
    rest = ingest(client, "c", path, encoder=encoder)
    assert (rest.run, rest.attempts, rest.read, rest.points_after) == (1, 2, 1000, 1000)


def test_the_input_of_a_pipe_is_never_taken_for_the_same(client, tmp_path, monkeypatch):
    import io
    import sys

    for start in (0, 300):
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows(200, start))
        pipe = type("Pipe", (), {"buffer": io.BytesIO(lines)})()
        monkeypatch.setattr(sys, "stdin", pipe)
        if start == 0:
            cut_short("-", client, "row 150")
        else:
            report = ingest(client, "c", "-", encoder=FakeEncoder())
            assert (report.run, report.read, report.stored) == (2, 200, 200)


# --- who may work ----------------------------------------------------------------------------


def test_two_jobs_of_a_collection_exclude_each_other(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(300))

    class Nested(FakeEncoder):
        def encode(self, texts):
            ingest(client, "c", path, encoder=FakeEncoder())
            return super().encode(texts)

    with pytest.raises(JobRunningError) as caught:
        ingest(client, "c", path, encoder=Nested())
    assert caught.value.retryable
    assert f"process {os.getpid()}" in caught.value.message
    assert ingest(client, "c", path, encoder=encoder).stored == 300


def test_the_state_may_lie_elsewhere(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [*rows(3), "torn"])
    report = ingest(
        client, "c", path, encoder=encoder, run_options=RunOptions(state=tmp_path / "mine")
    )
    assert {one.parent for one in (report.ledger, report.manifest, report.rejects_path)} == {
        tmp_path / "mine"
    }


def test_a_folder_that_cannot_be_made_is_a_clear_error(client, encoder, tmp_path):
    (tmp_path / "file").write_text("")
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    with pytest.raises(StorageError, match="cannot be created or written"):
        ingest(
            client,
            "c",
            path,
            encoder=encoder,
            run_options=RunOptions(state=tmp_path / "file" / "state"),
        )


# --- a full disk -----------------------------------------------------------------------------


def test_a_full_disk_is_a_clear_error_and_the_ledger_goes_on(
    client, encoder, tmp_path, monkeypatch
):
    path = write_jsonl(tmp_path / "a.jsonl", rows(1000))
    settle = Ledger.settle
    calls = 0

    def filling(self, *arguments, **options):
        nonlocal calls
        calls += 1
        if calls == 4:
            pages = self.connection.execute("PRAGMA page_count").fetchone()[0]
            self.connection.execute(f"PRAGMA max_page_count = {pages}")
        settle(self, *arguments, **options)

    monkeypatch.setattr(Ledger, "settle", filling)
    with pytest.raises(StorageError, match=r"the disk is full\. Make room and repeat"):
        ingest(client, "c", path, encoder=encoder)
    monkeypatch.undo()
    report = ingest(client, "c", path, encoder=encoder)
    assert (report.attempts, report.read, report.points_after) == (2, 1000, 1000)
    assert report.exact


def test_a_ledger_that_is_none_is_a_clear_error(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    state = tmp_path / "db" / "_state" / "c"
    state.mkdir(parents=True)
    (state / "ledger.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(StorageError, match="the ledger is damaged"):
        ingest(client, "c", path, encoder=encoder)


def test_a_ledger_of_another_version_is_a_clear_error(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    ingest(client, "c", path, encoder=encoder)
    file = tmp_path / "db" / "_state" / "c" / "ledger.sqlite"
    with sqlite3.connect(file) as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'version'")
    db.close()
    with pytest.raises(StorageError, match="is a ledger of version 99"):
        ingest(client, "c", path, encoder=encoder)


def test_a_person_can_read_the_ledger(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [*rows(150), "torn"])
    ingest(client, "c", path, spec=CollectionSpec.for_encoder(encoder), encoder=encoder)
    db = sqlite3.connect(tmp_path / "db" / "_state" / "c" / "ledger.sqlite")
    assert db.execute("SELECT state, points_before, points_after FROM runs").fetchall() == [
        ("finished", 0, 150)
    ]
    assert db.execute(
        "SELECT start, stop, state, read, stored, rejected, reasons FROM batches"
    ).fetchall() == [
        (1, 101, "stored", 100, 100, 0, "{}"),
        (101, 152, "stored", 51, 50, 1, '{"not_json": 1}'),
    ]
    assert db.execute("SELECT count(*) FROM rows WHERE state = 'stored'").fetchone() == (150,)
    db.close()


def test_a_second_directory_has_a_ledger_of_its_own(encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    for name in ("one", "two"):
        with EdgeClient(tmp_path / name) as client:
            assert ingest(client, "c", path, encoder=encoder).run == 1


# --- passages --------------------------------------------------------------------------------


class WithTokenizer(FakeEncoder):
    """Cuts at words."""

    @property
    def tokenizer(self):
        from tokenizers import Tokenizer, models, pre_tokenizers

        made = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))  # noqa: S106
        made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return made


def test_passages_that_a_text_no_longer_has_are_told(client, tmp_path):
    options = {"encoder": WithTokenizer(), "passages": Passages(tokens=3), "sync": True}
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "a b c d e f g h"}])
    assert ingest(client, "c", path, **grouped(**options)).points_after == 3
    write_jsonl(path, [{"id": 1, "text": "a b"}])
    report = ingest(client, "c", path, **grouped(**options))
    assert report.points_after == 3
    assert any(note.startswith("2 points have no row or passage") for note in report.notes)
    more = {"delete_missing": True, "force": True, "again": True}
    report = ingest(client, "c", path, **grouped(**options, **more))
    assert (report.deleted, report.points_after) == (2, 1)


@pytest.mark.parametrize("policy", ["reject", "first"])
def test_rows_and_passages_are_counted_apart(client, tmp_path, policy):
    table = [
        {"id": 1, "text": "a b c d e f g"},
        {"id": 2, "text": "a b"},
        {"id": 1, "text": "a b c d e f g h i j k l"},
        {"id": 3, "text": " "},
    ]
    path = write_jsonl(tmp_path / "a.jsonl", table)
    options = {"encoder": WithTokenizer(), "passages": Passages(tokens=3), "on_duplicate": policy}
    report = ingest(client, "c", path, **grouped(**options))
    lost = (1, 0) if policy == "reject" else (0, 1)
    assert (report.read, report.stored) == (4, 2)
    assert (report.rejected.get("duplicate_key", 0), report.superseded) == lost
    assert (report.points_written, report.new, report.points_after) == (4, 4, 4)
    again = ingest(client, "c", path, **grouped(sync=True, **options))
    assert (again.read, again.stored, again.unchanged, again.points_written) == (4, 0, 2, 0)
    table[0]["text"] = "a b c d"
    write_jsonl(tmp_path / "a.jsonl", table)
    less = ingest(
        client, "c", path, **grouped(sync=True, delete_missing=True, force=True, **options)
    )
    assert (less.read, less.stored, less.unchanged, less.deleted) == (4, 1, 1, 1)
    assert less.points_after == 3


def test_the_last_row_of_a_key_is_not_for_passages(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(1))
    with pytest.raises(ArgumentError, match="passages: the last row of a key"):
        ingest(
            client,
            "c",
            path,
            encoder=encoder,
            passages=Passages(),
            run_options=RunOptions(on_duplicate="last"),
        )


# --- another collection ----------------------------------------------------------------------


def test_a_collection_is_read_into_another(client, encoder, tmp_path):
    ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", rows(250)), encoder=encoder)
    other = FakeEncoder("other", salt="x")
    source = open_collection_source(client, "c")
    report = ingest(client, "d", source, encoder=other)
    assert (report.read, report.stored, report.points_after) == (250, 250, 250)
    assert client.retrieve("d", [7])[0].payload == {"id": 7, "text": "row 7"}
