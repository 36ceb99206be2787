"""What jobs do to an alias during a migration: a subclass gives the fixture ``client``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qdrant_static import RunOptions, ingest
from qdrant_static.clients.aliases import resolve_alias
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.clients.statefolder import StateFolder
from qdrant_static.collection.applydiff import apply
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.diff import diff
from qdrant_static.collection.generations import read_metadata
from qdrant_static.errors import (
    GateRefusedError,
    JobRunningError,
    MigrationRunningError,
    MigrationWritesError,
    VerificationError,
)
from qdrant_static.ids import point_id
from qdrant_static.ingestion.retrying import retry_rejects
from qdrant_static.journal import directwriters
from qdrant_static.journal.jobwriter import open_job_writer
from qdrant_static.measuring.quantize import quantize
from qdrant_static.migration.addvector import add_vector
from qdrant_static.migration.adopt import keep_name
from qdrant_static.reading.options import SourceOptions
from qdrant_static.shipping.targets.aliasswitch import AliasSwitch
from tests.fakes import grouped, write_jsonl
from tests.migration_suite import (
    NEW,
    OLD,
    CrashError,
    Place,
    assert_generation,
    crashing,
    model,
    record,
)


class MigrationJobsSuite:
    """Jobs between all the steps, jobs that cannot be let in, and steps that must wait for jobs."""

    @pytest.fixture
    def place(self, client, tmp_path):
        made = Place(client, tmp_path)
        yield made
        made.clear()

    def sync(self, place, encoder, rows: dict, **options):
        """A nightly job: the file is the whole of the collection."""
        path = write_jsonl(place.folder / "nightly.jsonl", list(rows.values()))
        options = {"delete_missing": True, "force": True, "state": place.folder / "job"} | options
        return ingest(
            place.client, place.alias, path, **grouped(encoder=encoder, sync=True, **options)
        )

    def test_what_jobs_write_is_in_both_generations_at_every_step(self, client, place):
        rows = model(range(60))
        self.sync(place, OLD, rows)
        place.start()

        def change(version: int) -> dict:
            rows.update(model(range(5 * version), version))
            rows.pop(str(point_id(record(60 - version)["id"])))
            rows.update(model([100 + version], version))
            return rows

        self.sync(place, OLD, change(1))
        assert place.verify().passed
        report = self.sync(place, OLD, change(2))
        assert (report.stored, report.deleted, report.new) == (11, 1, 1)
        assert any("go through its journal" in one for one in report.notes)
        assert_generation(client, place.blue, OLD, rows)
        place.step("cutover")
        assert_generation(client, place.green, NEW, rows)
        self.sync(place, NEW, change(3))
        assert_generation(client, place.green, NEW, rows)
        place.step("rollback")
        assert_generation(client, place.blue, OLD, rows)
        self.sync(place, OLD, change(4))
        assert place.verify().passed
        self.sync(place, OLD, change(5))
        place.step("cutover")
        assert_generation(client, place.green, NEW, rows)
        place.step("retire", after_s=0)
        report = self.sync(place, NEW, change(6))
        assert not any("journal" in one for one in report.notes)
        assert_generation(client, place.alias, NEW, rows)

    def test_a_payload_alone_and_a_retried_reject_reach_green_too(self, client, place):
        rows = model(range(60))
        self.sync(place, OLD, rows)
        place.start()
        assert place.verify().passed
        key = str(point_id(record(5)["id"]))
        rows[key] = {**rows[key], "version": 77}
        bad = place.folder / "bad.jsonl"
        bad.write_text('{"id": 501, "text": ""}\n')
        report = self.sync(place, OLD, rows)
        assert report.payload_updated == 1
        report = ingest(
            client,
            place.alias,
            bad,
            encoder=OLD,
            run_options=RunOptions(state=place.folder / "job"),
        )
        mended = report.rejects_path.read_text().replace('"text": ""', '"text": "sea moon"')
        report.rejects_path.write_text(mended)
        retry_rejects(
            client,
            place.alias,
            report.rejects_path,
            encoder=OLD,
            run_options=RunOptions(state=place.folder / "job"),
        )
        rows["501"] = {"id": 501, "text": "sea moon"}
        place.step("cutover")
        assert_generation(client, place.green, NEW, rows)

    def test_only_the_generation_that_serves_takes_rows_by_its_name(self, client, place):
        place.start()
        place.verify()
        path = write_jsonl(place.folder / "one.jsonl", [record(3, 9)])
        with pytest.raises(MigrationWritesError, match=f"name '{place.alias}'"):
            ingest(client, place.green, path, encoder=NEW)
        ingest(client, place.blue, path, encoder=OLD)
        place.step("cutover")
        rows = {**model(range(60)), **model([3], 9)}
        assert_generation(client, place.green, NEW, rows)
        with pytest.raises(MigrationWritesError, match=f"stands for '{place.green}'"):
            ingest(client, place.blue, path, encoder=OLD)
        ingest(client, place.green, path, encoder=NEW)

    def test_rows_that_the_other_encoder_could_not_encode_are_refused_before_any(
        self, client, place
    ):
        place.start()
        rows = [{**record(n, 9), "v": [float(n)] * 32} for n in range(3)]
        path = write_jsonl(place.folder / "ready.jsonl", rows)
        for options in (
            {"source_options": SourceOptions(vectors="v", exclude=("v",))},
            {"source_options": SourceOptions(exclude=("text",))},
        ):
            with pytest.raises(MigrationWritesError, match="another text or vectors of their own"):
                ingest(
                    client,
                    place.alias,
                    path,
                    **grouped(
                        encoder=OLD, key="id", text="text", state=place.folder / "job", **options
                    ),
                )
        assert place.verify().passed
        assert_generation(client, place.blue, OLD, model(range(60)))

    def test_a_journal_that_is_not_here_is_named(self, client, place):
        place.start()
        (place.folder / "journal.sqlite").rename(place.folder / "elsewhere.sqlite")
        with pytest.raises(MigrationWritesError, match=r"not here: it is .*journal\.sqlite"):
            self.sync(place, OLD, model(range(60)))

    def test_a_cutover_in_the_middle_of_a_job_ends_the_job_and_loses_nothing(self, client, place):
        place.start()
        place.verify()
        writes = open_job_writer(client, place.alias, place.blue, OLD)
        row = record(3, 9)
        writes.upsert([3], [row])
        place.step("cutover")
        with pytest.raises(MigrationWritesError, match="was moved to"):
            writes.upsert([5], [record(5, 9)])
        writes.close()
        assert_generation(client, place.green, NEW, {**model(range(60)), **model([3], 9)})

    # --- jobs that write directly ------------------------------------------------------------

    def test_a_migration_waits_for_a_job_that_began_before_it(self, client, place):
        folder = place.folder / "job"
        with StateFolder(folder, place.alias):
            directwriters.enter(client, place.blue, folder, 7, "ledger")
            with pytest.raises(JobRunningError, match=str(folder)):
                place.start()
            assert not client.collection_exists(place.green)
        place.start()  # it has died: what it wrote was there before green was filled
        assert place.verify().passed

    def test_a_job_elsewhere_is_waited_for_unless_someone_promises(
        self, client, place, monkeypatch
    ):
        with monkeypatch.context() as patched:
            patched.setattr(directwriters.socket, "gethostname", lambda: "another")
            directwriters.enter(client, place.blue, place.folder / "job", 7, "ledger")
        if not hasattr(client, "path"):
            with pytest.raises(JobRunningError, match="on another") as caught:
                place.start()
            assert "--freeze-writes" in caught.value.__notes__[0]
        place.start(frozen=True)

    @pytest.mark.parametrize("verified", [True, False])
    def test_what_a_job_wrote_past_the_journal_stops_verify_and_cutover(
        self, client, place, verified
    ):
        place.start()
        if verified:
            assert place.verify().passed
        directwriters.enter(client, place.blue, place.folder / "job", 7, "ledger")
        client.set_payload(place.blue, {"version": 5}, points=[3])
        directwriters.leave(client, place.blue, place.folder / "job", "")
        if verified:
            with pytest.raises(GateRefusedError, match=r"run 7 of .* past the journal"):
                place.step("cutover")
        else:
            assert "jobs" in place.verify().refused
        assert resolve_alias(client, place.alias) == place.blue
        assert place.phase == "replaying"
        place.start()
        assert place.verify().passed
        place.step("cutover")
        rows = model(range(60))
        rows["3"]["version"] = 5
        assert_generation(client, place.green, NEW, rows)

    def test_payloads_that_were_changed_past_the_journal_stop_the_cutover(self, client, place):
        place.start()
        assert place.verify().passed
        client.set_payload(place.blue, {"version": 5}, points=[3])
        with pytest.raises(GateRefusedError, match="1 of the compared points differ: 3"):
            place.step("cutover")
        place.start()
        assert place.verify().passed
        place.step("cutover")

    def test_a_job_after_a_start_that_crashed_before_green_was_created(
        self, client, place, monkeypatch
    ):
        with monkeypatch.context() as patched:
            crashing(patched, client, "create_collection", [1], after=False)
            with pytest.raises(CrashError):
                place.start()
        self.sync(place, OLD, {**model(range(60)), **model([3], 9)})
        place.start()
        assert_generation(client, place.green, NEW, {**model(range(60)), **model([3], 9)})

    def test_a_migration_that_begins_before_a_jobs_first_write_is_seen(
        self, client, place, monkeypatch
    ):
        enter = directwriters.enter

        def begun(*arguments):
            enter(*arguments)
            monkeypatch.undo()
            with pytest.raises(JobRunningError):
                place.start()
            with monkeypatch.context() as patched:  # what no order of steps can give
                patched.setattr("qdrant_static.migration.starting.writers_of", lambda _: [])
                place.start()

        monkeypatch.setattr(directwriters, "enter", begun)
        with pytest.raises(MigrationWritesError, match="just now"):
            self.sync(place, OLD, {**model(range(60)), **model([3], 9)})
        assert_generation(client, place.blue, OLD, model(range(60)))
        self.sync(place, OLD, {**model(range(60)), **model([3], 9)})

    def test_a_job_that_changes_nothing_is_no_writer(self, client, place):
        self.sync(place, OLD, model(range(60)))
        before = directwriters.writers_of(read_metadata(client, place.blue))
        assert self.sync(place, OLD, model(range(60))).unchanged == 60
        after = directwriters.writers_of(read_metadata(client, place.blue))
        assert before == after
        assert not any(one.open for one in after)

    # --- other steps -------------------------------------------------------------------------

    def test_a_generation_of_a_migration_is_not_adopted(self, client, place):
        place.start()
        with pytest.raises(MigrationRunningError):
            keep_name(client, place.blue)

    def test_a_collection_that_a_job_writes_to_is_not_adopted(self, client, place, monkeypatch):
        folder = place.folder / "job"
        with StateFolder(folder, place.alias):
            directwriters.enter(client, place.blue, folder, 1, "ledger")
            with pytest.raises(JobRunningError, match="process"):
                keep_name(client, place.blue)
        upsert = client.upsert

        def meanwhile(*arguments, **options):
            directwriters.enter(client, place.blue, folder, 2, "ledger")
            return upsert(*arguments, **options)

        monkeypatch.setattr(client, "upsert", meanwhile)
        with pytest.raises(VerificationError, match="a job wrote"):
            keep_name(client, place.blue)
        assert client.collection_exists(place.blue)
        client.delete_collection(f"{place.blue}__v1")

    def test_a_shipment_leaves_the_alias_of_a_migration_alone(self, client, place):
        place.start()
        with pytest.raises(MigrationRunningError, match=place.alias):
            AliasSwitch(client, place.alias, RetryPolicy(budget_s=1)).read()

    # --- layouts -----------------------------------------------------------------------------

    def test_the_layout_of_a_generation_is_left_alone_until_the_cutover(self, client, place):
        place.start()
        wanted = replace(read_spec(client, place.blue), payload_indexes={"version": "integer"})
        for call in (
            lambda: add_vector(client, place.alias, "mrl_16"),
            lambda: apply(client, place.blue, diff(client, place.blue, wanted)),
            lambda: quantize(client, place.alias, quantization="int8"),
            lambda: quantize(client, place.green, quantization="int8"),
        ):
            with pytest.raises(MigrationWritesError, match="lost at the cut-over"):
                call()
        assert not read_spec(client, place.blue).payload_indexes
        place.verify()
        place.step("cutover")
        assert add_vector(client, place.alias, "mrl_16").filled == 60
        with pytest.raises(MigrationWritesError):
            add_vector(client, place.blue, "mrl_16")
