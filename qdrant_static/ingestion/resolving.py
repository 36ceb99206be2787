"""Resolves what a job asks for against the collection that exists: spec, encoder, column types."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qdrant_static.clients.retry import FIRST_CONTACT, call_with_retries
from qdrant_static.collection.bm25 import bm25_encoder
from qdrant_static.collection.create import (
    check_encoder,
    check_spec,
    read_spec,
    with_query_encoder,
)
from qdrant_static.collection.fieldpaths import as_key
from qdrant_static.collection.fields import value_at
from qdrant_static.collection.migrationcheck import other_generations
from qdrant_static.collection.spec import CollectionSpec, Fields
from qdrant_static.collection.specdiff import compare
from qdrant_static.encoders.headencoder import ready_dimension
from qdrant_static.encoders.registry import AnyEncoder, as_encoder, load_encoder
from qdrant_static.errors import ArgumentError
from qdrant_static.reading.options import CellType
from qdrant_static.reading.partitions import PartitionType
from qdrant_static.reading.sources import AnySource, Source

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import Encoder, EncoderInfo

#: Types of indexes that hold values of one type alone; any other takes a string.
_INDEXED: Mapping[str, CellType] = {"integer": "integer", "float": "float", "bool": "boolean"}
_KINDS: Mapping[type, CellType] = {
    bool: "boolean", int: "integer", float: "float", str: "string",
}  # fmt: skip
#: Points that are looked at for the type of a field without an index.
_SAMPLED_POINTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a run works with.

    Attributes:
        spec: The collection's spec, as it is or is to be.
        encoder: The encoder of the documents.
        query_encoder: The encoder of the queries, if the job gives it; it encodes no document.
        notes: Notes for the user.
    """

    spec: CollectionSpec
    encoder: Encoder
    query_encoder: Encoder | None
    notes: list[str]


