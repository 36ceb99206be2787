"""Checks the target of a collection that is to be built: whether it is free, and its shards.

The checks run before anything is built; `qdrant_static.ship` repeats them before it sends anything.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.aliases import aliases_of
from qdrant_static.clients.connect import address
from qdrant_static.clients.retry import call_with_retries
from qdrant_static.clients.scroll import exact_count
from qdrant_static.collection.capacity import Corpus, footprint
from qdrant_static.collection.create import check_version
from qdrant_static.errors import AliasExistsError, ArgumentError, CannotShipError, StorageError
from qdrant_static.files import make_private
from qdrant_static.shipping.targets.prepare import check_server_version
from qdrant_static.shipping.targets.target import MARK, UNDER_WAY

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ingestion.runspec import RunSpec
    from qdrant_static.shipping.options import BuildOptions


def shards_of(
    server: QdrantClient, collection: str, spec: CollectionSpec, build: BuildOptions
) -> int:
    """Return the number of shards to build: that of the options, of the server, or one.

    Raises:
        ArgumentError: If these differ, or if the server is too old for the spec.
    """
    check_version(server, spec)
    wanted = build.shards or spec.server.shards
    if build.shards is not None and spec.server.shards not in (None, build.shards):
        raise ArgumentError(
            field="build.shards",
            problem=f"{build.shards}, and the spec's server.shards is {spec.server.shards}",
        )
    existing = None
    if server.collection_exists(collection):
        existing = server.get_collection(collection).config.params.shard_number
    if wanted is not None and existing not in (None, wanted):
        raise ArgumentError(
            field="build.shards",
            problem=f"{wanted}, and {collection!r} has {existing} on the server",
        )
    return wanted or existing or 1


def check_free(server: QdrantClient, collection: str, build: BuildOptions) -> None:
    """Refuse a target that cannot take the collection, before hours are spent.

    Raises:
        CannotShipError: If it has points, another shipment to it is under way, or the server's
            version was not tested.
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
            "that process has died, discard_unfinished=True (--discard-unfinished) removes what it "
            "left"
        )
    points = exact_count(server, collection)
    if points:
        raise refuse(
            f"it has {points:,} points there, and a collection that is built takes the place of an "
            "empty one, or of none. To store changes use --sync; to replace the whole collection, "
            "`qdrant-static migrate start`"
        )


def check_room(folder: Path, request: RunSpec) -> None:
    """Refuse a folder without room, before hours are spent; this counts the vectors only."""
    rows = request.source.total_rows
    if not rows:
        return
    corpus = Corpus(rows=rows, payload_bytes=0, text_bytes=0)
    least = footprint(request.spec, corpus, embedded=True).disk
    make_private(folder)
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder).free
    if free + used < least:
        raise StorageError(
            path=str(folder),
            problem=f"{rows:,} rows need {least / 1e9:,.1f} GB there at least, and "
            f"{free / 1e9:,.1f} GB are free: make room, or build in another folder",
        )
