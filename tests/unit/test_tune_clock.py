"""What a person and a log see of a tuning."""

from __future__ import annotations

import io
import logging
import sys

from qdrant_static.measuring.tuning import tuneclock
from qdrant_static.measuring.tuning.tuneclock import Clock, TuneProgress
from tests.unit.test_progress import undated


def test_a_log_gets_a_line_for_each_phase_and_now_and_then(capsys, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="qdrant_static")
    now = [100.0]
    monkeypatch.setattr(tuneclock.time, "perf_counter", lambda: now[0])
    with Clock(300, progress=True, collection="articles") as clock:
        clock.phase("exact search")
        for _ in range(12):
            now[0] += 1
            clock.tick()
        clock.phase("7 plans")
    assert undated(capsys.readouterr().err) == [
        "articles: tune: exact search, 0 of at most 300 s",
        "articles: tune: exact search, 10 of at most 300 s",
        "articles: tune: 7 plans, 12 of at most 300 s",
    ]
    assert [one.getMessage() for one in caplog.records] == [
        "articles: tune: exact search", "articles: tune: 7 plans",
    ]  # fmt: skip


def test_a_terminal_gets_a_bar_of_the_budget(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", screen)
    now = [100.0]
    monkeypatch.setattr(tuneclock.time, "perf_counter", lambda: now[0])
    with Clock(300, progress=True) as clock:
        now[0] += 75
        clock.phase("7 plans")
    assert "tune  25% |" in screen.getvalue()
    assert "1:15 of at most 5:00, 7 plans" in screen.getvalue()


def test_silence_is_silence(capsys):
    with Clock(300, progress=False) as clock:
        clock.phase("a")
        clock.tick()
    assert capsys.readouterr() == ("", "")


def test_a_function_gets_the_phase_and_the_time(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(tuneclock.time, "perf_counter", lambda: now[0])
    seen: list[TuneProgress] = []
    with Clock(300, progress=seen.append) as clock:
        clock.phase("7 plans")
        now[0] += 12
        clock.tick()
    assert seen == [
        TuneProgress(phase="7 plans", seconds=0.0, budget_s=300),
        TuneProgress(phase="7 plans", seconds=12.0, budget_s=300),
    ]
    assert capsys.readouterr() == ("", "")
