"""Tables of tokens while they are fitted to pairs: sums of rows, and steps of Adam."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

#: Adam's decay of the first and second moments, and what keeps it from dividing by zero.
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


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
    """

    def __init__(self, counts: Any, parent: NDArray[np.float32], pull: float) -> None:
        self._counts, self._parent, self._pull = counts, parent, pull
        self.table = parent.copy()
        self._mean, self._square = np.zeros_like(parent), np.zeros_like(parent)
        self._steps = 0
        #: What a rate of 1 is: the mean size of the entries.
        self._scale = float(np.abs(parent).mean())

    def sums(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the weighted sums of the rows of texts' tokens."""
        touched, counts = self._compact(rows)
        return np.asarray(counts @ self.table[touched], np.float32)

    def step(self, rows: NDArray[np.int64], gradient: NDArray[np.float32], rate: float) -> None:
        """Take a step of Adam (Kingma and Ba, 2015, arXiv:1412.6980) in the touched rows.

        The pull to the parent is decoupled from the gradient, as weight decay is in AdamW
        (Loshchilov and Hutter, 2019, arXiv:1711.05101).
        """
        touched, counts = self._compact(rows)
        by_row = counts.T @ gradient
        self._steps += 1
        mean = _BETA_1 * self._mean[touched] + (1 - _BETA_1) * by_row
        square = _BETA_2 * self._square[touched] + (1 - _BETA_2) * by_row**2
        self._mean[touched], self._square[touched] = mean, square
        size = np.sqrt(square / (1 - _BETA_2**self._steps)) + _EPSILON
        moved = rate * self._scale * (mean / (1 - _BETA_1**self._steps)) / size
        away = self.table[touched] - self._parent[touched]
        self.table[touched] -= moved + rate * self._pull * away

    def _compact(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
        """Return the token ids of some texts, and their counts with a column for each of these."""
        from scipy.sparse import csr_array

        part = self._counts[rows]
        touched, columns = np.unique(part.indices, return_inverse=True)
        counts = csr_array((part.data, columns, part.indptr), shape=(len(rows), len(touched)))
        return touched, counts
