"""Text -> plan -> one request -> typed hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from qdrant_static import rules
from qdrant_static.clients.aliases import target_of
from qdrant_static.collection.create import check_encoder
from qdrant_static.collection.foreign import spec_of
from qdrant_static.collection.plan import SearchPlan, default_plan
from qdrant_static.encoders.registry import AnyEncoder, as_encoder, load_encoder
from qdrant_static.errors import ArgumentError
from qdrant_static.querying.answer import answer
from qdrant_static.querying.explain import explain
from qdrant_static.querying.filters import FilterLike, StoredFields, one_filter
from qdrant_static.querying.hits import Hit, hit_of, nearness
from qdrant_static.querying.prepare import encode_queries
from qdrant_static.querying.query import Query

if TYPE_CHECKING:
    from qdrant_client import models

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.querying.explain import Explanation

    PlanChoice: TypeAlias = "str | Mapping[str, Any] | SearchPlan | None"

__all__ = [
    "Hit", "Query", "Searcher", "answer", "encode_queries", "open_searcher", "search",
    "search_batch",
]  # fmt: skip


class Searcher:
    """A collection, opened for searching: its spec is read once, its encoder loaded once.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name, or an alias's: what it points at now is searched for as
            long as this lives (`LiveSearcher` follows an alias).
        spec: What it is; None reads what its metadata says, or, where others made it, what the
            engine says of it.
        encoder: The collection's encoder if it is at hand, or its name; None loads it by name when
            a plan first needs it. A collection that others made needs it.
        late_encoder: Likewise, of the late-interaction vector.
        cross_encoder: What reorders the top, with ``scores(query, texts)``; None loads the
            plan's by name.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        NotAPlannedCollectionError: If others made it, and neither spec nor encoder is given.
        EncoderMismatchError: If the encoder is not the collection's.
        ArgumentError: If others made it, and which of its vectors is meant cannot be told.
    """

    def __init__(
        self,
        client: Client,
        collection: str,
        *,
        spec: CollectionSpec | None = None,
        encoder: AnyEncoder | None = None,
        late_encoder: Any = None,
        cross_encoder: Any = None,
    ) -> None:
        self._client = client
        encoder = None if encoder is None else as_encoder(encoder, load=_loaded)
        # All requests go to one collection: an alias may move between two of them.
        self._collection = target_of(client, collection) if spec is None else collection
        self.spec = spec_of(client, self._collection, encoder=encoder) if spec is None else spec
        self._encoder: Encoder | None = encoder
        self._late_encoder = late_encoder
        self._cross_encoder = cross_encoder
        self._fields = StoredFields(client, self._collection)
        if encoder is not None:
            check_encoder(collection, self.spec.encoder, encoder.info)

    def search(
        self,
        text: str,
        *,
        limit: int = 10,
        plan: PlanChoice = None,
        filter: FilterLike = None,  # noqa: A002
        query_filter: models.Filter | None = None,
    ) -> list[Hit]:
        """Search for a text; see `search`."""
        return self.search_batch(
            [text], limit=limit, plan=plan, filter=filter, query_filter=query_filter
        )[0]

    def search_batch(
        self,
        texts: Sequence[str],
        *,
        limit: int = 10,
        plan: PlanChoice = None,
        filter: FilterLike = None,  # noqa: A002
        query_filter: models.Filter | None = None,
    ) -> list[list[Hit]]:
        """Search for several texts at once; see `search_batch`."""
        if isinstance(texts, str):
            raise ArgumentError(field="texts", problem="is one text; give a list")
        rules.check_integer("limit", limit)
        chosen = self.plan(plan)
        narrowed = self.filter(filter, query_filter)
        queries = self.prepare(texts, chosen)
        read = limit if chosen.rerank is None else max(limit, chosen.rerank_candidates)
        found = answer(
            self._client, self._collection, self.spec, chosen, queries,
            limit=read, query_filter=narrowed, with_payload=True,
        )  # fmt: skip
        unit = self._encoder is None or self._encoder.info.normalized
        hits = [
            [
                hit_of(point, self.spec, nearness(point.score, chosen, self.spec, unit=unit))
                for point in points
            ]
            for points in found
        ]
        if chosen.rerank is None:
            return hits
        return [
            self._reranked(text, one, chosen)[:limit] for text, one in zip(texts, hits, strict=True)
        ]

    def plan(self, plan: PlanChoice = None) -> SearchPlan:
        """A plan that works here: the given one, else the collection's own.

        Raises:
            ArgumentError: If the collection cannot serve it.
        """
        chosen = default_plan(self.spec) if plan is None else SearchPlan.of(plan)
        chosen.check(self.spec)
        if chosen.rerank is not None and not self.spec.fields.text:
            raise ArgumentError(
                field="plan.rerank",
                problem="which payload fields hold the text is not known yet: nothing was ingested",
            )
        return chosen

    def filter(
        self, given: FilterLike, query_filter: models.Filter | None = None
    ) -> models.Filter | None:
        """Read a filter as `search` takes it; what is found out of the fields is kept.

        Raises:
            FilterError: If it cannot be read, or does not fit the fields' values.
            FieldNotFoundError: If no point has a field that it names.
        """
        return one_filter(self._client, self._collection, given, query_filter, self._fields)

    def prepare(self, texts: Sequence[str], plan: PlanChoice = None) -> list[Query]:
        """Encode texts for a plan, as `answer` takes them."""
        chosen = self.plan(plan)
        return encode_queries(
            texts,
            chosen,
            self.spec,
            encoder=self.encoder if chosen.needs_dense else None,
            late_encoder=self._late() if chosen.needs_late else None,
        )

    def explain(self, plan: PlanChoice = None, *, limit: int = 10) -> Explanation:
        """What a search does, and about what it costs with the points that are there now."""
        rows = self._client.count(self._collection, exact=True).count
        return explain(self.plan(plan), self.spec, rows=int(rows), limit=limit)

    @property
    def encoder(self) -> Encoder:
        """The collection's encoder."""
        if self._encoder is None:
            loaded = _loaded(self.spec.encoder.name)
            check_encoder(self._collection, self.spec.encoder, loaded.info)
            self._encoder = loaded
        return self._encoder

    def _late(self) -> Any:
        if self._late_encoder is None and self.spec.late is not None:
            from qdrant_static.encoders.fastembed import load_late_interaction

            self._late_encoder = load_late_interaction(self.spec.late.encoder)
        return self._late_encoder

    def _reranked(self, text: str, hits: list[Hit], plan: SearchPlan) -> list[Hit]:
        """The top, in the order of a cross-encoder; equal scores keep their order."""
        from dataclasses import replace

        if self._cross_encoder is None:
            from qdrant_static.encoders.fastembed import load_cross_encoder

            self._cross_encoder = load_cross_encoder(plan.rerank or "")
        top = hits[: plan.rerank_candidates]
        scores = self._cross_encoder.scores(text, [hit.text for hit in top])
        read = [replace(hit, score=float(score)) for hit, score in zip(top, scores, strict=True)]
        return sorted(read, key=lambda hit: -hit.score)


