"""Finds the collections that an encoder filled, or encodes the queries of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.connect import check_client
from qdrant_static.collection.generations import read_metadata
from qdrant_static.collection.spec import METADATA_KEY
from qdrant_static.errors import CollectionNotFoundError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client


def made_with(client: Client, fingerprint: str) -> list[str]:
    """Return the names of the collections whose spec names an encoder, sorted.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        fingerprint: The encoder's; collections that were made before it had a name count, too.
    """
    check_client(client, "made_with(client, fingerprint)")
    found = []
    for one in client.get_collections().collections:
        try:
            spec = read_metadata(client, one.name).get(METADATA_KEY)
        except CollectionNotFoundError:  # deleted since the list was read
            continue
        if fingerprint and fingerprint in _fingerprints(spec):
            found.append(one.name)
    return sorted(found)


def _fingerprints(spec: Any) -> Iterator[str]:
    """Yield the fingerprints of all encoders in a spec's dict."""
    if isinstance(spec, dict):
        for key, value in spec.items():
            if key == "fingerprint" and isinstance(value, str):
                yield value
            yield from _fingerprints(value)
