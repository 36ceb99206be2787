"""The types of columns that come from folders' names, as the collection has them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from qdrant_static.clients.retry import FIRST_CONTACT, call_with_retries
from qdrant_static.collection.fieldpaths import as_key
from qdrant_static.collection.fields import value_at
from qdrant_static.reading.options import CellType
from qdrant_static.reading.partitions import PartitionType
from qdrant_static.reading.sources import AnySource, Source

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec

#: Types of indexes that hold values of one type alone; any other takes a string.
_INDEXED: Mapping[str, CellType] = {"integer": "integer", "float": "float", "bool": "boolean"}
_KINDS: Mapping[type, CellType] = {
    bool: "boolean", int: "integer", float: "float", str: "string",
}  # fmt: skip
#: Points that are looked at for the type of a field without an index.
_SAMPLED_POINTS = 100


def with_types_of(
    source: AnySource, client: Client, collection: str, spec: CollectionSpec
) -> AnySource:
    """A source whose partition columns have the types that the collection has.

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
    """Field -> the type of its value in the first of some points that has one."""
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
