"""Sparse vectors as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SparseRows:
    """Sparse vectors: those of row i are ``[pointers[i] : pointers[i + 1]]`` of both arrays.

    Attributes:
        indices: uint32 (nnz,), term ids, ascending within each row, each once.
        values: float32 (nnz,), their weights.
        pointers: int64 (n + 1,).
        n_terms: How many terms all rows have, after stop words and stemming, with repeats.
    """

    indices: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]
    pointers: npt.NDArray[np.int64]
    n_terms: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.pointers) - 1

    def __iter__(self) -> Iterator[SparseQuery]:
        return (self.row(i) for i in range(len(self)))

    @property
    def mean_length(self) -> float:
        """Mean number of terms per row, the ``avg_len`` for these rows; 0.0 without rows."""
        return self.n_terms / len(self) if len(self) else 0.0

    def row(self, i: int) -> SparseQuery:
        """Return the vector of one row."""
        part = slice(int(self.pointers[i]), int(self.pointers[i + 1]))
        return SparseQuery(indices=self.indices[part], values=self.values[part])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SparseQuery:
    """One sparse vector.

    Attributes:
        indices: uint32 (nnz,), term ids, ascending, each once.
        values: float32 (nnz,), their weights.
    """

    indices: npt.NDArray[np.uint32]
    values: npt.NDArray[np.float32]
