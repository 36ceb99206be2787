"""Makes and parses the names of generations, and reads the metadata of collections.

A generation is one of the collections that an alias points at over time: ``articles__v1``,
``articles__v2``, …
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.connect import address, is_embedded
from qdrant_static.errors import CollectionNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qdrant_static.clients.connect import Client

_NAME = re.compile(r"(?P<base>.+)__v(?P<number>[1-9][0-9]*)")


def split_name(collection: str) -> tuple[str, int | None]:
    """Split ``articles__v2`` into ``("articles", 2)``; the number is None where there is none."""
    match = _NAME.fullmatch(collection)
    return (match["base"], int(match["number"])) if match else (collection, None)


def generation_name(alias: str, number: int) -> str:
    """Return ``articles__v2`` for ``("articles", 2)``."""
    return f"{alias}__v{number}"


def generations_of(client: Client, alias: str) -> dict[str, int]:
    """Return the numbers of an alias's existing generations, by name."""
    numbers = {}
    for description in client.get_collections().collections:
        base, number = split_name(description.name)
        if base == alias and number is not None:
            numbers[description.name] = number
    return dict(sorted(numbers.items(), key=lambda item: item[1]))


def next_generation(client: Client, alias: str, blue: str) -> str:
    """Return the name of the next generation; that of the first migration has number 2."""
    numbers = [*generations_of(client, alias).values(), split_name(blue)[1] or 1]
    return generation_name(alias, max(numbers) + 1)


def read_metadata(client: Client, collection: str) -> Mapping[str, Any]:
    """Read a collection's metadata; an embedded one may be open in another process.

    Raises:
        CollectionNotFoundError: If there is no such collection.
    """
    if is_embedded(client):
        from qdrant_static.edge.directory import CollectionFolder

        folder = CollectionFolder(client.path, collection)
        if folder.exists():
            return dict(folder.read().get("metadata") or {})
    else:
        try:
            return dict(client.get_collection(collection).config.metadata or {})
        except Exception:  # REST and gRPC have different errors for a missing collection
            if client.collection_exists(collection):
                raise
    names = sorted(description.name for description in client.get_collections().collections)
    raise CollectionNotFoundError(
        collection=collection, where=address(client), collections=tuple(names)
    )
