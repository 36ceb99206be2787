"""Jobs after a cut-over and a rollback: the ledger and the job file follow the alias."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from qdrant_static import CollectionSpec, EdgeClient, RunOptions, ingest, load_encoder
from qdrant_static.cli import app
from qdrant_static.clients.aliases import point_alias
from qdrant_static.errors import EncoderMismatchError, SpecMismatchError
from qdrant_static.jobs import Job
from qdrant_static.migration.addvector import add_vector
from qdrant_static.migration.migration import Migration
from tests.fakes import build_static_model, grouped, write_jsonl
from tests.migration_suite import LOOSE, NEW, OLD, QUERIES, Place, assert_generation, model, record

COUNT = 60


class Counting:
    """An encoder that counts the texts that it encodes."""

    def __init__(self, encoder) -> None:
        self._encoder, self.info, self.encoded = encoder, encoder.info, 0

    def encode(self, texts):
        self.encoded += len(texts)
        return self._encoder.encode(texts)


@pytest.fixture
def place(client, tmp_path):
    return Place(client, tmp_path, rows=COUNT)


def sync(place, encoder, rows, **options):
    path = write_jsonl(place.folder / "nightly.jsonl", rows)
    return ingest(
        place.client,
        place.alias,
        path,
        **grouped(encoder=encoder, sync=True, state=place.folder / "job", **options),
    )


def test_the_first_sync_after_a_cutover_and_after_a_rollback_rewrites_nothing(client, place):
    rows = [record(n) for n in range(COUNT)]
    sync(place, OLD, rows)
    place.whole_way()
    for encoder, step in ((NEW, "rollback"), (OLD, None)):
        counting = Counting(encoder)
        report = sync(place, counting, rows, delete_missing=True)
        assert (report.stored, report.payload_updated, report.unchanged) == (0, 0, COUNT)
        assert (counting.encoded, report.exact) == (0, True)
        rows[3] = record(3, 7 if step else 8)  # and what changes is seen, as always
        assert sync(place, encoder, rows).stored == 1
        assert sync(place, encoder, rows).unchanged == COUNT
        if step:
            place.step(step)
    assert_generation(client, place.blue, OLD, {**model(range(COUNT)), **model([3], 8)})


def test_a_plain_run_after_a_cutover_leaves_the_next_sync_right(client, place):
    rows = [record(n) for n in range(COUNT)]
    sync(place, OLD, rows)
    place.whole_way()
    path = write_jsonl(place.folder / "some.jsonl", [record(3, 9)])
    ingest(
        client, place.alias, path, encoder=NEW, run_options=RunOptions(state=place.folder / "job")
    )
    rows[3] = record(3, 9)
    report = sync(place, NEW, rows)
    assert (report.stored, report.unchanged) == (0, COUNT)


def test_what_the_journal_brought_is_no_row_of_the_fill(client, place):
    """The ledger of a fill does not know what the journal changed: a row set back is written."""
    place.start(run_options=None)
    rows = [record(n) for n in range(COUNT)]
    sync(place, OLD, [*rows[:3], record(3, 9), *rows[4:]])
    place.verify()
    place.step("cutover")
    path = write_jsonl(place.folder / "rows.jsonl", rows)
    report = ingest(client, place.green, path, encoder=NEW, run_options=RunOptions(sync=True))
    assert (report.stored, report.unchanged) == (1, COUNT - 1)
    assert_generation(client, place.alias, NEW, model(range(COUNT)))


@pytest.mark.parametrize("vector", ["mrl_16", "bm25"])
def test_a_vector_that_was_added_in_place_is_not_written_again(client, place, vector):
    spec = CollectionSpec.for_encoder(OLD, sparse=None)
    ingest(client, "c", place.source, spec=spec, encoder=OLD)
    assert add_vector(client, "c", vector).filled == COUNT
    counting = Counting(OLD)
    report = ingest(client, "c", place.source, encoder=counting, run_options=RunOptions(sync=True))
    assert (report.unchanged, counting.encoded) == (COUNT, 0)


def test_a_ledger_of_an_earlier_version_is_recognized_by_its_encoder(client, place):
    from qdrant_static.ledger.ledger import Ledger

    rows = [record(n) for n in range(COUNT)]
    sync(place, OLD, rows)
    with Ledger(place.folder / "job" / "ledger.sqlite") as ledger:
        del ledger.notes["collection"]
    place.whole_way()
    assert sync(place, NEW, rows).unchanged == COUNT


# --- job files -----------------------------------------------------------------------------------

NIGHTLY = """
collection = "articles"
paths = "rows.jsonl"
db = "db"
encoder = "{encoder}"

