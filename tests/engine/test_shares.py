"""Several processes build the shards of a collection: the outcome is that of one process."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from qdrant_static import CollectionSpec
from qdrant_static.clients.statefolder import StateFolder
from qdrant_static.edge import assemble as assembling
from qdrant_static.errors import ArgumentError, EngineError, JobRunningError, TooManyRejectsError
from qdrant_static.ingestion import textstats
from qdrant_static.ingestion.account import Account
from qdrant_static.ingestion.finishing import Finish
from qdrant_static.ingestion.progress import Progress
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading.options import Passages
from qdrant_static.reading.sources import open_source
from qdrant_static.shipping.localbuild import shardchild, shardprocesses
from qdrant_static.shipping.localbuild import shardedrun as module
from qdrant_static.shipping.localbuild.shardprocesses import ShardProcesses, SingleProcessError
from tests.builds import COLLECTION, build, outcome, rejects_of, watch, write_input
from tests.fakes import REPOSITORY, FakeEncoder

ROWS = 2_500
READ = ROWS + ROWS // 50


class Death(BaseException):
    """The process ends here."""


class Heard(Progress):
    """Keeps what a person would see."""

    def __init__(self) -> None:
        super().__init__(None, progress=False)
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def no_processes(monkeypatch) -> None:
    def refuse(*_, **__):
        raise AssertionError("a process was started")

    monkeypatch.setattr(shardprocesses.subprocess, "Popen", refuse)


def die(*_, **__):
    raise Death


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    return write_input(tmp_path_factory.mktemp("given"), ROWS)


@pytest.fixture(scope="module")
def expected(given, tmp_path_factory):
    """What one process leaves."""
    folder = tmp_path_factory.mktemp("one")
    report = build(given, folder, workers=1)
    return outcome(folder), report.to_dict()


@pytest.fixture(scope="module")
def parts(given, tmp_path_factory) -> Path:
    """What is there when all three processes have ended, and nothing is joined yet."""
    folder = tmp_path_factory.mktemp("parts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "join", die)
        with pytest.raises(Death):
            build(given, folder)
    return folder


@pytest.fixture
def folder(parts, tmp_path) -> Path:
    """A copy of them, to go on with."""
    shutil.copytree(parts, tmp_path / "f")
    return _moved(parts, tmp_path / "f")


def _moved(before: Path, after: Path) -> Path:
    """Rejects files are found by the paths that ledgers have."""
    for path in after.rglob("ledger.sqlite"):
        with Ledger(path) as ledger, ledger.transaction() as database:
            database.execute(
                "UPDATE runs SET rejects = replace(rejects, ?, ?)", (str(before), str(after))
            )
    return after


SUM = ("read", "built", "superseded", "rejected", "points_before", "points_after", "new", "exact")


def check(report, folder, expected) -> None:
    """Everything is as one process leaves it."""
    whole, told = expected
    found = outcome(folder)
    for name in whole:
        assert found[name] == whole[name], name
    assert {name: report.to_dict()[name] for name in SUM} == {name: told[name] for name in SUM}
    assert not report.interrupted
    manifest = json.loads(Path(report.manifest).read_text())
    assert {name: manifest[name] for name in SUM} == {name: told[name] for name in SUM}
    assert not list((folder / "db").glob("_state/*/*"))  # nothing of the parts


def test_three_processes_leave_what_one_leaves(folder, given, expected, monkeypatch):
    no_processes(monkeypatch)  # all parts are complete: they are not built again
    report = build(given, folder)
    check(report, folder, expected)
    assert report.attempts == 2
    assert report.sampled == 3 * 64
    assert (report.read, report.seconds["load"]) == (READ, pytest.approx(0, abs=60))
    lines = Path(report.rejects_path).read_text().splitlines()
    assert [json.loads(line) for line in lines] == outcome(folder)["rejects"]  # by address
    one, three = (json.loads(Path(told["manifest"]).read_text()) for told in (
        expected[1], report.to_dict(),
    ))  # fmt: skip
    for name in ("rows", "tokens", "unknown_tokens", "norm_histogram"):
        assert three["encoding"][name] == one["encoding"][name]
    assert three["encoder_identity"] == one["encoder_identity"]


def test_once_more_changes_nothing(folder, given, expected, monkeypatch):
    build(given, folder)
    no_processes(monkeypatch)
    report = build(given, folder)
    check(report, folder, expected)


def test_a_sample_that_was_off_is_corrected_in_all_shards(given, expected, tmp_path, monkeypatch):
    def too_short(sparse, texts, *, whole):
        return replace(sparse, mean_length=3.0), []

    monkeypatch.setattr(textstats, "measured", too_short)
    report = build(given, tmp_path, shards=2, workers=2)
    (note,) = report.notes
    assert note.startswith("BM25's mean length is 3.0 terms by a sample, ")
    whole, found = expected[0]["points"], outcome(tmp_path)["points"]
    assert whole.keys() == found.keys()
    for point, (_, vectors) in whole.items():
        wanted, there = vectors["bm25"], found[point][1]["bm25"]
        assert list(there.indices) == list(wanted.indices)
        assert there.values == pytest.approx(list(wanted.values), rel=0.01)


@pytest.mark.parametrize("step", ["join", "assemble", "moving", "finish", "write"])
def test_what_ends_between_two_steps_goes_on_there(step, folder, given, expected, monkeypatch):
    no_processes(monkeypatch)
    with monkeypatch.context() as patch:
        if step == "finish":
            patch.setattr(Finish, "count", die)
        elif step == "moving":
            move = assembling._move
            patch.setattr(assembling, "_move", lambda *one: die() if one[2] == 1 else move(*one))
        elif step == "write":
            patch.setattr(Account, "close", die)
        else:
            patch.setattr(module, step, die)
        with pytest.raises(Death):
            build(given, folder)
    check(build(given, folder), folder, expected)


def test_parts_that_are_gone_when_they_were_joined_are_built_again(
    folder, given, expected, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(module, "assemble", die)
        with pytest.raises(Death):
            build(given, folder)
    shutil.rmtree(folder / "db")
    display = Heard()
    report = build(given, folder, workers=1, display=display)
    assert "what was built is gone" in display.lines[0]
    assert (report.run, report.built) == (2, expected[1]["built"])


def test_parts_of_another_input_are_not_kept(given, parts, tmp_path, monkeypatch):
    changed = tmp_path / "given"
    shutil.copytree(given, changed)
    folder = tmp_path / "f"
    shutil.copytree(parts, folder)
    waiting = []

    def begin(jobs, **_):
        waiting.extend(job.part.shard for job in jobs)
        raise Death

    monkeypatch.setattr(module, "ShardProcesses", begin)
    with pytest.raises(Death):
        build(changed, folder)
    assert waiting == [0, 1, 2]
    assert not list((folder / "db").glob("_state/c/parts/*"))


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(["child counts", "parent counts"], id="few"),
        pytest.param(
            [
                *("child started", "parent started", "stop started"),
                *("child counts", "parent counts", "stop counts"),
                *("child index", "parent index", "stop index", "child ended"),
            ],
            id="many",
            marks=pytest.mark.full,
        ),
    ],
)
def test_whatever_is_killed_the_same_command_ends_it(moments, given, tmp_path, monkeypatch):
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    options = {"shards": 2, "on_duplicate": "last"}
    expected = build(given, whole, **options, workers=1).to_dict()
    expected = outcome(whole), expected
    options["workers"] = 2
    for moment in moments:
        who, when = moment.split()
        if who == "parent":
            _kill_parent(given, torn, when, options)
        else:
            with monkeypatch.context() as patch:
                _cut(given, torn, who, when, options, patch)
    report = build(given, torn, **options)
    assert report.attempts == len(moments) + 1
    check(report, torn, expected)


def _is_moment(when: str, message) -> bool:
    if when == "index":
        return str(message.get("note", "")).startswith("index")
    return when in message


def _cut(given, folder, who, when, options, patch) -> None:
    """Kill one process, or ask all to stop, when the second shard comes to a point."""
    stop = threading.Event()
    cut = []

    def hear(shard, pid, message):
        if shard == 1 and not cut and _is_moment(when, message):
            cut.append(pid)
            if who == "stop":
                stop.set()
            else:
                os.kill(pid, signal.SIGKILL)

    watch(hear, patch.setattr)
    report, error = None, None
    try:
        report = build(given, folder, **options, stop=stop)
    except EngineError as raised:
        error = raised
    if error is not None:
        assert who == "child"
        assert "shard 1" in error.__notes__[0]
        assert "The same command continues" in error.message
    elif report.interrupted:
        assert who == "stop"
        assert report.points_after == report.built
    else:
        # Faster than the word of it; or this shard was complete before.
        assert not cut or when in ("counts", "index", "ended")


def _kill_parent(given, folder, when, options) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.builds", str(given), str(folder), json.dumps(options)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert parent.stdout is not None
    for line in parent.stdout:
        told = json.loads(line)
        if _is_moment(when, told) or "built" in told:
            break
    else:
        raise AssertionError(parent.communicate())
    parent.kill()
    parent.communicate()
    for part in (folder / "db").glob(f"_state/{COLLECTION}/parts/*"):
        _wait_for_leave(part / "_state" / COLLECTION)


def _wait_for_leave(state: Path) -> None:
    """Wait until the process that worked there has died: the system then frees its lock."""
    for _ in range(600):
        try:
            StateFolder(state, COLLECTION).close()
        except JobRunningError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"a process outlives its parent: {state}")


def test_rejects_are_limited_over_all_processes_together(given, tmp_path, expected):
    total = sum(expected[1]["rejected"].values())
    with pytest.raises(TooManyRejectsError) as raised:
        build(given, tmp_path, shards=2, max_rejects=total - 1)
    assert raised.value.rejected == total
    assert raised.value.exit_code == 3
    assert sum(raised.value.report.rejected.values()) == total
    assert raised.value.report.read == READ
    path = Path(raised.value.rejects)
    found = rejects_of(path, path.stat().st_size)
    assert found == expected[0]["rejects"]
    report = build(given, tmp_path, shards=2, max_rejects=total)
    assert report.read == READ
    assert not list((tmp_path / "db").glob("_state/*/*"))


def test_what_other_processes_cannot_do_this_one_does(given, tmp_path, expected, monkeypatch):
    monkeypatch.setattr(shardprocesses, "_MODULE", "tests.stubchild")
    folder = tmp_path / "unfit"  # which the stand-ins understand
    display = Heard()
    report = build(given, folder, display=display)
    check(report, folder, expected)
    assert report.attempts == 1
    assert [line for line in display.lines if "one process" in line] == [
        "one process builds all shards: no such model"
    ]


@pytest.mark.parametrize(
    ("encoder", "why"),
    [
        (FakeEncoder(), "cannot load the encoder 'fake'"),
        (FakeEncoder("small"), "the name 'small' gives another encoder"),
    ],
)
def test_a_process_says_that_it_cannot_load_the_encoder(
    encoder, why, model_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(model_folder.parent)
    job = SimpleNamespace(spec=CollectionSpec.for_encoder(encoder))
    out = io.StringIO()
    assert not shardchild.build(job, out, threading.Event())
    assert why in json.loads(out.getvalue())["single"]


class OtherSource:
    """A source that is not of files."""

    def __init__(self, source) -> None:
        self._source = source

    def __getattr__(self, name):
        return getattr(self._source, name)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"passages": Passages(tokens=5)}, "passages"),
        ({"source": "other"}, "not in files"),
        ({"workers": 1}, ""),
        ({"shards": 1}, ""),
    ],
)
def test_one_process_builds_what_several_cannot(changes, why, given, tmp_path, monkeypatch):
    no_processes(monkeypatch)
    if changes.get("source") == "other":
        changes = {"source": OtherSource(open_source(given / "in"))}
    display = Heard()
    report = build(given, tmp_path, display=display, **changes)
    assert report.read == READ
    told = [line for line in display.lines if "one process" in line]
    assert (why in told[0]) if why else not told


# --- the processes alone -------------------------------------------------------------------------


@pytest.fixture
def stubs(monkeypatch):
    monkeypatch.setattr(shardprocesses, "_MODULE", "tests.stubchild")

    def make(*ways, at_once=9, must_stop=lambda: False):
        jobs = [SimpleNamespace(part=SimpleNamespace(shard=n), way=way) for n, way in
                enumerate(ways)]  # fmt: skip
        told: list = []
        crew = ShardProcesses(
            jobs, at_once=at_once, receive=lambda *one: told.append(one), must_stop=must_stop
        )
        return crew, told

    return make


def test_all_are_run_so_many_at_a_time(stubs, monkeypatch):
    crew, told = stubs("ends", "ends", "ends", "ends", at_once=2)
    most = []
    watch(lambda *_: most.append(len(crew._running)), monkeypatch.setattr)
    assert crew.run()
    assert max(most) == 2
    assert {shard for shard, _ in told} == {0, 1, 2, 3}


def test_one_that_dies_stops_the_others(stubs):
    crew, told = stubs("waits", "dies", "waits")
    with pytest.raises(EngineError, match=r"code 9.*something of the system's") as raised:
        crew.run()
    assert "shard 1" in raised.value.__notes__[0]
    assert [m["said"] for _, m in told if "said" in m] == ["stop", "stop"]


def test_all_stop_when_it_is_said(stubs):
    crew, told = stubs("waits", "waits", "waits", at_once=2, must_stop=lambda: bool(told))
    assert not crew.run()
    assert {shard for shard, _ in told} == {0, 1}  # the third was not begun


def test_one_that_is_unfit_is_told_from_one_that_fails(stubs):
    crew, _ = stubs("unfit", "waits")
    with pytest.raises(SingleProcessError, match="no such model"):
        crew.run()


def test_nothing_is_left_running_when_this_process_is_interrupted(stubs):
    def interrupt():
        if len(told) == 2:
            raise KeyboardInterrupt
        return False

    crew, told = stubs("waits", "waits", must_stop=interrupt)
    with pytest.raises(KeyboardInterrupt):
        crew.run()
    assert all(one._process.returncode is not None for one in crew._running.values())


def test_an_error_comes_home_as_it_was(stubs):
    for error in (ArgumentError(field="f", problem="p"), ValueError("v")):
        packed = shardchild._packed(error)
        back = pickle.loads(base64.b64decode(packed))  # noqa: S301
        assert type(back) is type(error)
        assert str(back) == str(error)
        assert hasattr(back, "__notes__") == isinstance(error, ValueError)  # where it was raised


class Stubborn(Exception):  # noqa: N818
    """Cannot be made again of its arguments."""

    def __init__(self, one, other) -> None:
        super().__init__(one)


def test_an_error_that_cannot_travel_is_told_in_words():
    back = pickle.loads(base64.b64decode(shardchild._packed(Stubborn("why", 1))))  # noqa: S301
    assert isinstance(back, EngineError)
    assert "Stubborn: why" in back.message
