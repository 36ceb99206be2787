"""Tables of tokens while they are fitted to pairs: sums of rows, and steps of Adam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qdrant_static.training.countmatrix import SparseRows
from qdrant_static.training.refine import TableAdam

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


class Vectors(Protocol):
    """Gives the vectors of texts, and takes gradients by them."""

    def sums(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of texts, float32 ``(n, dim)``, not normalized."""
        ...

    def step(self, rows: NDArray[np.int64], gradient: NDArray[np.float32], rate: float) -> None:
        """Take a step against a gradient, float32 ``(n, dim)``, by the vectors of texts."""
        ...


class FixedVectors:
    """Vectors that are not fitted.

    Args:
        vectors: float32 ``(n, dim)``.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors

    def sums(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return vectors."""
        return self._vectors[rows]

    def step(self, rows: NDArray[np.int64], gradient: NDArray[np.float32], rate: float) -> None:
        """Change nothing."""


class FittedTable:
    """A table that is fitted: of a batch, only the rows of its tokens are read and changed.

    Args:
        counts: Sparse float32 ``(texts, rows)``: each token's share of each text.
        parent: float32 ``(rows, dim)``, where the fit starts; it is not changed.
        pull: Share of its distance to the parent that a row loses in a step, relative to the rate.
        pool: Threads; the result does not depend on their number.
    """

    def __init__(
        self, counts: Any, parent: NDArray[np.float32], pull: float, pool: ThreadPoolExecutor
    ) -> None:
        self._counts = SparseRows.of(counts)
        self._parent, self._pull = parent, pull
        self.table = np.array(parent, np.float32, order="C")
        self._adam = TableAdam(self._counts, self.table, pool)
        #: What a rate of 1 is: the mean size of the entries.
        self._scale = float(np.abs(parent).mean())

    def sums(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the weighted sums of the rows of texts' tokens."""
        return self._counts.times(self.table, rows)

    def step(self, rows: NDArray[np.int64], gradient: NDArray[np.float32], rate: float) -> None:
        """Take a step of Adam in the touched rows, and pull them to the parent.

        The pull is decoupled from the gradient, as weight decay is in AdamW (Loshchilov and
        Hutter, 2019, arXiv:1711.05101).
        """
        by_sum = np.ascontiguousarray(gradient, np.float32)
        touched = self._adam.step(rows, by_sum, rate * self._scale)
        if self._pull:
            away = self.table[touched] - self._parent[touched]
            self.table[touched] -= np.float32(rate * self._pull) * away
