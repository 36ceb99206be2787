"""A job whose input the last run wrote has nothing to do, and says so."""

from __future__ import annotations

import io
import json
import os
import sys
import threading

import pytest

from qdrant_static import CollectionSpec, RunOptions, ingest
from qdrant_static.errors import SpecMismatchError, TooManyRejectsError
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.jobs import Job
from qdrant_static.reading.options import SourceOptions
from tests.fakes import FakeEncoder, grouped, run_cli, write_jsonl

ENCODER = FakeEncoder()
ROWS = [*({"id": n, "title": "cat", "text": f"sea {n}", "n": n} for n in range(5)), {"id": 9}]


@pytest.fixture
def path(tmp_path):
    return write_jsonl(tmp_path / "a.jsonl", ROWS)


@pytest.fixture
def job(client, path):
    """Runs a job; the first run is done."""

    def run(paths=path, **options) -> IngestReport:
        return ingest(client, "c", paths, **grouped(**{"encoder": ENCODER, **options}))

    assert run().stored == 5
    return run


def test_an_unchanged_input_is_told_and_left_alone(client, job):
    client.set_payload("c", {"mark": 1}, [3])
    report = job()
    assert (report.read, report.stored, report.unchanged, dict(report.rejected)) == (
        6, 0, 5, {"no_text": 1},
    )  # fmt: skip
    assert (report.points_before, report.points_after, report.run, report.new) == (5, 5, 1, 0)
    assert report.rejects_path.exists()
    told = f"nothing to do: 1 file is unchanged since {report.unchanged_since}"
    assert str(report).startswith(told)
    assert "--again" in str(report)
    assert "read 6 = stored 0 + unchanged 5 + rejected 1" in str(report)
    assert IngestReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert client.retrieve("c", [3])[0].payload["mark"] == 1


def test_it_is_written_again_where_that_is_said(client, job):
    client.set_payload("c", {"mark": 1}, [3])
    report = job(again=True)
    assert (report.stored, report.unchanged_since, report.run) == (5, None, 2)
    assert "mark" not in client.retrieve("c", [3])[0].payload


def test_sync_compares_every_row(client, job):
    assert job(sync=True).unchanged == 5
    assert job(sync=True).unchanged_since is None


@pytest.mark.parametrize(
    "changed",
    [
        {"source_options": SourceOptions(exclude=("n",))},
        {"source_options": SourceOptions(rename={"n": "number"})},
        {"source_options": SourceOptions(max_text_bytes=1000)},
        {"on_duplicate": "last"},
        {"key": "n"},
    ],
    ids=lambda one: next(iter(one)),
)
def test_other_options_are_something_to_do(job, changed):
    try:
        report = job(**changed)
    except SpecMismatchError:  # what cannot go into the collection is refused, and not left out
        return
    assert report.unchanged_since is None


def test_another_rejects_file_is_something_to_do(job, tmp_path):
    assert job(rejects=tmp_path / "r.jsonl").stored == 5
    assert (tmp_path / "r.jsonl").exists()
    assert job(rejects=tmp_path / "r.jsonl").unchanged_since


def test_a_lower_limit_of_rejects_is_judged(job):
    with pytest.raises(TooManyRejectsError):
        job(max_rejects=0)


@pytest.mark.parametrize("change", ["content", "time", "more files", "gone"])
def test_another_input_is_something_to_do(job, path, tmp_path, change):
    given = path
    if change == "content":
        write_jsonl(path, [*ROWS, {"id": 10, "text": "moon"}])
    elif change == "time":
        os.utime(path, ns=(1, 1))
    else:
        given = [path, write_jsonl(tmp_path / "b.jsonl", [{"id": 11, "text": "moon"}])]
    report = job(given)
    assert (report.unchanged_since, report.stored > 0) == (None, True)
    if change == "gone":
        assert job(path).unchanged_since is None


def test_another_number_of_points_is_something_to_do(client, job):
    client.delete("c", [2])
    assert job().stored == 5
    client.upsert("c", [next(iter(client.scroll("c", limit=1, with_vectors=True)[0])).model_copy(
        update={"id": 77})])  # fmt: skip
    assert job().unchanged_since is None


def test_what_a_job_with_another_ledger_wrote_is_something_to_do(client, job, tmp_path):
    other = write_jsonl(tmp_path / "other.jsonl", [{"id": 3, "title": "dog", "text": "b"}])
    ingest(
        client, "c", other, encoder=ENCODER, run_options=RunOptions(state=tmp_path / "elsewhere")
    )
    assert job().stored == 5
    assert client.retrieve("c", [3])[0].payload["title"] == "cat"


def test_a_collection_that_has_gone_is_something_to_do(client, job):
    client.delete_collection("c")
    assert job().stored == 5


def test_a_run_that_did_not_end_is_something_to_do(client, job, path, tmp_path):
    stop = threading.Event()
    stop.set()
    assert job(again=True, stop=stop).interrupted
    assert job().unchanged_since is None


def test_an_input_that_could_not_be_read_to_its_end_is_something_to_do(client, tmp_path):
    path = tmp_path / "a.jsonl.gz"
    write_jsonl(path, [{"id": n, "text": f"cat {os.urandom(99).hex()}"} for n in range(2000)])
    path.write_bytes(path.read_bytes()[:-2000])
    for _ in range(2):
        try:
            report = ingest(client, "c", path, encoder=ENCODER)
        except Exception as error:
            report = getattr(error, "report", None)
        assert report is None or report.unchanged_since is None


def test_standard_input_is_always_read(client, monkeypatch):
    for _ in range(2):
        stream = io.TextIOWrapper(io.BytesIO(b'{"id": 1, "text": "cat"}\n'))
        monkeypatch.setattr("sys.stdin", stream)
        assert ingest(client, "c", "-", encoder=ENCODER).stored == 1


def test_another_version_reads_again(client, job, monkeypatch):
    module = sys.modules["qdrant_static.ingestion.continuing"]
    monkeypatch.setattr(module, "versions", lambda: {"qdrant-static": "9"})
    assert job().stored == 5


def test_another_encoder_or_spec_is_no_unchanged_job(client, job):
    spec = CollectionSpec.for_encoder(ENCODER, matryoshka=(8,))
    with pytest.raises(Exception, match="differs"):
        job(spec=spec)


def test_job_files_and_the_command_have_it(tmp_path, path, model_folder):
    (tmp_path / "job.toml").write_text(
        f'collection = "c"\npaths = ["a.jsonl"]\ndb = "db"\nencoder = "{model_folder}"\n'
        "[ingest]\nagain = true\n"
    )
    Job.load(tmp_path / "job.toml").run()
    assert Job.load(tmp_path / "job.toml").run().stored == 5
    assert Job.load(tmp_path / "job.toml").run(again=False).unchanged == 5
    for _ in range(2):  # a relative path is another name of the file
        done = run_cli("ingest", "a.jsonl", "-c", "c", "--db", "db", cwd=tmp_path)
    assert (done.code, done.out.startswith("nothing to do: 1 file is unchanged")) == (0, True)
    done = run_cli("ingest", "a.jsonl", "-c", "c", "--db", "db", "--again", cwd=tmp_path)
    assert "read 6 = stored 5 + rejected 1" in done.out
