"""Pulls a server's collection into a folder, with the indexes that it has on the server.

Each shard's snapshot is streamed to disk from a node that holds the shard; the server keeps no
file of it. `EdgeShard.unpack_snapshot` unpacks it, and the segments of all shards become one
embedded shard, with all points and all graphs: nothing is indexed again.

Writes during a pull. A snapshot is a shard at one moment: it has every write that the server had
acknowledged before the snapshot was requested (one with ``wait=False`` too), and of the later ones
those up to that moment; no point is there in part. That holds only while the server's optimizer
does not rewrite the shard: a pull waits for a pause of the optimizer, and discards a snapshot that
was begun outside of one (see `download.OptimizerWatch`). The moments of two shards differ by the
time that the shards between them take to arrive, so two points that were written together and lie
in different shards may be in their old and their new state. For one moment of the whole
collection, pause its writers or pull a collection of one shard.

With several shards two things differ from the server, because the embedded collection has all
points in one shard: a server weighs the terms of a sparse vector with IDF by the points of each
shard, and takes a plan's candidates from each. The BM25 scores here are those of the whole
collection, and a hybrid plan fuses as many candidates as it says. Dense searches find the same
points, except among points with equal codes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from qdrant_client import models

from qdrant_static.clients.aliases import resolve_alias
from qdrant_static.clients.connect import check_client, is_remote
from qdrant_static.clients.retry import RetryPolicy, call_with_retries, first_version
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
from qdrant_static.shipping.download import Downloader
from qdrant_static.shipping.embeddedconfig import embedded_description, payload_indexes
from qdrant_static.shipping.nodes.node import Node, collection_path, node_of
from qdrant_static.shipping.nodes.peers import Peers
from qdrant_static.shipping.progress import PullProgress, progress_callback
from qdrant_static.shipping.reports import Pulled

if TYPE_CHECKING:
    from pathlib import Path

    from qdrant_client import QdrantClient


#: Versions of servers, major and minor, whose snapshots were opened, searched and edited in tests.
TESTED = ((1, 18),)
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
    """Pull a server's collection into a folder, with its indexes; the server is only read.

    Vectors, payloads, payload indexes and metadata are copied, so a collection of this package can
    be searched by its name at once; any other collection can be pulled too. The module's docstring
    says what a pull contains while others write.

    The collection appears in the folder when this returns, and not before: if it ends early, it
    leaves nothing. It needs its size on disk, and temporarily that of the largest shard once more.

    Args:
        server: The client of the server.
        collection: The collection's name on the server, or an alias.
        local: The client of the folder.
        name: The name in the folder; None for ``collection``.
        shards: Only these shards; None for all.
        peers: Where the nodes of the cluster are reached from here: peer id, or address in the
            cluster's own list -> URL of its REST interface.
        untested: Also pull from a version that was not tested.
        retry: How long to keep retrying an unreachable server.
        progress: True shows progress on standard error; a function is called with a
            `PullProgress`, several times a second.

    Raises:
        CollectionExistsError: If the folder has the collection already; nothing is changed.
        CollectionNotFoundError: If the server does not have it.
        CannotPullError: If the server's version was not tested, if it gives no snapshots, or if
            the collection cannot be embedded.
        AccessDeniedError: If the API key does not allow it.
        ServerUnavailableError: If the server does not answer for too long.
        ArgumentError: If a shard does not exist, or a client is of the wrong kind.
        StorageError: If the disk is too small.
        VerificationError: If the pulled points are not those of the server.
    """
    started = time.monotonic()
    check_client(server, "pull(server, collection, local)", argument="server")
    check_client(local, "pull(server, collection, local)", argument="local")
    if not is_remote(server):
        raise ArgumentError(field="server", problem="is not the client of a server")
    if not isinstance(local, EdgeClient):
        raise ArgumentError(field="local", problem="is not the client of a folder")
    name = check_name(collection if name is None else name)
    policy = retry or RetryPolicy()
    with node_of(server) as node, progress_callback(progress) as callback:
        _require_tested(server, collection, node, untested=untested)
        source = _target(server, collection)
        info = _info(server, source, node)
        cluster = Peers.of(node, peers)
        holders = _holders(node, source)
        chosen = _chosen(shards, holders)
        is_whole = len(chosen) == len(holders)
        before = exact_count(server, source) if is_whole else None
        with local.receiving(name) as incoming:
            points = info.points_count or 0
            _require_vectors_room(incoming.room, info, points * len(chosen) // len(holders))
            downloader = Downloader(
                source, cluster, node.url, incoming, policy, callback, len(chosen)
            )
            for shard in chosen:
                downloader.take(shard, holders[shard])
            downloader.report("opening")
            segments = incoming.segments()
            description, left = embedded_description(info.config, segments=segments)
            try:
                points = incoming.finish(description, payload_indexes(info))
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
        bytes=downloader.bytes,
        seconds=time.monotonic() - started,
        left_out=tuple(left),
    )


def _require_tested(server: QdrantClient, collection: str, node: Node, *, untested: bool) -> None:
    version = first_version(server, collection)
    if untested or (version is not None and version[:2] in TESTED):
        return
    shown = "of an unknown version" if version is None else ".".join(map(str, version))
    tested = ", ".join(f"{major}.{minor}" for major, minor in TESTED)
    raise CannotPullError(
        collection=collection,
        where=node.url,
        problem=f"the server is {shown}, and pulling was tested with {tested} only: the engine may "
        "not be able to read another version's files. To try: untested=True (--untested)",
    )


def _target(server: QdrantClient, collection: str) -> str:
    """Resolve an alias to its collection."""
    return call_with_retries(
        server, collection, "reading aliases", lambda: resolve_alias(server, collection)
    )


def _info(server: QdrantClient, collection: str, node: Node) -> models.CollectionInfo:
    """Read the collection's description over REST: gRPC's messages lack some of its fields."""
    answer = node.get_or_none(collection_path(collection))
    if answer is None:
        names = sorted(one.name for one in server.get_collections().collections)
        raise CollectionNotFoundError(
            collection=collection, where=node.url, collections=tuple(names)
        )
    try:
        return models.CollectionInfo.model_validate(answer)
    except ValueError as error:
        raise CannotPullError(
            collection=collection,
            where=node.url,
            problem=f"its description cannot be read ({error})",
        ) from error


def _holders(node: Node, collection: str) -> dict[int, dict[int, str]]:
    """Return shard -> peer -> the state of its replica; the node that is asked comes first."""
    cluster = node.get(collection_path(collection, "cluster"))
    holders: dict[int, dict[int, str]] = {}
    for replica in cluster["local_shards"]:
        holders.setdefault(replica["shard_id"], {})[cluster["peer_id"]] = replica["state"]
    for replica in cluster["remote_shards"]:
        holders.setdefault(replica["shard_id"], {})[replica["peer_id"]] = replica["state"]
    return holders


def _chosen(wanted: Sequence[int] | None, holders: Mapping[int, object]) -> list[int]:
    every = sorted(holders)
    if wanted is None:
        return every
    chosen = sorted(set(wanted))
    unknown = [shard for shard in chosen if shard not in holders]
    if unknown or not chosen:
        raise ArgumentError(
            field="shards", problem=f"{unknown or 'none'} given; there are: {every}"
        )
    return chosen


def _require_vectors_room(folder: Path, info: models.CollectionInfo, points: int) -> None:
    """Refuse a collection whose vectors do not fit on disk; the size of payloads is not known."""
    params = info.config.params.vectors or {}
    dense = params.values() if isinstance(params, Mapping) else [params]
    each = sum(
        one.size * _BYTES.get(one.datatype, 4) if one.datatype else one.size * 4 for one in dense
    )
    require_room(folder, points * each)


def _require_written_meanwhile(
    server: QdrantClient, collection: str, points: int, before: int
) -> None:
    """Refuse a count that differs from the server's if nobody wrote in the meantime."""
    after = exact_count(server, collection)
    if after == before:
        raise VerificationError(
            collection=collection,
            problem=f"{points:,} points arrived, and the server counted {before:,} before and "
            "after. If somebody writes to it, repeat the pull; nothing was left in the folder",
        )
