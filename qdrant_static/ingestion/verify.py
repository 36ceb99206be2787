"""Verifies a collection: counts, missing points, and samples that are read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.clients.connect import check_client
from qdrant_static.clients.statefolder import StateFolder, state_folder
from qdrant_static.collection.create import read_spec
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import PointId, id_of_digest, plain_id
from qdrant_static.ingestion.preparing import rebuild
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.records import Known, UnreadableFile, unreadable_lines
from qdrant_static.payloadcompare import agrees, same_payload

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ingestion.writing import Sampled
    from qdrant_static.reading.sources import PathLike
    from qdrant_static.sinks.encoding import BatchEncoder

#: So many points are named one by one.
MOST_NAMED = 100
_PAGE = 1000
#: A stored vector and its encoding again: the least cosine. The engine normalizes in float32; what
#: it stores in fewer bits is only near.
_LEAST_COSINE = 0.9999
_LEAST_COSINE_SHORT = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A row that is in the ledger and not in the collection.

    Attributes:
        id: Its point id.
        file: Its input file; None if the ledger no longer knows.
        position: Where in the file.
        problem: What is wrong.
    """

    id: PointId
    file: str | None
    position: int | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The findings of `verify`.

    Attributes:
        collection: The collection.
        points: Exact count.
        expected: Points that the ledger knows.
        missing: Of those, how many are not there.
        unknown: Points that are there and the ledger does not know.
        compared: Points of which the payload, or payload and vectors, were compared.
        different: Of those, how many differ.
        named: The first of the missing and different ones.
        never_read: Files of the input that a run could not read to their end, and no run has since.
    """

    collection: str
    points: int
    expected: int
    missing: int
    unknown: int
    compared: int
    different: int
    named: tuple[Missing, ...]
    never_read: tuple[UnreadableFile, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether the whole input was read, and the collection has it as it was stored."""
        return not self.missing and not self.different and not self.never_read

    def to_dict(self) -> dict[str, Any]:
        """The findings as JSON-like data."""
        return {**asdict(self), "is_sound": self.is_sound}

    def __str__(self) -> str:
        lines = [
            f"collection {self.collection!r}: {self.points:,} points; the ledger knows "
            f"{self.expected:,}",
            f"missing {self.missing:,}; unknown to the ledger {self.unknown:,}; "
            f"{self.different:,} of {self.compared:,} compared points differ",
        ]
        for one in self.named:
            where = "" if one.file is None else f" ({one.file}, {one.position})"
            lines.append(f"  {one.id}{where}: {one.problem}")
        more = self.missing + self.different - len(self.named)
        if more > 0:
            lines.append(f"  and {more:,} more")
        if self.never_read:
            lines.append(
                f"the input is not all in: {len(self.never_read):,} files could not be read to "
                "their end; mend them, and repeat the ingest"
            )
            lines += unreadable_lines(self.never_read, MOST_NAMED)
        return "\n".join(lines)


def verify(
    client: Client,
    collection: str,
    *,
    state: PathLike | None = None,
    sample: int = 1000,
    repair: bool = False,
    anew: bool = False,
) -> Verification:
    """Compare a collection with its ledger.

    Every point that the ledger has is looked up; of some, chosen by chance, the payload is
    compared too.

    Args:
        client: Where the collection is.
        collection: The collection.
        state: The folder of its ledger; None for the default.
        sample: How many payloads are compared.
        repair: Forget what is missing, so that the next ``sync`` stores it again.
        anew: Make the ledger's rows from the collection first, as if all were well: for a ledger
            that was lost, or a collection that others have written to.

    Raises:
        ArgumentError: If there is no ledger.
        JobRunningError: If a job is at work on the collection.
        CollectionNotFoundError: If there is no such collection.
    """
    check_client(client, "verify(client, collection)")
    spec = read_spec(client, collection)
    folder = state_folder(state, client, collection)
    if not anew and not (folder / "ledger.sqlite").exists():
        raise ArgumentError(field="state", problem=f"there is no ledger in {folder}")
    with StateFolder(folder, collection) as files, Ledger(files.ledger) as ledger:
        if anew:
            rebuild(client, collection, ledger, spec)
            ledger.runs.forget_unreadable()
        check = _Check(client, collection, ledger)
        check.look_up()
        check.compare(sample)
        if repair:
            ledger.rows.forget(check.lost)
        points = int(client.count(collection, exact=True).count)
        never_read = ledger.runs.never_read()
    return Verification(
        collection=collection,
        points=points,
        expected=check.expected,
        missing=check.missing,
        unknown=max(0, points - (check.expected - check.missing)),
        compared=check.compared,
        different=check.different,
        named=tuple(check.named),
        never_read=never_read,
    )


