"""A query as a plan needs it: text, and the vectors that encoders made of it, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qdrant_static.encoders.sparsevectors import SparseQuery


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """A query, encoded; a plan uses what it needs, every stage the same.

    Attributes:
        text: The query's text, where there is one; a cross-encoder reads it.
        dense: float32 ``(dim,)``, the encoder's own vector: not cut, not scaled.
        sparse: The BM25 terms.
        late: float32 ``(tokens, dim)``, the late-interaction encoder's rows.
    """

    text: str | None = None
    dense: NDArray[np.float32] | None = None
    sparse: SparseQuery | None = None
    late: NDArray[np.float32] | None = None

    @property
    def has_dense(self) -> bool:
        """Whether the dense vector says anything: a text of unknown tokens is a row of zeros."""
        return self.dense is not None and bool(self.dense.any())

    @property
    def has_sparse(self) -> bool:
        """Whether there is a term: a text of stop words has none."""
        return self.sparse is not None and len(self.sparse.indices) > 0

    @property
    def has_late(self) -> bool:
        """Whether there is a row."""
        return self.late is not None and len(self.late) > 0
