"""New vectors of a live collection, filled from what its points hold already."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qdrant_client import models

from qdrant_static.clients.scroll import pages
from qdrant_static.collection.bm25stats import measured
from qdrant_static.collection.create import bm25_encoder
from qdrant_static.collection.vectorform import original_form, stored_form
from qdrant_static.collection.vectorspec import BM25, SparseSpec, VectorSpec
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.fields import Fields

_log = logging.getLogger(__name__)

#: Of more texts the first do not tell the mean length in BM25 terms: all are counted first.
_SAMPLE = 20_000
#: What to do where BM25 cannot be filled.
TERMS_FROM_FILES = (
    "BM25 cannot be filled from there. Build a collection with BM25 of the files (ingest, or "
    "migrate start with files)"
)


def vector_of(point: Any, name: str) -> list[float] | None:
    """A point's dense vector; the unnamed one is ``""``."""
    given = point.vector
    if isinstance(given, dict):
        given = given.get(name)
    return given if isinstance(given, list) else None


def fill_prefix(client: Client, collection: str, source: VectorSpec, vector: VectorSpec) -> int:
    """Fill a Matryoshka size with the prefixes of a longer vector.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        source: The longer vector.
        vector: The new one.

    Returns:
        How many points have got it.
    """
    filled = 0
    for page in pages(client, collection, with_vectors=[source.name]):
        rows = [(one.id, row) for one in page if (row := vector_of(one, source.name)) is not None]
        if not rows:
            continue
        longer = original_form(np.asarray([row for _, row in rows], np.float32), source)
        stored = stored_form(longer, vector).tolist()
        client.update_vectors(
            collection,
            [
                models.PointVectors(id=point, vector={vector.name: row})
                for (point, _), row in zip(rows, stored, strict=True)
            ],
            wait=True,
        )
        filled += len(rows)
    return filled


def fill_terms(client: Client, collection: str, sparse: SparseSpec, fields: Fields) -> SparseSpec:
    """Fill the BM25 vector from the texts in the payload.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name; it has the vector.
        sparse: Its settings; without a mean length, it is measured first.
        fields: Where the payload holds the text, and how it is made.

    Returns:
        The settings, with the mean length.

    Raises:
        ArgumentError: If no point has a text there, or only a part of it.
    """
    fields.require_text(collection, TERMS_FROM_FILES)
    if sparse.mean_length is None:
        sample = _texts(client, collection, fields)
        if not sample:
            raise ArgumentError(
                field="text",
                problem=f"no payload has text in {', '.join(fields.text)}: check the name",
            )
        sparse, notes = measured(sparse, sample, whole=len(sample) < _SAMPLE)
        for line in notes:
            _log.warning("%s", line)
        if len(sample) >= _SAMPLE:
            mean = _mean_length(client, collection, sparse, fields)
            sparse = replace(sparse, mean_length=mean)
    encoder = bm25_encoder(sparse)
    for page in pages(client, collection, with_payload=True):
        texts = [fields.text_of(point.payload or {}) for point in page]
        points = [
            models.PointVectors(
                id=point.id,
                vector={
                    BM25: models.SparseVector(
                        indices=row.indices.tolist(), values=row.values.tolist()
                    )
                },
            )
            for point, row in zip(page, encoder.encode_documents(texts), strict=True)
            if len(row.indices)
        ]
        if points:
            client.update_vectors(collection, points, wait=True)
    return sparse


def _mean_length(client: Client, collection: str, sparse: SparseSpec, fields: Fields) -> float:
    """The mean length of all texts: points may be sorted by it."""
    encoder = bm25_encoder(sparse)
    terms = texts = 0
    for page in pages(client, collection, with_payload=True):
        found = [text for point in page if (text := fields.text_of(point.payload or {}))]
        terms += int(encoder.lengths(found).sum())
        texts += len(found)
    return max(1.0, terms / max(1, texts))


def _texts(client: Client, collection: str, fields: Fields) -> list[str]:
    found: list[str] = []
    for page in pages(client, collection, with_payload=True):
        found += [text for point in page if (text := fields.text_of(point.payload or {}))]
        if len(found) >= _SAMPLE:
            break
    return found
