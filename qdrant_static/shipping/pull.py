"""A server's collection -> an embedded one, with the indexes that it has there.

Each shard's snapshot is streamed to disk from a node that holds the shard; the server keeps no
file of it. `EdgeShard.unpack_snapshot` takes it apart, and the segments of all shards become one
embedded shard: with all the points and all the graphs, built by nobody anew.

While others write. A snapshot is a shard at one moment: every write that the server had
acknowledged before it was asked for the snapshot is in it (one with ``wait=False`` too), and of
the later ones those up to that moment; no point is half there. That holds while the server's
optimizer leaves the shard alone; a pause of it is waited for, and a snapshot that was begun outside
of one is not taken (see `rest`). The shards' moments differ by the
time that the shards before them take to arrive, so two points that were written together and lie
in different shards may come as they were before and after. For one moment of the whole collection
let writers rest, or pull a collection of one shard.

Of several shards two things are not as they were there, because here all points are in one: a
server weighs the terms of a sparse vector with IDF by the points of each shard, and takes a plan's
candidates from each. BM25's scores here are those of the whole collection, and a hybrid plan fuses
as many candidates as it says. Dense searches find the same, but for points whose codes are equal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from qdrant_client import models

from qdrant_static.clients.aliases import target_of
from qdrant_static.clients.connect import is_remote, server_version
from qdrant_static.clients.retry import FIRST_CONTACT, RetryPolicy, call_with_retries
from qdrant_static.clients.scroll import exact_count
from qdrant_static.edge import EdgeClient
from qdrant_static.edge.directory import check_name, require_room
from qdrant_static.errors import (
    ArgumentError,
    CannotPullError,
    CollectionNotFoundError,
    NotSupportedByEdgeError,
    VerificationError,
)
from qdrant_static.shipping.nodes.node import Node, collection_path, node_of
from qdrant_static.shipping.nodes.peers import Peers
from qdrant_static.shipping.progress import PullProgress, progress_callback
from qdrant_static.shipping.receiving.download import Arrival
from qdrant_static.shipping.receiving.localconfig import embedded, indexes
from qdrant_static.shipping.reports import Pulled

if TYPE_CHECKING:
    from pathlib import Path

    from qdrant_client import QdrantClient


#: The servers whose snapshots were opened, searched and edited here: major and minor version.
PROVED = ((1, 18),)
_BYTES = {models.Datatype.FLOAT16: 2, models.Datatype.UINT8: 1}


def pull(
    server: QdrantClient,
    collection: str,
    local: EdgeClient,
    *,
    name: str | None = None,
    shards: Sequence[int] | None = None,
    peers: Mapping[str, str] | None = None,
    untested: bool = False,
    retry: RetryPolicy | None = None,
    progress: bool | Callable[[PullProgress], None] | None = None,
) -> Pulled:
    """Make a server's collection an embedded one, with its indexes; the server is only read.

    Vectors, payloads, payload indexes and metadata come along, so a collection of ours is searched
    by its name at once; one that others made can be pulled too. What is in it while others write
    is said at the top of this module.

    It is there when this returns, and not before: whatever ends it sooner leaves nothing. All of
    it takes its size on disk, and that of the largest shard once more for a moment.

    Args:
        server: Whence.
        collection: Its name there, or an alias.
        local: Whither.
        name: Its name here; as asked for if None.
        shards: Only these shards; all if None.
        peers: Where nodes of the cluster are reached from here, by peer id or by their address in
            the cluster's own list.
        untested: Pull from a version too that was never tried.
        retry: How long an unreachable server is waited for.
        progress: True shows progress on standard error; a function is called with a
            `PullProgress`, several times a second.

    Raises:
        CollectionExistsError: If it is here already; nothing is changed.
        CollectionNotFoundError: If it is not there.
        CannotPullError: If the server's version was not tried, if it gives no snapshots, or if the
            collection cannot be embedded.
        AccessDeniedError: If the key does not allow it.
        ServerUnavailableError: If the server does not answer for too long.
        ArgumentError: If a shard is not there, or an end is of the wrong kind.
        StorageError: If the disk has too little room.
        VerificationError: If what is here is not what is there.
    """
    begun = time.monotonic()
    if not is_remote(server):
        raise ArgumentError(field="server", problem="a collection is pulled from a server")
    if not isinstance(local, EdgeClient):
        raise ArgumentError(field="local", problem="a collection is pulled into a folder")
    name = check_name(collection if name is None else name)
    policy = retry or RetryPolicy()
    with node_of(server) as node, progress_callback(progress) as callback:
        _require_proved(server, collection, node, untested=untested)
        source = _target(server, collection)
        info = _info(server, source, node)
        found = Peers.of(node, peers)
        holders = _holders(node, source)
        chosen = _chosen(shards, holders)
        whole = len(chosen) == len(holders)
        before = exact_count(server, source) if whole else None
        with local.receiving(name) as incoming:
            points = info.points_count or 0
            _require_vectors_room(incoming.room, info, points * len(chosen) // len(holders))
            arrival = Arrival(source, found, node.url, incoming, policy, callback, len(chosen))
            for shard in chosen:
                arrival.take(shard, holders[shard])
            arrival.report("opening")
            segments = incoming.segments()
            description, left = embedded(info.config, segments=segments)
            try:
                points = incoming.finish(description, indexes(info))
            except NotSupportedByEdgeError as error:
                raise CannotPullError(
                    collection=source, where=node.url, problem=error.message
                ) from error
            if before is not None and points != before:
                _require_written_meanwhile(server, source, points, before)
    return Pulled(
        collection=name,
        source=source,
        where=node.url,
        points=points,
        shards=tuple(chosen),
        shards_there=len(holders),
        segments=segments,
        bytes=arrival.bytes,
        seconds=time.monotonic() - begun,
        left_out=tuple(left),
    )


def _require_proved(server: QdrantClient, collection: str, node: Node, *, untested: bool) -> None:
    version = call_with_retries(
        server,
        collection,
        "asking for the version",
        lambda: server_version(server),
        retry=FIRST_CONTACT,
    )
    if untested or (version is not None and version[:2] in PROVED):
        return
    told = "of an unknown version" if version is None else ".".join(map(str, version))
    proved = ", ".join(f"{major}.{minor}" for major, minor in PROVED)
    raise CannotPullError(
        collection=collection,
        where=node.url,
        problem=f"the server is {told}, and this was proved with {proved} alone: an engine may "
        "read another version's files, or not. To try: untested=True (--untested)",
    )


def _target(server: QdrantClient, collection: str) -> str:
    """Resolve an alias to its collection."""
    return call_with_retries(
        server, collection, "reading aliases", lambda: target_of(server, collection)
    )


def _info(server: QdrantClient, collection: str, node: Node) -> models.CollectionInfo:
    """What the server says, over REST: gRPC's messages know fewer words."""
    said = node.get_or_none(collection_path(collection))
    if said is None:
        there = sorted(one.name for one in server.get_collections().collections)
        raise CollectionNotFoundError(
            collection=collection, where=node.url, collections=tuple(there)
        )
    try:
        return models.CollectionInfo.model_validate(said)
    except ValueError as error:
        raise CannotPullError(
            collection=collection,
            where=node.url,
            problem=f"its description cannot be read ({error})",
        ) from error


