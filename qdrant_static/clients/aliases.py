"""Aliases: which collection a name stands for at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdrant_client import models

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client


def aliases_of(client: Client) -> dict[str, str]:
    """Collections by alias, in one request."""
    return {one.alias_name: one.collection_name for one in client.get_aliases().aliases}


def target_of(client: Client, name: str) -> str:
    """The collection that a name stands for: an alias's target, else the name itself.

    Whoever sends several requests to an alias may find another collection behind it half-way:
    resolve it once, and send them all to one.
    """
    return aliases_of(client).get(name, name)


def point_alias(client: Client, alias: str, collection: str) -> None:
    """Point an alias at a collection, whether it is there already or not, in one step.

    A request of one action is all or nothing; one that deletes and creates keeps the deletion if
    the creation fails.

    Raises:
        CollectionNotFoundError: If there is no such collection (embedded; a server has its own
            error).
    """
    client.update_collection_aliases(
        [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(alias_name=alias, collection_name=collection)
            )
        ]
    )
