"""Batch: a few thousand records on their way, each with its address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from qdrant_static.ids import Key
from qdrant_static.ingest.rejects import Reject

Unit = Literal["line", "row"]

#: A batch ends at whichever comes first.
MAX_ROWS = 1000
MAX_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Consecutive records of one file; those that cannot be stored are set apart.

    Attributes:
        file: The file they come from.
        unit: What positions count: ``"line"`` from 1, ``"row"`` from 0.
        positions: n positions in the file.
        keys: n record keys; None: the key is a digest of the text.
        texts: n texts, ``large_string``, none null, none blank.
        payloads: n payloads.
        rejects: The records that were set apart.
    """

    file: str
    unit: Unit
    positions: Sequence[int]
    keys: list[Key] | None
    texts: pa.LargeStringArray
    payloads: list[dict[str, Any]]
    rejects: list[Reject]
    start: int = -1
    stop: int = -1
    vectors: Any = None
    passages: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or self.stop < 0:
            taken = [*self.positions, *(r.position for r in self.rejects if r.position is not None)]
            object.__setattr__(self, "start", min(taken, default=0))
            object.__setattr__(self, "stop", max(taken, default=-1) + 1)

    def payload_digests(self) -> list[bytes]:
        from qdrant_static.ingest.payloadrows import payload_digests

        return payload_digests(self.payloads)

    def __len__(self) -> int:
        return len(self.payloads)

    @property
    def rows(self) -> int:
        """Rows of the file that the batch accounts for."""
        return len(self) + len(self.rejects)

    def reject(
        self, index: int, reason: Literal["duplicate_key", "refused"], message: str
    ) -> Reject:
        """The record at an index, as a reject."""
        return Reject(
            reason=reason,
            message=message,
            file=self.file,
            unit=self.unit,
            position=self.positions[index],
            row=self.payloads[index],
        )

    def take(self, indices: Sequence[int]) -> Batch:
        """The same batch with some of its records only; the rejects stay."""
        if len(indices) == len(self):
            return self
        return Batch(
            file=self.file,
            unit=self.unit,
            positions=[self.positions[index] for index in indices],
            keys=None if self.keys is None else [self.keys[index] for index in indices],
            texts=self.texts.take(pa.array(indices, type=pa.int64())),
            payloads=[self.payloads[index] for index in indices],
            rejects=self.rejects,
        )
