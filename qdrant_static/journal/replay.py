"""Applies the journal's changes to its consumers: in order, in batches, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdrant_static.errors import EngineError, QdrantStaticError
from qdrant_static.journal.collectionwriter import CollectionWriter, CollectionWriters

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ids import PointId
    from qdrant_static.journal.writejournal import Entry, WriteJournal

#: Entries that are applied at a time, while the writers wait.
BATCH_ENTRIES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The result of a replay.

    Attributes:
        collection: The collection.
        entries: How many changes were applied.
        position: The last entry that it has now.
        left: How many changes it still lacks; writers may have added them meanwhile.
    """

    collection: str
    entries: int
    position: int
    left: int


def replay(
    client: Client,
    collection: str,
    journal: WriteJournal,
    *,
    encoders: Sequence[Encoder] = (),
    upto: int | None = None,
    batch: int = BATCH_ENTRIES,
    retry: RetryPolicy | None = None,
    progress: Callable[[int], None] | None = None,
) -> Replayed:
    """Apply the changes that a collection lacks.

    The writers wait for one batch at a time, so that no two changes of a point ever race. The
    collection's position moves after the engine's acknowledgement; a batch that a crash interrupted
    is applied again, with the same result. Within `WriteJournal.exclusive` nothing is left to apply
    when it returns.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: A consumer of the journal.
        journal: The journal.
        encoders: Encoders that are loaded already; others are loaded by the name in the spec.
        upto: The last entry to apply; None for the last one at the start.
        batch: Entries per batch.
        retry: How long to retry where the server does not answer.
        progress: Called after every batch with the number of changes applied so far.

    Raises:
        EngineError: If the collection refuses a point that the primary took; the journal keeps it.
        QdrantStaticError: If the collection does not exist or the server does not answer.
    """
    writers = CollectionWriters(client, encoders)
    end = journal.last() if upto is None else upto
    done = 0
    while True:
        with journal.exclusive(f"replaying to {collection}"):
            if journal.primary() == collection:
                apply_pending(journal, writers.of(collection), retry)
                break
            try:
                count = apply_next(journal, writers, collection, batch, upto=end, retry=retry)
            except QdrantStaticError as error:
                journal.note_problem(collection, str(error))
                raise
        done += count
        if not count:
            break
        if progress is not None:
            progress(done)
    left = journal.lag(collection).entries
    position = journal.consumer(collection).position
    return Replayed(collection=collection, entries=done, position=position, left=left)


def apply_next(
    journal: WriteJournal,
    writers: CollectionWriters,
    collection: str,
    limit: int,
    *,
    upto: int | None = None,
    retry: RetryPolicy | None = None,
) -> int:
    """Apply the next entries to a consumer that is not the primary; call it within `exclusive`.

    Returns:
        How many entries; 0 if there are none left.

    Raises:
        EngineError: If the collection refuses a point.
        QdrantStaticError: If it does not exist or the server does not answer.
    """
    entries = journal.pending(collection, limit, upto)
    if entries:
        _apply(writers.of(collection, retry=retry), entries, retry)
        journal.advance(collection, entries[-1].seq)
    return len(entries)


def apply_pending(
    journal: WriteJournal, writer: CollectionWriter, retry: RetryPolicy | None = None
) -> dict[PointId, str]:
    """Apply everything that the primary lacks; call it within `exclusive`.

    Changes that were acknowledged already (by a primary before this one) must be applied. Changes
    that were not (of this call, or of a process that died) are removed from the journal where the
    engine refuses them, so that no collection ever has them.

    Returns:
        The points that were refused, each with the reason.

    Raises:
        QdrantStaticError: If the engine does not answer (the changes stay in the journal, and the
            next writer applies them), or refuses a whole change (which is removed).
    """
    name = writer.name
    refused: dict[PointId, str] = {}
    acknowledged = journal.acknowledged()
    while entries := journal.pending(name, BATCH_ENTRIES, acknowledged):
        _apply(writer, entries, retry)
        journal.advance(name, entries[-1].seq)
    while entries := journal.pending(name, BATCH_ENTRIES):
        for entry in entries:
            refused |= _apply_new(journal, writer, entry, retry)
    return refused


def _apply_new(
    journal: WriteJournal, writer: CollectionWriter, entry: Entry, retry: RetryPolicy | None
) -> dict[PointId, str]:
    try:
        refused = writer.apply([entry.change], retry)
    except QdrantStaticError as error:
        if not error.retryable:
            journal.amend(entry.seq, None)
        raise
    if refused:
        journal.amend(entry.seq, entry.change.without(set(refused)))
    journal.advance(writer.name, entry.seq)
    return refused


def _apply(writer: CollectionWriter, entries: Sequence[Entry], retry: RetryPolicy | None) -> None:
    refused = writer.apply((entry.change for entry in entries), retry)
    if refused:
        point, problem = next(iter(refused.items()))
        raise EngineError(
            operation=f"replaying the journal to {writer.name!r}",
            problem=f"it refuses point {point!r} ({problem}) and {len(refused) - 1} more, which "
            "the collection in use has. The journal keeps them",
        )
