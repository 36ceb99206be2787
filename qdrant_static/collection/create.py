"""Creates a collection from its spec, reads the spec back, and checks it; it drops nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import grpc
from qdrant_client import models
from qdrant_client.http.exceptions import UnexpectedResponse

from qdrant_static import rules
from qdrant_static.clients.connect import address, check_client, is_remote, server_version
from qdrant_static.clock import now
from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.bm25 import bm25_encoder
from qdrant_static.collection.params import (
    late_params,
    server_arguments,
    sparse_params,
    vector_params,
)
from qdrant_static.collection.passes import check_plan, default_plan
from qdrant_static.collection.planevidence import current
from qdrant_static.collection.quantization import Turbo
from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec
from qdrant_static.collection.specdiff import compare
from qdrant_static.collection.vectorspec import BM25, LATE
from qdrant_static.edge.directory import CREATED_KEY
from qdrant_static.errors import (
    ArgumentError,
    CollectionExistsError,
    CollectionNotFoundError,
    EncoderMismatchError,
    NotAPlannedCollectionError,
    SpecMismatchError,
)

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import EncoderInfo

#: An older server ignores placements over gRPC, and refuses them over REST.
_TIERS_SINCE = (1, 19, 0)
#: An older server takes the request, and makes a vector without codes.
_TURBO_SINCE = (1, 18, 0)
#: 1.18 refuses 8 bits, and fails on vectors that are stored so.
_TURBO_8_SINCE = (1, 19, 0)
_TURBO_DATATYPES_SINCE = (1, 19, 0)


def create_collection(
    client: Client,
    collection: str,
    spec: CollectionSpec,
    *,
    metadata: Mapping[str, Any] | None = None,
    shards: int | None = None,
) -> None:
    """Create a collection from its spec, payload indexes included.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: The spec.
        metadata: More metadata, set in the request that creates the collection.
        shards: Number of shards, instead of the spec's; an embedded collection of several shards
            is for shipping and cannot be searched. None takes the spec's number on a server, and
            one shard embedded.

    Raises:
        CollectionExistsError: If it exists; it is not changed.
        ArgumentError: If no search could use it: an unknown language, a plan that it cannot serve.
    """
    check_client(client, "create_collection(client, collection, spec)")
    rules.check_instance("spec", spec, CollectionSpec)
    check_plan(default_plan(spec), spec)
    check_version(client, spec)
    if spec.sparse is not None:
        bm25_encoder(spec.sparse)
    if client.collection_exists(collection):
        raise CollectionExistsError(collection=collection, where=address(client))
    tiers = knows_tiers(client)
    vectors = {vector.name: vector_params(vector, tiers=tiers) for vector in spec.vectors}
    if spec.late is not None:
        vectors[LATE] = late_params(spec.late, tiers=tiers)
    sparse = None if spec.sparse is None else {BM25: sparse_params(spec.sparse, tiers=tiers)}
    settings = server_arguments(spec) if is_remote(client) else {}
    if shards is not None:
        settings["shard_number"] = shards
    client.create_collection(
        collection,
        vectors_config=vectors,
        sparse_vectors_config=sparse,
        metadata={
            **(metadata or {}),
            CREATED_KEY: now(),
            METADATA_KEY: spec.to_dict(),
        },
        **settings,
    )
    for field, kind in spec.payload_indexes.items():
        client.create_payload_index(collection, field, models.PayloadSchemaType(kind))


def knows_tiers(client: Client) -> bool:
    """Return whether the engine distinguishes pinned, cached and cold data (`models.Memory`)."""
    version = server_version(client)
    return version is None or version >= _TIERS_SINCE


def check_version(client: Client, spec: CollectionSpec) -> None:
    """Refuse settings that an older server would ignore.

    Raises:
        ArgumentError: If the server is too old for one; the error names the vector.
    """
    version = server_version(client)
    if version is None:
        return
    for vector in spec.vectors:
        if vector.datatype.startswith("turbo"):
            setting, since, instead = str(vector.datatype), _TURBO_DATATYPES_SINCE, "'float16'"
            field = f"vectors.{vector.name}.datatype"
        elif isinstance(vector.quantization, Turbo):
            setting, instead = quantizations.describe(vector.quantization), "'int8' or 'binary2'"
            since = _TURBO_8_SINCE if vector.quantization.bits == 8 else _TURBO_SINCE
            field = f"vectors.{vector.name}.quantization"
        else:
            continue
        if version < since:
            needed, here = (".".join(map(str, numbers)) for numbers in (since, version))
            raise ArgumentError(
                field=field,
                problem=f"{setting} needs Qdrant {needed}; this server is {here}. Take {instead}",
            )


def read_spec(client: Client, collection: str) -> CollectionSpec:
    """Return the spec in a collection's metadata.

    A plan whose evidence was measured on another layout is dropped (`planevidence`).

    Raises:
        CollectionNotFoundError: If there is no such collection.
        NotAPlannedCollectionError: If its metadata has none.
    """
    info = info_of(client, collection)
    metadata = info.config.metadata or {}
    if METADATA_KEY not in metadata:
        raise NotAPlannedCollectionError(collection=collection)
    return current(CollectionSpec.from_dict(metadata[METADATA_KEY]), info, collection)


def info_of(client: Client, collection: str) -> models.CollectionInfo:
    """Return a collection's info (`get_collection`).

    Raises:
        CollectionNotFoundError: If there is no such collection; it lists the existing ones.
    """
    try:
        return client.get_collection(collection)
    except Exception as error:
        if not _is_missing(error):
            raise
        names = sorted(description.name for description in client.get_collections().collections)
        raise CollectionNotFoundError(
            collection=collection, where=address(client), collections=tuple(names)
        ) from error


def _is_missing(error: Exception) -> bool:
    """Return whether an error means that there is no such collection, without a request."""
    if isinstance(error, UnexpectedResponse):
        return error.status_code == HTTPStatus.NOT_FOUND
    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        return bool(error.code() == grpc.StatusCode.NOT_FOUND)
    # The client's own local mode; an `EdgeClient` raises `CollectionNotFoundError` itself.
    return isinstance(error, ValueError) and "not found" in str(error)


def write_spec(client: Client, collection: str, spec: CollectionSpec) -> None:
    """Replace the spec in a collection's metadata; the collection itself does not change."""
    client.update_collection(collection, metadata={METADATA_KEY: spec.to_dict()})


