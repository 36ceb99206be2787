"""Sync: only what has changed is encoded and written, and what has vanished is deleted."""

from __future__ import annotations

import json
import shutil

import pytest
from qdrant_client import models

from qdrant_static import CollectionSpec, RunOptions, SourceOptions, create_collection, ingest
from qdrant_static.errors import ArgumentError, DeletionRefusedError, VerificationError
from tests.fakes import FakeEncoder, grouped, write_jsonl


class CountingEncoder(FakeEncoder):
    """Counts the texts that it encodes."""

    encoded = 0

    def encode(self, texts):
        self.encoded += len(texts)
        return super().encode(texts)


@pytest.fixture
def counting() -> CountingEncoder:
    return CountingEncoder()


def rows(count: int, start: int = 0) -> list[dict]:
    return [{"id": n, "text": f"the text of row {n}", "n": n} for n in range(start, start + count)]


def everything(client) -> dict:
    records, _ = client.scroll("c", limit=10_000, with_vectors=True)
    return {record.id: record for record in records}


def sums(report) -> tuple:
    assert report.read == (
        report.stored + report.payload_updated + report.unchanged + report.superseded
        + sum(report.rejected.values())
    )  # fmt: skip
    assert report.points_after == report.points_before + report.new - report.deleted
    return report.stored, report.payload_updated, report.unchanged, report.deleted


def sync(client, path, encoder, **options):
    return ingest(client, "c", path, **grouped(encoder=encoder, sync=True, **options))


