"""What a person, a log and a monitor see of a job."""

from __future__ import annotations

import re
import sys
import types

import pytest

from qdrant_static.edge.build import BuildProgress
from qdrant_static.ingest import progress
from qdrant_static.ingest.accounting.accounts import Totals
from qdrant_static.ingest.progress import Progress
from qdrant_static.ingest.telemetry import RowCounters


def undated(told: str) -> list[str]:
    """Lines of a log without their times."""
    lines = told.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in lines)
    return [line.split(" ", 1)[1] for line in lines]


def test_a_log_gets_lines_ever_less_often_and_one_at_the_end(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress(1000, shown=True) as display:
        for _ in range(10):
            now[0] += 0.6
            display.advance(100, 90, 10)
        display.phase("index: building it ...")
        display.phase("done")
    lines = undated(capsys.readouterr().err)
    assert lines[0] == "load: 100 of 1,000 rows, 167 rows/s, stored=90 rejected=10"
    assert lines[-3] == "load: 1,000 of 1,000 rows, 167 rows/s, stored=90 rejected=10"
    assert lines[-2:] == ["index: building it ...", "done"]
    assert len(lines) == 3 + 3  # after 0.6, 1.8 and 4.2 seconds


def test_an_index_that_takes_long_is_told_now_and_then(capsys):
    with Progress(None, shown=True) as display:
        for second in range(25):
            display.building(BuildProgress(elapsed_s=second, disk_bytes=2_000_000 * second))
    assert undated(capsys.readouterr().err) == [
        "index: 0 s, 0 MB on disk", "index: 10 s, 20 MB on disk", "index: 20 s, 40 MB on disk",
    ]  # fmt: skip


def test_a_shipment_is_told_by_phases_and_bytes_now_and_then(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress(None, shown=True, done="built") as display:
        now[0] += 0.6
        display.advance(10, 9, 1)
        display.advance(10, 19, 1)
        display.shipping("preparing", sent=0, total=0)
        for step in range(12):
            now[0] += 2.5
            display.shipping("sending", sent=step * 1_000_000, total=11_000_000)
        display.shipping("proving", sent=11_000_000, total=11_000_000)
    assert undated(capsys.readouterr().err) == [
        "load: 10 rows, 17 rows/s, built=9 rejected=1",
        "load: 20 rows, 33 rows/s, built=19 rejected=1", "ship: preparing",
        "ship: sending 0 of 11 MB", "ship: sending 4 of 11 MB", "ship: sending 8 of 11 MB",
        "ship: proving",
    ]  # fmt: skip


def test_silence_is_silence(capsys):
    with Progress(10, shown=False) as display:
        display.say("a")
        display.advance(10, 10, 0)
        display.phase("b")
        display.building(BuildProgress(elapsed_s=1, disk_bytes=1))
        display.shipping("sending", sent=1, total=2)
    assert capsys.readouterr() == ("", "")


class Meter:
    """What OpenTelemetry's API gives: counters that only add up."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}

    def create_counter(self, name: str, unit: str) -> types.SimpleNamespace:
        assert unit == "{row}"

        def add(count: int, attributes: dict) -> None:
            assert count > 0
            assert attributes == {"collection": "c"}
            self.counted[name] = self.counted.get(name, 0) + count

        return types.SimpleNamespace(add=add)


@pytest.fixture
def meter(monkeypatch) -> Meter:
    found = Meter()
    metrics = types.ModuleType("opentelemetry.metrics")
    metrics.get_meter = lambda name: found if name == "qdrant_static" else None
    package = types.ModuleType("opentelemetry")
    package.metrics = metrics
    monkeypatch.setitem(sys.modules, "opentelemetry", package)
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", metrics)
    return found


def test_a_monitor_counts_the_rows_of_this_attempt(meter):
    counters = RowCounters("c", Totals(read=10, stored=10))
    counters.tell(Totals(read=15, stored=13, rejected=2))
    counters.tell(Totals(read=15, stored=13, rejected=2))
    counters.tell(Totals(read=20, stored=13, unchanged=5, rejected=2))
    assert meter.counted == {
        "qdrant_static.rows.read": 10,
        "qdrant_static.rows.stored": 3,
        "qdrant_static.rows.rejected": 2,
        "qdrant_static.rows.unchanged": 5,
    }


def test_without_opentelemetry_nothing_is_counted(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    RowCounters("c", Totals()).tell(Totals(read=1))