def open_searcher(
    client: Client,
    collection: str,
    *,
    spec: CollectionSpec | None = None,
    encoder: AnyEncoder | None = None,
    late_encoder: Any = None,
    cross_encoder: Any = None,
) -> Searcher:
    """Open a collection for many searches: one request each, where `search` needs three.

    Args and errors are those of `Searcher`. What is held is as of now: open it again after its
    default plan was changed.
    """
    return Searcher(
        client, collection, spec=spec, encoder=encoder, late_encoder=late_encoder,
        cross_encoder=cross_encoder,
    )  # fmt: skip


def search(
    client: Client,
    collection: str,
    text: str,
    *,
    limit: int = 10,
    plan: PlanChoice = None,
    filter: FilterLike = None,  # noqa: A002
    query_filter: models.Filter | None = None,
    encoder: AnyEncoder | None = None,
    spec: CollectionSpec | None = None,
    late_encoder: Any = None,
    cross_encoder: Any = None,
) -> list[Hit]:
    """Search a collection.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        text: The query.
        limit: At most so many hits.
        plan: A kind (``"exact"``, ``"dense"``, ``"cascade"``, ``"bm25"``, ``"hybrid"``,
            ``"late"``), a `SearchPlan` or its dictionary; None takes the collection's own.
        filter: A condition on the payload: ``"year>=2000 and lang=en,de"`` (docs/filters.md),
            Qdrant's own JSON as a text or a dictionary, or a list of these. It takes a request
            more for the types, and one for each field without an index.
        query_filter: A condition on the payload, as the client has it.
        encoder: The collection's encoder if it is at hand, or its name; None loads it by the name
            that the collection's metadata holds, once per process.
        spec: What the collection is, if that is at hand: two requests less. For a collection
            that others made, `foreign_spec` says which vector and which text fields are meant.
        late_encoder: What encodes queries for the late-interaction vector; None loads it.
        cross_encoder: What reorders the top, with ``scores(query, texts)``; None loads the
            plan's by name.

    Returns:
        The hits, best first.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        NotAPlannedCollectionError: If others made it, and neither spec nor encoder is given.
        EncoderMismatchError: If the encoder is not the collection's.
        ArgumentError: If the query has no text, or the plan cannot work here.
        FilterError: If the filter cannot be read, or a value does not fit its field.
        FieldNotFoundError: If no point has a field that the filter names.
    """
    opened = Searcher(
        client, collection, spec=spec, encoder=encoder, late_encoder=late_encoder,
        cross_encoder=cross_encoder,
    )  # fmt: skip
    return opened.search(text, limit=limit, plan=plan, filter=filter, query_filter=query_filter)


def search_batch(
    client: Client,
    collection: str,
    texts: Sequence[str],
    *,
    limit: int = 10,
    plan: PlanChoice = None,
    filter: FilterLike = None,  # noqa: A002
    query_filter: models.Filter | None = None,
    encoder: AnyEncoder | None = None,
    spec: CollectionSpec | None = None,
    late_encoder: Any = None,
    cross_encoder: Any = None,
) -> list[list[Hit]]:
    """Search for several texts: encoded in one call, asked in one request for up to 64 of them.

    Args and errors are those of `search`.

    Returns:
        For every text its hits, best first.
    """
    opened = Searcher(
        client, collection, spec=spec, encoder=encoder, late_encoder=late_encoder,
        cross_encoder=cross_encoder,
    )  # fmt: skip
    return opened.search_batch(
        texts, limit=limit, plan=plan, filter=filter, query_filter=query_filter
    )


@lru_cache(maxsize=4)
def _loaded(name: str) -> Encoder:
    """Encoders that searches loaded by name; a model of 30 to 130 MB is read once."""
    return load_encoder(name)
