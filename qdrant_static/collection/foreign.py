"""Reads the spec of any collection, including those that were made without this package.

Such a collection may have an unnamed vector, any names and ids, and none of our metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qdrant_client import models

from qdrant_static.clients.connect import check_client
from qdrant_static.collection import fromparams
from qdrant_static.collection.create import info_of
from qdrant_static.collection.planevidence import current
from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec, Fields
from qdrant_static.collection.vectorspec import BM25, SparseSpec, VectorSpec
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.encoders.registry import as_encoder
from qdrant_static.errors import ArgumentError, NotAPlannedCollectionError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.registry import AnyEncoder

#: Name of the encoder where it is not known.
UNKNOWN_ENCODER = "unknown"


def spec_of(
    client: Client,
    collection: str,
    *,
    encoder: AnyEncoder | None = None,
    vector: str | None = None,
    text: str | Sequence[str] | None = None,
    key: str | None = None,
    info: models.CollectionInfo | None = None,
) -> CollectionSpec:
    """Return the spec in a collection's metadata, else one made from its configuration.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        encoder: The encoder that made the vectors, or its name, for a collection that was made
            without this package.
        vector: As in `foreign_spec`; ignored where the collection has its own spec.
        text: As in `foreign_spec`; ignored likewise.
        key: As in `foreign_spec`; ignored likewise.
        info: What `get_collection` returned, if it was called already.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        NotAPlannedCollectionError: If it was made without this package, and no encoder is named.
        ArgumentError: If the encoder does not fit its vectors.
    """
    info = info_of(client, collection) if info is None else info
    stored = _carried(info, collection)
    if stored is not None and stored.planned:
        return stored
    if encoder is None and (stored is None or stored.encoder.name == UNKNOWN_ENCODER):
        raise NotAPlannedCollectionError(collection=collection)
    return foreign_spec(
        client, collection, encoder=encoder, vector=vector, text=text, key=key, info=info
    )


def foreign_spec(
    client: Client,
    collection: str,
    *,
    encoder: AnyEncoder | None = None,
    vector: str | None = None,
    text: str | Sequence[str] | None = None,
    key: str | None = None,
    info: models.CollectionInfo | None = None,
) -> CollectionSpec:
    """Make the spec of a collection that was made without this package, from its configuration.

    Nothing is written. It has BM25 where `quantize` added that, which keeps its settings in the
    metadata; the numbers of any other sparse vector could mean anything.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        encoder: The encoder that made the vectors, or its name; a spec without one cannot encode
            texts.
        vector: The dense vector that is searched, ``""`` for the unnamed one; None takes the only
            one, or the only one of the encoder's dimension.
        text: The payload fields of the text.
        key: The payload field of the record's key; None takes the point's id.
        info: What `get_collection` returned, if it was called already.

    Returns:
        A spec with ``planned=False``; its first vector is the one that is searched.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        ArgumentError: If the vector does not exist or does not fit the encoder, or several fit.
    """
    check_client(client, "foreign_spec(client, collection)")
    info = info_of(client, collection) if info is None else info
    stored = _carried(info, collection)
    if encoder is not None:
        encoder_info: EncoderInfo | None = as_encoder(encoder).info
    elif stored is not None and stored.encoder.name != UNKNOWN_ENCODER:
        encoder_info = stored.encoder
    else:
        encoder_info = None
    chosen = _chosen(info, vector, encoder_info)
    # Vectors of other encoders cannot be compared with this one's; without an encoder, any may
    # be searched.
    others = () if encoder_info is not None or vector is not None else _others(info, chosen.name)
    fields = (text,) if isinstance(text, str) else tuple(text or ())
    spec = CollectionSpec(
        encoder=encoder_info
        or EncoderInfo(name=UNKNOWN_ENCODER, dimension=chosen.size, fingerprint=""),
        vectors=(chosen, *others),
        payload_indexes=fromparams.payload_indexes(info),
        fields=Fields(key=key, text=fields),
        planned=False,
    )
    if stored is None:
        return spec
    return replace(
        spec,
        sparse=stored.sparse if BM25 in fromparams.sparse_names(info) else None,
        fields=replace(
            Fields(text=fields) if fields else stored.fields, key=key or stored.fields.key
        ),
        plan=stored.plan,
        evidence=stored.evidence,
        measured=stored.measured,
    )


def carried_spec(client: Client, collection: str) -> CollectionSpec | None:
    """Return the spec in a collection's metadata, or None.

    Raises:
        CollectionNotFoundError: If there is no such collection.
    """
    return _carried(info_of(client, collection), collection)


def described_spec(client: Client, collection: str) -> CollectionSpec:
    """Return what a collection is, also where its encoder is not known.

    That is the spec in its metadata, or, where it was made without this package, its configuration.

    Raises:
        CollectionNotFoundError: If there is no such collection.
    """
    info = info_of(client, collection)
    stored = _carried(info, collection)
    if stored is not None and stored.planned:
        return stored
    return foreign_spec(client, collection, info=info)


def with_terms(spec: CollectionSpec, sparse: SparseSpec, fields: Fields) -> CollectionSpec:
    """Return the spec with a BM25 vector, keeping the field of the key."""
    return replace(spec, sparse=sparse, fields=replace(fields, key=spec.fields.key))


def _carried(info: models.CollectionInfo, collection: str) -> CollectionSpec | None:
    metadata = info.config.metadata or {}
    if METADATA_KEY not in metadata:
        return None
    return current(CollectionSpec.from_dict(metadata[METADATA_KEY]), info, collection)


def _chosen(
    info: models.CollectionInfo, name: str | None, encoder: EncoderInfo | None
) -> VectorSpec:
    sizes = {
        known_name: vector.size
        for known_name, vector in fromparams.dense_params(info).items()
        if vector.multivector_config is None
    }
    known = ", ".join(f"{known_name!r} ({size}-d)" for known_name, size in sizes.items()) or "none"
    if name is not None and name not in sizes:
        raise ArgumentError(
            field="vector", problem=f"{name!r} is not a dense vector here; there are: {known}"
        )
    fitting = [
        known_name
        for known_name, size in sizes.items()
        if encoder is None or size == encoder.dimension
    ]
    if name is None and len(fitting) != 1:
        fits = "" if encoder is None else f" of the encoder's {encoder.dimension} dimensions"
        count = "no dense vector" if not fitting else "more than one dense vector"
        raise ArgumentError(field="vector", problem=f"there is {count}{fits}; name one of: {known}")
    name = fitting[0] if name is None else name
    if encoder is not None and sizes[name] > encoder.dimension:
        raise ArgumentError(
            field="vector",
            problem=f"{name!r} has {sizes[name]} dimensions, and the encoder {encoder.name!r} "
            f"makes {encoder.dimension}",
        )
    if fromparams.dense_params(info)[name].datatype == models.Datatype.UINT8:
        raise ArgumentError(
            field="vector",
            problem=f"{name!r} is of uint8: the scale of its numbers is not stored anywhere",
        )
    return fromparams.vector_spec(name, info)


def _others(info: models.CollectionInfo, chosen: str) -> tuple[VectorSpec, ...]:
    return tuple(
        fromparams.vector_spec(name, info)
        for name, vector in fromparams.dense_params(info).items()
        # The scale of a uint8 vector is not stored anywhere.
        if name != chosen
        and vector.multivector_config is None
        and vector.datatype != models.Datatype.UINT8
    )
