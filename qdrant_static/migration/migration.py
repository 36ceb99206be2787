"""Blue/green migration of the collection behind an alias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from qdrant_static.clients.connect import address, check_client
from qdrant_static.clients.scroll import exact_count
from qdrant_static.encoders.registry import as_encoder
from qdrant_static.errors import CollectionLockedError
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.migration import cutover, starting, verification
from qdrant_static.migration.backfill import Origin
from qdrant_static.migration.cutover import RETIRE_AFTER_S
from qdrant_static.migration.gates import Thresholds
from qdrant_static.migration.migrationreport import Moved, Status, Verified
from qdrant_static.migration.session import MigrationSession

if TYPE_CHECKING:
    import os
    import threading
    from types import TracebackType

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.migrationstate import MigrationState
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.ingestion.ingestreport import IngestReport, ProgressCallback
    from qdrant_static.journal.writejournal import WriteJournal
    from qdrant_static.measuring.judged import JudgedSet
    from qdrant_static.reading.options import SourceOptions
    from qdrant_static.reading.sources import PathLike
    from qdrant_static.shipping.localbuild.buildhere import BuildHere


class Migration:
    """Replaces the collection behind an alias by its next generation, without downtime.

    ::

        start -> verify -> cutover -> retire
                              <-> rollback
        abort, before the cut-over or after a rollback

    Applications search through the alias and write through `LiveWriter`. The generation that serves
    is called blue, the next one green. The state is in the database: steps may be taken by
    different processes, and each may be repeated after a crash.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        alias: The alias.
        journal: The journal that the `LiveWriter` has, its file, or ``"collection:NAME"``; the
            same default.
        encoders: Encoders that are loaded already, or their names; others are loaded by name.
        state: The folder of the lock and of sampled queries; the default is that of jobs.
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
        check_client(client, "Migration(client, alias)")
        self.client = client
        self.alias = alias
        self._session = MigrationSession(
            client, alias, journal=journal, encoders=encoders, state=state
        )

    def __repr__(self) -> str:
        return f"Migration({address(self.client)!r}, {self.alias!r})"

    def start(
        self,
        encoder: AnyEncoder,
        *,
        query_encoder: AnyEncoder | None = None,
        spec: CollectionSpec | None = None,
        source: PathLike | Sequence[PathLike] | None = None,
        source_options: SourceOptions | None = None,
        max_rate: float | None = None,
        frozen: bool = False,
        progress: bool | ProgressCallback | None = None,
        stop: threading.Event | None = None,
        build: BuildHere | None = None,
        run_options: RunOptions | None = None,
    ) -> IngestReport:
        """Create the next generation, fill it, apply the journal, and build its index.

        Repeat it to continue after an interruption.

        Args:
            encoder: Green's encoder, or its name.
            query_encoder: Green's encoder of queries, or its name, for asymmetric search.
            spec: Green's spec; None for the layout of blue.
            source: Files; None for the texts in the payload of blue's points.
            source_options: How the files are read; the default is how blue was filled.
            max_rate: The maximum number of rows read per second.
            frozen: The applications do not write, and use no `LiveWriter`: what they write all
                the same is not carried over, and `verify` finds it.
            progress: As for `qdrant_static.ingest`.
            stop: Set it to stop after the current batch; repeat the call to continue.
            build: Build green on this machine and ship it, with its indexes, so that the server,
                which answers users meanwhile, indexes nothing. See `qdrant_static.ingest`. To a
                green that was shipped already, missing rows are written in the ordinary way.
            run_options: As for `qdrant_static.ingest`: threads, limit of rejects, state folder.
                The migration itself decides what the run compares, deletes and writes again.

        Returns:
            The report of the ingest that filled green.

        Raises:
            MigrationRunningError: If another migration of the alias is under way.
            MigrationStepError: If this one cannot be filled any more.
            AliasMovedError: If somebody else re-pointed the alias.
            ArgumentError: If ``alias`` is not an alias, or the fields of the text are unknown.
        """
        wanted = starting.NextGeneration(
            encoder=as_encoder(encoder),
            query_encoder=None if query_encoder is None else as_encoder(query_encoder),
            spec=spec,
            origin=Origin.of(source, source_options),
            frozen=frozen,
        )
        filling = starting.Filling(
            max_rate=max_rate,
            progress=progress,
            stop=stop,
            build=build,
            run_options=run_options or RunOptions(),
        )
        return starting.start(self._session, wanted, filling)

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
        """Compare green with blue: evaluate all gates, and store them with the migration.

        Args:
            queries: Real queries, a list or a file; the default is those that `LiveSearcher`
                sampled, else the beginnings of points' texts.
            judged: A judged data set whose corpus the collection holds.
            thresholds: The thresholds of the gates.
            accept: Gates of quality that may refuse without stopping the cut-over.
            sample: How many points are compared with payload and vectors.
            query_count: The maximum number of queries.

        Raises:
            MigrationStepError: If green is not filled yet.
            AliasMovedError: If somebody else re-pointed the alias.
            CollectionLockedError: If another process has blue or green open, on a folder.
        """
        checks = verification.Checks(
            queries=queries,
            judged=judged,
            thresholds=thresholds or Thresholds(),
            accept=accept,
            sample=sample,
            query_count=query_count,
        )
        return verification.verify(self._session, checks)

    def cutover(self, *, hand_over: bool = False) -> Moved:
        """Point the alias at green, when it has everything that blue has.

        Writers wait while the last changes are applied, the points are counted once more and the
        alias is moved. Readers notice nothing.

        Args:
            hand_over: Close embedded collections before the alias moves, so that the process that
                serves can open green at once: for a process that ends after this call.

        Raises:
            MigrationStepError: If the gates were not passed.
            GateRefusedError: If somebody wrote past the journal: a job, or somebody who left other
                counts, or other payloads of the points that are compared once more.
            AliasMovedError: If somebody else re-pointed the alias.
        """
        return cutover.cut_over(self._session, hand_over=hand_over)

    def rollback(self, *, hand_over: bool = False) -> Moved:
        """Point the alias back at blue, which has received every change since.

        Args:
            hand_over: As for `cutover`.

        Raises:
            MigrationStepError: If there was no cut-over.
            AliasMovedError: If somebody else re-pointed the alias.
        """
        return cutover.roll_back(self._session, hand_over=hand_over)

    def retire(self, *, after_s: float = RETIRE_AFTER_S) -> str:
        """Delete the old generation; it cannot be rolled back to any more.

        Args:
            after_s: The minimum time since the cut-over, in seconds.

        Returns:
            The name of the deleted collection.

        Raises:
            MigrationStepError: If there was no cut-over, it was too recent, or an alias points at
                the old generation.
            AliasMovedError: If the alias does not point at the new one.
        """
        return cutover.retire(self._session, after_s=after_s)

    def abort(self) -> str:
        """Give the migration up: delete green; the alias stays.

        Returns:
            The name of the deleted collection.

        Raises:
            MigrationStepError: If an alias points at green: roll back first.
        """
        return cutover.abort(self._session)

    def state(self) -> MigrationState:
        """Return the state of the migration that is under way.

        Raises:
            MigrationNotFoundError: If there is none.
        """
        return self._session.state()

    def status(self) -> Status:
        """Return the phase, points, lag and gates of the migration; nothing is changed.

        Raises:
            MigrationNotFoundError: If there is none.
        """
        session = self._session
        state, serving, journal = session.state(), session.serving(), session.journal
        expected = state.green if state.phase in ("switched", "retiring", "retired") else state.blue
        moved = state.phase not in ("switching", "returning") and serving != expected
        problem = f"somebody else moved {self.alias!r}: it should point at {expected!r}"
        return Status.of(
            state,
            target=serving,
            phase=state.phase,
            rows={name: self._count(name) for name in (state.blue, state.green)},
            lags=tuple(journal.lag(name) for name in journal.consumers()),
            next=state.what_next,
            problem=problem if moved else None,
        )

    def _count(self, collection: str) -> int | None:
        names = [one.name for one in self.client.get_collections().collections]
        try:
            return exact_count(self.client, collection) if collection in names else None
        except CollectionLockedError:
            return None

    def close(self) -> None:
        """Close the journal, if it was opened here."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
