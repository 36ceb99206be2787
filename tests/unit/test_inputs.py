"""Where inputs come from: compressed, partitioned, remote, standard input, registered."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
from importlib.metadata import EntryPoint

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from qdrant_static.errors import ArgumentError, SourceNotFoundError, StorageError
from qdrant_static.reading import registered
from qdrant_static.reading.batch import Batch, unsettled
from qdrant_static.reading.find import find_inputs
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.sources import open_source
from qdrant_static.redaction import public_uri
from tests.fakes import write_jsonl

ROW = {"id": 1, "text": "one"}
LINE = json.dumps(ROW).encode() + b"\n"


PACK = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize(
    ("ending", "content"),
    [
        (".jsonl", LINE),
        (".ndjson", LINE),
        (".csv", b"id,text\n1,one\n"),
        (".tsv", b"id\ttext\n1\tone"),
    ],
)
def test_text_formats_may_be_compressed(tmp_path, ending, content, packing):
    path = tmp_path / f"a{ending}{packing}".upper()
    path.write_bytes(PACK[packing](content))
    (batch,) = open_source(path)
    assert batch.texts.to_pylist() == ["one"]


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".zst"])
def test_a_compressed_file_that_lacks_its_end_is_never_taken_for_whole(tmp_path, packing):
    content = b"".join(b'{"id": %d, "text": "%d"}\n' % (n, n * 7919 % 10007) for n in range(40))
    packed = PACK[packing](content)
    path = tmp_path / f"a.jsonl{packing}"
    for size in range(len(packed)):
        path.write_bytes(packed[:size])
        *_, last = open_source(path, text="text", key="id")
        assert getattr(last, "is_file", False), size
    path.write_bytes(packed)
    assert sum(map(len, open_source(path))) == 40


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".zst"])
def test_a_compressed_file_that_is_damaged_is_a_reject_of_its_own(tmp_path, packing):
    lines = b"".join(
        json.dumps({"id": n, "text": f"{n * 7919 % 10007} {n * 31 % 997}"}).encode() + b"\n"
        for n in range(40_000)
    )
    path = tmp_path / f"a.jsonl{packing}"
    packed = PACK[packing](lines)
    path.write_bytes(packed[: len(packed) // 2])
    *items, last = open_source(path)
    assert (last.reason, last.is_file) == ("unreadable_file", True)
    assert sum(item.rows for item in items if isinstance(item, Batch)) < 40_000
    path.write_bytes(b"this was never compressed")
    (only,) = open_source(path)
    assert only.reason == "unreadable_file"


def test_parquet_inside_gzip_is_not_looked_for(tmp_path):
    (tmp_path / "a.parquet.gz").write_bytes(b"")
    with pytest.raises(SourceNotFoundError, match="does not end in"):
        open_source(tmp_path / "a.parquet.gz")


def write_arrow(path, table: pa.Table, *, stream: bool = False) -> None:
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("ending", [".arrow", ".feather", ".ipc", ".arrows"])
def test_arrow_is_read_as_a_file_and_as_a_stream_whatever_it_is_called(tmp_path, ending, stream):
    path = tmp_path / f"a{ending}"
    write_arrow(path, pa.table({"x": [b"a"] * 3, "id": [1, 2, 3], "text": ["a", None, "c"]}),
                stream=stream)  # fmt: skip
    source = open_source(path)
    assert source.left_out == ("x",)
    items = list(source)
    assert [key for item in items for key in item.keys] == [1, 3]
    assert [(item.start, item.stop) for item in items] == [(0, 2), (2, 3)]
    rest = list(source.batches({str(path): [(0, 1)]}))
    assert [(item.start, item.stop, item.keys) for item in rest] == [(1, 2, []), (2, 3, [3])]


def test_an_arrow_file_that_is_cut_gives_what_it_has(tmp_path):
    path = tmp_path / "a.arrows"
    write_arrow(path, pa.table({"id": [1, 2, 3, 4], "text": ["a"] * 4}), stream=True)
    path.write_bytes(path.read_bytes()[:-60])
    *items, last = open_source(path)
    assert [item.keys for item in items] == [[1, 2]]
    assert (last.reason, "after row 1" in last.message) == ("unreadable_file", True)


def test_feather_of_version_one_is_unreadable_and_not_fatal(tmp_path):
    (tmp_path / "a.feather").write_bytes(b"FEA1" + b"\0" * 60)
    (reject,) = open_source(tmp_path)
    assert reject.reason == "unreadable_file"


# --- partitions ------------------------------------------------------------------------------


@pytest.fixture
def lake(tmp_path):
    """A folder as Hive and Spark write it."""
    for year, lang, text in ((2020, "en", "a"), (2021, "de", "b"), (2021, "de%2FAT", "c")):
        folder = tmp_path / "lake" / f"year={year}" / f"lang={lang}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"id": [text], "text": [text]}), folder / "part-0.parquet")
    folder = tmp_path / "lake" / "year=2022" / "lang=__HIVE_DEFAULT_PARTITION__"
    folder.mkdir(parents=True)
    write_jsonl(folder / "part-1.jsonl", [{"id": "d", "text": "d"}])
    return tmp_path / "lake"


PARTITIONED = [
    {"id": "a", "text": "a", "year": 2020, "lang": "en"},
    {"id": "b", "text": "b", "year": 2021, "lang": "de"},
    {"id": "c", "text": "c", "year": 2021, "lang": "de/AT"},
    {"id": "d", "text": "d", "year": 2022, "lang": None},
]


def payloads(source) -> list[dict]:
    rows = [row for item in source for row in item.payloads]
    return sorted(rows, key=lambda row: row["id"])


def test_folders_called_column_value_become_columns(lake):
    assert payloads(open_source(lake)) == PARTITIONED
    assert payloads(open_source(str(lake / "year=*" / "**" / "part*"))) == PARTITIONED


@pytest.mark.parametrize("path", ["lake", "./lake", "lake/", "./lake/year=*/*", "*/*/*/*"])
def test_partitions_are_found_however_the_path_is_written(lake, monkeypatch, path):
    monkeypatch.chdir(lake.parent)
    if "*" in path:
        path += "/part*" if path.startswith(".") else ""
    assert payloads(open_source(path)) == PARTITIONED


def test_a_partition_may_be_key_text_or_left_out(lake):
    source = open_source(lake, key=["year", "id"], text=["lang", "text"], payload=[])
    records = {(item.keys[0], item.texts[0].as_py()) for item in source}
    assert records >= {((2020, "a"), "en a"), ((2022, "d"), "d")}


def test_partitions_that_are_not_all_numbers_stay_strings(tmp_path):
    for name in ("n=1", "n=01", "n=2"):
        write_jsonl_in = tmp_path / name
        write_jsonl_in.mkdir()
        write_jsonl(write_jsonl_in / "a.jsonl", [{"id": name, "text": "t"}])
    assert {row["n"] for row in payloads(open_source(tmp_path))} == {"1", "01", "2"}


@pytest.mark.parametrize(
    "named",
    [
        ".", "year=2021", "year=2021/lang=de", "year=2021/lang=de/part-0.parquet",
        "year=2021/*/part*", "year=2021/lang=de/*",
    ],
)  # fmt: skip
@pytest.mark.parametrize("how", ["path", "relative", "uri"])
def test_the_columns_do_not_depend_on_the_folder_that_is_named(lake, monkeypatch, named, how):
    if how == "relative":
        monkeypatch.chdir(lake / "year=2021" if named.startswith("year=2021/") else lake)
        path = named.removeprefix("year=2021/") or "."
    else:
        path = f"file://{lake / named}" if how == "uri" else lake / named
    found = payloads(open_source(path))
    assert [row for row in found if row["id"] == "b"] == [PARTITIONED[1]]
    assert all(row in PARTITIONED for row in found)


@pytest.mark.parametrize("ending", ["parquet", "arrow", "jsonl", "csv"])
def test_a_folder_of_another_type_than_is_named_rejects_its_rows(tmp_path, ending):
    for name in ("n=07", "n=x", "n=__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / name).mkdir()
        path = tmp_path / name / f"a.{ending}"
        if ending == "csv":
            path.write_text("id,text\nk,t\n")
        elif ending == "jsonl":
            write_jsonl(path, [{"id": "k", "text": "t"}])
        else:
            table = pa.table({"id": ["k"], "text": ["t"]})
            if ending == "parquet":
                pq.write_table(table, path)
            else:
                with pa.ipc.new_file(path, table.schema) as writer:
                    writer.write_table(table)
    source = open_source(tmp_path, options=SourceOptions(types={"n": "integer"}))
    assert payloads(source) == [{"id": "k", "text": "t", "n": n} for n in (7, None)]
    (reject,) = (one for item in source for one in item.rejects)
    assert (reject.reason, reject.message) == (
        "wrong_type", "the folder n=x is not of type integer",
    )  # fmt: skip
    assert reject.row == {"id": "k", "text": "t", "n": "x"}
    source = open_source(tmp_path, options=SourceOptions(types={"n": "integer"}, exclude=("n",)))
    assert [len(item) for item in source] == [1, 1, 1]


def test_a_column_of_the_file_goes_before_one_of_the_folder(tmp_path):
    (tmp_path / "id=7").mkdir()
    pq.write_table(pa.table({"id": [1], "text": ["t"]}), tmp_path / "id=7" / "a.parquet")
    write_jsonl(tmp_path / "id=7" / "b.jsonl", [{"id": 2, "text": "t"}, {"text": "u"}])
    assert [item.keys for item in open_source(tmp_path)] == [[1], [2, 7]]


# --- filesystems -----------------------------------------------------------------------------


def test_a_uri_is_opened_by_pyarrow(lake):
    source = open_source(f"file://{lake}")
    assert payloads(source) == PARTITIONED
    assert all(one.name.startswith("file:///") for one in source.inputs)
    assert payloads(open_source(f"file://{lake}/year=2021/**/*.parquet"))[0]["id"] == "b"
    (one,) = open_source(f"file://{lake}/year=2022/lang=__HIVE_DEFAULT_PARTITION__/part-1.jsonl")
    assert one.keys == ["d"]


def test_a_filesystem_may_be_given(lake):
    inside = SubTreeFileSystem(str(lake), LocalFileSystem())
    assert payloads(open_source("", filesystem=inside)) == PARTITIONED
    source = open_source("year=202[01]/*/*.parquet", filesystem=inside)
    assert [row["id"] for row in payloads(source)] == ["a", "b", "c"]
    assert len(source.fingerprints()) == 3
    with pytest.raises(SourceNotFoundError, match="no such file or folder"):
        open_source("none", filesystem=inside)


def test_remote_text_is_unpacked_too(tmp_path):
    write_jsonl(tmp_path / "a.jsonl.gz", [ROW])
    (batch,) = open_source(f"file://{tmp_path}/a.jsonl.gz")
    assert batch.keys == [1]


@pytest.mark.parametrize("uri", ["file:///nowhere/at/all", "file:///nowhere/*.jsonl"])
def test_a_uri_that_gives_nothing_is_an_error(uri):
    with pytest.raises(SourceNotFoundError):
        open_source(uri)


def test_a_scheme_that_nobody_knows_is_an_error_that_names_it():
    with pytest.raises(SourceNotFoundError, match="weird"):
        open_source("weird://host/a.parquet")


def test_an_object_store_that_cannot_be_reached_is_an_error_without_secrets(monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    uri = (
        "s3://AKIAKEY:geheim@bucket/folder/a.parquet?endpoint_override=127.0.0.1:9&scheme=http"
        "&region=us-east-1"
    )
    with pytest.raises(
        StorageError, match=r"s3://bucket/folder/a\.parquet.*cannot be reached"
    ) as e:
        open_source(uri)
    assert "geheim" not in str(e.value)
    assert "AKIAKEY" not in str(e.value)
    assert e.value.retryable


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://a:b@bucket/x?y=z", "s3://bucket/x"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("/plain/path?", "/plain/path?"),
    ],
)
def test_a_name_has_no_secrets(uri, shown):
    assert public_uri(uri) == shown


# --- standard input --------------------------------------------------------------------------


class _Stdin:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (LINE * 3, None),
        (LINE * 3, "jsonl"),
        (b"id,text\n" + b"1,one\n" * 3, "csv"),
        (b"id\ttext\n" + b"1\tone\n" * 3, "tsv"),
    ],
)
def test_standard_input_is_read_to_its_end(monkeypatch, content, form):
    monkeypatch.setattr("sys.stdin", _Stdin(content))
    source = open_source("-", options=SourceOptions(format=form))
    (batch,) = source
    assert (batch.file, len(batch)) == ("-", 3)
    assert source.fingerprints()["-"].size == -1
    with pytest.raises(ArgumentError, match="only once"):
        list(source)


def test_standard_input_may_be_larger_than_what_is_looked_at_first(monkeypatch):
    lines = b"".join(json.dumps({"id": n, "text": "x" * 500}).encode() + b"\n" for n in range(4000))
    monkeypatch.setattr("sys.stdin", _Stdin(lines))
    assert sum(map(len, open_source("-"))) == 4000


def test_an_arrow_stream_comes_through_standard_input(monkeypatch, tmp_path):
    write_arrow(tmp_path / "a", pa.table({"id": [1, 2, 3], "text": ["a"] * 3}), stream=True)
    monkeypatch.setattr("sys.stdin", _Stdin((tmp_path / "a").read_bytes()))
    source = open_source("-", options=SourceOptions(format="arrow"))
    assert [item.keys for item in source] == [[1, 2], [3]]


def test_parquet_comes_through_standard_input(monkeypatch, tmp_path):
    pq.write_table(pa.table({"id": [1, 2], "text": ["a"] * 2}), tmp_path / "a")
    monkeypatch.setattr("sys.stdin", _Stdin((tmp_path / "a").read_bytes()))
    source = open_source("-", options=SourceOptions(format="parquet"))
    assert (source.total_rows, [item.keys for item in source]) == (2, [[1, 2]])


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_first_record_of_standard_input_may_be_of_any_size(monkeypatch, form):
    text = "tide " * 2_000_000
    content = (
        f'id,text\n1,"{text}"\n2,b\n' if form == "csv"
        else f'{json.dumps({"id": "1", "text": text})}\n{json.dumps({"id": "2", "text": "b"})}\n'
    )  # fmt: skip
    monkeypatch.setattr("sys.stdin", _Stdin(content.encode()))
    source = open_source("-", options=SourceOptions(format=form))
    assert [key for item in source for key in item.keys] == ["1", "2"]


def test_a_format_may_be_told_where_the_ending_does_not(tmp_path):
    (tmp_path / "export.txt").write_bytes(LINE)
    with pytest.raises(SourceNotFoundError, match="or name its format"):
        open_source(tmp_path / "export.txt")
    (batch,) = open_source(tmp_path / "export.txt", options=SourceOptions(format="jsonl"))
    assert batch.keys == [1]


# --- fingerprints ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.csv", "a.arrow"])
def test_a_change_of_a_file_changes_its_fingerprint(tmp_path, name):
    path = tmp_path / name
    long = ["x" * 300] * 2000

    def write(middle: str) -> None:
        rows = [*long, middle, *long]
        table = pa.table({"id": range(len(rows)), "text": rows})
        if name == "a.parquet":
            pq.write_table(table, path)
        elif name == "a.arrow":
            write_arrow(path, table)
        else:
            path.write_bytes(
                b"id,text\n" + "\n".join(f"{n},{t}" for n, t in enumerate(rows)).encode()
            )
        os.utime(path, ns=(1, 10**18))

    write("abc")
    (file,) = find_inputs(path)
    before = file.fingerprint()
    assert before.size == path.stat().st_size
    assert before.modified_ns == 10**18
    (same,) = find_inputs(path)
    assert same.fingerprint() == before
    os.utime(path, ns=(1, 10**18 + 1))
    assert same.fingerprint() != before
    write("abcd" * 50)
    assert same.fingerprint() != before


def test_a_parquet_footer_tells_a_change_that_size_and_time_do_not(tmp_path):
    path = tmp_path / "a.parquet"
    marks = []
    for middle in (500, 501):
        values = np.arange(1000)
        values[500] = middle
        table = pa.table({"id": values, "text": ["x"] * 1000})
        pq.write_table(table, path, compression="none", use_dictionary=False)
        os.utime(path, ns=(1, 1))
        (file,) = find_inputs(path)
        marks.append(file.fingerprint())
    assert (marks[0].size, marks[0].modified_ns) == (marks[1].size, marks[1].modified_ns)
    assert marks[0] != marks[1]


def test_a_file_that_is_gone_has_no_fingerprint(tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [ROW])
    source = open_source(path)
    path.unlink()
    assert source.fingerprints() == {}


# --- others' sources -------------------------------------------------------------------------


def open_numbers(location: str) -> pa.RecordBatchReader:
    """A source that somebody else wrote: 2,500 rows, whatever the location."""
    schema = pa.schema([("id", pa.int64()), ("text", pa.string()), ("from", pa.string())])
    tables = (
        pa.record_batch([range(at, at + 1250), ["t"] * 1250, [location] * 1250], schema=schema)
        for at in (0, 1250)
    )
    return pa.RecordBatchReader.from_batches(schema, tables)


@pytest.fixture
def numbers(monkeypatch):
    points = [
        EntryPoint("numbers", f"{__name__}:open_numbers", registered.ENTRY_POINT_GROUP),
        EntryPoint("count", f"{__name__}:open_numbers", registered.ENTRY_POINT_GROUP),
    ]

    def entry_points(*, group: str, name: str | None = None):
        assert group == "qdrant_static.sources"
        return [one for one in points if name in (None, one.name)]

    monkeypatch.setattr(registered, "entry_points", entry_points)
    monkeypatch.setattr(EntryPoint, "load", lambda _: open_numbers)
    registered._names.cache_clear()
    yield
    registered._names.cache_clear()


def test_a_distribution_may_add_an_ending_and_a_scheme(numbers, tmp_path):
    path = tmp_path / "a.numbers"
    path.touch()
    for name in (str(path), "count://host/table"):
        source = open_source(name)
        items = list(source)
        assert [key for item in items for key in item.keys] == list(range(2500))
        assert items[0].payloads[0]["from"] == name
        assert [(i.start, i.stop) for i in items] == [(0, 1000), (1000, 1250), (1250, 2250),
                                                      (2250, 2500)]  # fmt: skip
        rest = list(source.batches({name: [(0, 1200), (1300, 2500)]}))
        assert [(item.start, item.stop) for item in rest] == [(1200, 1250), (1250, 1300)]


@pytest.mark.parametrize("when", ["opened", "read"])
def test_a_registered_source_that_fails_is_unreadable_whatever_it_raises(
    numbers, monkeypatch, when
):
    def fail(location: str) -> pa.RecordBatchReader:
        def tables():
            yield pa.record_batch({"id": [1], "text": ["a"]})
            raise RuntimeError(f"the server hung up on {location}")

        if when == "opened":
            raise RuntimeError(f"no way to {location}")
        return pa.RecordBatchReader.from_batches(
            pa.schema({"id": pa.int64(), "text": pa.string()}), tables()
        )

    monkeypatch.setattr(EntryPoint, "load", lambda _: fail)
    *items, last = open_source("count://me:geheim@host/table")
    assert [item.keys for item in items] == ([[1]] if when == "read" else [])
    assert (last.reason, last.file) == ("unreadable_file", "count://host/table")
    assert "'count' fails" in last.message
    assert "geheim" not in last.message


@pytest.mark.parametrize(
    ("settled", "left"),
    [
        ([], [(0, 10)]),
        ([(0, 10)], []),
        ([(0, 3), (5, 7)], [(3, 5), (7, 10)]),
        ([(2, 4), (4, 6)], [(0, 2), (6, 10)]),
        ([(-5, 1), (9, 20)], [(1, 9)]),
        ([(20, 30)], [(0, 10)]),
    ],
)
def test_what_is_not_settled_is_left(settled, left):
    assert list(unsettled(0, 10, settled)) == left
