"""An empty path is no place: as a path it would be the working folder."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from qdrant_static import EdgeClient, RunOptions, connect, ingest
from qdrant_static.cli import app
from qdrant_static.errors import ArgumentError
from qdrant_static.ingestion.retrying import retry_rejects
from qdrant_static.ingestion.verify import verify
from qdrant_static.jobs import Job
from qdrant_static.reading.sources import open_source
from qdrant_static.shipping.localbuild.buildhere import BuildHere
from tests.fakes import FakeEncoder, write_jsonl


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working folder with an input, which nothing may touch."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "a"}])
    yield
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize("make", [connect, EdgeClient, lambda place: BuildHere(folder=place)])
def test_an_empty_place_is_refused(make, empty):
    with pytest.raises(ArgumentError, match="is empty; name a"):
        make(empty)


@pytest.mark.parametrize("make", [connect, EdgeClient, lambda place: open_source(place)])
def test_a_place_with_a_null_character_is_refused(make):
    with pytest.raises(ArgumentError, match="null character"):
        make("d\0b")


@pytest.mark.parametrize(
    "call",
    [
        lambda client: ingest(
            client, "c", "a.jsonl", encoder=FakeEncoder(), run_options=RunOptions(state="")
        ),
        lambda client: ingest(
            client, "c", "a.jsonl", encoder=FakeEncoder(), run_options=RunOptions(rejects="")
        ),
        lambda client: retry_rejects(client, "c", ""),
    ],
)
def test_an_empty_place_of_a_job_is_refused(tmp_path_factory, call):
    with (
        EdgeClient(tmp_path_factory.mktemp("db")) as client,
        pytest.raises(ArgumentError, match="is empty"),
    ):
        call(client)


def test_an_empty_state_is_not_looked_into(tmp_path_factory):
    with EdgeClient(tmp_path_factory.mktemp("db")) as client:
        ingest(client, "c", "a.jsonl", encoder=FakeEncoder())
        with pytest.raises(ArgumentError, match="state: is empty"):
            verify(client, "c", state="")


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('paths = ""', "paths"),
        ('paths = ["a.jsonl", ""]', "paths"),
        ('db = ""', "db"),
        ('encoder = ""', "encoder"),
        ('[ingest]\nstate = ""', "ingest.state"),
        ('[ingest]\nrejects = ""', "ingest.rejects"),
        ('[build]\nfolder = ""', "build.folder"),
    ],
)
def test_an_empty_place_in_a_job_file_is_named_by_its_key(tmp_path_factory, line, key):
    path = tmp_path_factory.mktemp("jobs") / "job.toml"
    first = "" if line.startswith("paths") else 'paths = "a.jsonl"\n'
    path.write_text(f'collection = "c"\n{first}{line}\n')
    with pytest.raises(ArgumentError, match=rf"{key}: is empty"):
        Job.load(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", "", "-c", "c", "--db", "x"),
        ("ingest", "a.jsonl", "-c", "c", "--db", ""),
        ("ingest", "a.jsonl", "-c", "c", "--to", "", "--build", "here"),
        ("ingest", "a.jsonl", "-c", "c", "--db", "x", "--encoder", ""),
        ("search", "c", "moon", "--db", ""),
        ("collections", "--db", ""),
        ("demo", "--dir", ""),
        ("verify", "c", "--db", ""),
        ("runs", "c", "--state", ""),
        ("delete", "c", "--db", "x", "--state", "", "--yes"),
        ("pull", "c", "--from", "http://localhost:1", "--db", ""),
    ],
)
def test_an_empty_place_on_the_command_line_is_wrong_usage(arguments, own_signals):
    done = CliRunner().invoke(app, list(arguments))
    assert (done.exit_code, "empty" in done.stderr) == (2, True), done.stderr
