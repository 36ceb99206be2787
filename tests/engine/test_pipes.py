"""Ingests from pipes: every row once, and an end when one is asked for."""

from __future__ import annotations

import json
import os
import signal
import threading
from contextlib import suppress

import pytest

from qdrant_static import ingest
from qdrant_static.errors import JobStoppedError
from qdrant_static.reading.batch import MAX_ROWS
from qdrant_static.reading.sources import open_source
from qdrant_static.sinks.encoding import SAMPLE_ROWS
from tests.fakes import FakeEncoder


@pytest.fixture
def pipe():
    """A pipe that stays open for more, with as many rows as are looked at before one is encoded."""
    path, end = os.pipe()
    rows = ({"id": n, "text": f"row {n}"} for n in range(SAMPLE_ROWS + MAX_ROWS + 1))
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    def write() -> None:
        with suppress(BrokenPipeError):
            os.write(end, lines)

    writing = threading.Thread(target=write)
    writing.start()
    yield f"/dev/fd/{path}"
    os.close(path)
    writing.join()
    os.close(end)


class Stopping(FakeEncoder):
    """Has the job stop as soon as something is encoded."""

    def __init__(self, ask) -> None:
        super().__init__()
        self._ask = ask

    def encode(self, texts):
        self._ask()
        return super().encode(texts)


@pytest.mark.parametrize("opened", [str, open_source])
def test_a_job_that_waits_for_more_rows_ends_when_it_is_to_stop(client, pipe, opened):
    stop = threading.Event()
    report = ingest(client, "c", opened(pipe), encoder=Stopping(stop.set), stop=stop)
    assert report.interrupted


def test_ctrl_c_ends_a_job_that_waits_for_more_rows(client, pipe):
    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    # A shell starts what runs in the background with the signal ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            ingest(client, "c", pipe, encoder=Stopping(interrupt))
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_job_that_is_to_stop_before_the_first_row_makes_nothing(client, encoder, tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    stop = threading.Event()
    stop.set()
    with pytest.raises(JobStoppedError) as caught:
        ingest(client, "c", tmp_path / "a.jsonl", encoder=encoder, stop=stop)
    assert caught.value.exit_code == 130
    assert not client.collection_exists("c")
