"""The first step of a migration: create the new generation and fill it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qdrant_static.clients.connect import is_embedded
from qdrant_static.clients.statefolder import state_folder
from qdrant_static.clock import now
from qdrant_static.collection.create import create_collection, with_query_encoder
from qdrant_static.collection.generations import next_generation, read_metadata
from qdrant_static.collection.migrationcheck import EARLIER_KEY, POINTER_KEY, earlier
from qdrant_static.collection.migrationstate import (
    KEY,
    MigrationState,
    running_error,
    running_state,
    write_state,
)
from qdrant_static.collection.specdiff import compare
from qdrant_static.errors import (
    ArgumentError,
    CollectionExistsError,
    JobRunningError,
    MigrationRunningError,
)
from qdrant_static.files import this_process
from qdrant_static.journal.directwriters import writers_of
from qdrant_static.journal.journalwriter import JOURNAL_KEY
from qdrant_static.migration.backfill import (
    Origin,
    backfill,
    heartbeat,
    is_shipped,
    layout_like,
)
from qdrant_static.migration.session import MigrationSession, refuse_foreign
from qdrant_static.sinks.sink import build_index

if TYPE_CHECKING:
    import os

    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ingestion.ingestreport import IngestReport, ProgressCallback
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.shipping.localbuild.buildhere import BuildHere


@dataclass(frozen=True, slots=True, kw_only=True)
class NextGeneration:
    """The generation that a migration creates.

    Attributes:
        encoder: Its encoder.
        query_encoder: Its encoder of queries; None: the spec's, or none.
        spec: Its spec; None for the layout of the one that serves.
        origin: Where its rows come from.
        frozen: Whether the applications promised not to write.
    """

    encoder: Encoder
    query_encoder: Encoder | None = None
    spec: CollectionSpec | None
    origin: Origin
    frozen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """How the new generation is filled; see `Migration.start`."""

    max_rate: float | None
    progress: bool | ProgressCallback | None
    stop: threading.Event | None
    build: BuildHere | None
    run_options: RunOptions


def start(session: MigrationSession, wanted: NextGeneration, filling: Filling) -> IngestReport:
    """Create and fill the next generation, apply the journal, and build the index.

    Arguments and errors are those of `Migration.start`.
    """
    client, build = session.client, filling.build
    session.add_encoder(wanted.encoder)
    if wanted.query_encoder is not None:
        session.add_encoder(wanted.query_encoder)
    if build is not None and is_embedded(client):
        raise ArgumentError(field="build", problem="an embedded collection is built here anyway")
    with session.locked():
        state = running_state(client, session.alias)
        if state is None:
            state = _begin(session, wanted)
        else:
            state = _resume(session, session.in_effect(state), wanted)
        blue, green = state.blue, state.green
        _announce(session, blue, green)
        state = replace(state, writers=_direct_writers(session, blue, frozen=state.frozen))
        if build is not None and is_shipped(client, green):
            build = None  # a shipment replaces nothing: the missing rows are written to the server
        rows = wanted.origin.open(client, blue, session.spec(blue), wanted.encoder.info)
        with session.journal.exclusive(f"beginning to build {green}"):
            session.require_serving(blue)
            session.journal.activate(green, primary=blue)
            # Rows that are read again may be older than changes that were replayed.
            session.journal.rewind(green)
        if state.phase != "building":
            # It was filled before, and changed since: the ledger of that run does not apply.
            _delete_ledger(session, green, filling.run_options.state)
        state = write_state(client, state.at("building", gates=()))
        with heartbeat(None if is_embedded(client) else lambda: _beat(session, green)):
            report = backfill(
                rows, client, green, spec=session.spec(green), encoder=wanted.encoder,
                query_encoder=wanted.query_encoder, moving=wanted.origin.paths is None,
                rate=filling.max_rate, progress=filling.progress, stop=filling.stop,
                build=build, options=filling.run_options,
            )  # fmt: skip
            if report.interrupted:
                return report
            session.catch_up(green)
            build_index(client, green)
        write_state(client, state.at("replaying"))
    return report


def _begin(session: MigrationSession, wanted: NextGeneration) -> MigrationState:
    """Begin a migration: create green, empty, with the state in its metadata."""
    client, encoder = session.client, wanted.encoder.info
    blue = _blue(session)
    _check_journal(session, blue)
    spec = _green_spec(session, blue, wanted)
    state = MigrationState(
        alias=session.alias,
        blue=blue,
        green=next_generation(client, session.alias, blue),
        started=now(),
        changed=time.time(),
        by=this_process(),
        source=wanted.origin.to_dict(),
        encoder={
            "name": encoder.name,
            "fingerprint": encoder.fingerprint,
            **({} if spec.queries is None else {"queries": spec.queries.fingerprint}),
        },
        frozen=wanted.frozen,
        journal=session.journal.identity,
        journal_place=session.journal.place,
    )
    _direct_writers(session, blue, frozen=wanted.frozen)  # refuses before anything is created
    if is_embedded(client):
        state = write_state(client, state)
    _create(session, state, spec)
    return state


def _green_spec(session: MigrationSession, blue: str, wanted: NextGeneration) -> CollectionSpec:
    blue_spec, encoder = session.spec(blue), wanted.encoder.info
    spec = _layout(session, blue, wanted)
    if spec.encoder.fingerprint != encoder.fingerprint:
        raise ArgumentError(field="spec", problem=f"is for {spec.encoder.name}, not {encoder.name}")
    # Opening the source raises its errors before anything is created.
    fields = wanted.origin.open(session.client, blue, blue_spec, encoder).selection.fields
    if blue_spec.fields.is_complete and fields.same_payload(blue_spec.fields):
        # Blue's fields also hold the names of the columns in the files.
        fields = replace(blue_spec.fields, ready_vectors=fields.ready_vectors)
    if fields == spec.fields:
        return spec
    # The mean length of BM25 belongs to other texts.
    sparse = None if spec.sparse is None else replace(spec.sparse, mean_length=None)
    return replace(spec, sparse=sparse, fields=fields)


def _layout(session: MigrationSession, blue: str, wanted: NextGeneration) -> CollectionSpec:
    """Return green's layout, without the fields of its rows."""
    if wanted.spec is None:
        return layout_like(session.spec(blue), wanted.encoder, wanted.query_encoder)
    queries = wanted.query_encoder
    return with_query_encoder(blue, wanted.spec, None if queries is None else queries.info)


