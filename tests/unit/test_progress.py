"""What a person, a log and a monitor see of a job."""

from __future__ import annotations

import io
import re
import sys
import types

import pytest

from qdrant_static import bars
from qdrant_static.ingestion import progress
from qdrant_static.ingestion.loading import RowCounters
from qdrant_static.ingestion.progress import Progress
from qdrant_static.ledger.records import Totals


def undated(told: str) -> list[str]:
    """Lines of a log without their times."""
    lines = told.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in lines)
    return [line.split(" ", 1)[1] for line in lines]


def test_a_log_gets_lines_ever_less_often_and_one_at_the_end(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress(1000, progress=True) as display:
        for _ in range(10):
            now[0] += 0.6
            display.advance(100, 90, 10)
        display.phase("index: building it ...")
        display.phase("done")
    lines = undated(capsys.readouterr().err)
    assert lines[0] == "load: 100 of 1,000 rows (10%), 167 rows/s, 0:05 left, stored=90 rejected=10"
    assert lines[-3] == "load: 1,000 of 1,000 rows (100%), 167 rows/s, stored=90 rejected=10"
    assert lines[-2:] == ["index: building it ...", "done"]
    assert len(lines) == 3 + 3  # after 0.6, 1.8 and 4.2 seconds


def test_rates_and_the_time_left_are_of_this_attempts_rows(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress(1000, progress=True) as display:
        display.resume(500, 490, 10)
        now[0] += 10
        display.advance(100, 590, 10)
    (line,) = undated(capsys.readouterr().err)[:1]
    assert line == "load: 600 of 1,000 rows (60%), 10 rows/s, 0:40 left, stored=590 rejected=10"


def test_without_a_number_of_rows_the_part_that_was_read_counts(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress(None, progress=True) as display:
        display.read_part = lambda: 0.25
        now[0] += 10
        display.advance(100, 100, 0)
    line = undated(capsys.readouterr().err)[0]
    assert line == "load: 100 rows (25%), 10 rows/s, 0:30 left, stored=100 rejected=0"


class Screen(io.StringIO):
    """A terminal of some width, and what was drawn on it."""

    def isatty(self) -> bool:
        return True

    def frames(self) -> list[str]:
        return [one.strip() for line in self.getvalue().split("\n") for one in line.split("\r")]


def on_screen(monkeypatch) -> Screen:
    found = Screen()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(bars, "_INTERVAL_S", 0.0)
    return found


def test_a_terminal_gets_a_bar_that_fits_it(monkeypatch):
    screen = on_screen(monkeypatch)
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress(100_000_000, progress=True) as display:
        display.resume(50_000_000, 49_000_000, 1_000_000)
        now[0] += 1000
        display.advance(10_000_000, 58_000_000, 2_000_000)
        display.note("a note")
        display.phase("index: building it ...")
        display.building(12, expected_s=48, detail="200 MB on disk")
    frames = [one for one in screen.frames() if one]
    assert max(map(len, frames)) <= 80
    assert re.search(
        r"^load  60% \|[█#]+.?\s+\| 60,000,000 of 100,000,000 rows, 10,000/s, 1:06:40 left$",
        "\n".join(frames), re.MULTILINE,
    )  # fmt: skip
    assert "a note" in frames
    assert frames[-1].startswith("index  25% |")
    assert frames[-1].endswith("| 0:12 of about 0:48, 200 MB on disk")


def test_a_terminal_without_any_total_gets_figures_and_no_bar(monkeypatch):
    screen = on_screen(monkeypatch)
    with Progress(None, progress=True) as display:
        display.advance(20_000, 19_980, 20)
    assert screen.frames()[-2].startswith("load 20,000 rows, ")
    assert "20 rejected" in screen.getvalue()
    assert "|" not in screen.getvalue()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(7, "0:07"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03"), (-1, "0:00")],
)
def test_a_duration_is_told_as_people_read_it(seconds, told):
    assert bars.duration(seconds) == told


def test_an_index_that_takes_long_is_told_now_and_then(capsys):
    with Progress(None, progress=True) as display:
        for second in range(25):
            display.building(second, expected_s=12.0, detail=f"{2 * second} MB on disk")
    assert undated(capsys.readouterr().err) == [
        "index: 0 of about 12 s, 0 MB on disk", "index: 10 of about 12 s, 20 MB on disk",
        "index: 20 s, 40 MB on disk",  # the estimate was wrong
    ]  # fmt: skip


def test_a_shipment_is_told_by_phases_and_bytes_now_and_then(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with Progress(None, progress=True, done="built") as display:
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
    with Progress(10, progress=False) as display:
        display.note("a")
        display.advance(10, 10, 0)
        display.phase("b")
        display.building(1, expected_s=None, detail="d")
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
    counters.count(Totals(read=15, stored=13, rejected=2))
    counters.count(Totals(read=15, stored=13, rejected=2))
    counters.count(Totals(read=20, stored=13, unchanged=5, rejected=2))
    assert meter.counted == {
        "qdrant_static.rows.read": 10,
        "qdrant_static.rows.stored": 3,
        "qdrant_static.rows.rejected": 2,
        "qdrant_static.rows.unchanged": 5,
    }


def test_without_opentelemetry_nothing_is_counted(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    RowCounters("c", Totals()).count(Totals(read=1))
