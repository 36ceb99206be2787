"""Decides what becomes of every row of a batch, before anything is encoded.

A key is taken by the row with the lowest address (or the highest, with ``on_duplicate="last"``);
addresses are compared, not times, so that the outcome does not depend on the order in which
batches arrive. With ``sync``, a row is compared with what the ledger knows of its point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qdrant_static.digests import as_digests, each_digest, text_digests, vector_digests
from qdrant_static.errors import VerificationError
from qdrant_static.ids import PointId, id_digest, point_id, text_key
from qdrant_static.ingestion.options import OnDuplicate
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.records import Outcome, Rows, Settlement, Totals
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.rejects import Reject


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A batch with its ids and digests.

    Attributes:
        batch: The batch.
        ids: n point ids.
        rows: n digests of ids, texts and payloads.
        file: Number of its file in the run.
    """

    batch: Batch
    ids: list[PointId]
    rows: Rows
    file: int = -1


@dataclass(slots=True, kw_only=True)
class Decided:
    """A batch with the decision on every row.

    Attributes:
        prepared: The batch.
        write: Indices of the rows to encode and store.
        payload: Indices of the rows of which only the payload is stored.
        unchanged: Indices of the rows that are stored as they are.
        superseded: Indices of the rows that lose against another of their key, and are no rejects.
        duplicates: Indices of the rows that lose and are rejects, each with the reason.
        new: The rows whose points the ledger does not know.
        displaced: Keys whose row of an earlier batch loses against one of this.
        displaced_rejects: Those rows, if they become rejects; their batches count them.
    """

    prepared: Prepared
    write: list[int]
    payload: list[int] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)
    superseded: list[int] = field(default_factory=list)
    duplicates: dict[int, str] = field(default_factory=dict)
    new: set[int] = field(default_factory=set)
    displaced: list[bytes] = field(default_factory=list)
    displaced_rejects: list[Reject] = field(default_factory=list)


def prepare(batch: Batch, key: bytes) -> Prepared:
    """Make ids and digests; ``key`` comes from `ledger.runidentity.encoding_key`."""
    keys = batch.keys
    ids = [
        point_id(one) for one in (map(text_key, batch.texts.to_pylist()) if keys is None else keys)
    ]
    texts = (
        text_digests(batch.texts, key)
        if batch.vectors is None
        else vector_digests(batch.texts, batch.vectors, key)
    )
    rows = Rows(
        ids=as_digests(map(id_digest, ids)),
        texts=texts,
        payloads=as_digests(batch.payload_digests()),
        positions=batch.positions,
    )
    return Prepared(batch=batch, ids=ids, rows=rows)


def decide(
    ledger: Ledger,
    run: int,
    prepared: Prepared,
    *,
    on_duplicate: OnDuplicate,
    sync: bool,
    files: Sequence[str],
) -> Decided:
    """Compare a batch with the ledger, and with itself.

    Args:
        ledger: The ledger.
        run: The run.
        prepared: The batch.
        on_duplicate: Which row of a key is stored, and whether the others are rejects.
        sync: Whether what is unchanged is left alone.
        files: The run's files, for messages.
    """
    digests = each_digest(prepared.rows.ids)
    decided = Decided(prepared=prepared, write=[])
    lost = _within(decided, digests, on_duplicate)
    kinds = ledger.rows.classify(run, prepared.rows)
    write = []
    for index in kinds.pop("seen", ()):
        if index not in lost:
            other = ledger.rows.address(digests[index])
            if _wins(decided, index, digests[index], other, on_duplicate, files):
                write.append(index)
            else:
                lost.add(index)
    if prepared.batch.passages is not None:
        _drop_rows_of(decided, lost, on_duplicate)
    for kind, found in kinds.items():
        indices = [index for index in found if index not in lost] if lost else found
        if sync and kind == "same":
            decided.unchanged = indices
        elif sync and kind == "payload":
            decided.payload = indices
        else:
            write += indices
            if kind == "new":
                decided.new.update(indices)
    decided.write = sorted(write)
    return decided


def _within(decided: Decided, digests: Sequence[bytes], on_duplicate: OnDuplicate) -> set[int]:
    """Return the rows that lose against another row of the batch."""
    lost: set[int] = set()
    if len(set(digests)) == len(digests):
        return lost
    batch = decided.prepared.batch
    holder: dict[bytes, int] = {}
    for index, digest in enumerate(digests):
        other = holder.setdefault(digest, index)
        if other == index:
            continue
        loser = other if on_duplicate == "last" else index
        if on_duplicate == "last":
            holder[digest] = index
        lost.add(loser)
        _lose(decided, loser, on_duplicate, f"{batch.unit} {batch.positions[other]}")
    return lost


def _drop_rows_of(decided: Decided, lost: set[int], on_duplicate: OnDuplicate) -> None:
    """Drop all passages of a row whose first passage has lost its key."""
    batch = decided.prepared.batch
    numbers = batch.passages or ()
    gone = {batch.positions[index] for index in lost if numbers[index] == 0}
    for index, position in enumerate(batch.positions):
        if position in gone and index not in lost:
            lost.add(index)
            _lose(decided, index, on_duplicate, "its first passage")