def _holders(node: Node, collection: str) -> dict[int, dict[int, str]]:
    """Shard -> peer -> the state of its replica; the node that is asked comes first."""
    seen = node.get(collection_path(collection, "cluster"))
    found: dict[int, dict[int, str]] = {}
    for one in seen["local_shards"]:
        found.setdefault(one["shard_id"], {})[seen["peer_id"]] = one["state"]
    for one in seen["remote_shards"]:
        found.setdefault(one["shard_id"], {})[one["peer_id"]] = one["state"]
    return found


def _chosen(wanted: Sequence[int] | None, holders: Mapping[int, object]) -> list[int]:
    there = sorted(holders)
    if wanted is None:
        return there
    chosen = sorted(set(wanted))
    unknown = [shard for shard in chosen if shard not in holders]
    if unknown or not chosen:
        raise ArgumentError(
            field="shards", problem=f"{unknown or 'none'} given; there are: {there}"
        )
    return chosen


def _require_vectors_room(folder: Path, info: models.CollectionInfo, points: int) -> None:
    """Refuse what cannot fit, before anything is asked for; payloads are not known, so at least."""
    params = info.config.params.vectors or {}
    dense = params.values() if isinstance(params, Mapping) else [params]
    each = sum(
        one.size * _BYTES.get(one.datatype, 4) if one.datatype else one.size * 4 for one in dense
    )
    require_room(folder, points * each)


def _require_written_meanwhile(
    server: QdrantClient, collection: str, points: int, before: int
) -> None:
    """The counts differ: writes explain it, and nothing else may."""
    after = exact_count(server, collection)
    if after == before:
        raise VerificationError(
            collection=collection,
            problem=f"{points:,} points arrived, and the server counted {before:,} before and "
            "after. If it is written to, repeat it; nothing was left here",
        )
