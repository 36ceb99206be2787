"""CountMatrix: the token counts of many texts as the kernels read them, in both directions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qdrant_static.encoders.threads import core_count, map_blocks

if TYPE_CHECKING:
    import scipy.sparse as sp

#: Parts of a product per thread, so that threads finish at about the same time.
_PARTS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SparseRows:
    """A sparse matrix by rows (CSR).

    Attributes:
        ends: int64 (n + 1,), where each row begins and ends.
        indices: int32, the columns of the entries.
        shares: float32, the entries.
    """

    ends: NDArray[np.int64]
    indices: NDArray[np.int32]
    shares: NDArray[np.float32]

    @classmethod
    def of(cls, matrix: sp.csr_array) -> SparseRows:
        """Take the arrays of a matrix of SciPy."""
        return cls(
            ends=np.ascontiguousarray(matrix.indptr, np.int64),
            indices=np.ascontiguousarray(matrix.indices, np.int32),
            shares=np.ascontiguousarray(matrix.data, np.float32),
        )

    def __len__(self) -> int:
        return len(self.ends) - 1

    def times(
        self,
        table: NDArray[np.float32],
        rows: NDArray[np.int64] | None = None,
        *,
        threads: int | None = None,
    ) -> NDArray[np.float32]:
        """Multiply the matrix, or some of its rows, by a table.

        Args:
            table: float32 (columns, dim).
            rows: int64 (m,); None for all.
            threads: How many to use; None for one per core. The result does not depend on it.

        Returns:
            float32 (m, dim).
        """
        from qdrant_static.training.tablekernels import sum_rows

        wanted = np.arange(len(self)) if rows is None else rows
        out = np.empty((len(wanted), table.shape[1]), np.float32)

        def work(span: tuple[int, int]) -> None:
            sum_rows(self.ends, self.indices, self.shares, table, wanted, *span, out)

        run_parts(work, self._spans(wanted, threads), threads)
        return out

    def _spans(self, rows: NDArray[np.int64], threads: int | None) -> list[tuple[int, int]]:
        """Divide rows so that each part has about as many entries."""
        parts = _PARTS * (core_count() if threads is None else threads)
        work = np.cumsum(self.ends[rows + 1] - self.ends[rows] + 1)
        cuts = np.searchsorted(work, np.linspace(0, work[-1] if len(work) else 0, parts + 1)[1:-1])
        edges = [0, *(int(cut) for cut in cuts), len(rows)]
        return [(a, b) for a, b in pairwise(edges) if b > a]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CountMatrix:
    """Token counts of texts, without the columns of tokens that no text has.

    Attributes:
        by_text: (n, used): for each text the shares of its tokens.
        by_token: (used, n), the transpose.
        tokens: int64 (used,), the token id of each column, ascending.
    """

    by_text: SparseRows
    by_token: SparseRows
    tokens: NDArray[np.int64]

    @classmethod
    def of(cls, counts: sp.csr_array, tokens: NDArray[np.int64]) -> CountMatrix:
        """Keep some columns.

        Args:
            counts: float32 (n, rows), as `TableModel.counts` gives them.
            tokens: int64 (used,), ascending; all columns that have entries are among them.
        """
        import scipy.sparse as sp

        columns = np.searchsorted(tokens, counts.indices).astype(np.int32)
        used = sp.csr_array(
            (counts.data, columns, counts.indptr), shape=(counts.shape[0], len(tokens))
        )
        return cls(
            by_text=SparseRows.of(used), by_token=SparseRows.of(used.T.tocsr()), tokens=tokens
        )

    def scaled(self, factors: NDArray[np.float32]) -> CountMatrix:
        """Multiply every text's counts by a factor of its own, float32 (n,)."""
        by_text, by_token = self.by_text, self.by_token
        repeated = np.repeat(factors, np.diff(by_text.ends))
        return replace(
            self,
            by_text=replace(by_text, shares=by_text.shares * repeated),
            by_token=replace(by_token, shares=by_token.shares * factors[by_token.indices]),
        )

    def __len__(self) -> int:
        return len(self.by_text)


def run_parts(
    work: Callable[[tuple[int, int]], None], spans: list[tuple[int, int]], threads: int | None
) -> None:
    """Call ``work`` with every part, in threads where there are several."""
    wanted = core_count() if threads is None else threads
    map_blocks(work, spans, min(wanted, len(spans)))