def _wins(
    decided: Decided,
    index: int,
    digest: bytes,
    other: tuple[int, int] | None,
    on_duplicate: OnDuplicate,
    files: Sequence[str],
) -> bool:
    """Return whether a row keeps its key against a row of an earlier batch."""
    batch = decided.prepared.batch
    mine = (decided.prepared.file, batch.positions[index])
    if other is None or other == mine:
        return True
    if (mine > other) == (on_duplicate == "last"):
        decided.displaced.append(digest)
        if on_duplicate == "reject":
            decided.displaced_rejects.append(
                Reject(
                    reason="duplicate_key",
                    message=f"its key comes before: {batch.file}, {batch.unit} {mine[1]}",
                    file=files[other[0]],
                    unit=batch.unit,
                    position=other[1],
                )
            )
        return True
    where = "" if files[other[0]] == batch.file else f"{files[other[0]]}, "
    _lose(decided, index, on_duplicate, f"{where}{batch.unit} {other[1]}")
    return False


def _lose(decided: Decided, index: int, on_duplicate: OnDuplicate, where: str) -> None:
    if on_duplicate == "reject":
        batch = decided.prepared.batch
        key = decided.prepared.ids[index] if batch.keys is None else batch.keys[index]
        decided.duplicates[index] = f"the key {key!r} came before in this run: {where}"
    else:
        decided.superseded.append(index)


def settlement(
    decided: Decided, refused: Mapping[int, str], *, on_duplicate: OnDuplicate
) -> tuple[Settlement, list[Reject]]:
    """Return the account of a batch that the engine acknowledged: for ledger and rejects file.

    Args:
        decided: The batch.
        refused: Rows that the engine refused, each with the reason.
        on_duplicate: As for `decide`.

    Raises:
        VerificationError: If the batch does not add up, which is a defect of this package.
    """
    prepared, batch = decided.prepared, decided.prepared.batch
    rejects = list(batch.rejects)
    rejects += [
        batch.reject(i, "duplicate_key", message) for i, message in decided.duplicates.items()
    ]
    rejects += [batch.reject(row, "refused", problem) for row, problem in refused.items()]
    stored = [row for row in decided.write if row not in refused] if refused else decided.write
    changed = [row for row in decided.payload if row not in refused]
    outcomes: dict[Outcome, list[int]] = {
        "stored": stored,
        "payload": changed,
        "unchanged": decided.unchanged,
        "refused": list(refused),
    }
    if batch.passages is None:
        totals = Totals(
            read=batch.rows,
            stored=len(stored),
            payload_updated=len(changed),
            unchanged=len(decided.unchanged),
            superseded=len(decided.superseded),
            rejected=len(rejects),
            new=len(decided.new.difference(refused)),
            points=len(stored),
            reasons=dict(Counter(reject.reason for reject in rejects)),
        )
    else:
        rejects, totals = _of_passages(decided, outcomes, rejects, refused)
    if not totals.adds_up:
        raise VerificationError(
            collection=batch.file,
            problem=f"the batch from {batch.unit} {batch.start} on does not add up: {totals}",
        )
    done = Settlement(
        file=prepared.file,
        start=batch.start,
        stop=batch.stop,
        totals=totals,
        rows={name: prepared.rows.take(found) for name, found in outcomes.items() if found},
        displaced=decided.displaced,
        displaced_as="rejected" if on_duplicate == "reject" else "superseded",
    )
    return done, [*rejects, *decided.displaced_rejects]


def _of_passages(
    decided: Decided,
    outcomes: Mapping[Outcome, list[int]],
    rejects: list[Reject],
    refused: Mapping[int, str],
) -> tuple[list[Reject], Totals]:
    """Sum up rows that are several passages each: a row has the first outcome of its passages.

    A row of which any passage is refused is a reject, because it is not completely stored.
    """
    positions = decided.prepared.batch.positions
    outcome_rows: list[set[int]] = [
        {positions[index] for index in found}
        for found in (
            outcomes["stored"], outcomes["payload"], outcomes["unchanged"], decided.superseded
        )
    ]  # fmt: skip
    first: dict[int | None, Reject] = {}
    for reject in rejects:
        first.setdefault(reject.position, reject)
    taken = {one for one in first if one is not None}
    counts = []
    for own in outcome_rows:
        counts.append(len(own - taken))
        taken |= own
    stored, changed, unchanged, superseded = counts
    return list(first.values()), Totals(
        read=decided.prepared.batch.rows,
        stored=stored,
        payload_updated=changed,
        unchanged=unchanged,
        superseded=superseded,
        rejected=len(first),
        new=len(decided.new.difference(refused)),
        points=len(outcomes["stored"]),
        reasons=dict(Counter(reject.reason for reject in first.values())),
    )
