"""Inputs that cannot be read: named, never taken for success, and remembered."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from qdrant_static import RunOptions, ingest
from qdrant_static.cli import app
from qdrant_static.errors import TooManyRejectsError
from qdrant_static.ingestion.retrying import retry_rejects
from qdrant_static.ingestion.verify import verify
from qdrant_static.reading.sources import open_source
from tests.builds import build, write_input
from tests.fakes import build_static_model, write_jsonl


def rows(count: int, start: int = 0) -> list[dict]:
    return [{"id": n, "text": f"row {n} of the sea"} for n in range(start, start + count)]


def garbage(path: Path) -> Path:
    path.write_bytes(b"garbage")
    return path


def torn(path: Path, records: list[dict]) -> Path:
    """A compressed file that is cut before its end."""
    write_jsonl(path, records)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def zeros_within(path: Path) -> Path:
    """A Parquet file of three row groups; in the second are zeros where pages should be."""
    table = pa.Table.from_pylist(rows(150))
    pq.write_table(table, path, row_group_size=50, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(1)
    middle = (chunk.dictionary_page_offset or chunk.data_page_offset) + 40
    content[middle : middle + 16] = bytes(16)
    path.write_bytes(content)
    return path


NOTHING = {
    "parquet.parquet": garbage,
    "empty.parquet": lambda path: path.touch() or path,
    "torn.jsonl.gz": lambda path: torn(path, rows(2)),
    "plain.jsonl.gz": garbage,
    "empty.jsonl.gz": lambda path: path.touch() or path,
    "folder.jsonl.zst": garbage,
    "a.arrow": garbage,
    "lines.jsonl": garbage,
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_first_input_without_a_readable_row_leaves_no_collection(client, encoder, tmp_path, name):
    path = NOTHING[name](tmp_path / name)
    report = ingest(client, "c", path, encoder=encoder)
    assert "collection 'c' was not made: no row of the input could be stored" in str(report)
    assert not client.collection_exists("c")
    assert (report.stored, report.points_after) == (0, 0)
    if name != "lines.jsonl":
        assert [one.file for one in report.unreadable] == [str(path)]
        assert str(path) in str(report)
        assert "the input has no rows" not in str(report)
    good = write_jsonl(tmp_path / "good.jsonl", rows(5))
    assert ingest(client, "c", good, encoder=encoder).points_after == 5
    assert verify(client, "c").is_sound


def test_a_collection_that_is_there_stays(client, encoder, tmp_path):
    ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", rows(5)), encoder=encoder)
    report = ingest(client, "c", garbage(tmp_path / "b.parquet"), encoder=encoder)
    assert (report.points_before, report.points_after) == (5, 5)


def test_what_lies_around_a_break_is_stored(client, encoder, tmp_path):
    path = zeros_within(tmp_path / "a.parquet")
    report = ingest(client, "c", path, encoder=encoder)
    assert (report.stored, report.points_after) == (100, 100)
    assert sorted(point.id for point in client.scroll("c", limit=200)[0]) == [
        *range(50),
        *range(100, 150),
    ]
    ((file, problem),) = [(one.file, one.problem) for one in report.unreadable]
    assert (file, problem.startswith("rows 50 to 99 cannot be read: ")) == (str(path), True)
    told = json.loads(json.dumps(report.to_dict()))["unreadable"]
    assert told == [{"file": file, "problem": problem}]
    assert type(report).from_dict(report.to_dict()).unreadable == report.unreadable


@pytest.mark.parametrize("limit", [0, 1000, "100%"])
def test_an_unreadable_file_is_over_any_limit_of_rejects(client, encoder, tmp_path, limit):
    folder = tmp_path / "in"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", rows(5))
    path = torn(folder / "b.jsonl.gz", rows(2))
    with pytest.raises(TooManyRejectsError) as caught:
        ingest(client, "c", folder, encoder=encoder, run_options=RunOptions(max_rejects=limit))
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 3
    assert not verify(client, "c").is_sound  # what was stored before stays, and is not all


def test_verify_remembers_until_the_file_was_read(client, encoder, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", [*rows(5), "torn {"])
    path = garbage(folder / "b.parquet")
    report = ingest(client, "c", folder, encoder=encoder)
    found = verify(client, "c")
    assert not found.is_sound
    assert [one.file for one in found.never_read] == [str(path)]
    assert f"{path}: " in str(found)
    assert json.loads(json.dumps(found.to_dict()))["is_sound"] is False
    retry_rejects(client, "c", report.rejects_path, encoder=encoder)  # has nothing to do with it
    assert not verify(client, "c").is_sound
    pq.write_table(pa.Table.from_pylist(rows(5, 100)), path)
    ingest(client, "c", folder, encoder=encoder, run_options=RunOptions(sync=True))
    assert verify(client, "c").is_sound


@pytest.mark.parametrize("way", ["removed", "anew"])
def test_verify_forgets_a_file_that_is_no_longer_part_of_the_input(client, encoder, tmp_path, way):
    folder = tmp_path / "in"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", rows(5))
    path = garbage(folder / "b.parquet")
    ingest(client, "c", folder, encoder=encoder)
    assert not verify(client, "c").is_sound
    if way == "removed":
        path.unlink()
        ingest(client, "c", folder, encoder=encoder, run_options=RunOptions(sync=True))
    assert verify(client, "c", anew=way == "anew").is_sound
    assert verify(client, "c").is_sound


@pytest.mark.parametrize("name", ["b.jsonl", "more"])
@pytest.mark.parametrize("way", ["{}", "{}/**/*.jsonl", "file://{}"])
def test_nothing_is_deleted_because_a_part_of_a_folder_is_away(
    client, encoder, tmp_path, name, way
):
    lake, disk = tmp_path / "lake", tmp_path / "disk"
    lake.mkdir()
    disk.mkdir()
    write_jsonl(lake / "a.jsonl", rows(90))
    write_jsonl(disk / "b.jsonl", rows(10, 90))
    (lake / name).symlink_to(disk / "b.jsonl" if name == "b.jsonl" else disk)
    path = way.format(lake)
    assert ingest(client, "c", path, encoder=encoder).stored == 100
    disk.rename(tmp_path / "not-mounted")
    report = ingest(
        client, "c", path, encoder=encoder, run_options=RunOptions(sync=True, delete_missing=True)
    )
    assert (report.unchanged, report.deleted, report.not_deleted) == (90, 0, 10)
    assert name in report.unreadable[0].file
    (tmp_path / "not-mounted").rename(disk)
    report = ingest(
        client, "c", path, encoder=encoder, run_options=RunOptions(sync=True, delete_missing=True)
    )
    assert (report.unchanged, report.unreadable) == (100, ())


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    return write_input(tmp_path_factory.mktemp("given"), 300)


@pytest.mark.parametrize("whole", [True, False])
def test_processes_of_shards_tell_of_a_file_once(given, tmp_path, whole):
    folder = tmp_path / "in"
    folder.mkdir()
    path = torn(folder / "b.jsonl.gz", rows(5))
    if whole:
        write_jsonl(folder / "a.jsonl", rows(40))
    report = build(
        given, tmp_path / "f", shards=2, workers=2, source=open_source(folder, text="text")
    )
    assert [one.file for one in report.unreadable] == [str(path)]
    assert (report.built, report.points_after) == ((40, 40) if whole else (0, 0))


@pytest.fixture
def run(tmp_path, monkeypatch, own_signals):
    monkeypatch.chdir(tmp_path)
    model = build_static_model(tmp_path / "model")

    def invoke(*arguments: str):
        if arguments[0] == "ingest":
            arguments += ("-c", "c", "--encoder", str(model))
        return CliRunner().invoke(app, list(arguments))

    return invoke


@pytest.mark.parametrize("json_", [(), ("--json",)])
def test_the_command_exits_1_and_says_which_file_and_why(run, tmp_path, json_):
    write_jsonl(tmp_path / "a.jsonl", rows(5))
    garbage(tmp_path / "b.parquet")
    done = run("ingest", "a.jsonl", "b.parquet", *json_)
    assert done.exit_code == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "error: what could be read is stored, and this could not be read: b.parquet:"
    )
    assert "Parquet" in last
    if json_:
        assert json.loads(done.stdout)["unreadable"][0]["file"] == "b.parquet"
    else:
        assert "read 5 = stored 5 + rejected 0" in done.stdout
    again = run("verify", "c")
    assert again.exit_code == 1
    assert "b.parquet" in again.stdout


def test_a_job_file_exits_1(run, tmp_path):
    (tmp_path / "in").mkdir()
    write_jsonl(tmp_path / "in" / "a.jsonl", rows(5))
    garbage(tmp_path / "in" / "b.parquet")
    (tmp_path / "job.toml").write_text(
        'collection = "c"\npaths = "in"\nencoder = "./model"\n[ingest]\nsync = true\n'
        "delete_missing = true\n"
    )
    done = run("run", "job.toml")
    assert (done.exit_code, "b.parquet" in done.stderr) == (1, True)
    assert "stored 5" in done.stdout
