"""Spec -> collection: created, read back, compared. Nothing is ever dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdrant_client import models

from qdrant_static.collection.spec import BM25, METADATA_KEY, CollectionSpec, VectorSpec
from qdrant_static.encoders.sparse import Bm25Encoder
from qdrant_static.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    EncoderMismatchError,
    NotAPlannedCollectionError,
    SpecMismatchError,
)
from qdrant_static.search.plan import default_plan

if TYPE_CHECKING:
    from qdrant_static.connect import Client
    from qdrant_static.encoders.base import EncoderInfo


def create_collection(client: Client, collection: str, spec: CollectionSpec) -> None:
    """Create a collection from its spec, payload indexes included.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: Its name.
        spec: What it is to be.

    Raises:
        CollectionExistsError: If it is there; it is left as it is.
        SpecError: If no search could use it: an unknown language, a plan that it cannot serve.
    """
    default_plan(spec).check(spec)
    if spec.sparse is not None:
        Bm25Encoder(language=spec.sparse.language)
    if client.collection_exists(collection):
        raise CollectionExistsError(collection=collection, where=_place(client))
    sparse = {BM25: models.SparseVectorParams(modifier=models.Modifier.IDF)}
    client.create_collection(
        collection,
        vectors_config={vector.name: _vector_params(vector) for vector in spec.vectors},
        sparse_vectors_config=None if spec.sparse is None else sparse,
        metadata={METADATA_KEY: spec.to_dict()},
    )
    for field, kind in spec.payload_indexes.items():
        client.create_payload_index(collection, field, models.PayloadSchemaType(kind))


def read_spec(client: Client, collection: str) -> CollectionSpec:
    """The spec that a collection carries in its metadata.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        NotAPlannedCollectionError: If it carries none.
    """
    if not client.collection_exists(collection):
        names = sorted(one.name for one in client.get_collections().collections)
        raise CollectionNotFoundError(
            collection=collection, where=_place(client), collections=tuple(names)
        )
    metadata = client.get_collection(collection).config.metadata or {}
    if METADATA_KEY not in metadata:
        raise NotAPlannedCollectionError(collection=collection)
    return CollectionSpec.from_dict(metadata[METADATA_KEY])


def write_spec(client: Client, collection: str, spec: CollectionSpec) -> None:
    """Replace the spec in a collection's metadata; the collection itself does not change."""
    client.update_collection(collection, metadata={METADATA_KEY: spec.to_dict()})


def check_encoder(collection: str, expected: EncoderInfo, given: EncoderInfo) -> None:
    """Refuse an encoder that is not the collection's.

    Raises:
        EncoderMismatchError: If the fingerprints differ.
    """
    if expected.fingerprint != given.fingerprint:
        raise EncoderMismatchError(
            collection=collection,
            expected=expected.name,
            expected_fingerprint=expected.fingerprint,
            given=given.name,
            given_fingerprint=given.fingerprint,
        )


def check_spec(collection: str, there: CollectionSpec, wanted: CollectionSpec) -> None:
    """Refuse a spec that is not the collection's.

    What the wanted spec leaves open (mean length, fields, the default plan) is no difference.

    Raises:
        EncoderMismatchError: If the encoders differ.
        SpecMismatchError: If anything else does; it names all differences.
    """
    check_encoder(collection, there.encoder, wanted.encoder)
    differences = []
    have = {vector.name: vector for vector in there.vectors}
    want = {vector.name: vector for vector in wanted.vectors}
    for name in sorted(have.keys() | want.keys()):
        if have.get(name) != want.get(name):
            differences.append(
                f"vector {name}: is {_told(have.get(name))}, asked {_told(want.get(name))}"
            )
    languages = [None if spec.sparse is None else spec.sparse.language for spec in (there, wanted)]
    if languages[0] != languages[1]:
        differences.append(f"bm25: is {languages[0] or 'absent'}, asked {languages[1] or 'absent'}")
    if there.payload_indexes != wanted.payload_indexes:
        differences.append(
            f"payload indexes: is {dict(there.payload_indexes)}, "
            f"asked {dict(wanted.payload_indexes)}"
        )
    if there.fields.text and wanted.fields.text and there.fields != wanted.fields:
        differences.append(
            f"filled from: is key={there.fields.key_told} text={','.join(there.fields.text)}, "
            f"asked key={wanted.fields.key_told} text={','.join(wanted.fields.text)}"
        )
    if differences:
        raise SpecMismatchError(collection=collection, differences=tuple(differences))


def _vector_params(vector: VectorSpec) -> models.VectorParams:
    binary = models.BinaryQuantization(
        binary=models.BinaryQuantizationConfig(
            always_ram=True,
            encoding=models.BinaryQuantizationEncoding.ONE_BIT,
            # Costs nothing at rest, and gains recall: the query keeps 8 bits a dimension.
            query_encoding=models.BinaryQuantizationQueryEncoding.SCALAR8BITS,
        )
    )
    return models.VectorParams(
        size=vector.size,
        distance=models.Distance.COSINE,
        quantization_config=binary if vector.quantization == "binary" else None,
    )


def _told(vector: VectorSpec | None) -> str:
    if vector is None:
        return "absent"
    return f"{vector.size}-d, quantization {vector.quantization or 'none'}"


def _place(client: Client) -> str:
    return str(getattr(client, "path", "the server"))
