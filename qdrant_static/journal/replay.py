"""The journal's changes, carried out on one of its targets: in order, in batches, resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdrant_static.errors import EngineError, QdrantStaticError
from qdrant_static.journal.generation import Generation, changes_of
from qdrant_static.journal.generations import Generations

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ids import PointId
    from qdrant_static.journal.entries import Entry, WriteJournal

#: Entries that are carried out while the writers wait.
BATCH_ENTRIES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay did.

    Attributes:
        target: The collection.
        entries: Changes that were carried out.
        position: The last entry that it has now.
        left: Changes that it lacks still; writers may have made them meanwhile.
    """

    target: str
    entries: int
    position: int
    left: int


def replay(
    client: Client,
    journal: WriteJournal,
    target: str,
    *,
    encoders: Sequence[Encoder] = (),
    upto: int | None = None,
    batch: int = BATCH_ENTRIES,
    retry: RetryPolicy | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Replayed:
    """Carry out what a target lacks.

    The writers wait for one batch at a time, so that no two changes ever race for a point. The
    target's position moves after the engine's acknowledgement; a batch that a crash cut short is
    carried out again, which leaves the same. Within `WriteJournal.exclusive` the lag is zero
    when it returns.

    Args:
        client: Where the target is.
        journal: The journal.
        target: The collection: one that is a target of the journal.
        encoders: Encoders that are loaded already; others are loaded by the name in the spec.
        upto: The last entry to carry out; None: the last that is there when it begins.
        batch: Entries at a time.
        retry: How long to try where the server does not answer.
        on_batch: Hears after every batch how many entries were carried out so far.

    Raises:
        EngineError: If the target refuses a point that the primary took; the journal keeps it.
        QdrantStaticError: If the target is not there or does not answer.
    """
    generations = Generations(client, encoders)
    end = journal.last() if upto is None else upto
    done = 0
    while True:
        with journal.exclusive(f"replaying to {target}"):
            if journal.primary() == target:
                settle(journal, generations.of(target), retry)
                break
            try:
                moved = step(journal, generations, target, batch, upto=end, retry=retry)
            except QdrantStaticError as error:
                journal.note_problem(target, str(error))
                raise
        done += moved
        if not moved:
            break
        if on_batch is not None:
            on_batch(done)
    lag = journal.lag(target)
    position = journal.targets()[target].position
    return Replayed(target=target, entries=done, position=position, left=lag.entries)


def step(
    journal: WriteJournal,
    generations: Generations,
    target: str,
    limit: int,
    *,
    upto: int | None = None,
    retry: RetryPolicy | None = None,
) -> int:
    """Carry out the next entries on a target that is not the primary; within `exclusive`.

    Returns:
        How many; 0 if it has them all.

    Raises:
        EngineError: If it refuses a point.
        QdrantStaticError: If it is not there or does not answer.
    """
    entries = journal.pending(target, limit, upto)
    if entries:
        _carry_out(generations.of(target, retry=retry), entries, retry)
        journal.advance(target, entries[-1].seq)
    return len(entries)


def settle(
    journal: WriteJournal, generation: Generation, retry: RetryPolicy | None = None
) -> dict[PointId, str]:
    """Carry out everything that the primary lacks; within `exclusive`.

    What was acknowledged once (by a primary before this one) must get there. What was not (this
    call's own changes, or those of a process that died) is taken out of the journal where the
    engine refuses it, so that no collection ever has it.

    Returns:
        The points that were refused, each with the reason.

    Raises:
        QdrantStaticError: If the engine does not answer (what was appended stays in the journal,
            and is carried out by whoever writes next), or refuses a whole change (it is taken
            out).
    """
    name = generation.name
    refused: dict[PointId, str] = {}
    settled = journal.settled()
    while entries := journal.pending(name, BATCH_ENTRIES, settled):
        _carry_out(generation, entries, retry)
        journal.advance(name, entries[-1].seq)
    while entries := journal.pending(name, BATCH_ENTRIES):
        for entry in entries:
            refused |= _settle_one(journal, generation, entry, retry)
    return refused


def _settle_one(
    journal: WriteJournal, generation: Generation, entry: Entry, retry: RetryPolicy | None
) -> dict[PointId, str]:
    try:
        refused = generation.apply([entry.change], retry)
    except QdrantStaticError as error:
        if not error.retryable:
            journal.amend(entry.seq, None)
        raise
    if refused:
        journal.amend(entry.seq, entry.change.without(set(refused)))
    journal.advance(generation.name, entry.seq)
    return refused


def _carry_out(generation: Generation, entries: Sequence[Entry], retry: RetryPolicy | None) -> None:
    refused = generation.apply(changes_of(entries), retry)
    if refused:
        point, problem = next(iter(refused.items()))
        raise EngineError(
            operation=f"replaying the journal to {generation.name!r}",
            problem=f"it refuses point {point!r} ({problem}) and {len(refused) - 1} more, which "
            "the collection in use has. The journal keeps them",
        )
