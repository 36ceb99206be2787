"""What can be read only once: pipes by their paths, and who waits for them."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from qdrant_static.errors import ArgumentError, JobStoppedError, SourceNotFoundError
from qdrant_static.reading import registered
from qdrant_static.reading import streams as module
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.sources import Source, open_source
from qdrant_static.reading.streams import ReadOnce

ROWS = 2500
TABLE = pa.table({"id": range(ROWS), "text": [f"row {n}" for n in range(ROWS)]})


def content(form: str, folder: Path) -> bytes:
    path = folder / "content"
    if form == "parquet":
        pq.write_table(TABLE, path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in TABLE.to_pylist()))
    elif form == "csv":
        path.write_text("id,text\n" + "".join(f"{n},row {n}\n" for n in range(ROWS)))
    else:
        make = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
        with make(path, TABLE.schema) as writer:
            writer.write_table(TABLE, max_chunksize=700)
    return path.read_bytes()


@pytest.fixture
def written():
    """Write bytes into something in a thread, and close it."""
    threads = []

    def write(open_: int | Path, data: bytes) -> None:
        def work() -> None:
            with open(open_, "wb") as pipe:
                pipe.write(data)

        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield write
    for thread in threads:
        thread.join()


def keys(source: Source) -> list[int]:
    return [int(key) for item in source if isinstance(item, Batch) for key in item.keys]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "stream", "file"])
@pytest.mark.parametrize("place", ["fifo", "/dev/fd", "file://"])
def test_a_pipe_gives_every_row_once(written, tmp_path, form, place):
    data = content(form, tmp_path)
    ending = "arrow" if form in ("stream", "file") else form
    options = SourceOptions(format=ending)
    if place == "/dev/fd":
        path, end = os.pipe()
        written(end, data)
        source = open_source(f"/dev/fd/{path}", options=options)
        os.close(path)
    else:
        fifo = tmp_path / f"a.{ending}"
        os.mkfifo(fifo)
        written(fifo, data)
        source = open_source(f"file://{fifo}" if place == "file://" else fifo, options=options)
    assert keys(source) == list(range(ROWS))
    assert [one.size for one in source.fingerprints().values()] == [-1]


def test_a_pipe_is_json_lines_unless_something_else_is_said(written, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    written(tmp_path / "pipe", b'{"id": 7, "text": "a"}\n')
    assert keys(open_source(tmp_path / "pipe")) == [7]


def test_the_same_pipe_twice_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    os.symlink("a.jsonl", tmp_path / "b.jsonl")
    for other in ("a.jsonl", "b.jsonl"):
        with pytest.raises(ArgumentError, match="one pipe, which can be read only once"):
            open_source([tmp_path / "a.jsonl", tmp_path / other])


def test_standard_input_by_two_names_is_refused(monkeypatch, tmp_path):
    path, end = os.pipe()
    with open(path) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(ArgumentError, match="are one pipe"):
            open_source(["-", f"/dev/fd/{path}"])
    os.close(end)


def test_a_pipe_of_a_registered_source_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(registered, "ending_of", lambda path: "avro" if "avro" in path else None)
    os.mkfifo(tmp_path / "a.avro")
    with pytest.raises(SourceNotFoundError, match="save it as a file first"):
        open_source(tmp_path / "a.avro")


def test_waiting_for_a_pipe_that_nobody_writes_to_ends_when_it_is_to_stop(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    stop = threading.Event()
    threading.Timer(0.01, stop.set).start()
    with pytest.raises(JobStoppedError, match=r"a\.jsonl"):
        open_source(tmp_path / "a.jsonl", stop=stop)


def test_waiting_for_more_ends_when_it_is_cancelled(tmp_path):
    path, end = os.pipe()
    os.write(end, b"a line\n")
    once = ReadOnce("pipe", f"/dev/fd/{path}")
    with once.open() as opened:
        assert opened.readline() == b"a line\n"
        once.cancel()
        with pytest.raises(JobStoppedError):
            opened.readline()
    os.close(path)
    os.close(end)


def test_what_was_looked_at_comes_again_however_much_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_KEPT_BYTES", 1000)
    path, end = os.pipe()
    os.write(end, b"".join(b"%d\n" % n for n in range(5000)))
    os.close(end)
    once = ReadOnce("pipe", f"/dev/fd/{path}")
    for count in (10, 3000):
        with once.sample() as looked:
            assert [int(looked.readline()) for _ in range(count)] == list(range(count))
    with once.open() as opened:
        assert [int(line) for line in opened] == list(range(5000))
    with pytest.raises(ArgumentError, match="pipe can be read only once"):
        once.open()
    os.close(path)
