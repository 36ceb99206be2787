"""What all steps of a migration share: the alias, the journal, the state and how they agree."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from qdrant_static.clients.aliases import aliases_of
from qdrant_static.clients.connect import address
from qdrant_static.clients.statefolder import state_folder
from qdrant_static.collection.create import check_encoder
from qdrant_static.collection.generationnames import read_metadata
from qdrant_static.collection.migrationstate import MigrationState, Step, running_state
from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec
from qdrant_static.encoders.registry import AnyEncoder, by_fingerprint, load_encoder
from qdrant_static.errors import (
    AliasMovedError,
    MigrationNotFoundError,
    MigrationStepError,
    NotAPlannedCollectionError,
)
from qdrant_static.journal.directwriters import writers_of
from qdrant_static.journal.journalwriter import default_journal, open_journal
from qdrant_static.journal.replay import replay
from qdrant_static.migration import ownership

if TYPE_CHECKING:
    from types import TracebackType

    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.journal.writejournal import WriteJournal

#: Rounds of replay while writers go on, before they have to wait for the rest.
_ROUNDS = 20
#: So few changes are left for the moment when writers wait, at most.
SMALL_LAG = 100


class Session:
    """The parts of a migration that every step needs.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        alias: What applications ask.
        journal: The journal that their `LiveWriter` has, its file, or ``"collection:NAME"``; by
            default the same.
        encoders: Encoders that are loaded already, or their names; others are loaded by name.
        state: The folder for the lock and sampled queries; by default as for jobs.
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
        self._given = journal
        self._journal: WriteJournal | None = None
        self._encoders = by_fingerprint(encoders)

    def close(self) -> None:
        """Close the journal, if it was opened here."""
        if self._journal is not None and self._journal is not self._given:
            self._journal.close()
            self._journal = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- what is there -----------------------------------------------------------------------

    @property
    def journal(self) -> WriteJournal:
        """The journal; opened now if it was not."""
        if self._journal is None:
            given = self._given
            if given is None:
                given = default_journal(self.client, self.alias)
            if isinstance(given, str | os.PathLike):
                given = open_journal(self.client, given)
            self._journal = given
        return self._journal

    @property
    def target(self) -> str | None:
        """Where the alias points now; None if there is no such alias."""
        return aliases_of(self.client).get(self.alias)

    def state(self) -> MigrationState:
        """The migration that is under way.

        Raises:
            MigrationNotFoundError: If there is none.
        """
        found = running_state(self.client, self.alias)
        if found is None:
            raise MigrationNotFoundError(alias=self.alias, where=address(self.client))
        return self.in_effect(found)

    def in_effect(self, state: MigrationState) -> MigrationState:
        """A state, with what the alias says of a switch that a crash cut short."""
        target = self.target
        if state.phase == "switching" and target == state.green:
            return state.at("switched", switched=state.switched or state.changed)
        if state.phase == "returning" and target == state.blue:
            return state.at("rolled_back")
        return state

    def spec(self, collection: str) -> CollectionSpec:
        """A generation's spec, also of an embedded one that is open elsewhere.

        Raises:
            NotAPlannedCollectionError: If it carries none.
        """
        described = read_metadata(self.client, collection).get(METADATA_KEY)
        if described is None:
            raise NotAPlannedCollectionError(collection=collection)
        return CollectionSpec.from_dict(described)

    def encoder(self, collection: str) -> Encoder:
        """A generation's encoder.

        Raises:
            EncoderMismatchError: If the model of that name is not what made its vectors.
        """
        info = self.spec(collection).encoder
        if info.fingerprint not in self._encoders:
            loaded = load_encoder(info.name)
            check_encoder(collection, info, loaded.info)
            self._encoders[info.fingerprint] = loaded
        return self._encoders[info.fingerprint]

    def know(self, encoder: Encoder) -> None:
        """An encoder that is loaded already."""
        self._encoders[encoder.info.fingerprint] = encoder

    # --- one at a time -----------------------------------------------------------------------

    @contextmanager
    def at_work(self, step: Step) -> Iterator[MigrationState]:
        """Hold the migration for a step; gives its state.

        Raises:
            MigrationNotFoundError: If there is none.
            MigrationRunningError: If another process is at it.
            MigrationStepError: If this step cannot come now.
        """
        with self.held():
            state = self.state()
            ownership.require_mine(state)
            state.check(step)
            if state.journal and self.journal.identity != state.journal:
                raise MigrationStepError(
                    alias=self.alias,
                    step=step,
                    phase=state.phase,
                    problem="the changes of its applications are in another journal than "
                    f"{self.journal.place}: run it where that one is, or name it",
                )
            yield state

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the migration of the alias."""
        with ownership.held(self.folder, self.alias):
            yield

    def require_target(self, expected: str) -> None:
        """Refuse to go on where somebody else has moved the alias.

        Raises:
            AliasMovedError: If somebody has.
        """
        found = self.target
        if found != expected:
            raise AliasMovedError(
                alias=self.alias, expected=expected, found=found or "nothing: it is gone"
            )

    def late_writers(self, state: MigrationState) -> list[str]:
        """The jobs that began to write to blue directly after green was filled from it."""
        if state.writers is None:
            return []
        known = writers_of(read_metadata(self.client, state.blue))
        return [str(one) for one in known if one.since != state.writers.get(one.name)]

    # --- the journal -------------------------------------------------------------------------

    def catch_up(self, collection: str) -> int:
        """Replay until little is left, while writers go on; how many changes that were."""
        if collection not in self.journal.consumers():
            return 0
        done = 0
        for _ in range(_ROUNDS):
            found = replay(
                self.client, collection, self.journal, encoders=tuple(self._encoders.values())
            )
            done += found.entries
            if found.left <= SMALL_LAG:
                break
        return done

    def drain(self, collection: str) -> int:
        """Replay all there is; within `WriteJournal.exclusive` nothing is left."""
        if collection not in self.journal.consumers():
            return 0
        return replay(
            self.client, collection, self.journal, encoders=tuple(self._encoders.values())
        ).entries

    @contextmanager
    def still(self, blue: str, green: str) -> Iterator[None]:
        """Writers wait, and both generations have everything."""
        self.encoder(green)  # loading it is nothing that writers should wait for
        if self.journal.consumers():
            self.encoder(blue)
        with self.journal.exclusive(f"migrating {self.alias}"):
            self.drain(blue)
            self.drain(green)
            yield
