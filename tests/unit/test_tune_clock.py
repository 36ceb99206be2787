"""What a person and a log see of a tuning."""

from __future__ import annotations

import io
import logging
import sys

from qdrant_static.measuring.tuning import tuningsession
from qdrant_static.measuring.tuning.tuningsession import Clock
from tests.unit.test_progress import undated


def test_a_log_gets_a_line_for_each_phase_and_now_and_then(capsys, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="qdrant_static")
    now = [100.0]
    monkeypatch.setattr(tuningsession.time, "perf_counter", lambda: now[0])
    with Clock(300, shown=True, collection="articles") as clock:
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
    monkeypatch.setattr(tuningsession.time, "perf_counter", lambda: now[0])
    with Clock(300, shown=True) as clock:
        now[0] += 75
        clock.phase("7 plans")
    assert "tune  25% |" in screen.getvalue()
    assert "1:15 of at most 5:00, 7 plans" in screen.getvalue()


def test_silence_is_silence(capsys):
    with Clock(300, shown=False) as clock:
        clock.phase("a")
        clock.tick()
    assert capsys.readouterr() == ("", "")
