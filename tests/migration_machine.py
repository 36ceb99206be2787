"""Writers, crashes, gates, cut-overs and rollbacks in any order, against a dictionary.

The dictionary is what was acknowledged: number -> version. Whatever happens, the collection that
the alias points at holds exactly that, with vectors of its own encoder; once the journal has been
applied, so does the other generation, unless it is being filled. A subclass gives `connected`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pytest import MonkeyPatch  # noqa: PT013  (hypothesis makes its own fixtures)

from qdrant_static import ingest
from qdrant_static.clients.aliases import resolve_alias
from qdrant_static.collection import migrationstate as states
from qdrant_static.collection.create import read_spec
from qdrant_static.errors import (
    GateRefusedError,
    MigrationNotFoundError,
    MigrationRunningError,
    MigrationStepError,
)
from qdrant_static.ids import point_id
from tests.fakes import grouped, write_jsonl
from tests.migration_suite import (
    NEW,
    OLD,
    CrashError,
    Place,
    assert_generation,
    crashing,
    record,
    written,
)

ROWS = 12
numbers = st.lists(st.integers(0, ROWS + 6), min_size=1, max_size=4, unique=True)
#: At which write a step dies; 0: at none.
crashes = st.integers(0, 6)
_REFUSALS = (MigrationNotFoundError, MigrationRunningError, MigrationStepError)


class MigrationMachine(RuleBasedStateMachine):
    """One alias, its writer, and whoever migrates it."""

    def connected(self, folder: Path):
        """A client of an empty place."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.before = Path.cwd()
        os.chdir(self.folder)  # a server's ledgers lie below the working directory
        self.client = self.connected(self.folder)
        self.place = Place(self.client, self.folder, rows=ROWS)
        self.writer = self.place.writer()
        self.rows = dict.fromkeys(range(ROWS), 0)
        self.version = 0
        self.at = OLD

    def teardown(self) -> None:
        if hasattr(self, "place"):
            self.writer.close()
            self.place.clear()
            self.client.close()
            os.chdir(self.before)
            shutil.rmtree(self.folder)

    # --- writers -------------------------------------------------------------------------------

    @rule(which=numbers)
    def upsert(self, which):
        self.version += 1
        self.writer.upsert([written(number, self.version) for number in which])
        self.rows.update(dict.fromkeys(which, self.version))

    @rule(which=numbers)
    def delete(self, which):
        self.writer.delete([record(number)["id"] for number in which])
        for number in which:
            self.rows.pop(number, None)

    @rule(which=numbers, crash=crashes, by_name=st.booleans())
    def ingest(self, which, crash, by_name):
        """A job writes rows; one that dies is run again, as a scheduler does."""
        self.version += 1
        path = write_jsonl(
            self.folder / f"job-{self.version}.jsonl", [record(one, self.version) for one in which]
        )
        target = resolve_alias(self.client, self.place.alias)
        options = {
            "encoder": self.encoder_of(target), "key": "id", "text": "text", "on_duplicate": "last",
            "state": self.folder / "jobs",
        }  # fmt: skip
        name = target if by_name else self.place.alias
        for number in (crash, 0):
            if self.attempt(lambda: ingest(self.client, name, path, **grouped(**options)), number):
                break
        self.rows.update(dict.fromkeys(which, self.version))

    # --- whoever migrates ------------------------------------------------------------------------

    def attempt(self, call, crash: int) -> bool:
        """A step that may be refused, and may die; whether it came to its end."""
        with MonkeyPatch.context() as patched:
            counter = [crash]
            for name in (
                "create_collection", "update_collection", "delete_collection",
                "update_collection_aliases", "upsert", "batch_update_points",
            ):  # fmt: skip
                crashing(patched, self.client, name, counter, after=bool(crash % 2))
            crashing(patched, states, "replace_file", counter, after=bool(crash % 2))
            try:
                call()
            except (CrashError, *_REFUSALS):
                return False
        return True

    @rule(crash=crashes, to=st.sampled_from([NEW, OLD]))
    def start(self, crash, to):
        self.attempt(lambda: self.place.start(to, run_options=None), crash)

    @rule(which=numbers, crash=crashes, on=st.booleans())
    def write_and_go_on(self, which, crash, on):
        self.upsert(which=which)
        self.delete(which=which[:1])
        self.go_on(crash=crash, on=on)

    @rule(crash=crashes)
    def verify(self, crash):
        found = []
        if self.attempt(lambda: found.append(self.place.verify(accept=["empty"])), crash):
            # Nobody wrote past the journal: nothing may be missing, extra or wrong.
            assert found[0].passed, str(found[0])

    @rule(crash=crashes)
    def cutover(self, crash):
        try:
            self.attempt(lambda: self.place.step("cutover"), crash)
        except GateRefusedError as error:
            raise AssertionError(str(error)) from error

    @rule(crash=crashes)
    def rollback(self, crash):
        self.attempt(lambda: self.place.step("rollback"), crash)

    @rule(crash=crashes)
    def retire(self, crash):
        self.attempt(lambda: self.place.step("retire", after_s=0), crash)

    @rule(crash=crashes, on=st.booleans())
    def go_on(self, crash, on):
        """What comes next, so that more than the beginnings of migrations are seen."""
        running = states.running_state(self.client, self.place.alias)
        phase = "none" if running is None else running.phase
        step = {
            "none": self.start_another, "building": self.start_another, "replaying": self.verify,
            "verified": self.cutover, "switching": self.cutover,
            "switched": self.retire if on else self.rollback, "returning": self.rollback,
            "rolled_back": self.verify, "retiring": self.retire, "aborting": self.give_up,
        }[phase]  # fmt: skip
        step(crash=crash)

    def give_up(self, crash):
        self.abort(crash=crash, sure=True)

    def start_another(self, crash):
        running = states.running_state(self.client, self.place.alias)
        blue = running.blue if running else resolve_alias(self.client, self.place.alias)
        fingerprint = read_spec(self.client, blue).encoder.fingerprint
        self.start(crash=crash, to=NEW if fingerprint == OLD.info.fingerprint else OLD)

    @rule(crash=st.sampled_from([0, 0, 1, 2]), sure=st.booleans())
    def abort(self, crash, sure):
        if sure:
            self.attempt(lambda: self.place.step("abort"), crash)

    def encoder_of(self, collection):
        fingerprint = read_spec(self.client, collection).encoder.fingerprint
        return {one.info.fingerprint: one for one in (OLD, NEW)}[fingerprint]

    # --- what must hold --------------------------------------------------------------------------

    @invariant()
    def the_alias_holds_what_was_acknowledged(self):
        if not hasattr(self, "place"):
            return
        target = resolve_alias(self.client, self.place.alias)
        encoder = self.encoder_of(target)
        expected = {
            str(point_id(record(number)["id"])): record(number, version)
            for number, version in self.rows.items()
        }
        assert_generation(self.client, target, encoder, expected)