def check_encoder(
    collection: str, expected: EncoderInfo, encoder: EncoderInfo, *, queries: bool = False
) -> None:
    """Refuse an encoder that is not the collection's.

    Args:
        collection: The collection's name.
        expected: Its encoder.
        encoder: The one that is given.
        queries: Whether the collection has that encoder for queries alone.

    Raises:
        EncoderMismatchError: If the fingerprints differ.
    """
    if expected.fingerprint != encoder.fingerprint:
        raise EncoderMismatchError(
            collection=collection,
            expected=expected.name,
            expected_fingerprint=expected.fingerprint,
            given=encoder.name,
            given_fingerprint=encoder.fingerprint,
            side="queries" if queries else "documents",
        )


def with_query_encoder(
    collection: str, spec: CollectionSpec, encoder: EncoderInfo | None
) -> CollectionSpec:
    """Return a spec with an encoder of queries, which it must not have otherwise.

    Args:
        collection: The collection's name.
        spec: The spec.
        encoder: The encoder of queries; None leaves the spec as it is.

    Raises:
        EncoderMismatchError: If the spec has another one.
        EncoderPairError: If it was not fitted to the encoder of the documents.
    """
    if encoder is None:
        return spec
    if spec.queries is None:
        return replace(spec, queries=encoder)
    check_query_encoder(collection, spec, encoder)
    return spec


def check_query_encoder(collection: str, spec: CollectionSpec, encoder: EncoderInfo) -> None:
    """Refuse an encoder that is not that of the collection's queries.

    Raises:
        EncoderMismatchError: If the fingerprints differ.
    """
    queries = spec.queries is not None
    check_encoder(collection, spec.query_encoder, encoder, queries=queries)


def check_spec(collection: str, existing: CollectionSpec, wanted: CollectionSpec) -> None:
    """Refuse a spec that is not the collection's.

    Values that the wanted spec leaves open (mean length, fields, the default plan, a server's own
    settings, an encoder of queries) are not compared.

    Raises:
        EncoderMismatchError: If the encoders differ.
        SpecMismatchError: If anything else differs; it names all differences.
    """
    check_encoder(collection, existing.encoder, wanted.encoder)
    wanted = wanted if wanted.queries is not None else replace(wanted, queries=existing.queries)
    if differences := compare(existing, wanted):
        raise SpecMismatchError(collection=collection, differences=tuple(map(str, differences)))
