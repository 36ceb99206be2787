"""The collection on a server that a built one is to become: whether it is free, and its shards.

It is asked before anything is built; `qdrant_static.ship` asks again before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.aliases import aliases_of
from qdrant_static.clients.connect import address
from qdrant_static.clients.retry import call_with_retries
from qdrant_static.clients.scroll import exact_count
from qdrant_static.collection.create import check_version
from qdrant_static.errors import AliasExistsError, ArgumentError, CannotShipError
from qdrant_static.shipping.targets.prepare import check_server_version
from qdrant_static.shipping.targets.target import MARK, UNDER_WAY

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.shipping.options import BuildOptions


def shards_of(
    server: QdrantClient, collection: str, spec: CollectionSpec, build: BuildOptions
) -> int:
    """How many shards the built collection has: what is asked, what is there, or one.

    Raises:
        ArgumentError: If these differ, or if the server is too old for the spec.
    """
    check_version(server, spec)
    asked = build.shards or spec.server.shards
    if build.shards is not None and spec.server.shards not in (None, build.shards):
        raise ArgumentError(
            field="build.shards",
            problem=f"{build.shards}, and the spec's server.shards is {spec.server.shards}",
        )
    there = None
    if server.collection_exists(collection):
        there = server.get_collection(collection).config.params.shard_number
    if asked is not None and there not in (None, asked):
        raise ArgumentError(
            field="build.shards",
            problem=f"{asked}, and {collection!r} has {there} on the server",
        )
    return asked or there or 1


def check_free(server: QdrantClient, collection: str, build: BuildOptions) -> None:
    """Refuse a target that is not there to be taken, before hours are spent.

    Raises:
        CannotShipError: If it holds points, another shipment is on its way to it, or the server's
            version was never tried.
        AliasExistsError: If its name is an alias, or the alias's name a collection.
    """

    def refuse(problem: str) -> CannotShipError:
        return CannotShipError(collection=collection, where=address(server), problem=problem)

    check_server_version(server, collection, untested=build.untested)
    if build.alias == collection:
        raise ArgumentError(
            field="build.alias", problem=f"{collection!r} is the collection's own name"
        )
    aliases = call_with_retries(server, collection, "reading aliases", lambda: aliases_of(server))
    if collection in aliases:
        raise AliasExistsError(alias=collection, collection=aliases[collection])
    alias = build.alias
    if alias is not None and alias not in aliases and server.collection_exists(alias):
        raise AliasExistsError(alias=alias)
    if not server.collection_exists(collection):
        return
    metadata: Mapping[str, Any] = server.get_collection(collection).config.metadata or {}
    mark = metadata.get(MARK)
    if isinstance(mark, Mapping) and mark.get("state") == UNDER_WAY:
        if build.discard_unfinished:
            return
        raise refuse(
            f"a shipment to it is under way, begun {mark.get('started')} by {mark.get('by')}. If "
            "that has died, discard_unfinished=True (--discard-unfinished) removes what it left"
        )
    points = exact_count(server, collection)
    if points:
        raise refuse(
            f"it has {points:,} points there, and a collection that is built takes the place of an "
            "empty one, or of none. What has changed is stored by --sync; a whole new one takes "
            "over by `qdrant-static migrate start`"
        )
