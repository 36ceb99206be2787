"""What a job writes while a migration is under way: through the journal, so that green gets it.

A row is written as an application's record is (see `Turns`): into the journal, to the collection
that the alias points at, then to the generation that was in use before. What is being built gets it
when the journal is replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.aliases import target_of
from qdrant_static.clients.retry import call_with_retries
from qdrant_static.collection.migrationcheck import metadata_of, refusal, under_way
from qdrant_static.errors import AccessDeniedError
from qdrant_static.journal.entries import Change
from qdrant_static.journal.generation import BATCH_POINTS
from qdrant_static.journal.serverjournal import IN_COLLECTION, JournalCollection
from qdrant_static.journal.sqlitejournal import Journal
from qdrant_static.journal.writeorder import JOURNAL_KEY, Turns, default_journal

if TYPE_CHECKING:
    import os

    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.collection.fields import Fields
    from qdrant_static.collection.migrationstate import MigrationState
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ids import PointId
    from qdrant_static.journal.entries import WriteJournal
    from qdrant_static.sinks.sink import EncodedBatch


def open_journal(client: Client, place: str | os.PathLike[str]) -> WriteJournal:
    """Open a journal: a file, or ``collection:NAME``."""
    if isinstance(place, str) and place.startswith(IN_COLLECTION):
        return JournalCollection(client, place.removeprefix(IN_COLLECTION))
    return Journal(place)


def serving(client: Client, name: str, *, retry: RetryPolicy | None = None) -> str:
    """The collection that a name stands for now; the name itself where the key may not ask."""
    try:
        return call_with_retries(
            client, name, "reading the aliases", lambda: target_of(client, name), retry=retry
        )
    except AccessDeniedError:  # a key for single collections
        return name


def find_migration(client: Client, name: str) -> MigrationState | None:
    """Find the migration that a name is part of; retries an unreachable server."""
    return call_with_retries(
        client, name, "looking for a migration", lambda: under_way(client, name)
    )


def join(client: Client, name: str, collection: str, encoder: Encoder) -> JournaledWrites | None:
    """The way to write to a collection that is part of a migration; None if it is part of none.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        name: What the job names: an alias, or the collection.
        collection: What that stands for.
        encoder: The collection's.

    Raises:
        MigrationWritesError: If rows can not be written to it now, or its journal is not here; it
            says what to do.
    """
    state = find_migration(client, name)
    if state is None:
        return None
    live = serving(client, state.alias)
    if collection != live:
        raise refusal(
            state,
            collection,
            f"{state.alias!r} stands for {live!r}, and the other generation gets its rows by the "
            f"migration: name {state.alias!r}",
        )
    return JournaledWrites(
        client, state, collection, encoder=encoder, journal=_journal_of(client, state, collection)
    )


def _journal_of(client: Client, state: MigrationState, collection: str) -> WriteJournal:
    """The journal of a migration, as its collections name it."""
    kept: Mapping[str, Any] = {}
    for one in (state.green, state.blue):
        kept = kept or metadata_of(client, one).get(JOURNAL_KEY) or {}
    place = str(kept.get("place") or "")
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
        "what is written to it meanwhile must go through the migration's journal, and that is "
        f"not here: it is {place or 'unknown'}. Run the job where it is, or finish the migration "
        "first (`migrate retire`, or `migrate abort`)",
    )


class JournaledWrites:
    """Writes of a job, by the journal.

    Args:
        client: Where the collections are.
        state: The migration.
        collection: The collection that the job writes to; it must serve.
        encoder: Its encoder.
        journal: The migration's journal; closed with this.
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
        self._turns = Turns(
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
        """Store points with the vectors of their texts; the rows that were refused, with why.

        Raises:
            MigrationWritesError: If the alias was moved since the job began.
        """
        places = {one: row for row, one in enumerate(ids)}
        refused = self._commit(
            Change(
                op="upsert",
                ids=tuple(ids[start : start + BATCH_POINTS]),
                payloads=tuple(payloads[start : start + BATCH_POINTS]),
            )
            for start in range(0, len(ids), BATCH_POINTS)
        )
        return {places[one]: problem for one, problem in refused.items()}

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
            MigrationWritesError: If there is one.
        """
        for text, payload in zip_longest(texts, payloads):  # no texts: ready vectors
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
            with self._journal.exclusive("writing rows of a job"):
                live = self._turns.resolved()
                if live != self._collection:  # before its encoder is loaded
                    raise refusal(
                        self._state,
                        self._collection,
                        f"{self._state.alias!r} was moved to {live!r} while the job ran. What it "
                        "had written is in both; run it again for the rest",
                    )
                with self._turns.writing() as primary:
                    refused |= self._turns.carry_out(primary, [change])
        return refused


class JournalSink:
    """Stores a batch by the journal, acknowledged before the next.

    Args:
        writes: The journal's writes.
        on_settled: Called with each batch's token and the rows that were refused.
    """

    def __init__(
        self, writes: JournaledWrites, on_settled: Callable[[Any, Mapping[int, str]], None]
    ) -> None:
        self._writes = writes
        self._on_settled = on_settled

    def submit(
        self,
        token: Any,
        ids: Sequence[PointId],
        vectors: EncodedBatch,
        payloads: Sequence[Mapping[str, Any]],
    ) -> None:
        """Store a batch; its vectors are made anew, for each generation its own."""
        self._on_settled(token, self._writes.upsert(ids, payloads))

    def flush(self) -> None:
        """Nothing is ever under way."""

    def abort(self) -> None:
        """Nothing is ever held."""
