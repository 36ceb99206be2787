"""Children are killed at random points; what they acknowledged must be there, and no half of
anything else."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qdrant_static import EdgeClient
from tests import crash_model as model
from tests.fakes import REPOSITORY


def _run_and_kill(root: Path, seed: int, start: int, after_s: float) -> int:
    """The number of the last operation that the child acknowledged before it was killed."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.crash_model", str(root), str(seed), str(start)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        first = child.stdout.readline()
        assert first == "ready\n", child.communicate()
        time.sleep(after_s)
        assert child.poll() is None, child.communicate()
    finally:
        child.kill()
    told, _ = child.communicate()
    # A line that the kill cut short was not acknowledged to anybody.
    whole = [line for line in told.splitlines(keepends=True) if line.endswith("\n")]
    return int(whole[-1]) if whole else start - 1


@pytest.mark.parametrize(
    "kills", [pytest.param(4, id="few"), pytest.param(50, id="fifty", marks=pytest.mark.full)]
)
def test_what_was_acknowledged_survives_kills(
    tmp_path: Path, kills: int, record_property: Callable[[str, object], None]
) -> None:
    seed = 11
    root = tmp_path / "db"
    with EdgeClient(root) as client:
        model.create(client)
    state, start = model.State(), 0
    dice = random.Random(seed)  # noqa: S311
    acknowledged = 0
    for _ in range(kills):
        last = _run_and_kill(root, seed, start, dice.uniform(0.0, 0.8))
        for number in range(start, last + 1):
            state = model.expected(state, seed, number)
        acknowledged += last + 1 - start
        begun = model.expected(state, seed, last + 1)
        with EdgeClient(root) as client:
            found = model.read(client)
        assert found in (state, begun), model.operation(seed, last + 1)
        start = last + 1
        if found != state:
            state, start = begun, last + 2
    told = f"{kills} kills, {acknowledged} operations acknowledged, {len(state.points)} points"
    record_property("sum", told)
    # Nothing unfinished stays behind once something is created or deleted.
    with EdgeClient(root) as client:
        client.delete_collection("none")
    assert not list(root.glob("*/unfinished"))
    assert {entry.name for entry in root.iterdir() if entry.is_dir()} <= {model.MAIN, model.OTHER}
