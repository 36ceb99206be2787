"""Build here, then ship: every step may be the last one, and the same command ends it.

The shipment itself is a stand-in here, which copies points; `tests/server/test_build_here.py` has
the real one.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import qdrant_static
from qdrant_static import CollectionSpec, EdgeClient, ingest
from qdrant_static.cli import app
from qdrant_static.clients.aliases import point_alias
from qdrant_static.collection.create import create_collection, read_spec
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.spec import LateSpec
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.errors import (
    AliasExistsError,
    ArgumentError,
    CannotShipError,
    ShipmentRefusedError,
    StorageError,
)
from qdrant_static.ingestion import account
from qdrant_static.ingestion.verify import verify
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading import jsonl
from qdrant_static.shipping.localbuild import buildrun
from qdrant_static.shipping.localbuild.buildhere import BuildHere
from qdrant_static.shipping.targets import prepare
from tests.carrier import Carrier
from tests.fakes import FakeEncoder, grouped, write_jsonl

ROWS = 500
ENCODER = FakeEncoder()
SPEC = CollectionSpec.for_encoder(ENCODER, matryoshka=(8,))


class Death(BaseException):
    """The process ends here."""


@pytest.fixture
def carrier(wire, monkeypatch) -> Carrier:
    made = Carrier(wire.engine)
    monkeypatch.setitem(sys.modules, "qdrant_static.shipping.push", SimpleNamespace(ship=made))
    monkeypatch.setattr(jsonl, "MAX_ROWS", 100)
    return made


@pytest.fixture
def source(tmp_path) -> Path:
    rows: list = [
        {"id": n if n % 3 else f"k{n}", "title": f"title {n}", "text": f"row {n % 7} {n}", "n": n}
        for n in range(ROWS)
    ]
    rows[250:250] = [{"id": 1, "text": "a key that comes twice"}, "torn {"]
    write_jsonl(tmp_path / "in.jsonl", rows)
    return tmp_path / "in.jsonl"


@pytest.fixture
def job(wire, carrier, source, tmp_path):
    client = wire.client()

    def run(**changes):
        options = {"spec": SPEC, "encoder": ENCODER, "state": tmp_path / "st", "threads": 2}
        options |= {"build": BuildHere()} | changes
        paths = options.pop("paths", source)
        return ingest(options.pop("client", client), "c", paths, **grouped(**options))

    return run


def ledger_of(tmp_path) -> Ledger:
    return Ledger(tmp_path / "st" / "ledger.sqlite")


def states(tmp_path) -> set[str]:
    """Of the batches of the last run."""
    with ledger_of(tmp_path) as ledger:
        found = ledger.connection.execute(
            "SELECT DISTINCT state FROM batches WHERE run = (SELECT max(id) FROM runs)"
        )
        return {state for (state,) in found}


def check_whole(report, wire, tmp_path) -> None:
    """Every row is accounted for, on the server, in the ledger and in the manifest."""
    assert not report.interrupted
    assert (report.read, report.stored, report.built) == (ROWS + 2, ROWS, 0)
    assert dict(report.rejected) == {"duplicate_key": 1, "not_json": 1}
    assert (report.points_before, report.points_after, report.new) == (0, ROWS, ROWS)
    assert report.exact
    assert report.shipment is not None
    assert report.shipment["points"] == ROWS
    with wire.engine() as engine:
        assert engine.count("c").count == ROWS
        records, _ = engine.scroll("c", limit=ROWS, with_payload=True)
    assert sorted(one.payload["n"] for one in records) == list(range(ROWS))
    assert states(tmp_path) == {"stored"}
    with ledger_of(tmp_path) as ledger:
        last = ledger.runs.last()
        assert (last.state, last.building, last.points_before, last.points_after) == (
            "finished", False, 0, ROWS,
        )  # fmt: skip
        assert ledger.rows.count() == ROWS
        assert ledger.runs.totals(last.id).adds_up
        assert buildrun.NOTE not in ledger.notes
    manifest = json.loads(Path(report.manifest).read_text())
    assert manifest["stored"] == ROWS
    assert manifest["shipment"] == dict(report.shipment)
    assert not (tmp_path / "st" / "build").exists()
    client = wire.client()
    found = verify(client, "c", state=tmp_path / "st")
    assert found.is_sound
    assert (found.points, found.expected, found.unknown) == (ROWS, ROWS, 0)


def test_what_cannot_be_read_leaves_nothing_on_the_server_and_is_no_success(job, wire, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.parquet").write_bytes(b"garbage")
    report = job(paths=tmp_path / "in")
    assert [Path(one.file).name for one in report.unreadable] == ["a.parquet"]
    assert (report.stored, report.built, report.points_after, report.shipment) == (0, 0, 0, None)
    with wire.engine() as engine:
        assert not engine.collection_exists("c")
    write_jsonl(tmp_path / "in" / "b.jsonl", [{"id": 1, "text": "row"}])
    report = job(paths=tmp_path / "in")
    assert (report.stored, len(report.unreadable), report.points_after) == (1, 1, 1)
    with wire.engine() as engine:
        assert engine.count("c").count == 1


def test_a_built_collection_is_stored_when_the_server_has_it(job, wire, carrier, tmp_path):
    report = job()
    check_whole(report, wire, tmp_path)
    assert report.attempts == 1
    assert "ship" in report.seconds
    assert f"stored {ROWS}" in str(report)
    assert wire.upserts == []  # the server was sent no point
    assert carrier.calls[0]["alias"] is None


def test_what_was_shipped_is_unchanged_to_the_next_job(job, wire, source, tmp_path):
    job()
    lines = source.read_text().splitlines()
    lines[3] = json.dumps(json.loads(lines[3]) | {"text": "another text"})
    source.write_text("\n".join(lines))
    report = job(build=None, sync=True)
    assert (report.stored, report.unchanged, report.new) == (1, ROWS - 1, 0)
    assert (report.points_before, report.points_after, report.exact) == (ROWS, ROWS, True)


STEPS = ("batch", "built", "preparing", "prepared", "sending", "proving", "manifest", "shipped")


def die_at(step, carrier, monkeypatch) -> None:
    """Have the next attempt end at a step."""

    def die(*_, **__):
        raise Death

    def after(module, name, times=1):
        kept = getattr(module, name)
        calls = []

        def call(*arguments, **options):
            done = kept(*arguments, **options)
            calls.append(done)
            if len(calls) == times:
                die()
            return done

        monkeypatch.setattr(module, name, call)

    if step == "batch":
        after(Ledger, "settle", times=3)
    elif step == "built":
        after(account, "write_manifest")
    elif step == "manifest":
        after(buildrun, "rewrite_manifest")
    elif step == "shipped":
        after(Ledger, "shipped")
    else:
        carrier.dies = lambda phase: die() if phase == step else None


@pytest.mark.parametrize("step", STEPS)
def test_the_same_command_ends_what_died_at_any_step(
    step, job, wire, carrier, source, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        die_at(step, carrier, patched)
        with pytest.raises(Death):
            job()
    carrier.dies = lambda phase: None
    if step != "shipped":
        assert "stored" not in states(tmp_path)
        with ledger_of(tmp_path) as ledger:
            assert ledger.rows.count() == 0  # to whoever asks for the collection's points
            assert ledger.rows.count_built() > 0
    encoded = []
    kept = FakeEncoder.encode
    monkeypatch.setattr(
        FakeEncoder, "encode", lambda self, texts: encoded.append(len(texts)) or kept(self, texts)
    )
    report = job()
    check_whole(report, wire, tmp_path)
    if step == "batch":
        assert sum(encoded) < ROWS - 100  # what was built is not encoded again
        assert report.attempts == 2
    elif step != "built":  # there the account was not written; the samples are encoded once more
        assert encoded == []


def test_a_death_at_every_step_in_turn(job, wire, carrier, tmp_path, monkeypatch):
    for step in STEPS:
        with monkeypatch.context() as patched:
            die_at(step, carrier, patched)
            with pytest.raises(Death):
                job()
        carrier.dies = lambda phase: None
    check_whole(job(), wire, tmp_path)


def test_built_rows_are_nothing_to_another_job(job, wire, carrier, tmp_path):
    carrier.error = ShipmentRefusedError(
        collection="c", where="there", proof="count", problem="too few", left="It was removed"
    )
    with pytest.raises(ShipmentRefusedError) as caught:
        job()
    assert caught.value.exit_code == 4
    assert states(tmp_path) == {"built"}
    with wire.engine() as engine:
        engine.delete_collection("c")
        create_collection(engine, "c", SPEC)
    found = verify(wire.client(), "c", state=tmp_path / "st")
    assert (found.expected, found.missing) == (0, 0)
    report = job(build=None, sync=True)
    assert (report.stored, report.unchanged, report.new, report.exact) == (ROWS, 0, ROWS, True)
    assert wire.upserts
    with ledger_of(tmp_path) as ledger:
        assert ledger.rows.count_built() == 0


def test_a_refused_shipment_is_sent_again_and_not_built_again(job, wire, carrier, tmp_path):
    carrier.error = ShipmentRefusedError(
        collection="c", where="there", proof="count", problem="too few", left="It was removed"
    )
    with pytest.raises(ShipmentRefusedError):
        job()
    with wire.engine() as engine:
        engine.delete_collection("c")
    carrier.error = None
    check_whole(job(), wire, tmp_path)
    assert len(carrier.calls) == 2


@pytest.mark.parametrize("alias", [None, "a"])
def test_what_was_proved_is_stored_though_others_write_to_it_since(
    alias, job, wire, carrier, tmp_path
):
    def die(phase):
        if phase == "live":
            raise Death

    carrier.lives, carrier.dies = True, die
    build = BuildHere(alias=alias)
    with pytest.raises(Death):
        job(build=build)
    carrier.dies = lambda phase: None
    carrier.error = ShipmentRefusedError(
        collection="c", where="there", proof="count", problem="one more", left="it stays"
    )
    if alias is not None:  # what was not pointed at is not in use: something else is wrong
        with pytest.raises(ShipmentRefusedError):
            job(build=build)
        with wire.engine() as engine:
            point_alias(engine, alias, "c")
    check_whole(job(build=build), wire, tmp_path)


def test_another_folder_is_another_build(job, wire, carrier, tmp_path):
    carrier.dies = lambda phase: (_ for _ in ()).throw(Death) if phase == "preparing" else None
    with pytest.raises(Death):
        job(build=BuildHere(folder=tmp_path / "a"))
    carrier.dies = lambda phase: None
    report = job(build=BuildHere(folder=tmp_path / "b"))
    check_whole(report, wire, tmp_path)
    assert report.run == 2
    with EdgeClient(tmp_path / "a") as local:
        assert local.collection_exists("c")  # nobody knows whose it is now


def test_another_input_is_built_from_the_beginning(job, wire, carrier, source, tmp_path):
    carrier.dies = lambda phase: (_ for _ in ()).throw(Death) if phase == "preparing" else None
    with pytest.raises(Death):
        job()
    carrier.dies = lambda phase: None
    lines = source.read_text().splitlines()
    source.write_text("\n".join(lines[:100]))
    report = job()
    assert (report.read, report.stored, report.points_after) == (100, 100, 100)
    assert report.run == 2
    with wire.engine() as engine:
        assert engine.count("c").count == 100


def test_with_sync_another_input_is_compared_with_what_was_built(
    job, wire, carrier, source, tmp_path
):
    carrier.dies = lambda phase: (_ for _ in ()).throw(Death) if phase == "preparing" else None
    with pytest.raises(Death):
        job(sync=True)
    carrier.dies = lambda phase: None
    lines = source.read_text().splitlines()
    lines[3] = json.dumps(json.loads(lines[3]) | {"text": "another text"})
    lines[4] = json.dumps(json.loads(lines[4]) | {"title": "title 4", "n": 44})
    source.write_text("\n".join(lines[:100]))
    report = job(sync=True)
    assert (report.read, report.stored, report.unchanged) == (100, 100, 0)
    assert (report.points_before, report.points_after, report.deleted) == (0, 100, 0)
    assert read_state(tmp_path) == (100, 0)
    with wire.engine() as engine:
        assert engine.count("c").count == 100
        assert engine.retrieve("c", [4])[0].payload["n"] == 44


def read_state(tmp_path) -> tuple[int, int]:
    with ledger_of(tmp_path) as ledger:
        return ledger.rows.count(), ledger.rows.count_built()


def test_a_ledger_that_was_made_anew_meanwhile_is_no_guide(job, wire, carrier, tmp_path):
    carrier.dies = lambda phase: (_ for _ in ()).throw(Death) if phase == "preparing" else None
    with pytest.raises(Death):
        job()
    carrier.dies = lambda phase: None
    with wire.engine() as engine:
        create_collection(engine, "c", SPEC)
    verify(wire.client(), "c", state=tmp_path / "st", anew=True)
    with wire.engine() as engine:
        engine.delete_collection("c")
    report = job()
    check_whole(report, wire, tmp_path)
    assert report.run == 2


def test_mean_length_is_that_of_the_first_attempt(job, wire, carrier, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        die_at("batch", carrier, patched)
        with pytest.raises(Death):
            job()
    with EdgeClient(tmp_path / "st" / "build") as local:
        first = read_spec(local, "c").sparse.mean_length
    job()
    with wire.engine() as engine:
        assert read_spec(engine, "c").sparse.mean_length == first


def test_a_stop_while_shipping_leaves_it_built(job, wire, carrier, tmp_path):
    import threading

    stop = threading.Event()
    carrier.dies = lambda phase: stop.set() if phase == "sending" else None
    report = job(stop=stop)
    assert report.interrupted
    assert (report.stored, report.built, report.shipment) == (0, ROWS, None)
    assert f"= built {ROWS} +" in str(report)
    assert states(tmp_path) == {"built"}
    carrier.dies = lambda phase: None
    check_whole(job(), wire, tmp_path)


def test_what_is_asked_reaches_the_shipment_and_the_folder_may_stay(job, wire, carrier, tmp_path):
    folder = tmp_path / "elsewhere"
    job(
        build=BuildHere(
            folder=folder,
            alias="a",
            replicas=2,
            keep=True,
            untested=True,
            peers={"1": "http://p"},
            max_mb_s=50,
        )
    )
    (options,) = carrier.calls
    assert options == {
        "alias": "a", "replicas": 2, "peers": {"1": "http://p"}, "untested": True,
        "discard_unfinished": False, "max_mb_s": 50,
    }  # fmt: skip
    with EdgeClient(folder) as local:
        assert local.count("c").count == ROWS


def test_a_folder_with_a_collection_of_somebody_else_is_left_alone(job, tmp_path):
    folder = tmp_path / "mine"
    with EdgeClient(folder) as local:
        create_collection(local, "c", SPEC)
    with pytest.raises(ArgumentError, match="which this job did not build"):
        job(build=BuildHere(folder=folder))
    with EdgeClient(folder) as local:
        assert local.collection_exists("c")


def test_an_empty_collection_is_taken_as_it_is_there(job, wire, carrier, tmp_path):
    there = CollectionSpec.for_encoder(ENCODER, matryoshka=(16,), sparse=None)
    with wire.engine() as engine:
        create_collection(engine, "c", there)
    report = job(spec=None)
    assert report.stored == ROWS
    with wire.engine() as engine:
        assert [one.name for one in read_spec(engine, "c").vectors] == ["full", "mrl_16"]


def test_a_target_that_is_not_empty_is_refused_before_anything_is_built(job, wire, tmp_path):
    job(build=None)
    with pytest.raises(CannotShipError, match=r"it has 500 points there.*--sync"):
        job()
    assert not (tmp_path / "st" / "build").exists()
    with ledger_of(tmp_path) as ledger:
        assert buildrun.NOTE not in ledger.notes


def test_a_shipment_of_somebody_else_is_named(job, wire, carrier):
    mark = {"id": "x", "state": "under way", "by": "host 12", "started": "2024-02-29T01:02:03"}
    with wire.engine() as engine:
        create_collection(engine, "c", SPEC, metadata={"qdrant_static_shipment": mark})
    with pytest.raises(CannotShipError, match="2024-02-29T01:02:03 by host 12"):
        job()
    job(build=BuildHere(discard_unfinished=True))
    assert carrier.calls[0]["discard_unfinished"] is True


def test_names_that_are_taken(job, wire):
    with wire.engine() as engine:
        create_collection(engine, "d", SPEC)
    with pytest.raises(AliasExistsError, match="'d' is a collection"):
        job(build=BuildHere(alias="d"))
    with pytest.raises(ArgumentError, match="'c' is the collection's own name"):
        job(build=BuildHere(alias="c"))
    with wire.engine() as engine:
        point_alias(engine, "c", "d")
    with pytest.raises(AliasExistsError, match="'c' is an alias of 'd'"):
        job()


def test_a_server_that_was_never_tried_is_refused_before_anything_is_built(
    job, wire, carrier, tmp_path, monkeypatch
):
    monkeypatch.setattr(prepare, "first_version", lambda server, collection: (1, 17, 2))
    with pytest.raises(CannotShipError, match=r"it runs version 1\.17.*--untested"):
        job()
    assert not (tmp_path / "st" / "build" / "c").exists()
    assert job(build=BuildHere(untested=True)).stored == ROWS


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"bulk": True}, "bulk: a server that is shipped"),
        ({"sync": True, "delete_missing": True}, "delete_missing: a collection that is built"),
        (
            {"spec": CollectionSpec.for_encoder(ENCODER, server=ServerSpec(shards=2)),
             "build": BuildHere(shards=3)},
            "build.shards: 3, and the spec's",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(job, changes, told):
    with pytest.raises(ArgumentError, match=told):
        job(**changes)


def test_an_embedded_target_is_refused(job, tmp_path):
    with (
        EdgeClient(tmp_path / "db") as client,
        pytest.raises(ArgumentError, match="always built here"),
    ):
        job(client=client)


def test_a_disk_that_is_too_small_is_named(job, source, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 8, 1))
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": [1], "text": ["t"]}), tmp_path / "in.parquet")
    with pytest.raises(StorageError, match="make room, or build in another folder"):
        job(paths=tmp_path / "in.parquet")


def test_every_shard_gets_its_rows(job, wire, carrier, source, tmp_path):
    spec = CollectionSpec.for_encoder(ENCODER, server=ServerSpec(shards=3, replicas=2))
    report = job(spec=spec, build=BuildHere(keep=True, workers=1))
    check_rows(report, wire)
    assert carrier.calls[0]["replicas"] == 2
    with EdgeClient(tmp_path / "st" / "build") as local:
        assert local.get_collection("c").config.params.shard_number == 3
        counts = local.shard_counts("c")
    assert sum(counts) == ROWS
    assert min(counts) > 0


def check_rows(report, wire) -> None:
    assert (report.read, report.stored) == (ROWS + 2, ROWS)
    with wire.engine() as engine:
        assert engine.count("c").count == ROWS


def test_late_vectors_are_built_too(job, wire, carrier, tmp_path):
    late = LateSpec(encoder="words", size=16, datatype="float32")
    spec = CollectionSpec.for_encoder(ENCODER, late=late)
    report = job(spec=spec, late_encoder=WordRows(), build=BuildHere(keep=True))
    check_rows(report, wire)
    with wire.engine() as engine:
        (point,) = engine.retrieve("c", [7], with_vectors=["late"])
    wanted = WordRows().encode(["title 7 row 0 7"])[0]
    np.testing.assert_allclose(point.vector["late"], wanted, atol=1e-6)


class WordRows:
    """One row a word: a unit vector of the word's own direction."""

    info = EncoderInfo(name="fastembed:words", dimension=16, fingerprint="words")

    def encode(self, texts) -> list[np.ndarray]:
        return [np.stack([self._row(word) for word in text.split()]) for text in texts]

    def _row(self, word: str) -> np.ndarray:
        row = np.random.default_rng(list(word.encode())).standard_normal(16)
        return np.asarray(row / np.linalg.norm(row), np.float32)


