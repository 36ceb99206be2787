"""What all steps of a migration share: the alias, the journal, the state and its lock."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qdrant_static.clients.aliases import aliases_of
from qdrant_static.clients.connect import address
from qdrant_static.clients.statefolder import state_folder
from qdrant_static.collection.create import check_encoder
from qdrant_static.collection.generations import read_metadata
from qdrant_static.collection.migrationstate import (
    MigrationState,
    Step,
    running_error,
    running_state,
)
from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec
from qdrant_static.encoders.registry import AnyEncoder, by_fingerprint, load_encoder
from qdrant_static.errors import (
    AliasMovedError,
    MigrationNotFoundError,
    MigrationRunningError,
    MigrationStepError,
    NotAPlannedCollectionError,
)
from qdrant_static.files import LockFile, LockHeldError, make_private
from qdrant_static.journal.directwriters import writers_of
from qdrant_static.journal.journalwriter import default_journal, open_journal
from qdrant_static.journal.replay import replay
from qdrant_static.migration.backfill import HEARTBEAT_S

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import Encoder, EncoderInfo
    from qdrant_static.journal.writejournal import WriteJournal

#: Rounds of replay while writers go on, before they have to wait for the rest.
_ROUNDS = 20
#: With at most so many changes left, the rest is replayed while the writers wait.
SMALL_LAG = 100
#: A process on another machine whose heartbeat is older has died, in seconds.
LEASE_S = 4 * HEARTBEAT_S
LOCK = "migrate.lock"


@contextmanager
def migration_lock(folder: Path, alias: str) -> Iterator[None]:
    """Lock the migration of an alias against every other process and thread of this machine.

    Raises:
        MigrationRunningError: If another one holds the lock.
    """
    make_private(folder)
    lock = LockFile(folder / LOCK)
    try:
        lock.acquire(f"migrating {alias}")
    except LockHeldError as error:
        raise MigrationRunningError(
            alias=alias, green="its next generation", phase="at work", owner=str(error.owner)
        ) from error
    try:
        yield
    finally:
        lock.release()


def refuse_foreign(state: MigrationState) -> None:
    """Refuse a migration that a process on another machine is filling at this moment.

    The lock file protects against processes of this machine, the heartbeat against others.

    Raises:
        MigrationRunningError: If it is filled elsewhere.
    """
    here = state.by.endswith(f" on {socket.gethostname()}")
    if state.phase == "building" and not here and time.time() - state.changed < LEASE_S:
        raise running_error(state)


class MigrationSession:
    """An alias, its journal and its encoders, as every step of a migration needs them.

    Arguments are those of `Migration`.
    """

    def __init__(
        self,
        client: Client,
        alias: str,
        *,
        journal: WriteJournal | str | os.PathLike[str] | None = None,
        encoders: Sequence[AnyEncoder] = (),
        state: str | os.PathLike[str] | None = None,
    ) -> None:
        self.client = client
        self.alias = alias
        self.folder = state_folder(state, client, alias)
        self._journal_place = journal
        self._journal: WriteJournal | None = None
        self._encoders = by_fingerprint(encoders)

    def close(self) -> None:
        """Close the journal, if it was opened here."""
        if self._journal is not None and self._journal is not self._journal_place:
            self._journal.close()
            self._journal = None

    # --- what the database says ----------------------------------------------------------------

    @property
    def journal(self) -> WriteJournal:
        """The journal; opened at the first use."""
        if self._journal is None:
            place = self._journal_place
            if place is None:
                place = default_journal(self.client, self.alias)
            if isinstance(place, str | os.PathLike):
                place = open_journal(self.client, place)
            self._journal = place
        return self._journal

    def serving(self) -> str | None:
        """Return the collection that the alias points at now; None if there is no such alias."""
        return aliases_of(self.client).get(self.alias)

    def state(self) -> MigrationState:
        """Return the migration that is under way.

        Raises:
            MigrationNotFoundError: If there is none.
        """
        state = running_state(self.client, self.alias)
        if state is None:
            raise MigrationNotFoundError(alias=self.alias, where=address(self.client))
        return self.in_effect(state)

    def in_effect(self, state: MigrationState) -> MigrationState:
        """Return the state with the phase that the alias shows, after a switch that crashed."""
        serving = self.serving()
        if state.phase == "switching" and serving == state.green:
            return state.at("switched", switched=state.switched or state.changed)
        if state.phase == "returning" and serving == state.blue:
            return state.at("rolled_back")
        return state

    def spec(self, collection: str) -> CollectionSpec:
        """Return a generation's spec, also of an embedded one that another process has open.

        Raises:
            NotAPlannedCollectionError: If its metadata have no spec.
        """
        described = read_metadata(self.client, collection).get(METADATA_KEY)
        if described is None:
            raise NotAPlannedCollectionError(collection=collection)
        return CollectionSpec.from_dict(described)

    def encoder(self, collection: str) -> Encoder:
        """Return the encoder of a generation's documents, loaded at the first use.

        Raises:
            EncoderMismatchError: If the model of that name is not what made its vectors.
        """
        return self._loaded(collection, self.spec(collection).encoder, queries=False)

    def query_encoder(self, collection: str) -> Encoder:
        """Return the encoder of a generation's queries, loaded at the first use.

        Raises:
            EncoderMismatchError: If the model of that name is not the one that it was.
        """
        spec = self.spec(collection)
        return self._loaded(collection, spec.query_encoder, queries=spec.queries is not None)

    def _loaded(self, collection: str, info: EncoderInfo, *, queries: bool) -> Encoder:
        if info.fingerprint not in self._encoders:
            loaded = load_encoder(info.name)
            check_encoder(collection, info, loaded.info, queries=queries)
            self._encoders[info.fingerprint] = loaded
        return self._encoders[info.fingerprint]

    def add_encoder(self, encoder: Encoder) -> None:
        """Keep an encoder that is loaded already."""
        self._encoders[encoder.info.fingerprint] = encoder

    # --- one step at a time ----------------------------------------------------------------------

    @contextmanager
    def step(self, step: Step) -> Iterator[MigrationState]:
        """Hold the migration for a step; gives its state.

        Raises:
            MigrationNotFoundError: If there is none.
            MigrationRunningError: If another process holds it.
            MigrationStepError: If this step is not possible now.
        """
        with self.locked():
            state = self.state()
            refuse_foreign(state)
            state.check(step)
            if state.journal and self.journal.identity != state.journal:
                raise MigrationStepError(
                    alias=self.alias,
                    step=step,
                    phase=state.phase,
                    problem="the changes of its applications are in another journal than "
                    f"{self.journal.place}: run it on the machine of that journal, or name it",
                )
            yield state

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the alias's migration."""
        with migration_lock(self.folder, self.alias):
            yield

    def require_serving(self, expected: str) -> None:
        """Refuse to go on if the alias points at another collection.

        Raises:
            AliasMovedError: If it does.
        """
        serving = self.serving()
        if serving != expected:
            raise AliasMovedError(
                alias=self.alias, expected=expected, found=serving or "nothing: it is gone"
            )

    def late_writers(self, state: MigrationState) -> list[str]:
        """Return the jobs that began to write to blue directly after green was filled from it."""
        if state.writers is None:
            return []
        known = writers_of(read_metadata(self.client, state.blue))
        return [str(one) for one in known if one.since != state.writers.get(one.name)]

    # --- the journal -----------------------------------------------------------------------------

    def catch_up(self, collection: str) -> int:
        """Replay until little is left, while writers go on; return the number of changes."""
        if collection not in self.journal.consumers():
            return 0
        done = 0
        for _ in range(_ROUNDS):
            replayed = replay(
                self.client, collection, self.journal, encoders=tuple(self._encoders.values())
            )
            done += replayed.entries
            if replayed.left <= SMALL_LAG:
                break
        return done

    def drain(self, collection: str) -> int:
        """Replay everything; call it within `WriteJournal.exclusive`, so that nothing is left."""
        if collection not in self.journal.consumers():
            return 0
        return replay(
            self.client, collection, self.journal, encoders=tuple(self._encoders.values())
        ).entries

    @contextmanager
    def writes_paused(self, blue: str, green: str) -> Iterator[None]:
        """Hold all writers, with every change applied to both generations."""
        self.encoder(green)  # loaded now, so that the writers do not wait for it
        if self.journal.consumers():
            self.encoder(blue)
        with self.journal.exclusive(f"migrating {self.alias}"):
            self.drain(blue)
            self.drain(green)
            yield
