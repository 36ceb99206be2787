"""Defines `Query`, a text with the vectors that a plan needs, and encodes texts to queries.

A text is encoded once, even if the plan has several stages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qdrant_static.collection.bm25 import bm25_encoder
from qdrant_static.collection.passes import uses_sparse
from qdrant_static.collection.vectorspec import SparseSpec
from qdrant_static.encoders import queries
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.encoders.sparse import Bm25Encoder
    from qdrant_static.encoders.sparsevectors import SparseQuery


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """An encoded query; all stages of a plan use the same vectors.

    Attributes:
        text: The query's text, where there is one; a cross-encoder reads it.
        dense: float32 ``(dim,)``, the encoder's own vector: not truncated, not scaled.
        sparse: The BM25 terms.
        late: float32 ``(tokens, dim)``, the late-interaction encoder's rows.
    """

    text: str | None = None
    dense: NDArray[np.float32] | None = None
    sparse: SparseQuery | None = None
    late: NDArray[np.float32] | None = None

    @property
    def has_dense(self) -> bool:
        """Whether the dense vector is not all zeros, as that of unknown tokens is."""
        return self.dense is not None and bool(self.dense.any())

    @property
    def has_sparse(self) -> bool:
        """Whether there is a BM25 term; a text of stop words has none."""
        return self.sparse is not None and len(self.sparse.indices) > 0

    @property
    def has_late(self) -> bool:
        """Whether there is a late-interaction row."""
        return self.late is not None and len(self.late) > 0


def encode_queries(
    texts: Sequence[str],
    plan: SearchPlan,
    spec: CollectionSpec,
    *,
    encoder: Encoder | None = None,
    late_encoder: Any = None,
) -> list[Query]:
    """Encode texts for a plan, in one call of each encoder.

    Args:
        texts: The queries.
        plan: The plan; it decides which vectors are made.
        spec: The collection's spec.
        encoder: The collection's encoder, if the plan needs dense vectors.
        late_encoder: The late-interaction encoder, with ``encode_queries(texts)``, if the plan
            needs its rows.

    Raises:
        ArgumentError: If a text is empty or not a string, or an encoder is missing.
    """
    texts = list(texts)
    for text in texts:
        check_text(text)
    dense = late = None
    if texts and plan.needs_dense:
        dense = queries.encode_queries(_required("encoder", encoder), texts)
    if texts and plan.needs_late:
        late = _required("late_encoder", late_encoder).encode_queries(texts)
    terms: Callable[[str], Any] | None = None
    if uses_sparse(plan, spec):
        bm25 = _bm25(spec.sparse or SparseSpec())

        def terms(text: str) -> Any:
            return bm25.encode_query(text, repeated_terms=plan.repeated_terms)

    return [
        Query(
            text=text,
            dense=None if dense is None else dense[row],
            sparse=None if terms is None else terms(text),
            late=None if late is None else late[row],
        )
        for row, text in enumerate(texts)
    ]


def check_text(text: object) -> None:
    """Raise an error for a query that cannot be encoded.

    Raises:
        ArgumentError: If it is empty, not a string, or not valid Unicode.
    """
    if not isinstance(text, str):
        raise ArgumentError(field="query", problem=f"{text!r} is not a string")
    if not text.strip():
        raise ArgumentError(field="query", problem="has no text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            field="query", problem=f"is not valid Unicode: {error.reason}"
        ) from error


def _required(name: str, value: Any) -> Any:
    if value is None:
        raise ArgumentError(field=name, problem="the plan needs it")
    return value


@lru_cache(maxsize=8)
def _bm25(sparse: SparseSpec) -> Bm25Encoder:
    return bm25_encoder(sparse)
