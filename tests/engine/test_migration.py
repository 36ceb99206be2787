"""Migrations on the embedded engine: the suite, folders with two processes, kills, adoption."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from qdrant_client import models

from qdrant_static import CollectionSpec, EdgeClient, create_collection
from qdrant_static.clients.aliases import resolve_alias
from qdrant_static.collection.create import read_spec
from qdrant_static.errors import (
    AliasExistsError,
    ArgumentError,
    CollectionLockedError,
    StorageError,
    VerificationError,
)
from qdrant_static.migration import adopt
from qdrant_static.migration.addvector import add_vector
from qdrant_static.migration.migration import Migration
from tests.fakes import REPOSITORY
from tests.migration_machine import MigrationMachine
from tests.migration_suite import (
    NEW,
    OLD,
    MigrationSuite,
    Place,
    assert_generation,
    everything,
    model,
    written,
)


class TestEdge(MigrationSuite):
    """All of it, on a folder."""

    def test_an_index_that_is_missing_is_caught_by_indexed(self, client, place):
        place.start()
        client.update_collection(
            place.green, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)
        )
        assert self.refused(place) == ("indexed",)
        assert "0 of 60 points" in place.verify().gate("indexed").words
        place.start()  # builds it
        assert place.verify().passed

    def test_a_process_that_hands_over_lets_the_other_one_open_green_at_once(
        self, client, place, child
    ):
        place.whole_way()
        place.step("rollback", hand_over=True)
        code = (
            "import sys; from qdrant_static import EdgeClient\n"
            "with EdgeClient(sys.argv[1]) as c: print(c.count(sys.argv[2]).count)"
        )
        process = child(code, client.path, place.alias)
        out, err = process.communicate(timeout=60)
        assert (out.strip(), err) == ("60", "")

    def test_what_another_process_has_open_is_told(self, client, place, tmp_path):
        place.start(source=place.source)
        place.client = EdgeClient(client.path)
        client.close()
        application = EdgeClient(client.path)
        application.count(place.blue)
        try:
            with pytest.raises(CollectionLockedError, match=place.blue):
                place.verify()
            assert place.step("status").rows == {place.blue: None, place.green: 60}
        finally:
            place.client.close()
            place.client = application

    def test_a_damaged_state_is_told(self, client, place):
        place.start()
        (client.path / "_state" / place.alias / "migration.json").write_text("{}")
        with pytest.raises(StorageError, match=r"migration\.json"):
            place.step("status")


# --- kills -------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from qdrant_static import EdgeClient
from tests.migration_suite import Place
place = object.__new__(Place)
root, alias = Path(sys.argv[1]), sys.argv[2]
place.folder, place.alias = root, alias
place.client = EdgeClient(root / "db")
print("ready", flush=True)
for name in sys.argv[3:]:
    try:
        {"start": place.start, "verify": place.verify}.get(
            name, lambda: place.step(name, **({"after_s": 0} if name == "retire" else {}))
        )()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    print("done", name, flush=True)
"""
WAY = ("start", "verify", "cutover", "rollback", "verify", "cutover", "retire")


@pytest.mark.parametrize(
    "kills", [pytest.param(1, id="short"), pytest.param(40, marks=pytest.mark.full, id="long")]
)
def test_a_killed_step_is_repeated_and_nothing_is_lost(tmp_path, kills):
    """A child goes the whole way; it is killed at random moments, and begins the step again."""
    dice = random.Random(8)  # noqa: S311
    with EdgeClient(tmp_path / "db") as client:
        place = Place(client, tmp_path, rows=40)
        with place.writer() as writer:
            writer.upsert([written(1, 5)])
    expected = {**model(range(40)), **model([1], 5)}
    at, killed = 0, 0
    while at < len(WAY):
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), place.alias, *WAY[at:]],
            cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if killed < kills:
            wanted = dice.randrange(0, 3)
            for _ in range(wanted):
                if not process.stdout.readline():
                    break
            time.sleep(dice.random() * 0.15)
            process.send_signal(signal.SIGKILL)
            killed += 1
        _, err = process.communicate(timeout=120)
        assert process.returncode in (0, -signal.SIGKILL), err
        at = _reached(tmp_path, place, expected, at)
    with EdgeClient(tmp_path / "db") as client:
        assert_generation(client, place.alias, NEW, expected)
        assert not client.collection_exists(place.blue)
    assert killed


