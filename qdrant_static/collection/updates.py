"""Changes a live collection's vectors: their settings, new vectors, and filling these."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qdrant_client import models

from qdrant_static.clients.scroll import pages
from qdrant_static.collection import fromparams, params
from qdrant_static.collection.bm25 import bm25_encoder, measured
from qdrant_static.collection.vectorform import original_form, stored_form, vector_of
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
#: An older server cannot add a vector to a collection that is there.
VECTOR_NAMES_SINCE = (1, 18, 0)
#: The key in a collection's metadata of the vector that is being filled. After a crash it
#: distinguishes our half-filled vector from one made without this package.
FILLING_KEY = "qdrant_static_filling"
_NONE = models.Disabled.DISABLED


def change_vectors(
    client: Client,
    collection: str,
    vectors: Mapping[str, models.VectorParamsDiff],
    **arguments: Any,
) -> None:
    """Change vectors' settings, in one request.

    Where a vector loses a quantization that the collection sets for all of its vectors, that is
    removed from the collection and set for each of the others.
    """
    info = client.get_collection(collection)
    inherited = info.config.quantization_config
    changes = dict(vectors)
    loses = [one for one in changes.values() if one.quantization_config == _NONE]
    if loses and inherited is not None:
        arguments["quantization_config"] = _NONE
        for name, given in fromparams.dense_params(info).items():
            if name not in changes and given.quantization_config is None:
                changes[name] = models.VectorParamsDiff(quantization_config=inherited)
    if changes:
        arguments["vectors_config"] = changes
    client.update_collection(collection, **arguments)


def vector_diff(vector: VectorSpec, *, tiers: bool) -> models.VectorParamsDiff:
    """Return a vector's settings as the model of `update_collection`."""
    given = params.vector_params(vector, tiers=tiers)
    return models.VectorParamsDiff(
        hnsw_config=given.hnsw_config,
        quantization_config=given.quantization_config or _NONE,
        on_disk=given.on_disk,
        memory=given.memory,
    )


def create_dense_vector(
    client: Client, collection: str, name: str, given: models.VectorParams
) -> None:
    """Add a named dense vector; the same one again is no error."""
    config = models.DenseVectorConfig(
        size=given.size,
        distance=given.distance,
        multivector_config=given.multivector_config,
        # The client has two enumerations for one thing.
        datatype=None
        if given.datatype is None
        else models.VectorStorageDatatype(given.datatype.value),
    )
    client.create_vector_name(collection, name, models.DenseVectorNameConfig(dense=config))


def create_terms_vector(client: Client, collection: str) -> None:
    """Add the BM25 vector, to be filled; one that a crashed process left half filled is reused.

    Raises:
        ArgumentError: If there is a sparse vector of that name that is not ours.
    """
    info = client.get_collection(collection)
    ours = (info.config.metadata or {}).get(FILLING_KEY) == BM25
    if BM25 in fromparams.sparse_names(info) and not ours:
        raise ArgumentError(
            field=BM25,
            problem=f"{collection!r} has a sparse vector of that name already, and nobody knows "
            "what its numbers stand for; it is left as it is",
        )
    client.update_collection(collection, metadata={FILLING_KEY: BM25})
    config = models.SparseVectorConfig(modifier=models.Modifier.IDF)
    client.create_vector_name(collection, BM25, models.SparseVectorNameConfig(sparse=config))


def terms_are_filled(client: Client, collection: str) -> None:
    """Remove the mark of `create_terms_vector`."""
    # A server deletes no key of the metadata, so the value becomes empty.
    client.update_collection(collection, metadata={FILLING_KEY: ""})


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
    """Return the mean length of all texts; the first ones may be shorter, if points are sorted."""
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