class _Check:
    """A comparison: its counters, and the points that differ or are missing."""

    def __init__(self, client: Client, collection: str, ledger: Ledger) -> None:
        self._client = client
        self._collection = collection
        self._ledger = ledger
        self._files: dict[int, list[str]] = {}
        self.expected = self.missing = self.compared = self.different = 0
        self.lost: list[bytes] = []
        self.named: list[Missing] = []

    def look_up(self) -> None:
        """Look up every point that the ledger knows."""
        for page in self._ledger.rows.pages(size=_PAGE):
            self.expected += len(page)
            ids = [id_of_digest(digest) for digest, _, _ in page]
            there = _records(self._client, self._collection, ids, payload=False)
            for point, (digest, _, known) in zip(ids, page, strict=True):
                if point not in there:
                    self.missing += 1
                    self._lose(digest, known, "it is not in the collection")

    def compare(self, count: int) -> None:
        """Compare the payloads of some points that are there."""
        gone = set(self.lost)
        for page in self._ledger.rows.samples(count, size=_PAGE):
            chosen = [row for row in page if row[0] not in gone and any(row[1])]
            ids = [id_of_digest(digest) for digest, _, _ in chosen]
            records = _records(self._client, self._collection, ids, payload=True)
            for point, (digest, payload, known) in zip(ids, chosen, strict=True):
                self.compared += 1
                if not agrees(records.get(point, {}), payload):
                    self.different += 1
                    self._lose(digest, known, "its payload was changed")

    def _lose(self, digest: bytes, known: Known, problem: str) -> None:
        self.lost.append(digest)
        if len(self.named) >= MOST_NAMED:
            return
        if known.run not in self._files:
            self._files[known.run] = [path for path, _ in self._ledger.runs.files(known.run)]
        files = self._files[known.run]
        has_file = 0 <= known.file < len(files)
        self.named.append(
            Missing(
                id=id_of_digest(digest),
                file=files[known.file] if has_file else None,
                position=known.position if has_file else None,
                problem=problem,
            )
        )


def check_samples(
    client: Client,
    collection: str,
    spec: CollectionSpec,
    encoder: BatchEncoder,
    sampled: Iterable[Sampled],
    *,
    exact: bool = True,
) -> tuple[int, list[Missing]]:
    """Read stored rows back, and compare payloads and vectors with a new encoding.

    Args:
        client: Where the collection is.
        collection: The collection.
        spec: Its spec.
        encoder: Its encoder.
        sampled: The rows.
        exact: Whether ready vectors of the rows have all their bits.

    Returns:
        How many were compared, and what is wrong.
    """
    import pyarrow as pa

    rows = list(sampled)
    if not rows:
        return 0, []
    names = [vector.name for vector in spec.vectors]
    records = {
        plain_id(record.id): record
        for record in client.retrieve(
            collection, [row.id for row in rows], with_payload=True, with_vectors=names
        )
    }
    wrong = []
    for row in rows:
        record = records.get(row.id)
        if record is None:
            wrong.append((row.id, "it is not in the collection"))
            continue
        if not same_payload(row.payload, record.payload or {}):
            wrong.append((row.id, "its payload is not what was stored"))
        encoded = encoder.encode(pa.array([row.text], pa.large_string()), row.ready, counted=False)
        for vector in spec.vectors:
            kept = (
                (record.vector or {}).get(vector.name) if isinstance(record.vector, dict) else None
            )
            short = getattr(vector, "datatype", None) not in (None, "float32", "float16")
            least = _LEAST_COSINE_SHORT if short or not exact else _LEAST_COSINE
            if not _agree(kept, encoded.dense[vector.name][0], least):
                wrong.append((row.id, f"its vector {vector.name!r} is not what encoding gives"))
    return len(rows), [
        Missing(id=i, file=None, position=None, problem=problem) for i, problem in wrong
    ]


def _agree(kept: Any, encoded: Any, least: float) -> bool:
    if kept is None:
        return False
    a, b = np.asarray(kept, np.float64), np.asarray(encoded, np.float64)
    if a.shape != b.shape:
        return False
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    if lengths == 0:
        return not a.any() and not b.any()
    return float(a @ b) / lengths >= least


def _records(
    client: Client, collection: str, ids: Sequence[PointId], *, payload: bool
) -> dict[PointId, Mapping[str, Any]]:
    """Return the existing points of some ids, with their payloads on request."""
    if not ids:
        return {}
    found = client.retrieve(collection, list(ids), with_payload=payload, with_vectors=False)
    return {plain_id(record.id): record.payload or {} for record in found}
