"""What a terminal and a log show of shards that travel; and the addresses of peers."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass

import pytest

from qdrant_static.cli.fieldoptions import pairs
from qdrant_static.errors import ArgumentError
from qdrant_static.shipping import progress
from qdrant_static.shipping.progress import progress_callback
from tests.unit.test_progress import undated


@dataclass(frozen=True)
class Seen:
    phase: str
    sent_bytes: int = 0
    total_bytes: int = 0
    shards_done: int = 0
    shards: int = 0


WAY = [
    Seen("preparing"),
    *(Seen("sending", n * 10**8, 10**9, n // 5, 2) for n in range(11)),
    Seen("copying", 10**9, 10**9, 2, 2),
    Seen("proving", 10**9, 10**9, 2, 2),
]


def test_a_log_gets_a_line_for_each_phase_and_some_between(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress_callback(True) as show:
        for seen in WAY:
            now[0] += 1.5
            show(seen)
    assert undated(capsys.readouterr().err) == [
        "preparing",
        "sending: 0 of 1,000 MB, shards 0/2",
        "sending: 100 of 1,000 MB, shards 0/2",  # after 1 s
        "sending: 300 of 1,000 MB, shards 0/2",  # 2 s
        "sending: 600 of 1,000 MB, shards 1/2",  # 4 s
        "copying: 1,000 of 1,000 MB, shards 2/2",
        "proving: 1,000 of 1,000 MB, shards 2/2",
    ]


def test_a_terminal_gets_a_bar_in_bytes(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_callback(True) as show:
        for seen in WAY:
            show(seen)
    told = screen.getvalue()
    assert told.startswith("preparing\n")
    last = told.split("\r")[-1]
    assert "sending" in last
    assert last.startswith("sending 100% |")
    assert "1,000 of 1,000 MB" in last
    assert "shards 2/2" in last
    assert last.splitlines()[1:] == [
        "copying: 1,000 of 1,000 MB, shards 2/2", "proving: 1,000 of 1,000 MB, shards 2/2",
    ]  # fmt: skip


def test_a_terminal_gets_a_bar_too_where_nobody_knows_how_much_comes(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", screen)
    with progress_callback(True) as show:
        for sent, done in ((0, 0), (10**8, 0), (2 * 10**8, 1), (3 * 10**8, 2)):
            show(Seen("receiving", sent, 0, done, 2))
        show(Seen("opening", 3 * 10**8, 0, 2, 2))
    told = screen.getvalue()
    assert "receiving 300 MB" in told.split("\r")[-1]
    assert "shards 2/2" in told.split("\r")[-1]
    assert told.endswith("\nopening: 300 MB, shards 2/2\n")


@pytest.mark.parametrize("nobody", [False, None])
def test_silence_is_silence(nobody):
    with progress_callback(nobody) as show:
        assert show is None


def test_a_function_is_called_as_it_is():
    seen: list[Seen] = []
    with progress_callback(seen.append) as show:
        show(WAY[0])
    assert seen == WAY[:1]


def peers_of(values):
    return pairs("--peer", values, "ID=URL")


def test_peers_are_named_by_id_or_by_the_address_of_the_list():
    assert peers_of([]) == {}
    assert peers_of(["12=http://a:6333", "http://10.0.0.2:6335=https://b"]) == {
        "12": "http://a:6333",
        "http://10.0.0.2:6335": "https://b",
    }


@pytest.mark.parametrize("wrong", ["12", "12=", "=http://a", "12=a:6333"])
def test_what_is_no_mapping_of_a_peer_is_refused(wrong):
    with pytest.raises(ArgumentError, match="is not ID=URL"):
        peers_of([wrong])


def test_a_peer_has_one_address():
    with pytest.raises(ArgumentError, match="'1' is given twice"):
        peers_of(["1=http://a", "1=http://b"])
