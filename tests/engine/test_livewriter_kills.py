"""Writers are killed at random points: what they acknowledged is in every generation alike."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qdrant_static import CollectionSpec, EdgeClient, LiveWriter, create_collection
from qdrant_static.collection.spec import Fields
from qdrant_static.journal.replay import replay
from qdrant_static.journal.sqlitejournal import Journal
from tests import livewriter_child as child
from tests.fakes import REPOSITORY
from tests.journal_machine import check, point_at, read


def run_and_kill(arguments: list[str], start: int, after_s: float) -> int:
    """The number of the last change that the child acknowledged before it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.livewriter_child", *arguments, str(start)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert first == "ready\n", process.communicate()
        time.sleep(after_s)
        assert process.poll() is None, process.communicate()
    finally:
        process.kill()
    told, _ = process.communicate()
    # A line that the kill cut short was not acknowledged to anybody.
    whole = [line for line in told.splitlines(keepends=True) if line.endswith("\n")]
    return int(whole[-1]) if whole else start - 1


@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="few"), pytest.param(40, id="forty", marks=pytest.mark.full)]
)
def test_what_was_acknowledged_is_in_both_generations(
    tmp_path: Path, kills: int, record_property: Callable[[str, object], None]
) -> None:
    seed, start = 7, 0
    root, journal = tmp_path / "db", tmp_path / "journal.sqlite"
    state: child.Model = {}
    with EdgeClient(root) as client, Journal(journal) as opened:
        for name, encoder in zip(("live__v1", "live__v2"), child.ENCODERS, strict=True):
            spec = CollectionSpec.for_encoder(encoder, sparse=None, quantization=None)
            spec = spec.with_source(fields=Fields(key="id", text=("text",)), mean_length=None)
            create_collection(client, name, spec)
        point_at(client, "live", "live__v1")
        with opened.exclusive():
            opened.activate("live__v2", primary="live__v1")
    dice = random.Random(seed)  # noqa: S311
    acknowledged = finished = 0
    for _ in range(kills):
        arguments = [str(root), "live", str(journal), str(seed)]
        last = run_and_kill(arguments, start, dice.uniform(0.0, 0.6))
        acknowledged += last + 1 - start
        for number in range(start, last + 1):
            state = child.expected(state, seed, number)
        begun = child.expected(state, seed, last + 1)
        with (
            EdgeClient(root) as client,
            LiveWriter(client, "live", journal=journal, encoders=child.ENCODERS) as writer,
        ):
            writer.flush()
            found, _ = read(client, "live__v1")
            assert found in (state, begun), child.operation(seed, last + 1)
            start = last + 1
            if found != state:
                state, start = begun, last + 2
                finished += 1
            assert replay(client, "live__v2", writer.journal, encoders=child.ENCODERS).left == 0
            for name, encoder in zip(("live__v1", "live__v2"), child.ENCODERS, strict=True):
                check(client, name, state, encoder)
    assert acknowledged > kills
    told = f"{kills} kills, {acknowledged} changes acknowledged, {finished} finished by others"
    record_property("sum", told)
