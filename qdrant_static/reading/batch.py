"""Batch: a few thousand records on their way, each with its address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """n rows as they were read, with what is not stored of them; made when they are asked for.

    Attributes:
        row: Number of a row -> the row.
        at: n such numbers.
    """

    row: Callable[[int], Any]
    at: Sequence[int]

    def __getitem__(self, index: int) -> Any:
        return self.row(self.at[index])

    def take(self, indices: Sequence[int]) -> Whole:
        """Some of the rows; one may come several times."""
        return Whole(row=self.row, at=[self.at[index] for index in indices])


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Consecutive records of one file; those that cannot be stored are set apart.

    The ranges ``[start, stop)`` of a file's batches tile it: every position lies in exactly one,
    be it a record's, a reject's, or a line's that holds no row (a blank one, a CSV's header).

    Attributes:
        file: The file they come from.
        unit: What positions count: ``"line"`` from 1, ``"row"`` from 0.
        positions: n positions in the file, rising; of passages, their row's.
        keys: n record keys; None: the key is a digest of the text.
        texts: n texts, ``large_string``, none null, none blank (beside ready vectors one may be
            empty).
        payloads: n payloads.
        rejects: The records that were set apart.
        start: The first position that the batch accounts for.
        stop: The position after the last; -1 (and ``start`` likewise) derives both from records
            and rejects.
        vectors: float32 ``(n, dimension)``: ready vectors, in place of the encoder's.
        passages: n numbers of passages within their rows, from 0; None where rows are whole.
        notes: Column -> what a person should know of it.
        whole: n rows as they were read, for rejects; None: the payloads are all that is known.
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
        """Rows of the file that the batch accounts for; passages of one row are one."""
        if self.passages is None:
            return len(self) + len(self.rejects)
        return len({*self.positions, *(reject.position for reject in self.rejects)})

    @property
    def columns(self) -> pa.RecordBatch | None:
        """The payloads as columns, n rows; None where the input has none."""
        return self.payloads.columns if isinstance(self.payloads, PayloadRows) else None

    def payload_rows(self) -> list[dict[str, Any]]:
        """The n payloads as dictionaries."""
        rows = self.payloads
        return rows.rows() if isinstance(rows, PayloadRows) else list(rows)

    def payload_digests(self) -> list[bytes]:
        """Hash the n payloads, as `digests.payload_digest` does."""
        rows = self.payloads
        return rows.digests() if isinstance(rows, PayloadRows) else [*map(payload_digest, rows)]

    def reject(self, index: int, reason: Reason, message: str) -> Reject:
        """The record at an index, as a reject."""
        return Reject(
            reason=reason,
            message=message,
            file=self.file,
            unit=self.unit,
            position=self.positions[index],
            row=self.payloads[index] if self.whole is None else self.whole[index],
        )

    def take(self, indices: Sequence[int]) -> Batch:
        """The same batch with some of its records only; the rejects and the range stay."""
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