def test_a_second_run_encodes_and_writes_nothing(client, counting, tmp_path, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", rows(2500))
    first = sync(client, path, counting)
    assert sums(first) == (2500, 0, 0, 0)
    before, counting.encoded = everything(client), 0
    for name in ("upsert", "upsert_matrices", "batch_update_points", "optimize", "delete"):
        monkeypatch.setattr(client, name, None)
    again = sync(client, path, counting)
    assert sums(again) == (0, 0, 2500, 0)
    assert (counting.encoded, again.new, again.points_after) == (0, 0, 2500)
    assert everything(client) == before
    assert "read 2,500 = stored 0 + unchanged 2,500 + rejected 0" in str(again)


@pytest.mark.parametrize(
    ("one", "other"), [(123456789012.0, 123456789013.0), (1700000000.123, 1700000000.124)]
)
def test_a_change_in_a_late_digit_is_one(client, encoder, tmp_path, one, other):
    """The engine gives such numbers back exactly, so that a ledger can hold them exactly."""
    for number in (one, other):
        row = {"id": 1, "text": "a", "n": number, "deep": [{"n": number}]}
        path = write_jsonl(tmp_path / "a.jsonl", [row])
        report = sync(client, path, encoder)
        assert everything(client)[1].payload == row
    assert sums(report) == (0, 1, 0, 0)


def test_what_has_changed_is_told_apart(client, counting, tmp_path):
    sync(client, write_jsonl(tmp_path / "a.jsonl", rows(100)), counting)
    changed = rows(110)
    changed[3]["text"] = "another text"
    changed[4]["n"] = -4
    changed[5]["extra"] = {"deep": [1, 2.5, None]}
    del changed[6]["n"]
    counting.encoded = 0
    report = sync(client, write_jsonl(tmp_path / "a.jsonl", changed), counting)
    assert sums(report) == (11, 3, 96, 0)
    assert (report.new, report.exact) == (10, True)
    # The samples that are read back are encoded again: at most as many as were stored.
    assert counting.encoded <= 2 * 11
    stored = everything(client)
    assert {point: record.payload for point, record in stored.items()} == {
        row["id"]: row for row in changed
    }
    expected = FakeEncoder().encode([row["text"] for row in changed])
    for row, vector in zip(changed, expected, strict=True):
        assert stored[row["id"]].vector["full"] == pytest.approx(vector.tolist(), abs=1e-6)


def test_vanished_rows_are_deleted_only_if_asked(client, counting, tmp_path):
    sync(client, write_jsonl(tmp_path / "a.jsonl", rows(100)), counting)
    path = write_jsonl(tmp_path / "a.jsonl", rows(90))
    assert sums(sync(client, path, counting)) == (0, 0, 90, 0)
    report = sync(client, path, counting, delete_missing=True)
    assert sums(report) == (0, 0, 90, 10)
    assert (report.points_after, report.exact) == (90, True)
    assert "90 points (100 before, 10 deleted)" in str(report)
    assert set(everything(client)) == set(range(90))


def test_too_many_deletions_are_refused_and_everything_else_is_done(client, counting, tmp_path):
    sync(client, write_jsonl(tmp_path / "a.jsonl", rows(100)), counting)
    path = write_jsonl(tmp_path / "a.jsonl", [*rows(70), *rows(1, 500)])
    with pytest.raises(DeletionRefusedError, match="30 of the 101 points") as caught:
        sync(client, path, counting, delete_missing=True)
    assert caught.value.exit_code == 4
    assert sums(caught.value.report) == (1, 0, 70, 0)
    assert len(everything(client)) == 101
    report = sync(client, path, counting, delete_missing=True, force=True)
    assert (sums(report), report.attempts) == ((1, 0, 70, 30), 2)  # the same run, finished
    assert set(everything(client)) == {*range(70), 500}


def test_nothing_is_deleted_because_a_file_cannot_be_read(client, counting, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", rows(100))
    write_jsonl(folder / "b.jsonl.gz", rows(5, 200))
    sync(client, folder, counting)
    (folder / "b.jsonl.gz").write_bytes(b"no gzip")
    for force in (False, True):  # what force allows is to delete much, not to delete unread
        report = sync(client, folder, counting, delete_missing=True, force=force)
        assert (report.unchanged, report.deleted, report.not_deleted) == (100, 0, 5)
        assert "nothing was deleted: the 5 points" in str(report)
    assert len(everything(client)) == 105
    write_jsonl(folder / "b.jsonl.gz", rows(1, 200))
    assert sync(client, folder, counting, delete_missing=True).deleted == 4


def test_points_of_rows_that_are_rejected_now_are_told(client, counting, tmp_path):
    """What a row said before stays in searches: nobody has asked to delete it."""
    path = write_jsonl(tmp_path / "a.jsonl", rows(5))
    assert sync(client, path, counting).notes == ()
    write_jsonl(path, [*rows(2), {"id": 2, "text": ""}])
    report = sync(client, path, counting)
    assert report.points_after == 5
    assert "3 points have no row or passage in this input that could be stored" in str(report)
    report = sync(client, path, counting, delete_missing=True, force=True, again=True)
    assert (report.deleted, report.points_after, report.notes) == (3, 2, ())


def test_rows_that_are_added_tell_nothing_of_the_others(client, counting, tmp_path):
    sync(client, write_jsonl(tmp_path / "a.jsonl", rows(3)), counting)
    assert sync(client, write_jsonl(tmp_path / "b.jsonl", rows(3, 3)), counting).notes == ()


def test_without_a_ledger_it_is_made_from_the_collection(client, counting, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(1500))
    ingest(client, "c", path, encoder=counting)
    shutil.rmtree(tmp_path / "db" / "_state")
    counting.encoded = 0
    report = sync(client, path, counting)
    assert sums(report) == (0, 0, 1500, 0)
    assert (counting.encoded, report.exact) == (0, True)


def test_points_without_their_text_are_encoded_once_more(client, counting, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(20))
    ingest(client, "c", path, encoder=counting, source_options=SourceOptions(payload=("n",)))
    shutil.rmtree(tmp_path / "db" / "_state")
    assert sums(sync(client, path, counting, payload=("n",))) == (20, 0, 0, 0)
    assert sums(sync(client, path, counting, payload=("n",))) == (0, 0, 20, 0)


def test_what_another_writer_deleted_or_added_is_noticed(client, counting, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(50))
    sync(client, path, counting)
    client.delete("c", [7, 8])
    report = sync(client, path, counting)
    assert sums(report) == (2, 0, 48, 0)
    assert (report.new, report.points_after) == (2, 50)


def test_what_a_job_with_another_ledger_wrote_is_noticed(client, counting, tmp_path):
    """By another name of the collection, or from another machine: as many points as before."""
    own, other = rows(20), rows(20)
    other[3]["text"], other[4]["n"] = "Another text.", 400
    paths = [write_jsonl(tmp_path / f"{n}.jsonl", told) for n, told in enumerate((own, other))]
    sync(client, paths[0], counting)
    elsewhere = tmp_path / "elsewhere"
    assert sums(sync(client, paths[1], counting, state=elsewhere)) == (1, 1, 18, 0)
    report = sync(client, paths[0], counting)
    assert sums(report) == (1, 1, 18, 0)
    assert any("another ledger" in note for note in report.notes)
    assert [one.payload for one in client.retrieve("c", [3, 4])] == own[3:5]
    # And each that has seen what the other wrote reads it once.
    assert sums(sync(client, paths[0], counting, state=elsewhere)) == (0, 0, 20, 0)
    assert not sync(client, paths[0], counting, state=elsewhere).notes
    assert not sync(client, paths[0], counting).notes


def test_a_full_write_after_another_ledgers_leaves_nothing_old_behind(client, counting, tmp_path):
    """Without sync only the rows of the input are known: a later sync looks at the others."""
    first, part = rows(20), rows(20)[:5]
    paths = [write_jsonl(tmp_path / f"{n}.jsonl", told) for n, told in enumerate((first, part))]
    sync(client, paths[0], counting)
    changed = rows(20)
    changed[9]["text"] = "Another text."
    other = write_jsonl(tmp_path / "other.jsonl", changed)
    ingest(
        client, "c", other, encoder=counting, run_options=RunOptions(state=tmp_path / "elsewhere")
    )
    ingest(client, "c", paths[1], encoder=counting)
    assert sums(sync(client, paths[0], counting)) == (1, 0, 19, 0)
    assert client.retrieve("c", [9])[0].payload == first[9]


def test_jobs_of_two_ledgers_at_one_time_are_noticed_by_both(client, counting, tmp_path):
    """Neither ledger knows what the other job wrote after it, whoever ends first."""
    path = write_jsonl(tmp_path / "a.jsonl", rows(20))
    other = write_jsonl(tmp_path / "b.jsonl", [{**rows(20)[9], "text": "Another text."}])
    sync(client, path, counting)
    states = (None, tmp_path / "elsewhere")
    sync(client, path, counting, state=states[1])

    class Between(CountingEncoder):
        """Has the other job run once this one has begun to write."""

        def encode(self, texts):
            if not self.encoded:
                self.encoded = 1
                sync(client, other, counting, state=states[1])
            return super().encode(texts)

    more = write_jsonl(tmp_path / "c.jsonl", [*rows(19), {"id": 19, "text": "new"}])
    ingest(client, "c", more, encoder=Between(), run_options=RunOptions(again=True))
    for state in states:
        assert sync(client, more, counting, state=state).notes


def test_an_exchanged_point_is_a_disagreement_and_the_next_run_heals_it(client, counting, tmp_path):
    """As many points as before: nothing looks wrong until one of them is to be changed."""
    sync(client, write_jsonl(tmp_path / "a.jsonl", rows(50)), counting)
    client.delete("c", [7])
    (other,) = client.retrieve("c", [1], with_vectors=True)
    client.upsert("c", [models.PointStruct(id=999, vector=other.vector, payload={})])
    changed = rows(50)
    for row in changed[5:10]:
        row["n"] = -1
    path = write_jsonl(tmp_path / "a.jsonl", changed)
    with pytest.raises(VerificationError, match="51 points after 50 before"):
        sync(client, path, counting)
    stored = everything(client)
    assert stored[7].payload == changed[7]  # stored whole, as it was not there to be changed
    assert stored[7].vector["full"]
    report = sync(client, path, counting)
    assert (sums(report), report.points_after) == ((0, 0, 50, 0), 51)
    assert sync(client, path, counting, delete_missing=True).points_after == 50


def test_another_way_of_encoding_encodes_everything(client, tmp_path):
    """The text's columns are the same, but their template is not."""
    from qdrant_static.reading.options import SourceOptions

    path = write_jsonl(tmp_path / "a.jsonl", rows(10))
    for template, expected in (("{text}", 10), ("{text}", 0), ("about {text}", 10)):
        options = SourceOptions(template=template)
        report = ingest(
            client,
            "c",
            path,
            encoder=FakeEncoder(),
            source_options=options,
            run_options=RunOptions(sync=True),
        )
        assert report.stored == expected


def test_a_sync_that_is_cut_short_goes_on(client, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(5000))
    sync(client, path, FakeEncoder())
    changed = rows(5000)
    for row in changed[::2]:
        row["text"] += " again"
    path = write_jsonl(tmp_path / "a.jsonl", changed)

    class Broken(FakeEncoder):
        def encode(self, texts):
            if any("row 3000 " in text for text in texts):
                raise RuntimeError("it broke")
            return super().encode(texts)

    with pytest.raises(RuntimeError, match="it broke"):
        sync(client, path, Broken())
    report = sync(client, path, FakeEncoder())
    assert (sums(report), report.attempts) == ((2500, 0, 2500, 0), 2)


def test_a_collection_that_was_deleted_begins_anew(client, counting, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(10))
    sync(client, path, counting)
    client.delete_collection("c")
    report = sync(client, path, counting)
    assert (sums(report), report.exact) == ((10, 0, 0, 0), True)


def test_one_that_was_created_beforehand_is_filled(client, counting, tmp_path):
    create_collection(client, "c", CollectionSpec.for_encoder(counting, sparse=None))
    path = write_jsonl(tmp_path / "a.jsonl", rows(10))
    assert sums(sync(client, path, counting)) == (10, 0, 0, 0)


def test_deleting_needs_sync(client, counting, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(1))
    with pytest.raises(ArgumentError, match="delete_missing: it needs sync"):
        ingest(client, "c", path, encoder=counting, run_options=RunOptions(delete_missing=True))


def test_the_manifest_says_it_all(client, counting, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [*rows(10), "torn"])
    report = sync(client, path, counting)
    found = json.loads(report.manifest.read_text())
    assert found["inputs"][0]["path"] == str(path)
    assert str(path.stat().st_size) in found["inputs"][0]["fingerprint"]
    for name in ("read", "stored", "unchanged", "new", "points_after", "sampled"):
        assert found[name] == getattr(report, name)
    assert found["sampled"] == 10
    assert found["spec"]["vectors"][0]["name"] == "full"
    assert found["versions"]["qdrant-static"]
    assert found["seconds"]["load"] > 0