[spec]
matryoshka = [{size}]

[ingest]
sync = true
{more}
"""


@pytest.fixture
def nightly(tmp_path, monkeypatch):
    """A job file's alias, its two models, and the steps of a migration between them."""
    monkeypatch.chdir(tmp_path)
    old, new = (
        build_static_model(tmp_path / name, seed=seed) for name, seed in (("old", 1), ("new", 2))
    )
    rows = [{"id": n, "text": "cat fish moon"[: 3 + n % 10] + " cat"} for n in range(COUNT)]
    write_jsonl(tmp_path / "rows.jsonl", rows)

    def run(encoder=old, size=8, more=""):
        path = tmp_path / "nightly.toml"
        path.write_text(NIGHTLY.format(encoder=encoder, size=size, more=more))
        return Job.load(path, {}).run()

    def step(name):
        with EdgeClient(tmp_path / "db") as client, Migration(client, "articles") as migration:
            if name == "start":
                encoder = load_encoder(str(new))
                spec = CollectionSpec.for_encoder(encoder, matryoshka=(4,))
                migration.start(encoder, spec=spec)
            elif name == "verify":
                found = migration.verify(
                    thresholds=LOOSE, queries=QUERIES, accept=["recall", "empty", "ranks"]
                )
                assert found.passed, str(found)
            else:
                getattr(migration, name)(**({"after_s": 0} if name == "retire" else {}))

    with EdgeClient(tmp_path / "db") as client:
        encoder = load_encoder(str(old))
        ingest(
            client,
            "articles__v1",
            tmp_path / "rows.jsonl",
            encoder=encoder,
            spec=CollectionSpec.for_encoder(encoder, matryoshka=(8,)),
        )
        point_alias(client, "articles", "articles__v1")
    return SimpleNamespace(run=run, step=step, old=old, new=new)


def test_a_job_file_goes_on_through_a_migration_unedited_or_edited_at_any_time(nightly):
    def check(followed: bool, **edited) -> None:
        report = nightly.run(**edited)
        assert (report.stored, report.unchanged) == (0, COUNT)
        assert any("by a migration" in one for one in report.notes) == followed

    check(False)
    nightly.step("start")
    edited = {"encoder": nightly.new, "size": 4}
    check(False)
    check(True, **edited)  # early
    nightly.step("verify")
    nightly.step("cutover")
    check(True)
    check(False, **edited)
    nightly.step("rollback")
    check(False)
    check(True, **edited)
    nightly.step("verify")
    nightly.step("cutover")
    nightly.step("retire")
    shutil.rmtree(nightly.old)  # nobody needs that model any more
    check(True)
    check(False, **edited)


def test_the_same_command_line_goes_on_after_a_cutover(nightly, own_signals):
    for name in ("start", "verify", "cutover"):
        nightly.step(name)
    command = ["ingest", "rows.jsonl", "-c", "articles", "--db", "db", "--sync", "--json"]
    found = CliRunner().invoke(app, [*command, "--encoder", str(nightly.old)])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["unchanged"] == COUNT
    assert "by a migration" in found.stdout


def test_a_job_file_that_asks_for_anything_else_is_refused(nightly, tmp_path):
    for name in ("start", "verify", "cutover"):
        nightly.step(name)
    with pytest.raises(SpecMismatchError, match="mrl_6"):
        nightly.run(encoder=nightly.new, size=6)
    with pytest.raises(EncoderMismatchError):
        nightly.run(size=6)  # the old encoder, and a layout that no generation had
    with pytest.raises(EncoderMismatchError):
        nightly.run(encoder=build_static_model(tmp_path / "third", seed=3))
    with pytest.raises(EncoderMismatchError):
        nightly.run(more="pinned = true")
    assert nightly.run(encoder=nightly.new, size=4, more="pinned = true").unchanged == COUNT