def _reached(folder: Path, place: Place, expected: dict, at: int) -> int:
    """Where the way goes on, by what is in the folder; the generations hold what they must."""
    with EdgeClient(folder / "db") as client:
        place.client = client
        target = resolve_alias(client, place.alias)
        assert_generation(client, target, NEW if target == place.green else OLD, expected)
        if not client.collection_exists(place.blue):
            with place.migration() as one:
                found = [state for state in _states(one) if not state.is_over]
            return WAY.index("retire") if found else len(WAY)
        with place.migration() as one:
            states = _states(one)
            phase = one.state().phase if states else "none"
    return {
        "none": 0, "building": 0, "replaying": 1, "verified": max(2, at if at > 2 else 2),
        "switching": 2, "switched": 6 if at >= 4 else 3, "returning": 3, "rolled_back": 4,
        "retiring": 6,
    }[phase]  # fmt: skip


def _states(one: Migration) -> list:
    from qdrant_static.collection.migrationstate import find_states

    return find_states(one.client, one.alias)


# --- any order ---------------------------------------------------------------------------------


class EdgeMachine(MigrationMachine):
    def connected(self, folder):
        return EdgeClient(folder / "db")


@pytest.mark.parametrize(
    ("examples", "steps"),
    [
        pytest.param(6, 20, id="short"),
        pytest.param(150, 50, id="long", marks=pytest.mark.full),
    ],
)
def test_nothing_is_lost_in_any_order_of_writes_steps_and_crashes(examples, steps):
    run_state_machine_as_test(
        EdgeMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )


# --- adoption, and vectors in place ------------------------------------------------------------


@pytest.fixture
def plain(client, tmp_path):
    place = Place(client, tmp_path)
    client.update_collection_aliases(
        [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=place.alias))]
    )
    return place.blue


def test_a_plain_collection_gets_an_alias(client, plain):
    assert "--keep-name" in adopt.describe_choices(client, plain)
    found = adopt.adopt_as(client, plain, "live")
    assert (found.collection, resolve_alias(client, "live")) == (plain, plain)
    assert "go on as before" in str(found).replace("goes on", "go on")
    adopt.adopt_as(client, plain, "live")
    create_collection(client, "other", CollectionSpec.for_encoder(OLD))
    with pytest.raises(AliasExistsError, match="live"):
        adopt.adopt_as(client, "other", "live")
    with pytest.raises(AliasExistsError, match="other"):
        adopt.adopt_as(client, plain, "other")


@pytest.mark.parametrize("cut", [None, "upsert", "update_collection", "delete_collection", "alias"])
def test_a_plain_collection_keeps_its_name_after_any_crash(client, plain, monkeypatch, cut):
    before = everything(client, plain)
    name = {"alias": "update_collection_aliases"}.get(cut or "", cut)
    if name is not None:

        def crash(*arguments, **options):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(client, name, crash)
            with pytest.raises(KeyboardInterrupt):
                adopt.keep_name(client, plain)
    found = adopt.keep_name(client, plain)
    assert (found.alias, found.collection) == (plain, f"{plain}__v1")
    assert resolve_alias(client, plain) == f"{plain}__v1"
    after = everything(client, plain)
    assert {one: payload for one, (payload, _) in after.items()} == {
        one: payload for one, (payload, _) in before.items()
    }
    assert adopt.keep_name(client, plain) == adopt.Adopted(alias=plain, collection=f"{plain}__v1")


def test_a_copy_that_is_not_whole_deletes_nothing(client, plain, monkeypatch):
    real = client.upsert

    def slipping(collection, points, **options):
        return real(collection, points[1:], **options)

    monkeypatch.setattr(client, "upsert", slipping)
    with pytest.raises(VerificationError, match="59 points"):
        adopt.keep_name(client, plain)
    assert client.count(plain).count == 60
    client.delete_collection(f"{plain}__v1")
    create_collection(client, f"{plain}__v1", CollectionSpec.for_encoder(OLD))
    with pytest.raises(ArgumentError, match="not made by keep_name"):
        adopt.keep_name(client, plain)


def test_a_vector_is_added_to_a_live_collection(client, tmp_path):
    place = Place(client, tmp_path)
    found = add_vector(client, place.alias, "mrl_16")
    assert (found.collection, found.points, found.filled) == (place.blue, 60, 60)
    assert [one.name for one in read_spec(client, place.blue).vectors] == [
        "full", "mrl_16", "mrl_8",
    ]  # fmt: skip
    assert add_vector(client, place.alias, "mrl_16") == found
    with pytest.raises(ArgumentError, match="migrate start"):
        add_vector(client, place.alias, "other")
    with place.writer() as writer:
        writer.upsert([written(70, 1)])
    assert add_vector(client, place.alias, "mrl_16").filled == 61
    assert add_vector(client, place.alias, "bm25").vector == "bm25"
