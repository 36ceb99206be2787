"""A migration: begun, filled, proved; each step may be repeated after a crash at any line."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.connect import is_embedded
from qdrant_static.clients.scroll import exact_count
from qdrant_static.clients.statefolder import state_folder
from qdrant_static.clock import now
from qdrant_static.collection.create import create_collection
from qdrant_static.collection.generationnames import next_generation, read_metadata
from qdrant_static.collection.migrationcheck import EARLIER_KEY, POINTER_KEY, earlier
from qdrant_static.collection.migrationstate import (
    KEY,
    MigrationState,
    running_error,
    running_state,
    write_state,
)
from qdrant_static.encoders.registry import as_encoder
from qdrant_static.errors import (
    ArgumentError,
    CollectionExistsError,
    CollectionLockedError,
    JobRunningError,
    MigrationRunningError,
)
from qdrant_static.files import this_process
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.journal.directwriters import writers_of
from qdrant_static.journal.journalwriter import JOURNAL_KEY
from qdrant_static.migration import ownership
from qdrant_static.migration.expected import Expected
from qdrant_static.migration.fill import From, backfill, beating, is_shipped, like
from qdrant_static.migration.gates import Gate, Thresholds, at_most, check_accepted
from qdrant_static.migration.integrity import Integrity
from qdrant_static.migration.livesearcher import QUERIES, read_shadow
from qdrant_static.migration.migrationreport import Status, Verified
from qdrant_static.migration.quality import Quality, Side, of_shadow
from qdrant_static.migration.samplequeries import choose
from qdrant_static.migration.switching import Switching
from qdrant_static.querying.run import Searcher
from qdrant_static.sinks.sink import build_index

if TYPE_CHECKING:
    import os

    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.ingestion.ingestreport import IngestReport
    from qdrant_static.ingestion.progress import ProgressCallback
    from qdrant_static.measuring.judged import JudgedSet
    from qdrant_static.reading.options import SourceOptions
    from qdrant_static.reading.sources import PathLike
    from qdrant_static.shipping.localbuild.buildhere import BuildHere


class Migration(Switching):
    """Another generation of a collection, built beside it, proved, and put in its place.

    ::

        start -> verify -> cutover -> retire
                              <-> rollback
        abort, before the cut-over or after a rollback

    Applications ask the alias and write through `LiveWriter`. Everything that a step needs to know
    is in the database: steps may be taken by different processes, and repeated.
    """

    def start(
        self,
        encoder: AnyEncoder,
        *,
        spec: CollectionSpec | None = None,
        source: PathLike | Sequence[PathLike] | None = None,
        options: SourceOptions | None = None,
        max_rate: float | None = None,
        frozen: bool = False,
        progress: bool | ProgressCallback = False,
        stop: threading.Event | None = None,
        build: BuildHere | None = None,
        run_options: RunOptions | None = None,
    ) -> IngestReport:
        """Build the next generation: create it, fill it, apply the journal, build its index.

        Repeated, it goes on where it was.

        Args:
            encoder: Green's encoder, or its name.
            spec: What green is to be; None: laid out as blue.
            source: Files; None: the texts that the points of blue hold.
            options: How they are read; by default as blue was filled.
            max_rate: Rows a second that are read at most.
            frozen: The applications do not write, and use no `LiveWriter`: what they write all
                the same is not carried over, and `verify` finds it.
            progress: As for `qdrant_static.ingest`.
            stop: Set it to end after the batch in hand; repeat the call to go on.
            build: Build green on this machine and ship it, indexes included: the server, which
                answers users meanwhile, indexes nothing. See `qdrant_static.ingest`. A green that
                was shipped already is filled up in the ordinary way.
            run_options: As for `qdrant_static.ingest`: threads, limit of rejects, state folder.
                What the run compares, deletes and writes again is decided by the migration.

        Returns:
            The account of the backfill.

        Raises:
            MigrationRunningError: If another migration of the alias is under way.
            MigrationStepError: If this one is past its building.
            AliasMovedError: If somebody else re-pointed the alias.
            ArgumentError: If ``alias`` is no alias, or nobody says which fields are the text.
        """
        encoder = as_encoder(encoder)
        run_options = run_options or RunOptions()
        self.know(encoder)
        origin = From.of(source, options)
        if build is not None and is_embedded(self.client):
            raise ArgumentError(
                field="build", problem="an embedded collection is built here anyway"
            )
        with self.held():
            state = running_state(self.client, self.alias)
            if state is None:
                state = self._begin(encoder, spec, origin, frozen=frozen)
            else:
                state = self._continue(self.in_effect(state), encoder, spec, origin)
            blue, green = state.blue, state.green
            self._announce(blue, green)
            state = replace(state, writers=self._direct_writers(blue, frozen=state.frozen))
            if build is not None and is_shipped(self.client, green):
                build = None  # a shipment replaces nothing: what is missing is filled in
            rows = origin.open(self.client, blue, self.spec(blue), encoder.info)
            with self.journal.exclusive(f"beginning to build {green}"):
                self.require_target(blue)
                self.journal.activate(green, primary=blue)
                # What is filled again may be older than what was replayed.
                self.journal.rewind(green)
            if state.phase != "building":
                # It was filled once: what it holds counts, not what a ledger remembers.
                self._forget_ledger(green, run_options.state)
            state = write_state(self.client, state.at("building", gates=()))
            with beating(None if is_embedded(self.client) else lambda: self._beat(green)):
                report = backfill(
                    rows,
                    self.client,
                    green,
                    spec=self.spec(green),
                    encoder=encoder,
                    moving=origin.paths is None,
                    rate=max_rate,
                    progress=progress,
                    stop=stop,
                    build=build,
                    options=run_options,
                )
                if report.interrupted:
                    return report
                self.catch_up(green)
                build_index(self.client, green)
            write_state(self.client, state.at("replaying"))
        return report

    def _begin(
        self, encoder: Encoder, spec: CollectionSpec | None, origin: From, *, frozen: bool
    ) -> MigrationState:
        """A new migration: green is there, empty, and says so."""
        blue = self._blue()
        self._check_journal(blue)
        wanted = spec or like(self.spec(blue), encoder)
        if wanted.encoder.fingerprint != encoder.info.fingerprint:
            raise ArgumentError(
                field="spec", problem=f"is for {wanted.encoder.name}, not {encoder.info.name}"
            )
        there = self.spec(blue)
        rows = origin.open(self.client, blue, there, encoder.info)  # says what is wrong before all
        fields = rows.selection.fields
        if there.fields.is_complete and fields.same_payload(there.fields):
            # Blue's know what the files call the columns.
            fields = replace(there.fields, ready_vectors=fields.ready_vectors)
        if fields != wanted.fields:  # the mean length is that of other texts
            sparse = None if wanted.sparse is None else replace(wanted.sparse, mean_length=None)
            wanted = replace(wanted, sparse=sparse, fields=fields)
        state = MigrationState(
            alias=self.alias,
            blue=blue,
            green=next_generation(self.client, self.alias, blue),
            started=now(),
            changed=time.time(),
            by=this_process(),
            source=origin.to_dict(),
            encoder={"name": encoder.info.name, "fingerprint": encoder.info.fingerprint},
            frozen=frozen,
            journal=self.journal.identity,
        )
        self._direct_writers(blue, frozen=frozen)  # before anything is made
        if is_embedded(self.client):
            state = write_state(self.client, state)
        self._create(state, wanted)
        return state

    def _announce(self, blue: str, green: str) -> None:
        """Have jobs that write to blue find this migration; on a folder its file is enough."""
        if is_embedded(self.client) or read_metadata(self.client, blue).get(POINTER_KEY) == green:
            return
        self.client.update_collection(blue, metadata={POINTER_KEY: green})

    def _direct_writers(self, blue: str, *, frozen: bool) -> dict[str, str]:
        """The jobs that wrote to blue directly until now, and since when.

        Raises:
            JobRunningError: If one may write still: its rows would not be in the journal.
        """
        known = writers_of(read_metadata(self.client, blue))
        for one in known:
            # Of one on another machine nobody knows here; a folder has one opener, which is here.
            unsure = one.is_at_work is None and not is_embedded(self.client) and not frozen
            if not one.is_at_work and not unsure:
                continue
            error = JobRunningError(
                collection=blue, state=one.folder, owner=f"{one.by} on {one.host}"
            )
            if unsure:
                error.add_note(
                    "if it has died there, run it again to its end, or promise with "
                    "--freeze-writes that it writes no more"
                )
            raise error
        return {one.name: one.since for one in known}

    def _check_journal(self, blue: str) -> None:
        """The journal must be the one that the applications write through."""
        there = read_metadata(self.client, blue).get(JOURNAL_KEY) or {}
        if there and there.get("identity") != self.journal.identity:
            raise ArgumentError(
                field="journal",
                problem=f"{blue!r} is written through {there.get('place')}, and this is "
                f"{self.journal.place}: name that one, or run it where it is",
            )

    def _create(self, state: MigrationState, wanted: CollectionSpec) -> None:
        journal = {"identity": self.journal.identity, "place": self.journal.place}
        kept = {JOURNAL_KEY: journal, EARLIER_KEY: earlier(self.client, state.blue)}
        try:
            create_collection(
                self.client,
                state.green,
                wanted,
                metadata=kept if is_embedded(self.client) else {**kept, KEY: state.to_dict()},
            )
        except CollectionExistsError:
            running = running_state(self.client, self.alias)
            if running is None:
                raise
            # Two began at the same moment, on different machines; the other one was first.
            raise running_error(running) from None

    def _blue(self) -> str:
        blue = self.target
        if blue is not None:
            return blue
        read_metadata(self.client, self.alias)  # says if there is no such collection either
        raise ArgumentError(
            field="alias",
            problem=f"{self.alias!r} is a collection, and a migration moves an alias: see "
            f"`qdrant-static migrate adopt {self.alias}`",
        )

    def _continue(
        self, state: MigrationState, encoder: Encoder, spec: CollectionSpec | None, origin: From
    ) -> MigrationState:
        """The migration that is under way, if this is what was asked for."""
        other = []
        if state.encoder.get("fingerprint") != encoder.info.fingerprint:
            other.append(f"with {state.encoder.get('name')}")
        if dict(state.source) != origin.to_dict():
            other.append(f"from {state.source.get('kind')}")
        wanted = spec or like(self.spec(state.blue), encoder)
        there = self.client.collection_exists(state.green)
        if there and spec is not None and not _same_layout(self.spec(state.green), spec):
            other.append("with another spec")
        if other:
            raise MigrationRunningError(
                alias=self.alias, green=state.green, phase=", ".join((state.phase, *other)),
                owner=state.by,
            )  # fmt: skip
        ownership.require_mine(state)
        state.check("build")
        self.require_target(state.blue)
        if not there:  # on a folder, a crash before its creation
            self._create(state, wanted)
        return state

    def _forget_ledger(self, green: str, state: Any) -> None:
        folder = state_folder(state, self.client, green)
        for path in folder.glob("ledger.sqlite*"):
            path.unlink()

    def _beat(self, green: str) -> None:
        state = running_state(self.client, self.alias)
        if state is not None and state.green == green:
            write_state(self.client, state)

    # --- proof -------------------------------------------------------------------------------

    def verify(
        self,
        *,
        queries: Sequence[str] | str | os.PathLike[str] | None = None,
        judged: JudgedSet | str | os.PathLike[str] | None = None,
        thresholds: Thresholds | None = None,
        accept: Sequence[str] = (),
        sample: int = 1000,
        query_count: int = 200,
    ) -> Verified:
        """Put green through the gates; what they found is kept with the migration.

        Args:
            queries: Real queries, a list or a file; by default those that `LiveSearcher` sampled,
                else the beginnings of points' texts.
            judged: A judged data set whose corpus the collection holds.
            thresholds: Where the gates stand.
            accept: Gates of quality that may refuse all the same.
            sample: How many points are compared whole.
            query_count: How many queries are asked at most.

        Raises:
            MigrationStepError: If green is not built yet.
            AliasMovedError: If somebody else re-pointed the alias.
            CollectionLockedError: If another process has blue or green open, on a folder.
        """
        let_pass = check_accepted(accept)
        started = time.perf_counter()
        with self.at_work("verify") as state:
            self.require_target(state.blue)
            if self.catch_up(state.green):
                build_index(self.client, state.green)
            gates, low = self._gates(
                state, queries, judged, thresholds or Thresholds(), sample, query_count
            )
            gates = [one.accepted() if one.name in let_pass else one for one in gates]
            found = Verified(
                alias=self.alias,
                blue=state.blue,
                green=state.green,
                gates=tuple(gates),
                low=tuple(low),
                seconds=time.perf_counter() - started,
            )
            phase = "verified" if found.passed else "replaying"
            if state.phase == "rolled_back" and not found.passed:
                phase = "rolled_back"
            write_state(
                self.client,
                state.at(phase, gates=tuple(one.to_dict() for one in gates)),  # type: ignore[arg-type]
            )
        return found

    def _gates(
        self,
        state: MigrationState,
        queries: Sequence[str] | str | os.PathLike[str] | None,
        judged: JudgedSet | str | os.PathLike[str] | None,
        thresholds: Thresholds,
        sample: int,
        query_count: int,
    ) -> tuple[list[Gate], list[Mapping[str, Any]]]:
        blue, green = state.blue, state.green
        integrity = Integrity(
            client=self.client,
            blue=blue,
            green=green,
            spec=self.spec(green),
            encoder=self.encoder(green),
            expected=Expected(blue=self.spec(blue), green=self.spec(green)),
            still=lambda: self.still(blue, green),
            sample=sample,
        )
        gates = [*self._jobs(state), integrity.counts(), integrity.keys()]
        gates += integrity.payloads_and_vectors()
        gates.append(integrity.indexed())
        asked = choose(
            self.client, blue, self.spec(blue), queries=queries, sampled=self.folder / QUERIES,
            count=query_count,
        )  # fmt: skip
        sides = [
            Side.of(
                self.client,
                one,
                Searcher(self.client, one, spec=self.spec(one), encoder=self.encoder(one)),
            )
            for one in (blue, green)
        ]
        quality = Quality(
            blue=sides[0],
            green=sides[1],
            texts=asked.texts,
            own=asked.own,
            source=asked.source,
            thresholds=thresholds,
            same_encoder=self.spec(blue).encoder.fingerprint
            == self.spec(green).encoder.fingerprint,
            judged=judged,
        )
        gates += quality.gates()
        if seen := read_shadow(self.folder, green):
            gates.append(of_shadow(seen))
        return gates, quality.low

    def _jobs(self, state: MigrationState) -> list[Gate]:
        """No job has written to blue directly since green was filled from it."""
        if state.writers is None:
            return []
        late = self.late_writers(state)
        words = "jobs that wrote past the journal since green was filled"
        sentence = f"{words}: {'; '.join(late)}: repeat `migrate start`" if late else words
        return [at_most("jobs", len(late), 0, sentence)]

    # --- status ------------------------------------------------------------------------------

    def status(self) -> Status:
        """Where the migration is; nothing is changed."""
        state = self.state()
        target = self.target
        expected = state.green if state.phase in ("switched", "retiring", "retired") else state.blue
        moved = state.phase not in ("switching", "returning") and target != expected
        lags = [self.journal.lag(name) for name in self.journal.consumers()]
        return Status.of(
            state,
            target=target,
            phase=state.phase,
            rows={one: self._rows(one) for one in (state.blue, state.green)},
            lags=tuple(lags),
            next=state.what_next,
            problem=f"somebody else moved {self.alias!r}: it should point at {expected!r}"
            if moved
            else None,
        )

    def _rows(self, collection: str) -> int | None:
        try:
            return exact_count(self.client, collection) if self._there(collection) else None
        except CollectionLockedError:
            return None

    def _there(self, collection: str) -> bool:
        return any(one.name == collection for one in self.client.get_collections().collections)


def _same_layout(there: CollectionSpec, wanted: CollectionSpec) -> bool:
    from qdrant_static.collection.specdiff import compare

    return not compare(there, wanted)
