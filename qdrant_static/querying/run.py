"""Searches a collection: encodes the text, sends one request, returns typed hits.

`Searcher` is a collection opened for many searches; `search` and `search_batch` open one for a
single call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from qdrant_static import rules
from qdrant_static.clients.aliases import resolve_alias
from qdrant_static.clients.connect import check_client
from qdrant_static.collection.create import check_query_encoder, info_of
from qdrant_static.collection.foreign import spec_of
from qdrant_static.collection.passes import check_plan, default_plan
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.encoders.registry import AnyEncoder, as_encoder, load_encoder
from qdrant_static.errors import ArgumentError
from qdrant_static.querying.answer import Hit, answer, hit_of, nearness, rerank
from qdrant_static.querying.explain import explain
from qdrant_static.querying.filters import FilterLike, StoredFields, one_filter
from qdrant_static.querying.query import Query, encode_queries

if TYPE_CHECKING:
    from qdrant_client import models

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.querying.explain import Explanation

    PlanChoice: TypeAlias = "str | Mapping[str, Any] | SearchPlan | None"

__all__ = ["Hit", "Query", "Searcher", "answer", "encode_queries", "search", "search_batch"]


class Searcher:
    """A collection opened for many searches: one request each, where `search` needs three.

    The spec is read and the encoder is loaded once: open the collection again after its default
    plan was changed.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name or an alias. An alias is resolved once, at
            the beginning (`LiveSearcher` follows an alias that moves).
        spec: The collection's spec; None reads it from the metadata, or, of a collection made
            without this package, from its configuration.
        encoder: The encoder of queries or its name (the collection's only encoder, unless the
            search is asymmetric); None loads it by name when a plan first needs it. A collection
            made without this package needs one.
        late_encoder: The encoder of the late-interaction vector; None loads it by name.
        cross_encoder: Reorders the top, by ``scores(query, texts)``; None loads the plan's by
            name.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        NotAPlannedCollectionError: If it was made without this package, and neither spec nor
            encoder is given.
        EncoderMismatchError: If the encoder is not that of the collection's queries.
        ArgumentError: If it was made without this package, and several of its vectors fit.
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
        check_client(client, "search(client, collection, text)")
        self._client = client
        encoder = None if encoder is None else as_encoder(encoder, load=_load_encoder)
        info = None
        if spec is None:
            # All requests go to one collection: an alias may move between two of them.
            collection = resolve_alias(client, collection)
            info = info_of(client, collection)
            spec = spec_of(client, collection, encoder=encoder, info=info)
        self._collection = collection
        self.spec = spec
        self._encoder: Encoder | None = encoder
        self._late_encoder = late_encoder
        self._cross_encoder = cross_encoder
        self._fields = StoredFields(client, collection, info)
        if encoder is not None:
            check_query_encoder(collection, self.spec, encoder.info)

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
            raise ArgumentError(field="texts", problem="is one text; give a list of texts")
        rules.check_integer("limit", limit)
        chosen = self.plan(plan)
        condition = self.filter(filter, query_filter)
        queries = self.prepare(texts, chosen)
        depth = limit if chosen.rerank is None else max(limit, chosen.rerank_candidates)
        answers = answer(
            self._client, self._collection, self.spec, chosen, queries,
            limit=depth, query_filter=condition, with_payload=True,
        )  # fmt: skip
        unit = self._encoder is None or self._encoder.info.normalized
        hits = [
            [
                hit_of(point, self.spec, nearness(point.score, chosen, self.spec, unit=unit))
                for point in points
            ]
            for points in answers
        ]
        if chosen.rerank is None:
            return hits
        cross = self._load_cross(chosen)
        return [
            rerank(text, top[: chosen.rerank_candidates], cross)[:limit]
            for text, top in zip(texts, hits, strict=True)
        ]

    def plan(self, plan: PlanChoice = None) -> SearchPlan:
        """Return the given plan, else the collection's own, checked against the collection.

        Raises:
            ArgumentError: If the collection cannot serve it.
        """
        chosen = default_plan(self.spec) if plan is None else SearchPlan.of(plan)
        check_plan(chosen, self.spec)
        if chosen.rerank is not None and not self.spec.fields.text:
            raise ArgumentError(
                field="plan.rerank",
                problem="reads the hits' texts, and which payload fields hold them is not known: "
                "nothing was ingested yet",
            )
        return chosen

    def filter(
        self, condition: FilterLike, query_filter: models.Filter | None = None
    ) -> models.Filter | None:
        """Convert a filter as `search` does; the types of the fields are cached.

        Raises:
            FilterError: If it cannot be read, or a value does not fit its field.
            FieldNotFoundError: If no point has a field that it names.
        """
        return one_filter(self._client, self._collection, condition, query_filter, self._fields)

    def prepare(self, texts: Sequence[str], plan: PlanChoice = None) -> list[Query]:
        """Encode texts to queries for a plan, as `answer` takes them."""
        chosen = self.plan(plan)
        return encode_queries(
            texts,
            chosen,
            self.spec,
            encoder=self.encoder if chosen.needs_dense else None,
            late_encoder=self._load_late() if chosen.needs_late else None,
        )

    def explain(self, plan: PlanChoice = None, *, limit: int = 10) -> Explanation:
        """Explain a search and its cost at the present number of points; see `explain`."""
        rows = self._client.count(self._collection, exact=True).count
        return explain(self.plan(plan), self.spec, rows=int(rows), limit=limit)

    @property
    def encoder(self) -> Encoder:
        """The encoder of the collection's queries; that of its documents is never loaded here."""
        if self._encoder is None:
            loaded = _load_encoder(self.spec.query_encoder.name)
            check_query_encoder(self._collection, self.spec, loaded.info)
            self._encoder = loaded
        return self._encoder

    def _load_late(self) -> Any:
        if self._late_encoder is None and self.spec.late is not None:
            from qdrant_static.encoders.fastembed import load_late_interaction

            self._late_encoder = load_late_interaction(self.spec.late.encoder)
        return self._late_encoder

    def _load_cross(self, plan: SearchPlan) -> Any:
        if self._cross_encoder is None:
            from qdrant_static.encoders.fastembed import load_cross_encoder

            self._cross_encoder = load_cross_encoder(plan.rerank or "")
        return self._cross_encoder


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
        limit: Number of hits, at most.
        plan: A kind (``"exact"``, ``"dense"``, ``"cascade"``, ``"bm25"``, ``"hybrid"``,
            ``"late"``), a `SearchPlan` or its dictionary; None takes the collection's own.
        filter: A condition on the payload: ``"year>=2000 and lang=en,de"`` (docs/filters.md),
            Qdrant's own JSON as a text or a dictionary, or a list of these. Each field without an
            index takes one more request, for its type.
        query_filter: A condition on the payload, as in `query_points`.
        encoder: The encoder of queries or its name (the collection's only encoder, unless the
            search is asymmetric); None loads it by the name in the metadata, once per process.
        spec: The collection's spec, if known, which saves the two requests that read it. For a
            collection made without this package, `foreign_spec` names the vector and the text.
        late_encoder: The encoder of the late-interaction vector; None loads it by name.
        cross_encoder: Reorders the top, by ``scores(query, texts)``; None loads the plan's by
            name.

    Returns:
        The hits, best first.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        NotAPlannedCollectionError: If it was made without this package, and neither spec nor
            encoder is given.
        EncoderMismatchError: If the encoder is not that of the collection's queries.
        ArgumentError: If the query has no text, or the collection cannot serve the plan.
        FilterError: If the filter cannot be read, or a value does not fit its field.
        FieldNotFoundError: If no point has a field that the filter names.
    """
    return search_batch(
        client, collection, [text], limit=limit, plan=plan, filter=filter,
        query_filter=query_filter, encoder=encoder, spec=spec, late_encoder=late_encoder,
        cross_encoder=cross_encoder,
    )[0]  # fmt: skip


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
    """Search for several texts, encoded in one call and sent in one request for up to 64 of them.

    Args and errors are those of `search`.

    Returns:
        For every text its hits, best first.
    """
    searcher = Searcher(
        client, collection, spec=spec, encoder=encoder, late_encoder=late_encoder,
        cross_encoder=cross_encoder,
    )  # fmt: skip
    return searcher.search_batch(
        texts, limit=limit, plan=plan, filter=filter, query_filter=query_filter
    )


@lru_cache(maxsize=4)
def _load_encoder(name: str) -> Encoder:
    """Load an encoder by name, and keep the last four: a model has 30 to 130 MB."""
    return load_encoder(name)
