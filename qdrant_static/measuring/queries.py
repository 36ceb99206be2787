"""Defines `QuerySet`, the queries that a collection is measured with, and makes such sets.

Queries are points of the collection drawn at random, texts, or judged queries.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qdrant_client import models

from qdrant_static.collection.bm25 import bm25_encoder
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.vectorform import original_form, vector_of
from qdrant_static.encoders.queries import encode_queries
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import PointId, plain_id, point_id
from qdrant_static.measuring.judged import JudgedSet, read_judged, read_queries
from qdrant_static.querying.query import Query

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.collection.vectorspec import VectorSpec
    from qdrant_static.encoders.base import Encoder

#: Points in one response: 500 of 4,096 dimensions are 8 MB.
_PAGE = 500
#: Number of first words of a text that make a query of it.
_WORDS = 12


@dataclass(slots=True, kw_only=True)
class QuerySet:
    """Queries in random order, with their ids or judgements.

    Attributes:
        source: Where the queries come from, for reports.
        texts: Each query's text; None where they are points.
        points: Each query, encoded, where they are points.
        own: For each query the id of the point that it is, or None; that point is left out of its
            answers. None if no query is a point.
        relevant: Judged queries: for each query the judgements by point id.
    """

    source: str = ""
    texts: list[str] | None = None
    points: list[Query] = field(default_factory=list)
    own: Sequence[PointId | None] | None = None
    relevant: list[Mapping[PointId, float]] | None = None

    def __len__(self) -> int:
        return len(self.points if self.texts is None else self.texts)


def of_texts(queries: Sequence[str] | str | os.PathLike[str], most: int, seed: int) -> QuerySet:
    """Take queries from a list or a file, each once, in random order.

    Args:
        queries: The texts, or a file of them.
        most: Number of queries, at most.
        seed: Seed of the order.

    Raises:
        SourceNotFoundError: If the file is missing.
        ArgumentError: If there is no query.
    """
    if isinstance(queries, str | os.PathLike):
        texts, source = read_queries(queries), f"from {os.fspath(queries)}"
    else:
        texts, source = tuple(queries), "given"
    texts = tuple(dict.fromkeys(texts))
    if not texts:
        raise ArgumentError(field="queries", problem="there are none")
    order = np.random.default_rng(seed).permutation(len(texts))[:most]
    return QuerySet(source=source, texts=[texts[number] for number in order])


def sample_points(
    client: Client,
    collection: str,
    vector: VectorSpec,
    count: int,
    *,
    condition: models.Filter | None = None,
    payload: bool = False,
    keep: Callable[[NDArray[np.float32], Mapping[str, Any]], bool] = lambda row, _: bool(row.any()),
    page: int = _PAGE,
) -> dict[PointId, tuple[NDArray[np.float32], Mapping[str, Any]]]:
    """Draw points at random, with one vector and their payload.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        vector: The vector to read; points without it are not drawn.
        count: Number of points, at most.
        condition: A filter for the points.
        payload: Whether to read payloads.
        keep: Called with vector and payload, returns whether the point counts; by default all but
            vectors of zeros.
        page: Points in one response.

    Returns:
        By point id, the vector as the encoder made it, float32 ``(size,)``, and the payload.
    """
    having = models.HasVectorCondition(has_vector=vector.name)
    must: list[Any] = [having] if condition is None else [having, condition]
    drawn: dict[PointId, tuple[NDArray[np.float32], Mapping[str, Any]]] = {}
    for _ in range(2 * (count // page + 1)):
        before = len(drawn)
        for point in client.query_points(
            collection,
            query=models.SampleQuery(sample=models.Sample.RANDOM),
            limit=min(page, count),
            query_filter=models.Filter(must=must),
            with_payload=payload,
            with_vectors=[vector.name] if vector.name else True,
        ).points:
            row = vector_of(point, vector.name)
            if row is not None:
                dense = original_form(np.asarray([row], np.float32), vector)[0]
                if keep(dense, point.payload or {}):
                    drawn.setdefault(plain_id(point.id), (dense, point.payload or {}))
        if len(drawn) >= count or len(drawn) == before:
            break
    return dict(list(drawn.items())[:count])


def of_points(
    client: Client,
    collection: str,
    spec: CollectionSpec,
    base: SearchPlan,
    count: int,
    condition: models.Filter | None,
    *,
    encoder: Encoder | None = None,
) -> QuerySet:
    """Draw points at random as queries: their own full vectors, and the first words of their texts.

    If the queries have an encoder of their own, it makes the vectors, of these words.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: The collection's spec.
        base: A plan; if it is a hybrid, the queries have BM25 terms too.
        count: Number of queries, at most.
        condition: A filter for the points.
        encoder: The encoder of queries, for asymmetric search; it is used where the payload holds
            the texts.

    Raises:
        ArgumentError: If the plan needs what points do not have, or there is no point.
    """
    if base.kind == "late":
        raise ArgumentError(
            field="queries", problem="a late-interaction plan is tuned by texts; give queries"
        )
    terms = None if base.kind != "hybrid" or spec.sparse is None else bm25_encoder(spec.sparse)
    encoder = encoder if spec.queries is not None and spec.fields.text else None
    worded = terms is not None or encoder is not None

    def usable(row: NDArray[np.float32], payload: Mapping[str, Any]) -> bool:
        return bool(row.any() and (not worded or beginning(spec.fields.text_of(payload))))

    drawn = sample_points(
        client, collection, spec.vectors[0], count, condition=condition,
        payload=worded and bool(spec.fields.text), keep=usable,
    )  # fmt: skip
    queries = [Query(dense=dense) for dense, _ in drawn.values()]
    texts = [beginning(spec.fields.text_of(payload)) for _, payload in drawn.values()]
    if encoder is not None and texts:
        rows = encode_queries(encoder, texts)
        queries = [Query(text=text, dense=row) for text, row in zip(texts, rows, strict=True)]
    if terms is not None:
        queries = [
            replace(
                query,
                text=text,
                sparse=terms.encode_query(text, repeated_terms=base.repeated_terms),
            )
            for query, text in zip(queries, texts, strict=True)
        ]
    if not queries:
        raise ArgumentError(
            field="queries",
            problem="no point could be drawn as a query: none"
            + ("" if condition is None else " that matches the filter")
            + " has the full vector"
            + (" and a text" if worded else "")
            + "; give queries",
        )
    return QuerySet(
        source="its own points, each left out of its answer"
        if encoder is None
        else "the beginnings of its own texts, each point left out of its answer",
        points=queries,
        own=list(drawn),
    )


def of_judged(
    client: Client,
    collection: str,
    judged: JudgedSet | str | os.PathLike[str],
    seed: int,
) -> tuple[QuerySet, list[str]]:
    """Take the queries of a judged data set, with the points that answer them.

    Returns:
        The queries in random order, and notes on judged documents that the collection lacks.

    Raises:
        SourceNotFoundError: If a file of the data set is missing.
        ArgumentError: If none of the judged documents is in the collection.
    """
    data = judged if isinstance(judged, JudgedSet) else read_judged(judged)
    keys = {key for query in data.queries for key in query.relevant}
    ids = _ids(client, collection, sorted(keys))
    if not ids:
        raise ArgumentError(
            field="judged",
            problem=f"none of the {len(keys):,} judged documents of {data.folder} is in the "
            f"collection {collection!r}: was it made from {data.corpus}, with its _id as key?",
        )
    order = np.random.default_rng(seed).permutation(len(data.queries))
    queries = [data.queries[number] for number in order]
    notes = []
    if missing := len(keys) - len(ids):
        # They stay in the judgements, as relevant documents that no search can find.
        notes.append(f"{missing:,} of {len(keys):,} judged documents are not in the collection")
    return (
        QuerySet(
            source=f"judged, {data.folder.name}/{data.split}",
            texts=[query.text for query in queries],
            relevant=[
                {ids.get(key, f"missing {key}"): gain for key, gain in query.relevant.items()}
                for query in queries
            ],
        ),
        notes,
    )


def _ids(client: Client, collection: str, keys: Sequence[str]) -> dict[str, PointId]:
    """Return the point ids of the documents' keys that are in the collection.

    Keys of a data set are strings, and the collection may hold the same keys as integers.
    """
    forms: list[dict[PointId, str]] = [
        {point_id(key): key for key in keys},
        {int(key): key for key in keys if key.isdecimal() and int(key) < 2**64},
    ]
    ids: dict[str, PointId] = {}
    for form in forms:
        wanted = [point for point, key in form.items() if key not in ids]
        for start in range(0, len(wanted), _PAGE):
            part = wanted[start : start + _PAGE]
            for record in client.retrieve(collection, part, with_payload=False, with_vectors=False):
                identity = plain_id(record.id)
                ids[form[identity]] = identity
    return ids


def beginning(text: str) -> str:
    """Return the first words of a text, which stand for a query that the text answers."""
    return " ".join(text[: 40 * _WORDS].split()[:_WORDS])


def parts(numbers: Sequence[int], share: float) -> tuple[list[int], list[int]]:
    """Split queries, which are in random order, in those that choose and those that check."""
    cut = max(1, round(len(numbers) * share))
    return list(numbers[:cut]), list(numbers[cut:])
