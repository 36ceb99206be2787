"""Folders, globs and URIs find the same files, and tell what they could not reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pyarrow.fs import LocalFileSystem

from qdrant_static.errors import SourceNotFoundError
from qdrant_static.reading.find import find, find_inputs
from qdrant_static.reading.sources import open_source
from qdrant_static.reading.urifiles import as_expression, as_pattern
from tests.fakes import write_jsonl

#: The same lake by a path, a glob, a URI, a glob in a URI, and a filesystem that is given.
WAYS = ("{}", "{}/**/*.jsonl", "file://{}", "file://{}/**/*.jsonl", "filesystem")


@pytest.fixture
def lake(tmp_path) -> Path:
    folder = tmp_path / "lake"
    for name in ("a.jsonl", "deep/b.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(folder / name, [{"id": name, "text": "t"}])
    return folder


def look(lake: Path, way: str):
    if way == "filesystem":
        return find(str(lake), filesystem=LocalFileSystem())
    return find(way.format(lake))


def names(found, lake: Path) -> list[str]:
    return [os.path.relpath(one.path, lake) for one in found.inputs]


def unreached(found, lake: Path) -> dict[str, str]:
    return {
        os.path.relpath(one.file.removeprefix("file://"), lake): one.message
        for one in found.unreached
    }


@pytest.mark.parametrize("way", WAYS)
def test_linked_files_and_folders_are_read(lake, tmp_path, way):
    (tmp_path / "disk").mkdir()
    write_jsonl(tmp_path / "disk" / "c.jsonl", [{"id": "c", "text": "t"}])
    os.symlink(tmp_path / "disk", lake / "more")
    os.symlink(tmp_path / "disk" / "c.jsonl", lake / "d.jsonl")
    found = look(lake, way)
    assert sorted(names(found, lake)) == ["a.jsonl", "d.jsonl", "deep/b.jsonl", "more/c.jsonl"]
    assert found.unreached == ()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["c.jsonl", "more"])
def test_a_link_to_what_is_not_there_is_told(lake, way, name):
    os.symlink("not-mounted", lake / name)
    found = look(lake, way)
    assert names(found, lake) == ["a.jsonl", "deep/b.jsonl"]
    assert unreached(found, lake) == {name: "is a broken link (to not-mounted)"}


def test_a_link_to_what_is_not_there_that_a_glob_matches_is_no_pipe(lake):
    (lake / "b.jsonl").symlink_to("nowhere")
    for pattern in ("*.jsonl", "[b].jsonl"):
        gone = find(str(lake / pattern)).unreached
        assert [one.message for one in gone] == ["is a broken link (to nowhere)"]


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_may_not_be_listed_is_told(lake, monkeypatch, way):
    listdir = os.listdir

    def guarded(path):  # whoever runs the tests may be allowed everything
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", path)
        return listdir(path)

    monkeypatch.setattr(os, "listdir", guarded)
    found = look(lake, way)
    assert names(found, lake) == ["a.jsonl"]
    assert unreached(found, lake) == {"deep": "Permission denied"}


@pytest.mark.parametrize("way", WAYS)
def test_links_that_lead_back_are_not_followed(lake, way):
    os.symlink("..", lake / "deep" / "up")
    os.symlink(".", lake / "here")
    found = look(lake, way)
    assert (names(found, lake), found.unreached) == (["a.jsonl", "deep/b.jsonl"], ())
    os.symlink("itself", lake / "itself")
    assert set(unreached(look(lake, way), lake)) == {"itself"}


@pytest.mark.parametrize("way", WAYS)
def test_pipes_in_a_folder_are_told_and_not_waited_for(lake, way):
    os.mkfifo(lake / "p.jsonl")
    os.mkfifo(lake / "p.txt")
    found = look(lake, way)
    assert names(found, lake) == ["a.jsonl", "deep/b.jsonl"]
    assert "name it explicitly" in unreached(found, lake)["p.jsonl"]


@pytest.mark.parametrize("way", WAYS)
def test_names_that_are_not_utf_8_are_read_and_shown(lake, way):
    raw = os.fsencode(lake) + b"/c\xff.jsonl"
    with open(raw, "wb") as file:
        file.write(b'{"id": "c", "text": "t"}\n')
    source = (
        open_source(str(lake), filesystem=LocalFileSystem())
        if way == "filesystem"
        else open_source(way.format(lake))
    )
    assert [item.keys[0] for item in source] == ["a.jsonl", "c", "deep/b.jsonl"]
    shown = [one.name for one in source.inputs][1]
    assert shown.endswith(r"c\xff.jsonl")
    assert source.fingerprints()[shown].size > 0


def test_two_names_that_would_be_shown_alike_are_refused(lake):
    for name in (b"c\xff.jsonl", rb"c\xff.jsonl"):
        with open(os.fsencode(lake) + b"/" + name, "wb"):
            pass
    with pytest.raises(SourceNotFoundError, match="two files would have this name"):
        find(lake)


@pytest.mark.parametrize("pattern", ["{}/*", "file://{}/*.jsonl"])
def test_a_folder_that_is_called_like_a_file_is_read_as_a_folder(lake, pattern):
    (lake / "out.jsonl").mkdir()
    assert "has no file" in unreached(find(pattern.format(lake)), lake)["out.jsonl"]
    write_jsonl(lake / "out.jsonl" / "part-0.jsonl", [])
    assert names(find(pattern.format(lake)), lake) == ["a.jsonl", "out.jsonl/part-0.jsonl"]


def test_brackets_that_are_escaped_in_a_uri_are_no_glob(tmp_path):
    for name in ("x[1].jsonl", "x1.jsonl", "a b%.jsonl", "é.jsonl"):
        (tmp_path / name).touch()

    def found(end: str) -> list[str]:
        return [Path(one.path).name for one in find_inputs(f"file://{tmp_path}/{end}")]

    assert found("x%5B1%5D.jsonl") == ["x[1].jsonl"]
    assert found("x%5B1%5D.*") == ["x[1].jsonl"]
    assert found("x[1].jsonl") == ["x[1].jsonl"]  # a file before it is a glob, as everywhere
    assert found("x[12].jsonl") == ["x1.jsonl"]
    assert found("a%20b%25.jsonl") == ["a b%.jsonl"]
    assert found("%C3%A9*") == ["é.jsonl"]
    with pytest.raises(SourceNotFoundError, match="%3F"):
        found("x?.jsonl")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("b/*.parquet", "b/x.parquet", True),
        ("b/*.parquet", "b/c/x.parquet", False),
        ("b/**/*.parquet", "b/x.parquet", True),
        ("b/**/*.parquet", "b/c/d/x.parquet", True),
        ("b/**/*.parquet", "b/.c/x.parquet", False),
        ("b/*.parquet", "b/.x.parquet", False),
        ("b/**", "b/c/x.parquet", True),
        ("b/x?[!12].p", "b/xy3.p", True),
        ("b/x[[]1].p", "b/x[1].p", True),
        ("b/x[*].p", "b/xx.p", False),
    ],
)
def test_globs_of_other_filesystems_match_as_those_of_a_shell_do(pattern, path, matches):
    assert (as_expression(pattern).fullmatch(path) is not None) is matches


def test_what_is_escaped_in_a_uri_stands_for_itself():
    assert as_pattern("x%5B1%5D/%2A/*.p") == "x[[]1]/[*]/*.p"


@pytest.mark.parametrize("problem", ["dangling", "missing"])
def test_a_path_that_is_named_must_be_there(lake, problem):
    if problem == "dangling":
        os.symlink("not-mounted", lake / "c.jsonl")
    told = "a broken link" if problem == "dangling" else "no such file"
    with pytest.raises(SourceNotFoundError, match=told):
        find(lake / "c.jsonl")


def test_an_empty_path_is_no_place():
    with pytest.raises(SourceNotFoundError, match="the path is empty"):
        find(["a.jsonl", ""] if Path("a.jsonl").exists() else "")
