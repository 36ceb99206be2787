"""Reads, resolves and moves aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdrant_client import models

from qdrant_static.clients.connect import check_client

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client


def aliases_of(client: Client) -> dict[str, str]:
    """Return the collection of each alias, with one request."""
    return {one.alias_name: one.collection_name for one in client.get_aliases().aliases}


def resolve_alias(client: Client, name: str) -> str:
    """Return the collection that an alias points at; any other name is returned as it is.

    An alias may be moved between two requests: resolve it once before several requests that
    belong together.
    """
    return aliases_of(client).get(name, name)


def point_alias(client: Client, alias: str, collection: str) -> None:
    """Create an alias, or move it, in one step.

    A request with one action is atomic; one that deletes and creates keeps the deletion if the
    creation fails.

    Raises:
        CollectionNotFoundError: If the collection does not exist (embedded; a server raises its
            own error).
    """
    check_client(client, "point_alias(client, alias, collection)")
    client.update_collection_aliases(
        [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(alias_name=alias, collection_name=collection)
            )
        ]
    )
