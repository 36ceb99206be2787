"""Paths, folders and globs -> files."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdrant_static.errors import ArgumentError, ColumnNotFoundError, SourceNotFoundError
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.sources import find_files, open_source
from tests.fakes import write_jsonl


@pytest.fixture
def folder(tmp_path):
    names = (
        "b.jsonl", "a.parquet", "deep/c.JSONL", "deep/d.ndjson.gz", ".hidden.jsonl", "_note.jsonl",
        "_temporary/e.jsonl", ".git/f.jsonl", "notes.txt", "g.json", "h.pq", "deep/.x/i.jsonl",
    )  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def found(folder, paths) -> list[str]:
    return [str(file.relative_to(folder)) for file in find_files(paths)]


def test_a_folder_gives_its_data_files_sorted_hidden_and_private_ones_aside(folder):
    assert found(folder, folder) == [
        "a.parquet", "b.jsonl", "deep/c.JSONL", "deep/d.ndjson.gz", "h.pq",
    ]  # fmt: skip


def test_a_hidden_folder_that_is_named_is_read(folder):
    assert found(folder, folder / ".git") == [".git/f.jsonl"]


def test_a_file_that_is_named_is_read_hidden_or_not(folder):
    assert found(folder, [folder / ".hidden.jsonl", folder / "_note.jsonl"]) == [
        ".hidden.jsonl", "_note.jsonl",
    ]  # fmt: skip


def test_a_glob_gives_its_data_files(folder):
    assert found(folder, str(folder / "*")) == ["a.parquet", "b.jsonl", "h.pq", "_note.jsonl"] or (
        sorted(found(folder, str(folder / "*"))) == ["_note.jsonl", "a.parquet", "b.jsonl", "h.pq"]
    )
    assert found(folder, str(folder / "**" / "c.*")) == ["deep/c.JSONL"]


def test_a_file_comes_once_and_in_the_order_of_the_paths(folder):
    paths = [folder / "h.pq", str(folder / "*.pq"), folder / "b.jsonl", folder / "h.pq"]
    assert found(folder, paths) == ["h.pq", "b.jsonl"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_glob(tmp_path):
    (tmp_path / "a[1].jsonl").touch()
    assert found(tmp_path, tmp_path / "a[1].jsonl") == ["a[1].jsonl"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("none.jsonl", "there is no such file or folder"),
        ("none*.jsonl", "nothing matches"),
        ("*.txt", "none of its 1 matches ends in .parquet"),
        ("notes.txt", "the file does not end in .parquet"),
        ("g.json", "the file does not end in .parquet"),
        ("deep/.x/..", None),
        ("empty", "the folder has no file that ends in .parquet"),
    ],
)
def test_a_path_that_gives_no_file_is_an_error_that_says_why(folder, path, told):
    (folder / "empty").mkdir()
    if told is None:
        assert find_files(folder / path)
        return
    with pytest.raises(SourceNotFoundError) as caught:
        find_files(str(folder / path))
    assert caught.value.path == str(folder / path)
    assert told in caught.value.message
    assert caught.value.exit_code == 2


def test_one_bad_path_among_good_ones_is_an_error(folder):
    with pytest.raises(SourceNotFoundError, match=r"none\.jsonl"):
        find_files([folder / "b.jsonl", folder / "none.jsonl"])


def test_no_path_is_an_error():
    with pytest.raises(SourceNotFoundError, match="no path given"):
        find_files([])


def test_the_home_folder_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert find_files("~/b.jsonl") == [folder / "b.jsonl"]


def test_columns_are_chosen_by_the_first_file_that_has_any(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [])
    write_jsonl(tmp_path / "b.jsonl", [{"_id": 1, "title": "t"}])
    source = open_source(tmp_path)
    assert (source.selection.key, source.selection.text) == ("_id", ("title",))


def test_a_missing_column_names_the_file_and_its_columns(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "t"}])
    with pytest.raises(
        ColumnNotFoundError, match=r"'doi' in .*a\.jsonl; its columns are: id, text"
    ):
        open_source(path, key="doi")


def test_records_after_a_thousand_bad_lines_are_not_lost(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", ["x"] * 1000 + [{"id": 1, "text": "good"}])
    try:
        items = list(open_source(path))
    except ArgumentError as error:  # to say that the text's columns must be named would do as well
        assert error.field == "text"  # noqa: PT017
        return
    assert sum(len(item) for item in items if isinstance(item, Batch)) == 1


def test_files_that_cannot_be_opened_are_rejects_and_the_others_are_read(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but no more")
    (tmp_path / "b.parquet").write_bytes(b"")
    pq.write_table(pa.table({"id": [1], "text": ["x"]}), tmp_path / "c.parquet")
    write_jsonl(tmp_path / "d.jsonl", [{"id": 2, "text": "y"}])
    source = open_source(tmp_path)
    assert [file.name for file in source.files] == ["c.parquet", "d.jsonl"]
    items = list(source)
    assert [one.file.rsplit("/", 1)[1] for one in items[:2]] == ["a.parquet", "b.parquet"]
    assert {one.reason for one in items[:2]} == {"unreadable_file"}
    assert [batch.keys for batch in items[2:]] == [[1], [2]]


def test_the_total_is_unknown_where_a_file_does_not_say(tmp_path):
    pq.write_table(pa.table({"id": [1], "text": ["x"]}), tmp_path / "c.parquet")
    write_jsonl(tmp_path / "d.jsonl", [{"id": 2, "text": "y"}])
    assert open_source(tmp_path).total_rows is None


def test_gzip_files_are_read_like_plain_ones(tmp_path):
    write_jsonl(tmp_path / "a.jsonl.gz", [{"id": 1, "text": "x"}])
    write_jsonl(tmp_path / "b.ndjson.gz", [{"id": 2, "text": "y"}])
    assert [batch.keys for batch in open_source(tmp_path)] == [[1], [2]]


def test_a_file_that_vanishes_after_it_was_found_is_a_reject(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "x"}])
    source = open_source(path)
    path.unlink()
    (reject,) = list(source)
    assert reject.reason == "unreadable_file"


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_column_that_the_first_records_lack_is_told_where_it_would_be_taken(tmp_path, ending):
    for name, rows in (
        ("a", [{"text": "one"}]),
        (
            "b",
            [{"text": "two", "title": "T", "id": "k"}, {"text": "three", "title": "U", "id": "l"}],
        ),
    ):
        path = tmp_path / f"{name}.{ending}"
        if ending == "jsonl":
            write_jsonl(path, rows)
        elif ending == "csv":
            lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
            path.write_text("\n".join(lines))
        else:
            pq.write_table(pa.Table.from_pylist(rows), path)
    first, second = open_source(tmp_path)
    assert first.notes == {}
    assert second.notes.keys() == {"id", "title"}
    assert second.notes["id"].startswith(str(tmp_path / f"b.{ending}"))
    assert "the key stays a digest of the text" in second.notes["id"]
    assert "the text stays text" in second.notes["title"]
    assert [row["title"] for row in second.payload_rows()] == ["T", "U"]
    named = open_source(tmp_path, text="text")
    assert [sorted(item.notes) for item in named] == [[], ["id"]]
