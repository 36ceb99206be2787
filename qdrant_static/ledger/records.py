"""The data that goes into a ledger and comes out of it: rows, settled batches, sums and runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from qdrant_static.digests import Digests

#: The parts of a sum, as the columns of the ledger are called.
SUM = ("read", "stored", "payload_updated", "unchanged", "superseded", "rejected", "new", "points")

#: A half-open range of positions in a file.
Span = tuple[int, int]
Outcome = Literal["stored", "payload", "unchanged", "refused"]
RunState = Literal["running", "interrupted", "failed", "built", "abandoned", "finished"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableFile:
    """A part of an input that could not be read: a file, the rest of one, or a folder.

    Attributes:
        file: Its name.
        problem: Why, and from where on.
    """

    file: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file}: {self.problem}"


class Known(NamedTuple):
    """What the ledger knows of one point: the row that it was made of, and the row's state."""

    run: int
    file: int
    position: int
    state: str


#: A point: the digest of its id, that of its payload, and where it came from.
PointRecord: TypeAlias = tuple[bytes, bytes, Known]


@dataclass(slots=True, kw_only=True)
class Rows:
    """Rows of one batch whose outcome is the same.

    Attributes:
        ids: uint8 ``(n, 16)``, digests of the point ids.
        texts: uint8 ``(n, 16)``.
        payloads: uint8 ``(n, 16)``.
        positions: n positions in the file.
    """

    ids: Digests
    texts: Digests
    payloads: Digests
    positions: Sequence[int]

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, indices: Sequence[int]) -> Rows:
        """Return some of the rows."""
        return Rows(
            ids=self.ids[indices],
            texts=self.texts[indices],
            payloads=self.payloads[indices],
            positions=[self.positions[index] for index in indices],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The sum of a run: ``read = stored + payload_updated + unchanged + superseded + rejected``."""

    read: int = 0
    stored: int = 0
    payload_updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: int = 0
    new: int = 0
    points: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """Whether the parts make up the number of rows read, and the reasons that of rejects."""
        parts = self.stored + self.payload_updated + self.unchanged
        return (
            self.read == parts + self.superseded + self.rejected
            and sum(self.reasons.values()) == self.rejected
        )

    def __add__(self, other: Totals) -> Totals:
        counts = {name: getattr(self, name) + getattr(other, name) for name in SUM}
        reasons = Counter(self.reasons) + Counter(other.reasons)
        return Totals(**counts, reasons=dict(sorted(reasons.items())))


def unreadable_lines(files: Sequence[UnreadableFile], most: int) -> list[str]:
    """List files that could not be read, a line each, and count those beyond the first ones.

    Args:
        files: The files.
        most: So many are listed.
    """
    lines = [f"  {one}" for one in files[:most]]
    if (more := len(files) - most) > 0:
        lines.append(f"  and {more:,} more")
    return lines


def sum_line(counts: Mapping[str, int], *, word: str = "stored") -> str:
    """Write a sum in one line: ``read 10 = stored 9 + rejected 1``.

    Args:
        counts: The parts, by name, as in `Totals`.
        word: What to call the rows that are ``stored``.
    """
    rare = ("payload_updated", "unchanged", "superseded")
    between = "".join(f" + {one.replace('_', ' ')} {counts[one]:,}" for one in rare if counts[one])
    stored, rejected = counts["stored"], counts["rejected"]
    return f"read {counts['read']:,} = {word} {stored:,}{between} + rejected {rejected:,}"


class Encoded(NamedTuple):
    """Counts texts that were encoded, their BM25 terms, and texts without a known token."""

    texts: int = 0
    terms: int = 0
    zeros: int = 0


@dataclass(slots=True, kw_only=True)
class Settlement:
    """The account of one batch that is done.

    Attributes:
        file: Number of its file in the run.
        start: First position of its range.
        stop: Position after the last.
        totals: Its part of the sum.
        rows: Its rows by outcome; a row whose key another row has taken is in none.
        displaced: Keys that a row of this batch takes from a row of an earlier batch.
        displaced_as: How those earlier rows are counted from now on.
        encoded: What was encoded of it.
    """

    file: int
    start: int
    stop: int
    totals: Totals
    rows: Mapping[Outcome, Rows]
    displaced: Sequence[bytes] = ()
    displaced_as: Literal["superseded", "rejected"] = "superseded"
    encoded: Encoded | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, as the ledger records it; the fields are the columns of its table.

    Attributes:
        state: ``built``: complete in a local folder, and not yet proved by the server.
        building: Whether its rows lie in a local folder, and not in the collection.
        totals: Its sum, as JSON, once its batches are forgotten.
        removed: Names of its files that were removed since, as JSON; None: not looked for yet.
    """

    id: int
    state: RunState
    started: str
    finished: str | None
    attempts: int
    identity: Mapping[str, Any]
    points_before: int | None
    points_after: int | None
    deleted: int
    complete: bool
    rejects: str | None
    rejects_bytes: int
    versions: Mapping[str, str]
    building: bool = False
    totals: str | None = None
    removed: str | None = None


def columns(rows: Rows) -> dict[str, Any]:
    """Return rows as the parameters of a statement."""
    return {
        "ids": rows.ids.tobytes(),
        "texts": rows.texts.tobytes(),
        "payloads": rows.payloads.tobytes(),
        "positions": json.dumps(list(rows.positions)),
    }
