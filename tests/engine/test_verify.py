"""Verification at any later time, rejects tried again, and job files on a real engine."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qdrant_static import RunOptions, ingest
from qdrant_static.errors import (
    ArgumentError,
    CollectionNotFoundError,
    SourceNotFoundError,
    VerificationError,
)
from qdrant_static.ids import id_digest, id_of_digest, point_id
from qdrant_static.ingestion.retrying import retry_rejects
from qdrant_static.ingestion.verify import verify
from qdrant_static.jobs import Job
from tests.fakes import run_cli, write_jsonl


def rows(count: int, start: int = 0) -> list[dict]:
    return [{"id": f"k{n}", "text": f"row {n}", "n": n} for n in range(start, start + count)]


# --- verify ----------------------------------------------------------------------------------


def test_a_collection_that_is_whole(client, encoder, tmp_path):
    ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", rows(1200)), encoder=encoder)
    found = verify(client, "c")
    assert found.is_sound
    assert (found.points, found.expected, found.missing, found.unknown) == (1200, 1200, 0, 0)
    assert (found.compared, found.different, found.named) == (1000, 0, ())
    assert "missing 0; unknown to the ledger 0; 0 of 1,000 compared points differ" in str(found)


def test_what_is_missing_or_changed_is_named_with_its_address(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(50))
    ingest(client, "c", path, encoder=encoder)
    client.delete("c", [point_id("k7"), point_id("k30")])
    client.set_payload("c", {"n": -1}, points=[point_id("k5")])
    found = verify(client, "c")
    assert not found.is_sound
    assert (found.points, found.expected, found.missing, found.different) == (48, 50, 2, 1)
    named = {one.id: (one.file, one.position, one.problem) for one in found.named}
    assert named == {
        point_id("k7"): (str(path), 8, "it is not in the collection"),
        point_id("k30"): (str(path), 31, "it is not in the collection"),
        point_id("k5"): (str(path), 6, "its payload was changed"),
    }
    assert json.loads(json.dumps(found.to_dict()))["is_sound"] is False
    assert f"{point_id('k7')} ({path}, 8): it is not in the collection" in str(found)


def test_what_is_missing_can_be_stored_again(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(50))
    ingest(client, "c", path, encoder=encoder)
    client.delete("c", [point_id("k7")])
    client.set_payload("c", {"n": -1}, points=[point_id("k5")])
    verify(client, "c", repair=True)
    report = ingest(client, "c", path, encoder=encoder, run_options=RunOptions(sync=True))
    assert (report.stored + report.payload_updated, report.points_after) == (2, 50)
    assert verify(client, "c").is_sound


def test_many_are_counted_and_some_named(client, encoder, tmp_path):
    ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", rows(300)), encoder=encoder)
    client.delete("c", [point_id(f"k{n}") for n in range(250)])
    found = verify(client, "c")
    assert (found.missing, len(found.named)) == (250, 100)
    assert str(found).endswith("and 150 more")


def test_there_must_be_a_ledger_and_a_collection(client, encoder, tmp_path):
    ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", rows(1)), encoder=encoder)
    with pytest.raises(ArgumentError, match="state: there is no ledger in"):
        verify(client, "c", state=tmp_path / "elsewhere")
    with pytest.raises(CollectionNotFoundError):
        verify(client, "d")


def test_a_ledger_is_made_anew(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(120))
    ingest(client, "c", path, encoder=encoder)
    found = verify(client, "c", state=tmp_path / "new", anew=True)
    assert (found.is_sound, found.expected, found.unknown) == (True, 120, 0)
    report = ingest(
        client,
        "c",
        path,
        encoder=encoder,
        run_options=RunOptions(state=tmp_path / "new", sync=True),
    )
    assert (report.unchanged, report.run, report.exact) == (120, 1, True)


@pytest.mark.parametrize("key", [0, 2**64 - 1, "a", "3f0c9d2e-6a57-5b0e-9f43-7f1f0d1c5a11", -5])
def test_an_id_is_found_again_in_its_digest(key):
    assert id_of_digest(id_digest(point_id(key))) == point_id(key)


def test_a_vector_that_is_not_what_was_sent_ends_the_run(client, encoder, tmp_path, monkeypatch):
    upsert = client.upsert_matrices

    def garbling(collection, ids, *, dense, **options):
        dense = dense | {"full": dense["full"][:, ::-1]}
        return upsert(collection, ids, dense=dense, **options)

    monkeypatch.setattr(client, "upsert_matrices", garbling)
    path = write_jsonl(tmp_path / "a.jsonl", rows(10))
    with pytest.raises(VerificationError, match="its vector 'full' is not what encoding gives"):
        ingest(client, "c", path, encoder=encoder)


# --- rejects, once more ----------------------------------------------------------------------


def test_rejects_that_were_mended_are_stored(client, encoder, tmp_path):
    table = [
        *rows(5),
        {"id": "x", "text": " "},
        "torn {",
        {"id": "k1", "text": "again"},
        {"text": "y"},
    ]
    first = ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", table), encoder=encoder)
    assert first.rejected == {"duplicate_key": 1, "no_text": 1, "not_json": 1, "null_key": 1}
    mended = [json.loads(line) for line in first.rejects_path.read_text().splitlines()]
    for reject in mended:
        if reject["reason"] == "no_text":
            reject["value"]["text"] = "now there is some"
        if reject["reason"] == "not_json":
            reject["value"] = {"id": "z", "text": "whole"}
    write_jsonl(tmp_path / "mended.jsonl", mended)

    report, left = retry_rejects(client, "c", tmp_path / "mended.jsonl", encoder=encoder)
    assert left == {"duplicate_key": 1}
    assert (report.read, report.stored, report.rejected) == (3, 2, {"null_key": 1})
    assert report.points_after == 7
    assert client.retrieve("c", [point_id("x")])[0].payload["text"] == "now there is some"
    assert client.retrieve("c", [point_id("k1")])[0].payload["text"] == "row 1"


def test_what_was_not_mended_is_rejected_again(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [*rows(2), "torn {", [1, 2]])
    first = ingest(client, "c", path, encoder=encoder)
    report, left = retry_rejects(client, "c", first.rejects_path, encoder=encoder)
    assert (left, report.stored) == ({}, 0)
    assert report.rejected == first.rejected == {"not_an_object": 1, "not_json": 1}


def test_another_file_is_no_rejects_file(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(2))
    ingest(client, "c", path, encoder=encoder)
    with pytest.raises(SourceNotFoundError, match="line 1 is not a reject"):
        retry_rejects(client, "c", path, encoder=encoder)
    with pytest.raises(SourceNotFoundError, match="there is no such file"):
        retry_rejects(client, "c", tmp_path / "none.jsonl", encoder=encoder)


# --- the command line ------------------------------------------------------------------------


def test_a_job_file_is_run_from_anywhere_and_its_collection_verified(tmp_path, model_folder):
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    other.mkdir()
    table = [{"id": n, "text": f"moon row {n}"} for n in range(20)]
    write_jsonl(home / "in.jsonl", [*table, "torn"])
    job = home / "nightly.toml"
    content = (
        'collection = "c"\npaths = ["in.jsonl"]\ndb = "db"\n'
        f"encoder = {json.dumps(str(model_folder))}\n[spec]\nmatryoshka = [8]\n"
        '[ingest]\nsync = true\ndelete_missing = true\nmax_rejects = "10%"\n'
    )
    job.write_text(content)

    def run(*arguments):
        return run_cli("run", job, *arguments, cwd=other)

    first = run("--json")
    assert first.code == 0, first.err
    assert json.loads(first.out)["stored"] == 20
    again = run()
    assert again.code == 0, again.err
    assert "read 21 = stored 0 + unchanged 20 + rejected 1" in again.out

    write_jsonl(home / "in.jsonl", table[:5])
    refused = run()
    assert refused.code == 4
    assert "15 of the 20 points" in refused.err
    assert run("--force").code == 0
    write_jsonl(home / "in.jsonl", [*table[:5], "torn", "torn"])
    assert run().code == 3

    checked = run_cli("verify", "c", "--db", home / "db", cwd=other)
    assert checked.code == 0, checked.err
    assert "5 points; the ledger knows 5" in checked.out
    job.write_text(content.replace("sync = true", "sink = true"))
    wrong = run()
    assert wrong.code == 2
    assert "nightly.toml: ingest.sink: is unknown" in wrong.err


def test_the_commands_of_a_morning(tmp_path, model_folder):
    write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "moon"}, {"id": 2, "text": " "}])
    base = ("-c", "c", "--encoder", model_folder)
    done = run_cli(
        "ingest", "a.jsonl", *base, "--state", "mine", "--max-rejects", "5", cwd=tmp_path
    )
    assert done.code == 0, done.err
    (rejects,) = (tmp_path / "mine").glob("rejects-*.jsonl")
    rejects.write_text(rejects.read_text().replace('" "', '"tide"'))
    tried = run_cli("retry-rejects", rejects, "-c", "c", "--state", "mine", cwd=tmp_path)
    assert tried.code == 0, tried.err
    assert "read 1 = stored 1 + rejected 0" in tried.out
    found = run_cli("verify", "c", "--state", "mine", "--json", cwd=tmp_path)
    assert (found.code, json.loads(found.out)["points"]) == (0, 2)
    nothing = run_cli("verify", "c", cwd=tmp_path)
    assert (nothing.code, nothing.out) == (2, "")


def test_a_secret_is_in_no_file_and_no_word_of_a_job(tmp_path, model_folder, capsys):
    """What a job writes names files and settings, and never how a place is reached."""
    secret = "s3cr3t-value"  # noqa: S105
    write_jsonl(tmp_path / "a.jsonl", [*rows(3), "torn"])
    (tmp_path / "job.toml").write_text(
        f'collection = "c"\npaths = "a.jsonl"\nencoder = {json.dumps(str(model_folder))}\n'
        '[connect]\napi_key = "${QDRANT_API_KEY}"\n'
    )
    job = Job.load(tmp_path / "job.toml", {"QDRANT_API_KEY": secret})
    assert job.connect.api_key == secret
    report = job.run(progress=True)
    written = list((tmp_path / "data" / "_state").rglob("*.*"))
    assert {one.suffix for one in written} >= {".sqlite", ".jsonl", ".json"}
    for file in written:
        assert secret.encode() not in file.read_bytes()
    assert secret not in f"{report} {report.to_dict()} {capsys.readouterr()}"


def test_numbers_that_the_engine_gives_back_a_last_digit_off_are_no_damage(
    client, encoder, tmp_path
):
    """It parses JSON's numbers with an error of up to two units in the last place."""
    dice = np.random.default_rng(7)
    table = [
        {
            "id": number,
            "text": f"row {number}",
            "x": float(dice.random() * 10.0 ** dice.integers(-10, 10)),
            "deep": {"list": dice.random(5).tolist(), "word": "w"},
        }
        for number in range(300)
    ]
    path = write_jsonl(tmp_path / "a.jsonl", table)
    report = ingest(client, "c", path, encoder=encoder)
    assert report.sampled > 50
    points, _ = client.scroll("c", limit=300)
    moved = [one for one in points if one.payload["x"] != table[one.id]["x"]]
    assert moved, "the engine has become exact: payloads could be compared as they are"
    found = verify(client, "c", sample=300)
    assert found.is_sound
    again = ingest(
        client,
        "c",
        path,
        encoder=encoder,
        run_options=RunOptions(sync=True, state=tmp_path / "new"),
    )
    assert again.unchanged == 300  # the digests were made of what the engine gave back
    client.set_payload("c", {"x": 0.5}, points=[3])
    assert not verify(client, "c", sample=300).is_sound
