"""What a log, a logger and a report get of a job's messages."""

from __future__ import annotations

import logging
import re

import pytest

from qdrant_static.ingestion import progress
from qdrant_static.ingestion.progress import Progress
from tests.unit.test_report import report


def test_a_line_of_a_log_has_the_time_the_job_and_the_run(capsys):
    with Progress(None, progress=True, job="nightly.toml articles") as display:
        display.run = 7
        display.note("going on")
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ nightly.toml articles run 7: going on", line
    )


def test_a_line_that_was_told_is_not_told_again_at_the_end(capsys, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_INTERVAL_S", 0.0)
    with Progress(10, progress=True) as display:
        display.advance(10, 10, 0)
        display.phase("index")
    assert capsys.readouterr().err.count("10 of 10 rows") == 1


def test_what_is_not_shown_is_logged_and_noted(caplog, capsys):
    caplog.set_level(logging.INFO, logger="qdrant_static")
    with Progress(10, progress=False, job="articles") as display:
        display.note("a note")
        display.status("compiling")
        display.phase("indexing")
    assert display.notes == ["a note"]
    assert [one.getMessage() for one in caplog.records] == [
        "articles: a note", "articles: compiling", "articles: indexing",
    ]  # fmt: skip
    assert {one.name for one in caplog.records} == {"qdrant_static.ingestion"}
    assert capsys.readouterr() == ("", "")


def test_the_end_of_a_run_tells_its_sum_and_gives_the_notes_to_the_report(capsys):
    with Progress(10, progress=True, job="articles") as display:
        display.advance(10, 10, 0)
        display.note("one")
        ended = display.ended(report())
    assert ended.notes == ("one",)
    told = capsys.readouterr().err.splitlines()[-1]
    assert " articles: finished after 0." in told
    assert told.endswith("read 1,500 = stored 1,400 + rejected 100")


@pytest.mark.parametrize(
    ("error", "told"), [(ValueError("no room"), "failed: no room"), (KeyboardInterrupt(), "inter")]
)
def test_an_error_is_the_end_of_a_log_too(error, told, capsys):
    with pytest.raises(type(error)), Progress(10, progress=True):
        raise error
    assert f"Z {told}" in capsys.readouterr().err


def test_the_packages_logger_prints_nothing_by_itself():
    handlers = logging.getLogger("qdrant_static").handlers
    assert any(isinstance(one, logging.NullHandler) for one in handlers)
