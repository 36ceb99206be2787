"""Spec -> collection: created, read back, compared. Nothing is ever dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.params import (
    late_params,
    server_arguments,
    sparse_params,
    vector_params,
)
from qdrant_static.collection.quantization import Turbo
from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec
from qdrant_static.collection.vectorspec import BM25, LATE, SparseSpec, VectorSpec
from qdrant_static.connect import is_embedded, server_version
from qdrant_static.encoders.sparse import Bm25Encoder
from qdrant_static.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    EncoderMismatchError,
    NotAPlannedCollectionError,
    SpecError,
    SpecMismatchError,
)
from qdrant_static.search.plan import default_plan

if TYPE_CHECKING:
    from qdrant_static.connect import Client
    from qdrant_static.encoders.base import EncoderInfo

#: An older server ignores placements over gRPC, and refuses them over REST.
_TIERS_SINCE = (1, 19, 0)
#: An older server takes the request, and makes a vector without codes.
_TURBO_SINCE = (1, 18, 0)
_TURBO_DATATYPES_SINCE = {"turbo4": (1, 18, 0), "turbo8": (1, 19, 0), "turbo16": (1, 19, 0)}


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
    _check_version(client, spec)
    if spec.sparse is not None:
        bm25_encoder(spec.sparse)
    if client.collection_exists(collection):
        raise CollectionExistsError(collection=collection, where=_place(client))
    tiers = knows_tiers(client)
    vectors = {vector.name: vector_params(vector, tiers=tiers) for vector in spec.vectors}
    if spec.late is not None:
        vectors[LATE] = late_params(spec.late, tiers=tiers)
    sparse = None if spec.sparse is None else {BM25: sparse_params(spec.sparse, tiers=tiers)}
    client.create_collection(
        collection,
        vectors_config=vectors,
        sparse_vectors_config=sparse,
        metadata={METADATA_KEY: spec.to_dict()},
        **({} if is_embedded(client) else server_arguments(spec)),
    )
    for field, kind in spec.payload_indexes.items():
        client.create_payload_index(collection, field, models.PayloadSchemaType(kind))


def knows_tiers(client: Client) -> bool:
    """Whether the engine tells pinned, cached and cold data apart (`models.Memory`)."""
    version = server_version(client)
    return version is None or version >= _TIERS_SINCE


def _check_version(client: Client, spec: CollectionSpec) -> None:
    """Refuse what the server is too old for, before it ignores it."""
    version = server_version(client)
    if version is None:
        return
    for vector in spec.vectors:
        since = _TURBO_DATATYPES_SINCE.get(vector.datatype)
        field = f"vectors.{vector.name}.datatype"
        if since is None and isinstance(vector.quantization, Turbo):
            since, field = _TURBO_SINCE, f"vectors.{vector.name}.quantization"
        if since is not None and version < since:
            raise SpecError(
                field=field,
                problem=f"TurboQuant needs Qdrant {'.'.join(map(str, since))}; this server is "
                f"{'.'.join(map(str, version))}. Take 'int8', 'binary2' or 'binary'",
            )


def bm25_encoder(sparse: SparseSpec) -> Bm25Encoder:
    """The encoder of a collection's BM25 vector.

    Raises:
        SpecError: If the language is unknown.
    """
    settings: dict[str, Any] = {"language": sparse.language}
    if sparse.stop_words is not None:
        settings["stopwords"] = sparse.stop_words
    if sparse.mean_length is not None:
        settings["avg_len"] = sparse.mean_length
    return Bm25Encoder(**settings)


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
    terms = [_terms_told(spec.sparse) for spec in (there, wanted)]
    if terms[0] != terms[1]:
        differences.append(f"bm25: is {terms[0]}, asked {terms[1]}")
    if there.late != wanted.late:
        differences.append(f"late: is {there.late or 'absent'}, asked {wanted.late or 'absent'}")
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


def _told(vector: VectorSpec | None) -> str:
    if vector is None:
        return "absent"
    graph = "no graph" if vector.hnsw is None else f"graph m={vector.hnsw.m}"
    codes = quantizations.told(vector.quantization)
    return f"{vector.size}-d {vector.datatype}, {codes}, {graph}, {vector.placement}"


def _terms_told(sparse: SparseSpec | None) -> str:
    if sparse is None:
        return "absent"
    words = "its own" if sparse.stop_words is None else str(len(sparse.stop_words))
    return f"{sparse.language}, {words} stop words, {sparse.placement}"


def _place(client: Client) -> str:
    return str(getattr(client, "path", "the server"))
