"""Changes the vectors of a live collection: changes their settings, adds vectors and fills them."""

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

#: With more texts than this, the first ones do not determine the mean length in BM25 terms: all
#: texts are counted first.
_SAMPLE = 20_000
#: Advice where BM25 cannot be filled.
TERMS_FROM_FILES = (
    "BM25 cannot be filled from it. Make a collection with BM25 from the files (ingest, or "
    "migrate start with files)"
)
#: An older server cannot add a vector to an existing collection.
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
    """Change the settings of vectors in one request.

    Where a vector loses a quantization that the collection sets for all of its vectors, that is
    removed from the collection and set for each of the others.
    """
    info = client.get_collection(collection)
    inherited = info.config.quantization_config
    changes = dict(vectors)
    loses = [change for change in changes.values() if change.quantization_config == _NONE]
    if loses and inherited is not None:
        arguments["quantization_config"] = _NONE
        for name, vector in fromparams.dense_params(info).items():
            if name not in changes and vector.quantization_config is None:
                changes[name] = models.VectorParamsDiff(quantization_config=inherited)
    if changes:
        arguments["vectors_config"] = changes
    client.update_collection(collection, **arguments)


def vector_diff(vector: VectorSpec, *, tiers: bool) -> models.VectorParamsDiff:
    """Return a vector's settings as the model of `update_collection`."""
    model = params.vector_params(vector, tiers=tiers)
    return models.VectorParamsDiff(
        hnsw_config=model.hnsw_config,
        quantization_config=model.quantization_config or _NONE,
        on_disk=model.on_disk,
        memory=model.memory,
    )


def create_dense_vector(
    client: Client, collection: str, name: str, model: models.VectorParams
) -> None:
    """Add a named dense vector; adding the same one again is no error."""
    config = models.DenseVectorConfig(
        size=model.size,
        distance=model.distance,
        multivector_config=model.multivector_config,
        # The client has two enumerations of data types.
        datatype=None
        if model.datatype is None
        else models.VectorStorageDatatype(model.datatype.value),
    )
    client.create_vector_name(collection, name, models.DenseVectorNameConfig(dense=config))


def create_terms_vector(client: Client, collection: str) -> None:
    """Add an empty BM25 vector, or reuse one that a crashed process left half filled.

    Raises:
        ArgumentError: If there is a sparse vector of that name that this package did not make.
    """
    info = client.get_collection(collection)
    ours = (info.config.metadata or {}).get(FILLING_KEY) == BM25
    if BM25 in fromparams.sparse_names(info) and not ours:
        raise ArgumentError(
            field=BM25,
            problem=f"{collection!r} has a sparse vector of that name already, which this package "
            "did not make; it is not changed",
        )
    client.update_collection(collection, metadata={FILLING_KEY: BM25})
    config = models.SparseVectorConfig(modifier=models.Modifier.IDF)
    client.create_vector_name(collection, BM25, models.SparseVectorNameConfig(sparse=config))


def terms_are_filled(client: Client, collection: str) -> None:
    """Remove the mark that `create_terms_vector` set in the metadata."""
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
        Number of points that now have it.
    """
    filled = 0
    for page in pages(client, collection, with_vectors=[source.name]):
        rows = [
            (record.id, row)
            for record in page
            if (row := vector_of(record, source.name)) is not None
        ]
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
        ArgumentError: If no payload holds a text, or the payloads hold only parts of the texts.
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
    """Return the mean length of all texts; the first ones alone may be shorter than most."""
    encoder = bm25_encoder(sparse)
    terms = texts = 0
    for page in pages(client, collection, with_payload=True):
        page_texts = [text for point in page if (text := fields.text_of(point.payload or {}))]
        terms += int(encoder.lengths(page_texts).sum())
        texts += len(page_texts)
    return max(1.0, terms / max(1, texts))


def _texts(client: Client, collection: str, fields: Fields) -> list[str]:
    texts: list[str] = []
    for page in pages(client, collection, with_payload=True):
        texts += [text for point in page if (text := fields.text_of(point.payload or {}))]
        if len(texts) >= _SAMPLE:
            break
    return texts
