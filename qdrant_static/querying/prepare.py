"""Texts -> queries: each text is encoded once, whatever the stages of the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qdrant_static.collection.create import bm25_encoder
from qdrant_static.collection.vectorspec import SparseSpec
from qdrant_static.errors import ArgumentError
from qdrant_static.querying.query import Query

if TYPE_CHECKING:
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.encoders.sparse import Bm25Encoder


def encode_queries(
    texts: Sequence[str],
    plan: SearchPlan,
    spec: CollectionSpec,
    *,
    encoder: Encoder | None = None,
    late_encoder: Any = None,
) -> list[Query]:
    """Encode texts for a plan; all of them in one call of each encoder.

    Args:
        texts: The queries.
        plan: Which vectors it needs.
        spec: The collection's.
        encoder: The collection's, if the plan needs dense vectors.
        late_encoder: The late-interaction encoder, with ``encode_queries(texts)``, if it needs
            that.

    Raises:
        ArgumentError: If a text is none, or an encoder is missing.
    """
    asked = list(texts)
    for text in asked:
        check_text(text)
    dense = _needed("encoder", encoder).encode(asked) if asked and plan.needs_dense else None
    late = (
        _needed("late_encoder", late_encoder).encode_queries(asked)
        if asked and plan.needs_late
        else None
    )
    terms: Callable[[str], Any] | None = None
    if plan.uses_sparse(spec):
        engine = _bm25(spec.sparse or SparseSpec())

        def terms(text: str) -> Any:
            return engine.encode_query(text, repeated_terms=plan.repeated_terms)

    return [
        Query(
            text=text,
            dense=None if dense is None else dense[row],
            sparse=None if terms is None else terms(text),
            late=None if late is None else late[row],
        )
        for row, text in enumerate(asked)
    ]


def check_text(text: object) -> None:
    """Refuse what is no text.

    Raises:
        ArgumentError: If it is empty, or no string, or no Unicode.
    """
    if not isinstance(text, str) or not text.strip():
        raise ArgumentError(field="query", problem="has no text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(
            field="query", problem=f"is not valid Unicode: {error.reason}"
        ) from error


def _needed(name: str, value: Any) -> Any:
    if value is None:
        raise ArgumentError(field=name, problem="the plan needs it")
    return value


@lru_cache(maxsize=8)
def _bm25(sparse: SparseSpec) -> Bm25Encoder:
    return bm25_encoder(sparse)