def _announce(session: MigrationSession, blue: str, green: str) -> None:
    """Write a pointer for jobs into blue's metadata; on a folder the state's file is enough."""
    client = session.client
    if is_embedded(client) or read_metadata(client, blue).get(POINTER_KEY) == green:
        return
    client.update_collection(blue, metadata={POINTER_KEY: green})


def _direct_writers(session: MigrationSession, blue: str, *, frozen: bool) -> dict[str, str]:
    """Return the jobs that wrote to blue directly until now, and since when.

    Raises:
        JobRunningError: If one may still write: its rows would not be in the journal.
    """
    known = writers_of(read_metadata(session.client, blue))
    for one in known:
        # Whether a job on another machine still runs is unknown here. A folder is opened by one
        # process at a time, which is this one.
        unknown = one.is_at_work is None and not is_embedded(session.client) and not frozen
        if not one.is_at_work and not unknown:
            continue
        error = JobRunningError(collection=blue, state=one.folder, owner=f"{one.by} on {one.host}")
        if unknown:
            error.add_note(
                "if it has died there, run it again to its end, or promise with "
                "--freeze-writes that it writes no more"
            )
        raise error
    return {one.name: one.since for one in known}


def _check_journal(session: MigrationSession, blue: str) -> None:
    """Refuse a journal that is not the one that the applications write through."""
    noted = read_metadata(session.client, blue).get(JOURNAL_KEY) or {}
    if noted and noted.get("identity") != session.journal.identity:
        raise ArgumentError(
            field="journal",
            problem=f"{blue!r} is written through {noted.get('place')}, and this is "
            f"{session.journal.place}: name that one, or run it on the machine of that journal",
        )


def _create(session: MigrationSession, state: MigrationState, spec: CollectionSpec) -> None:
    client, journal = session.client, session.journal
    metadata = {
        JOURNAL_KEY: {"identity": journal.identity, "place": journal.place},
        EARLIER_KEY: earlier(client, state.blue),
    }
    if not is_embedded(client):
        metadata[KEY] = state.to_dict()
    try:
        create_collection(client, state.green, spec, metadata=metadata)
    except CollectionExistsError:
        running = running_state(client, session.alias)
        if running is None:
            raise
        # Two processes on different machines began at the same moment; the other was first.
        raise running_error(running) from None


def _blue(session: MigrationSession) -> str:
    blue = session.serving()
    if blue is not None:
        return blue
    read_metadata(session.client, session.alias)  # raises if there is no such collection either
    raise ArgumentError(
        field="alias",
        problem=f"{session.alias!r} is a collection, and a migration moves an alias: see "
        f"`qdrant-static migrate adopt {session.alias}`",
    )


def _resume(
    session: MigrationSession, state: MigrationState, wanted: NextGeneration
) -> MigrationState:
    """Return the migration that is under way, if it is the one that is wanted."""
    differences = []
    if state.encoder.get("fingerprint") != wanted.encoder.info.fingerprint:
        differences.append(f"with {state.encoder.get('name')}")
    queries = wanted.query_encoder
    if queries is not None and state.encoder.get("queries") != queries.info.fingerprint:
        differences.append("with another encoder of queries")
    if dict(state.source) != wanted.origin.to_dict():
        differences.append(f"from {state.source.get('kind')}")
    exists = session.client.collection_exists(state.green)
    if exists and wanted.spec is not None and compare(session.spec(state.green), wanted.spec):
        differences.append("with another spec")
    if differences:
        raise MigrationRunningError(
            alias=session.alias, green=state.green, phase=", ".join((state.phase, *differences)),
            owner=state.by,
        )  # fmt: skip
    refuse_foreign(state)
    state.check("build")
    session.require_serving(state.blue)
    if not exists:  # on a folder, after a crash before its creation
        spec = _layout(session, state.blue, wanted)
        _create(session, state, spec)
    return state


def _delete_ledger(
    session: MigrationSession, green: str, state: str | os.PathLike[str] | None
) -> None:
    folder = state_folder(state, session.client, green)
    for path in folder.glob("ledger.sqlite*"):
        path.unlink()


def _beat(session: MigrationSession, green: str) -> None:
    state = running_state(session.client, session.alias)
    if state is not None and state.green == green:
        write_state(session.client, state)
