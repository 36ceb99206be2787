"""What `tune` asks a collection: its own points, texts, or judged queries."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qdrant_client import models

from qdrant_static.collection.bm25 import bm25_encoder
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.vectorform import original_form
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import PointId, plain_id, point_id
from qdrant_static.measuring.judged import JudgedSet, read_judged, read_queries
from qdrant_static.querying.query import Query

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.querying.run import Searcher

#: Points in one answer: 500 of 4,096 dimensions are 8 MB.
_PAGE = 500
#: A text's first words are the terms by which its own point is looked for.
_WORDS = 12


@dataclass(slots=True, kw_only=True)
class Questions:
    """Queries, in random order, and what is known of each.

    Attributes:
        source: Where they come from, in words.
        texts: Each query's text; None where they are points.
        points: Each query, encoded, where they are points.
        own: The id of the point that a query is; its answers leave it out. None for texts.
        relevant: Judged: for each query point id -> judgement.
    """

    source: str
    texts: list[str] | None = None
    points: list[Query] = field(default_factory=list)
    own: list[PointId] | None = None
    relevant: list[Mapping[PointId, float]] | None = None
    _encoded: dict[tuple[Any, ...], list[Query]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.points if self.texts is None else self.texts)

    def encoded(self, plan: SearchPlan, searcher: Searcher) -> list[Query]:
        """The queries with all that a plan needs; encoded once per kind of need."""
        if self.texts is None:
            return self.points
        needs = (
            plan.needs_dense, plan.uses_sparse(searcher.spec), plan.needs_late, plan.repeated_terms
        )  # fmt: skip
        if needs not in self._encoded:
            self._encoded[needs] = searcher.prepare(self.texts, plan)
        return self._encoded[needs]


def of_texts(queries: Sequence[str] | str | os.PathLike[str], most: int, seed: int) -> Questions:
    """Queries from a list or a file, each once; at random, at most so many.

    Raises:
        SourceNotFoundError: If the file is missing.
        ArgumentError: If there is none.
    """
    if isinstance(queries, str | os.PathLike):
        texts, source = read_queries(queries), f"from {os.fspath(queries)}"
    else:
        texts, source = tuple(queries), "given"
    texts = tuple(dict.fromkeys(texts))
    if not texts:
        raise ArgumentError(field="queries", problem="there is none")
    order = np.random.default_rng(seed).permutation(len(texts))[:most]
    return Questions(source=source, texts=[texts[number] for number in order])


def of_points(
    client: Client,
    collection: str,
    spec: CollectionSpec,
    base: SearchPlan,
    count: int,
    condition: models.Filter | None,
) -> Questions:
    """Points at random, as queries: their own full vectors, and the first words of their texts.

    Raises:
        ArgumentError: If the plan needs what points do not have, or there is no point.
    """
    if base.kind == "late":
        raise ArgumentError(
            field="queries", problem="a late-interaction plan is tuned by texts; give queries"
        )
    full = spec.vectors[0]
    found: dict[PointId, Query] = {}
    terms = None if base.kind != "hybrid" or spec.sparse is None else bm25_encoder(spec.sparse)
    for _ in range(2 * (count // _PAGE + 1)):
        before = len(found)
        for point in client.query_points(
            collection,
            query=models.SampleQuery(sample=models.Sample.RANDOM),
            limit=min(_PAGE, count),
            query_filter=condition,
            with_vectors=[full.name] if full.name else True,
            with_payload=terms is not None and bool(spec.fields.text),
        ).points:
            row = point.vector.get(full.name) if isinstance(point.vector, dict) else point.vector
            if row is None:
                continue
            dense = original_form(np.asarray([row], np.float32), full)[0]
            one = Query(dense=dense)
            if terms is not None:
                text = _beginning(spec.fields.text_of(point.payload or {}))
                if not text:
                    continue
                sparse = terms.encode_query(text, repeated_terms=base.repeated_terms)
                one = replace(one, text=text, sparse=sparse)
            if dense.any():
                found.setdefault(plain_id(point.id), one)
        if len(found) >= count or len(found) == before:
            break
    if not found:
        raise ArgumentError(
            field="queries",
            problem="no point could be sampled as a query: the collection (or what the filter "
            "leaves of it) has none with the full vector"
            + (" and a text" if terms is not None else "")
            + "; give queries",
        )
    ids = list(found)[:count]
    return Questions(
        source="its own points, each left out of its answer",
        points=[found[one] for one in ids],
        own=ids,
    )


def of_judged(
    client: Client,
    collection: str,
    judged: JudgedSet | str | os.PathLike[str],
    seed: int,
) -> tuple[Questions, list[str]]:
    """Judged queries, and what of their judgements the collection cannot know.

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
    asked = [data.queries[number] for number in order]
    notes = []
    if missing := len(keys) - len(ids):
        # They stay in the judgements: what is not in the collection cannot be found.
        notes.append(f"{missing:,} of {len(keys):,} judged documents are not in the collection")
    return (
        Questions(
            source=f"judged, {data.folder.name}/{data.split}",
            texts=[query.text for query in asked],
            relevant=[
                {ids.get(key, f"missing {key}"): gain for key, gain in query.relevant.items()}
                for query in asked
            ],
        ),
        notes,
    )


def _ids(client: Client, collection: str, keys: Sequence[str]) -> dict[str, PointId]:
    """Keys of documents -> ids of the points that are there.

    A key in a data set is a string, and the collection may have taken it as one, or have been
    filled with integers.
    """
    forms: list[dict[PointId, str]] = [
        {point_id(key): key for key in keys},
        {int(key): key for key in keys if key.isdecimal() and int(key) < 2**64},
    ]
    found: dict[str, PointId] = {}
    for form in forms:
        wanted = [one for one, key in form.items() if key not in found]
        for start in range(0, len(wanted), _PAGE):
            part = wanted[start : start + _PAGE]
            for record in client.retrieve(collection, part, with_payload=False, with_vectors=False):
                identity = plain_id(record.id)
                found[form[identity]] = identity
    return found


def _beginning(text: str) -> str:
    return " ".join(text[: 40 * _WORDS].split()[:_WORDS])


def parts(numbers: Sequence[int], share: float) -> tuple[list[int], list[int]]:
    """Queries that choose, and those that check; they are in random order already."""
    cut = max(1, round(len(numbers) * share))
    return list(numbers[:cut]), list(numbers[cut:])
