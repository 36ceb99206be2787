"""Requests that change a live collection's vectors: their settings, and new ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.collection import fromparams, params
from qdrant_static.collection.vectorspec import BM25, VectorSpec
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: An older server cannot add a vector to a collection that is there.
VECTOR_NAMES_SINCE = (1, 18, 0)
#: The key in a collection's metadata of the vector that is being filled: after a crash it tells
#: a vector of ours, half filled, from one that others made.
FILLING_KEY = "qdrant_static_filling"
_NONE = models.Disabled.DISABLED


def change_vectors(
    client: Client,
    collection: str,
    vectors: Mapping[str, models.VectorParamsDiff],
    **arguments: Any,
) -> None:
    """Change vectors' settings, in one request.

    What a vector is to lose, and the collection gives to all of its vectors, is taken from the
    collection, and given to each of the others instead.
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
    """A vector's settings, as `update_collection` takes them."""
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
    """Add the BM25 vector, to be filled; one that was half filled when somebody died is taken up.

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
    """Take the mark of `create_terms_vector` away."""
    # A server's metadata lose no key, but a value.
    client.update_collection(collection, metadata={FILLING_KEY: ""})