def resolve(
    client: Client,
    collection: str,
    spec: CollectionSpec | None,
    encoder: AnyEncoder | None,
    source: AnySource,
    fields: Fields,
    *,
    query_encoder: AnyEncoder | None = None,
    name: str | None,
) -> Resolved:
    """Determine spec and encoders of a run, and notes for the user; nothing is written.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection, which need not exist.
        spec: The spec that the job asks for; None takes what exists.
        encoder: The encoder that it asks for, or its name; None takes what exists.
        source: The input.
        fields: Where the job's payloads hold key and text.
        query_encoder: The encoder of queries that it asks for, or its name; None takes what exists.
        name: The name that the job was given, if it may continue with another generation that a
            migration has put in the place of the one it asks for; None: it may not.
    """
    exists = call_with_retries(
        client,
        collection,
        "looking for the collection",
        lambda: client.collection_exists(collection),
        retry=FIRST_CONTACT,
    )
    there = read_spec(client, collection) if exists else None
    notes: list[str] = []
    if there is not None and name is not None:
        asked = _Asked(spec=spec, encoder=encoder, query_encoder=query_encoder)
        if _is_other_generation(client, collection, there, asked):
            spec, encoder, query_encoder = None, None, None
            notes.append(_other_generation_note(there, collection, name))
    known = there or spec
    encoder = None if encoder is None else as_encoder(encoder)
    if encoder is None:
        if known is None:
            raise ArgumentError(
                field="encoder", problem=f"collection {collection!r} is new: name an encoder"
            )
        encoder = load_encoder(known.encoder.name)
    queries = None if query_encoder is None else as_encoder(query_encoder)
    wanted = spec or there or CollectionSpec.for_encoder(encoder)
    wanted = with_query_encoder(collection, wanted, None if queries is None else queries.info)
    wanted = wanted.with_source(fields=fields, mean_length=None)
    check_encoder(collection, wanted.encoder, encoder.info)
    given, taken = source.selection.dimension, ready_dimension(encoder)
    if given not in (None, taken):
        raise ArgumentError(
            field="vectors",
            problem=f"those in {source.selection.vectors!r} have {given} dimensions, not {taken}",
        )
    if there is None:
        if wanted.sparse is not None:
            bm25_encoder(wanted.sparse)  # says if the language is unknown, before anything is made
        return Resolved(spec=wanted, encoder=encoder, query_encoder=queries, notes=notes)
    check_spec(collection, there, wanted)
    held = there.fields
    held = held.with_points_of(fields) if held.all_columns or held.ready_vectors else fields
    there = there.with_source(fields=held, mean_length=None)
    return Resolved(spec=there, encoder=encoder, query_encoder=queries, notes=notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What a job asks for; None where it takes what exists."""

    spec: CollectionSpec | None
    encoder: AnyEncoder | None
    query_encoder: AnyEncoder | None

    def fits(self, one: CollectionSpec) -> bool:
        """Return whether a generation has what is asked for."""
        return (
            _is_given(self.encoder, one.encoder)
            and _is_given(self.query_encoder, one.query_encoder)
            and (self.spec is None or not compare(one, self.spec))
        )


def _is_given(given: AnyEncoder | None, info: EncoderInfo) -> bool:
    """Return whether an encoder is the given one, or none is given; a name is not loaded."""
    if isinstance(given, str | os.PathLike):
        return os.fspath(given) == info.name
    return given is None or given.info.fingerprint == info.fingerprint


def _is_other_generation(
    client: Client, collection: str, there: CollectionSpec, asked: _Asked
) -> bool:
    """Return whether a job asks for another generation than the one that serves.

    A job names an encoder and a layout for the collection that it makes. After a cut-over its alias
    stands for another collection, and after a rollback for the first one again. A job that asks for
    what one of these generations is continues with the one that serves; any other difference is
    refused.
    """
    asked = replace(asked, spec=None) if asked.spec == there else asked
    if asked.fits(there):
        return False
    return any(asked.fits(one) for one in other_generations(client, collection))


def _other_generation_note(there: CollectionSpec, collection: str, name: str) -> str:
    """Return a note that a job continues with another generation than it asks for."""
    return (
        f"{name!r} stands for {collection!r} by a migration: its encoder ({there.encoder.name}) "
        "and layout are taken, and not those that the job asks for, which are those of another "
        "generation (`pinned` refuses this)"
    )


def with_types_of(
    source: AnySource, client: Client, collection: str, spec: CollectionSpec
) -> AnySource:
    """Give the partition columns of a source the types that the collection has.

    A folder that is new must not change the type of a column: under an index of integers strings
    are not found. There a value of another type rejects its rows; where there is no index it is
    stored as a string, and all others stay as they are.

    Args:
        source: The source; one without partitions is given back as it is.
        client: Where the collection is.
        collection: The collection, which need not be there.
        spec: What it is, or is to be.
    """
    if not isinstance(source, Source):
        return source
    columns = {name for one in source.inputs for name in one.folders}
    fields = {name: source.selection.rename.get(name, name) for name in sorted(columns)}
    indexes = {name: spec.payload_indexes.get(as_key(field)) for name, field in fields.items()}
    types = {
        name: PartitionType(kind=_INDEXED.get(index, "string"), is_strict=True)
        for name, index in indexes.items()
        if index is not None
    }
    if rest := fields.keys() - types.keys():
        stored = _stored(client, collection, {fields[name] for name in rest})
        types |= {
            name: PartitionType(kind=stored[fields[name]], is_strict=False)
            for name in rest
            if fields[name] in stored
        }
    return source.with_partition_types(types) if types else source


def _stored(client: Client, collection: str, fields: Collection[str]) -> dict[str, CellType]:
    """Return the type of each field, taken from the first point that has a value."""
    points, _ = call_with_retries(
        client,
        collection,
        "looking at the types of its fields",
        lambda: (
            client.scroll(collection, limit=_SAMPLED_POINTS, with_payload=True)
            if client.collection_exists(collection)
            else ([], None)
        ),
        retry=FIRST_CONTACT,
    )
    found: dict[str, CellType] = {}
    for point in points:
        for field in fields:
            kind = _KINDS.get(type(value_at(point.payload or {}, field)))
            if kind is not None:
                found.setdefault(field, kind)
    return found