# --- the command line -------------------------------------------------------------------------


@pytest.fixture
def command(wire, carrier, source, model_folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(qdrant_static, "connect", lambda target, **_: wire.client())

    def run(*arguments: str, code: int = 0):
        given = ["ingest", str(source), "-c", "c", "--encoder", str(model_folder), *arguments]
        done = CliRunner().invoke(app, given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, (done.stdout, done.stderr)
        return done

    return run


def test_the_command_builds_and_ships(command, carrier, wire):
    done = command(
        "--to", "http://server", "--build", "here", "--alias", "a", "--peer", "7=http://node:6333",
        "--replicas", "2", "--json",
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert (told["stored"], told["built"]) == (ROWS, 0)
    assert told["shipment"] == {"collection": "c", "points": ROWS}
    assert carrier.calls[0]["alias"] == "a"
    assert carrier.calls[0]["peers"] == {"7": "http://node:6333"}
    assert carrier.calls[0]["replicas"] == 2
    with wire.engine() as engine:
        assert engine.count("c").count == ROWS


def test_the_command_shows_its_phases(command):
    done = command("--to", "http://server", "--build", "here")
    for line in ("built=", "index: building it", "ship: preparing", "ship: sending", "proving"):
        assert line in done.stderr, line
    assert f"read {ROWS + 2} = stored {ROWS} + rejected 2" in done.stdout


def test_a_proof_that_failed_is_exit_code_4(command, carrier):
    carrier.error = ShipmentRefusedError(
        collection="c", where="there", proof="count", problem="too few", left="It was removed"
    )
    done = command("--to", "http://s", "--build", "here", code=4)
    assert "refused by the proof 'count'" in done.stderr
    assert f"read {ROWS + 2} = built {ROWS} + rejected 2" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--to", "http://s"), "--to: it needs --build here"),
        (("--keep-build",), "--keep-build: it needs --build here"),
        (("--peer", "1=http://n"), "--peer: it needs --build here"),
        (("--build", "there", "--to", "http://s"), "--build: 'there' is not valid; valid: here"),
        (("--build", "here", "--to", "http://s", "--bulk"), "bulk: a server that is shipped"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(command, arguments, told):
    assert told in command(*arguments, code=2).stderr


def test_the_command_at_an_embedded_target(command, tmp_path, monkeypatch):
    monkeypatch.setattr(qdrant_static, "connect", lambda target, **_: EdgeClient(tmp_path / "db"))
    assert "always built here" in command("--build", "here", code=2).stderr
