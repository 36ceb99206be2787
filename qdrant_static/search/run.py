"""Text -> plan -> one request -> typed hits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qdrant_static.collection.build import bm25_encoder, check_encoder, read_spec
from qdrant_static.collection.vectorspec import SparseSpec
from qdrant_static.encoders.registry import load_encoder
from qdrant_static.errors import SpecError
from qdrant_static.search.plan import SearchPlan, default_plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qdrant_client import models

    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.connect import Client
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.encoders.sparse import Bm25Encoder
    from qdrant_static.encoders.sparsevectors import SparseQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One found record.

    Attributes:
        id: The point's id.
        key: The record's own key, a tuple where it has several parts; the point's id where the
            key was a digest of the text.
        score: As the plan scores: higher is nearer; comparable within one answer only.
        payload: All payload fields.
        text: What was encoded, as far as the payload holds it.
    """

    id: int | str
    key: int | str | tuple[int | str, ...]
    score: float
    payload: Mapping[str, Any]
    text: str


def search(
    client: Client,
    collection: str,
    text: str,
    *,
    limit: int = 10,
    plan: str | Mapping[str, Any] | SearchPlan | None = None,
    query_filter: models.Filter | None = None,
    encoder: Encoder | None = None,
) -> list[Hit]:
    """Search a collection that this package made.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        text: The query.
        limit: At most so many hits.
        plan: ``"exact"``, ``"dense"``, ``"bm25"``, ``"hybrid"`` or a `SearchPlan`; None takes
            the collection's own.
        query_filter: A condition on the payload, as the client has it.
        encoder: The collection's encoder if it is at hand; None loads it by the name that the
            collection's metadata holds, once per process.

    Returns:
        The hits, best first.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        NotAPlannedCollectionError: If it was made otherwise.
        EncoderMismatchError: If the encoder is not the collection's.
        SpecError: If the query has no text, or the plan cannot work here.
    """
    _check(text, limit)
    spec = read_spec(client, collection)
    chosen = default_plan(spec) if plan is None else SearchPlan.of(plan)
    chosen.check(spec)
    dense = _dense(collection, spec, encoder, text) if chosen.needs_dense else None
    sparse = _terms(spec, chosen, text) if chosen.needs_sparse else None
    runnable = _without_empty_side(chosen, dense, sparse)
    if runnable is None:
        return []
    arguments = runnable.request(
        dense=dense,
        sparse=sparse,
        size=spec.vector(runnable.vector).size if runnable.needs_dense else None,
        limit=limit,
    )
    if query_filter is not None:
        arguments = _filtered(arguments, query_filter)
    found = client.query_points(collection, with_payload=True, **arguments)
    return [_hit(point, spec) for point in found.points]


def _check(text: str, limit: int) -> None:
    if not isinstance(text, str) or not text.strip():
        raise SpecError(field="query", problem="has no text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SpecError(field="query", problem=f"is not valid Unicode: {error.reason}") from error
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise SpecError(field="limit", problem=f"{limit!r} is not an integer of at least 1")


def _dense(
    collection: str, spec: CollectionSpec, encoder: Encoder | None, text: str
) -> NDArray[np.float32]:
    if encoder is None:
        encoder = _loaded(spec.encoder.name)
    check_encoder(collection, spec.encoder, encoder.info)
    row: NDArray[np.float32] = encoder.encode([text])[0]
    return row


def _terms(spec: CollectionSpec, plan: SearchPlan, text: str) -> SparseQuery:
    sparse = spec.sparse or SparseSpec()
    return _bm25(sparse).encode_query(text, repeated_terms=plan.repeated_terms)


def _without_empty_side(
    plan: SearchPlan, dense: NDArray[np.float32] | None, sparse: SparseQuery | None
) -> SearchPlan | None:
    """Drop a side that has nothing to say: only stop words, or only unknown tokens."""
    no_dense = dense is None or not dense.any()
    no_sparse = sparse is None or not len(sparse.indices)
    if plan.kind == "hybrid" and no_sparse and not no_dense:
        return SearchPlan.of({**plan.to_dict(), "kind": "dense"})
    if plan.kind == "hybrid" and no_dense and not no_sparse:
        return SearchPlan.of({**plan.to_dict(), "kind": "bm25"})
    return None if no_dense and no_sparse else plan


def _filtered(arguments: dict[str, Any], condition: models.Filter) -> dict[str, Any]:
    """Put a filter where candidates are chosen: on the innermost prefetches, and on the last."""

    def narrow(stage: models.Prefetch) -> models.Prefetch:
        if isinstance(stage.prefetch, list):
            inner = [narrow(one) for one in stage.prefetch]
            return stage.model_copy(update={"prefetch": inner})
        return stage.model_copy(update={"filter": condition})

    prefetch = arguments.get("prefetch")
    if prefetch is None:
        return {**arguments, "query_filter": condition}
    return {**arguments, "prefetch": [narrow(stage) for stage in prefetch]}


def _hit(point: Any, spec: CollectionSpec) -> Hit:
    payload = point.payload or {}
    key = spec.fields.key_of(payload)
    return Hit(
        id=point.id,
        key=point.id if key is None else key,
        score=point.score,
        payload=payload,
        text=spec.fields.text_of(payload),
    )


@lru_cache(maxsize=4)
def _loaded(name: str) -> Encoder:
    """Encoders that searches loaded by name; a model of 30 to 130 MB is read once."""
    return load_encoder(name)


@lru_cache(maxsize=8)
def _bm25(sparse: SparseSpec) -> Bm25Encoder:
    return bm25_encoder(sparse)
