"""Defines `Batch`: up to a thousand records with their address, and ranges of such addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from qdrant_static.digests import payload_digest
from qdrant_static.ids import Key
from qdrant_static.reading.payloads import PayloadRows
from qdrant_static.reading.rejects import Reason, Reject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Unit = Literal["line", "row"]

#: A batch ends at whichever comes first.
MAX_ROWS = 1000
MAX_BYTES = 8 * 2**20

#: File name -> half-open ranges of positions that are settled, sorted, without overlap.
SettledRanges = Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """n rows as they were read, also the fields that are not stored; converted when used.

    Attributes:
        row: Converts the row with a number.
        at: n such numbers.
    """

    row: Callable[[int], Any]
    at: Sequence[int]

    def __getitem__(self, index: int) -> Any:
        return self.row(self.at[index])

    def take(self, indices: Sequence[int]) -> Whole:
        """Return some of the rows; one may come several times."""
        return Whole(row=self.row, at=[self.at[index] for index in indices])


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Consecutive records of one file, and the rejects among them.

    The ranges ``[start, stop)`` of a file's batches tile it: every position lies in exactly one,
    whether it is that of a record, of a reject, or of a line without a row (a blank line, a header
    of CSV).

    Attributes:
        file: The file that they come from.
        unit: What positions count: ``"line"`` from 1, ``"row"`` from 0.
        positions: n positions in the file, rising; that of a passage is the position of its row.
        keys: n record keys; None: the key is a digest of the text.
        texts: n texts, ``large_string``, none null, none blank (one may be empty if there are
            ready vectors).
        payloads: n payloads.
        rejects: The records that cannot be stored.
        start: The first position that the batch accounts for.
        stop: The position after the last; -1 for ``start`` or ``stop`` derives both from records
            and rejects.
        vectors: float32 ``(n, dimension)``: ready vectors, instead of the encoder's.
        passages: n numbers of passages within their rows, from 0; None where rows are whole.
        notes: Column -> a note about it to show.
        whole: n rows as they were read, for rejects; None: only the payloads are known.
    """

    file: str
    unit: Unit
    positions: Sequence[int]
    keys: list[Key] | None
    texts: pa.LargeStringArray
    payloads: Sequence[dict[str, Any]]
    rejects: list[Reject]
    start: int = -1
    stop: int = -1
    vectors: NDArray[np.float32] | None = None
    passages: Sequence[int] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    whole: Whole | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or self.stop < 0:
            taken = [*self.positions, *(r.position for r in self.rejects if r.position is not None)]
            object.__setattr__(self, "start", min(taken, default=0))
            object.__setattr__(self, "stop", max(taken, default=-1) + 1)

    def __len__(self) -> int:
        return len(self.payloads)

    @property
    def rows(self) -> int:
        """Number of rows of the file that the batch accounts for; passages of a row count once."""
        if self.passages is None:
            return len(self) + len(self.rejects)
        return len({*self.positions, *(reject.position for reject in self.rejects)})

    @property
    def columns(self) -> pa.RecordBatch | None:
        """The payloads as columns, n rows; None where the input has no columns."""
        return self.payloads.columns if isinstance(self.payloads, PayloadRows) else None

    def payload_rows(self) -> list[dict[str, Any]]:
        """Return the n payloads as dictionaries."""
        rows = self.payloads
        return rows.rows() if isinstance(rows, PayloadRows) else list(rows)

    def payload_digests(self) -> list[bytes]:
        """Hash the n payloads, as `digests.payload_digest` does."""
        rows = self.payloads
        return rows.digests() if isinstance(rows, PayloadRows) else [*map(payload_digest, rows)]

    def reject(self, index: int, reason: Reason, message: str) -> Reject:
        """Return the record at an index as a reject."""
        return Reject(
            reason=reason,
            message=message,
            file=self.file,
            unit=self.unit,
            position=self.positions[index],
            row=self.payloads[index] if self.whole is None else self.whole[index],
        )

    def take(self, indices: Sequence[int]) -> Batch:
        """Return the batch with only some of its records; rejects and range stay."""
        if len(indices) == len(self):
            return self
        rows = self.payloads
        return replace(
            self,
            positions=[self.positions[index] for index in indices],
            keys=None if self.keys is None else [self.keys[index] for index in indices],
            texts=self.texts.take(pa.array(indices, type=pa.int64())),
            payloads=(
                rows.take(indices)
                if isinstance(rows, PayloadRows)
                else [rows[index] for index in indices]
            ),
            vectors=None if self.vectors is None else self.vectors[list(indices)],
            whole=None if self.whole is None else self.whole.take(indices),
            passages=(
                None if self.passages is None else [self.passages[index] for index in indices]
            ),
        )


def unsettled(
    start: int, stop: int, settled: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield the parts of a range that no settled range covers, in order."""
    for begin, end in settled:
        if end <= start:
            continue
        if begin >= stop:
            break
        if begin > start:
            yield start, begin
        start = max(start, end)
    if start < stop:
        yield start, stop


class SettledPositions:
    """Finds which positions are settled; they must be asked for in rising order.

    Args:
        ranges: Half-open ranges, sorted, which do not overlap.
    """

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        self._ranges = [one for one in ranges if one[0] < one[1]]
        self._next = 0

    def end_of(self, position: int) -> int | None:
        """Return the end of the settled range that a position lies in; None if it lies in none."""
        while self._next < len(self._ranges) and self._ranges[self._next][1] <= position:
            self._next += 1
        if self._next == len(self._ranges) or self._ranges[self._next][0] > position:
            return None
        return self._ranges[self._next][1]
