"""Writes of a job while a migration is under way: through the journal, so that green gets them.

A row is written like an application's record (see `JournalWriter`): into the journal, to the
collection that the alias points at, then to the generation that was in use before. The generation
that is being filled gets it when the journal is replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.aliases import resolve_alias
from qdrant_static.clients.retry import call_with_retries
from qdrant_static.collection.migrationcheck import metadata_of, refusal, under_way
from qdrant_static.errors import AccessDeniedError
from qdrant_static.journal.changes import Change
from qdrant_static.journal.collectionwriter import BATCH_POINTS
from qdrant_static.journal.journalwriter import (
    JOURNAL_KEY,
    JournalWriter,
    default_journal,
    open_journal,
)
from qdrant_static.journal.serverjournal import IN_COLLECTION
from qdrant_static.journal.sqlitejournal import Journal

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.collection.fields import Fields
    from qdrant_static.collection.migrationstate import MigrationState
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ids import PointId
    from qdrant_static.journal.writejournal import WriteJournal
    from qdrant_static.sinks.sink import EncodedBatch


def serving_collection(client: Client, name: str, *, retry: RetryPolicy | None = None) -> str:
    """Return the collection that a name stands for; the name where the API key may not ask."""
    try:
        return call_with_retries(
            client, name, "reading the aliases", lambda: resolve_alias(client, name), retry=retry
        )
    except AccessDeniedError:  # an API key for single collections
        return name


def find_migration(client: Client, name: str) -> MigrationState | None:
    """Find the migration that a name is part of; retries an unreachable server."""
    return call_with_retries(
        client, name, "looking for a migration", lambda: under_way(client, name)
    )


def open_job_writer(
    client: Client, name: str, collection: str, encoder: Encoder
) -> JobWriter | None:
    """Open the writer for a collection that is part of a migration; None if it is part of none.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        name: The name that the job uses: an alias, or the collection.
        collection: The collection that it stands for.
        encoder: The collection's encoder.

    Raises:
        MigrationWritesError: If rows cannot be written to it now, or its journal is not here; it
            says what to do.
    """
    state = find_migration(client, name)
    if state is None:
        return None
    live = serving_collection(client, state.alias)
    if collection != live:
        raise refusal(
            state,
            collection,
            f"{state.alias!r} stands for {live!r}, and the other generation gets its rows from the "
            f"migration: name {state.alias!r}",
        )
    return JobWriter(
        client, state, collection, encoder=encoder, journal=_journal_of(client, state, collection)
    )


def _journal_of(client: Client, state: MigrationState, collection: str) -> WriteJournal:
    """Open the journal that the migration's collections name in their metadata."""
    noted: Mapping[str, Any] = {}
    for name in (state.green, state.blue):
        noted = noted or metadata_of(client, name).get(JOURNAL_KEY) or {}
    place = str(noted.get("place") or state.journal_place)
    if place.startswith(IN_COLLECTION):
        return open_journal(client, place)
    for path in (default_journal(client, state.alias), Path(place)):
        if path.is_file():
            journal = Journal(path)
            if journal.identity == state.journal:
                return journal
            journal.close()
    raise refusal(
        state,
        collection,
        "until it ends, rows must be written through the migration's journal, which is not here: "
        f"it is {place or 'unknown'}. Run the job where it is, or finish the migration "
        "first (`migrate retire`, or `migrate abort`)",
    )


class JobWriter:
    """Writes the rows of a job through the journal of a migration.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        state: The migration.
        collection: The collection that the job writes to; the alias must point at it.
        encoder: Its encoder.
        journal: The migration's journal; closed with the writer.
    """

    def __init__(
        self,
        client: Client,
        state: MigrationState,
        collection: str,
        *,
        encoder: Encoder,
        journal: WriteJournal,
    ) -> None:
        self.notice = (
            f"a migration of {state.alias!r} is under way ({state.blue} -> {state.green}, phase "
            f"{state.phase}): rows go through its journal, so that both get them"
        )
        self._state = state
        self._collection = collection
        self._journal = journal
        self._writer = JournalWriter(
            client,
            state.alias,
            journal=journal,
            encoders=[encoder],
            take_over=False,
            retry=None,
            patience_s=60.0,
        )

    def upsert(
        self, ids: Sequence[PointId], payloads: Sequence[Mapping[str, Any]]
    ) -> dict[int, str]:
        """Store points with the vectors of their texts; return the refused rows, with the reasons.

        Raises:
            MigrationWritesError: If the alias was moved since the job began.
        """
        rows = {point: row for row, point in enumerate(ids)}
        refused = self._commit(
            Change(
                op="upsert",
                ids=tuple(ids[start : start + BATCH_POINTS]),
                payloads=tuple(payloads[start : start + BATCH_POINTS]),
            )
            for start in range(0, len(ids), BATCH_POINTS)
        )
        return {rows[point]: problem for point, problem in refused.items()}

    def delete(self, ids: Sequence[PointId]) -> None:
        """Delete points.

        Raises:
            MigrationWritesError: If the alias was moved since the job began.
        """
        self._commit([Change(op="delete", ids=tuple(ids))] if ids else [])

    def check_texts(
        self, fields: Fields, texts: Iterable[str], payloads: Iterable[Mapping[str, Any]]
    ) -> None:
        """Refuse rows that another generation could not encode: their text is not in the payload.

        Raises:
            MigrationWritesError: If there is such a row.
        """
        for text, payload in zip_longest(texts, payloads):  # no texts: the rows bring vectors
            if text is None or fields.text_of(payload) != text:
                raise refusal(
                    self._state,
                    self._collection,
                    "rows must go through its journal, from which each generation encodes the "
                    f"text in the payload ({', '.join(fields.text) or 'none'}), and these rows "
                    "have another text or vectors of their own. Finish the migration first "
                    "(`migrate retire`, or `migrate abort`), and run the job then",
                )

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _commit(self, changes: Iterable[Change]) -> dict[PointId, str]:
        refused: dict[PointId, str] = {}
        for change in changes:
            with self._journal.exclusive("writing the rows of a job"):
                live = self._writer.collection()
                if live != self._collection:  # checked before its encoder is loaded
                    raise refusal(
                        self._state,
                        self._collection,
                        f"{self._state.alias!r} was moved to {live!r} while the job ran. What it "
                        "had written is in both; run it again for the rest",
                    )
                with self._writer.writing() as primary:
                    refused |= self._writer.write_partly(primary, [change])
        return refused


class JobSink:
    """A sink that stores each batch through the journal, acknowledged before the next.

    Args:
        writer: The job's writer.
        on_settled: Called with each batch's token and the rows that were refused.
    """

    def __init__(
        self, writer: JobWriter, on_settled: Callable[[Any, Mapping[int, str]], None]
    ) -> None:
        self._writer = writer
        self._on_settled = on_settled

    def submit(
        self,
        token: Any,
        ids: Sequence[PointId],
        vectors: EncodedBatch,
        payloads: Sequence[Mapping[str, Any]],
    ) -> None:
        """Store a batch; its vectors are not used, as each generation encodes the texts itself."""
        self._on_settled(token, self._writer.upsert(ids, payloads))

    def flush(self) -> None:
        """Do nothing: every batch was stored by `submit`."""

    def abort(self) -> None:
        """Do nothing: every batch was stored by `submit`."""
