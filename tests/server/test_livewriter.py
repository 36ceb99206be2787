"""LiveWriter on a real server: several processes, killed at random, and both kinds of journal."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from qdrant_static import CollectionSpec, LiveWriter, Record, connect, create_collection
from qdrant_static.collection.spec import Fields
from qdrant_static.journal.replay import replay
from qdrant_static.journal.serverjournal import JournalCollection
from qdrant_static.journal.sqlitejournal import Journal
from qdrant_static.journal.writejournal import WriteJournal
from tests import livewriter_child as child
from tests.engine.test_livewriter_kills import run_and_kill
from tests.fakes import REPOSITORY
from tests.journal_machine import check, matches, point_at, read

pytestmark = pytest.mark.server

WRITER = """
import random, sys
from qdrant_static import LiveWriter, Record, connect
from qdrant_static.journal.serverjournal import JournalCollection
from tests.livewriter_child import ENCODERS
from tests.journal_machine import matches
url, alias, place, seed = sys.argv[1:]
client = connect(url)
journal = place if "/" in place else JournalCollection(client, place, lease_s=2.0)
writer = LiveWriter(client, alias, journal=journal, encoders=ENCODERS)
dice = random.Random(seed)
writer.flush()
print("ready", flush=True)
while True:
    keys = dice.sample(range(60), 8)
    kind = dice.choice(["upsert"] * 3 + ["delete", "filter", "edit"])
    if kind == "upsert":
        records = [Record(key=k, text=f"cat {k} {seed}", payload={"n": k % 5}) for k in keys]
        writer.upsert(records)
    elif kind == "delete":
        writer.delete(keys)
    elif kind == "filter":
        writer.delete_by_filter(matches(dice.randrange(5)))
    else:
        writer.set_payload(matches(dice.randrange(5)), {"text": f"sea {dice.random()}"})
    print(kind, flush=True)
"""


@pytest.fixture
def alias() -> Iterator[str]:
    """An alias of a collection, with another beside it."""
    name = f"live-{uuid4().hex[:8]}"
    client = connect(os.environ["QDRANT_URL"])
    for generation, encoder in zip(("v1", "v2"), child.ENCODERS, strict=True):
        spec = CollectionSpec.for_encoder(encoder, sparse=None, quantization=None)
        spec = spec.with_source(fields=Fields(key="id", text=("text",)), mean_length=None)
        create_collection(client, f"{name}__{generation}", spec)
    point_at(client, name, f"{name}__v1")
    yield name
    for one in ("v1", "v2", "journal"):
        client.delete_collection(f"{name}__{one}")
    client.close()


@pytest.fixture
def server() -> Iterator[Any]:
    client = connect(os.environ["QDRANT_URL"])
    yield client
    client.close()


def activated(journal: WriteJournal, alias: str) -> None:
    with journal.exclusive():
        journal.activate(f"{alias}__v2", primary=f"{alias}__v1")


@pytest.mark.parametrize(
    "kills", [pytest.param(4, id="few"), pytest.param(40, id="forty", marks=pytest.mark.full)]
)
def test_what_was_acknowledged_is_in_both_generations(tmp_path, server, alias, kills):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        activated(journal, alias)
    state: child.Model = {}
    start, dice = 0, random.Random(3)  # noqa: S311
    for _ in range(kills):
        arguments = [os.environ["QDRANT_URL"], alias, str(path), "5"]
        last = run_and_kill(arguments, start, dice.uniform(0.0, 0.6))
        for number in range(start, last + 1):
            state = child.expected(state, 5, number)
        begun = child.expected(state, 5, last + 1)
        with LiveWriter(server, alias, journal=path, encoders=child.ENCODERS) as writer:
            writer.flush()
            found, _ = read(server, f"{alias}__v1")
            assert found in (state, begun), child.operation(5, last + 1)
            start = last + 1
            if found != state:
                state, start = begun, last + 2
            replay(server, f"{alias}__v2", writer.journal, encoders=child.ENCODERS)
        for generation, encoder in zip(("v1", "v2"), child.ENCODERS, strict=True):
            check(server, f"{alias}__{generation}", state, encoder)
    assert start > kills


@pytest.mark.parametrize("kind", ["file", "collection"])
def test_processes_that_are_killed_leave_one_order(tmp_path: Path, server, alias, kind):
    place = str(tmp_path / "journal.sqlite") if kind == "file" else f"{alias}__journal"
    journal: WriteJournal = (
        Journal(place) if kind == "file" else JournalCollection(server, place, lease_s=2.0)
    )
    activated(journal, alias)
    dice, done = random.Random(4), 0  # noqa: S311
    for turn in range(3):
        writers = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    WRITER,
                    os.environ["QDRANT_URL"],
                    alias,
                    place,
                    f"{turn}{n}",
                ],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for n in range(2)
        ]
        try:
            for writer in writers:
                assert writer.stdout is not None
                assert writer.stdout.readline() == "ready\n", writer.communicate()
            time.sleep(dice.uniform(0.2, 0.8))
            assert [one.poll() for one in writers] == [None, None]
        finally:
            for writer in writers:
                writer.kill()
        done += sum(len(writer.communicate()[0].splitlines()) for writer in writers)
    assert done > 10
    mine = LiveWriter(server, alias, journal=journal, encoders=child.ENCODERS)
    mine.flush()
    assert journal.last() >= done / 2  # a filter that finds nothing changes nothing
    replay(server, f"{alias}__v2", journal, encoders=child.ENCODERS)
    model, _ = read(server, f"{alias}__v1")
    for generation, encoder in zip(("v1", "v2"), child.ENCODERS, strict=True):
        check(server, f"{alias}__{generation}", model, encoder)
    # The switch, and back: the writer sees it, and the other follows.
    for now, before in (("v2", "v1"), ("v1", "v2")):
        with journal.exclusive("switch"):
            point_at(server, alias, f"{alias}__{now}")
        mine.upsert(Record(key="new", text=f"ship {now}", payload={"n": 7}))
        mine.delete_by_filter(matches(1))
        assert {one.entries for one in mine.lag()} == {0}
        model, _ = read(server, f"{alias}__{now}")
        check(server, f"{alias}__{before}", model, child.ENCODERS[int(before[1]) - 1])
    journal.close()
