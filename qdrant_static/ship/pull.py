"""A server's collection -> an embedded one, with the indexes that it has there.

Each shard's snapshot is streamed to disk from a node that holds the shard; the server keeps no
file of it. `EdgeShard.unpack_snapshot` takes it apart, and the segments of all shards become one
embedded shard: with all the points and all the graphs, built by nobody anew.

While others write. A snapshot is a shard at one moment: every write that the server had
acknowledged before it was asked for the snapshot is in it (one with ``wait=False`` too), and of
the later ones those up to that moment; no point is half there. The shards' moments differ by the
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
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from qdrant_client import models

from qdrant_static.edge import EdgeClient
from qdrant_static.edge.directory import check_name, require_room
from qdrant_static.errors import (
    CannotPullError,
    CollectionNotFoundError,
    EngineError,
    NotSupportedByEdgeError,
    ServerUnavailableError,
    SpecError,
    StorageError,
    VerificationError,
)
from qdrant_static.ingest.server.calls import FIRST_CONTACT, exact_count, patiently
from qdrant_static.ingest.server.retry import RetryPolicy
from qdrant_static.serverversion import is_remote, server_version
from qdrant_static.ship.embedded import embedded, indexes
from qdrant_static.ship.node import Node, collection_path, node_of
from qdrant_static.ship.peers import Holder, Peers

if TYPE_CHECKING:
    from pathlib import Path

    from qdrant_client import QdrantClient

    from qdrant_static.edge.receiving import Incoming

#: The servers whose snapshots were opened, searched and edited here: major and minor version.
PROVED = ((1, 18),)
#: Of a replica that has all its points.
_ACTIVE = "Active"
#: How often the download of one shard may break after it has begun.
_MOST_CUTS = 5
#: How often the disk is looked at while a file arrives, in bytes.
_LOOK_BYTES = 64 << 20
#: A tar ends so; a stream that something between has cut does not.
_TAR_END = bytes(1024)
_BYTES = {models.Datatype.FLOAT16: 2, models.Datatype.UINT8: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is.

    Attributes:
        phase: ``"receiving"`` snapshots, or ``"opening"`` what has arrived.
        sent_bytes: What has been received.
        total_bytes: 0: nobody knows before it is all there.
        shards_done: Shards that have arrived and are unpacked.
        shards: Of how many.
    """

    phase: Literal["receiving", "opening"]
    sent_bytes: int
    total_bytes: int
    shards_done: int
    shards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A server's collection that is here now.

    Attributes:
        collection: Its name here.
        source: Its name there; the target's, where an alias was asked for.
        where: The server.
        points: How many points there are here, exactly.
        shards: The shards that it was made of.
        shards_there: How many shards the collection has on the server.
        segments: How many segments they are, each with its own graphs.
        bytes: What was received.
        seconds: What it took, from the first question to the open collection.
        left_out: What an embedded collection has no words for: settings of a server, and what its
            jobs have noted in the metadata.
    """

    collection: str
    source: str
    where: str
    points: int
    shards: tuple[int, ...]
    shards_there: int
    segments: int
    bytes: int
    seconds: float
    left_out: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all shards are here."""
        return len(self.shards) == self.shards_there

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**asdict(self), "complete": self.complete}

    def __str__(self) -> str:
        told = (
            f"{self.collection}: {self.points:,} points of {self.source} at {self.where}, with "
            f"their index; {self.bytes / 1e6:,.0f} MB in {self.seconds:.1f} s"
        )
        if not self.complete:
            shards = ", ".join(map(str, self.shards))
            told += f". Not the whole collection: shard {shards} of {self.shards_there}"
        if self.left_out:
            told += f". Left out: {', '.join(self.left_out)}"
        return told


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
    told: Callable[[PullProgress], None] | None = None,
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
        told: Hears how far it is.

    Raises:
        CollectionExistsError: If it is here already; nothing is changed.
        CollectionNotFoundError: If it is not there.
        CannotPullError: If the server's version was not tried, if it gives no snapshots, or if the
            collection cannot be embedded.
        AccessDeniedError: If the key does not allow it.
        ServerUnavailableError: If the server does not answer for too long.
        SpecError: If a shard is not there, or an end is of the wrong kind.
        StorageError: If the disk has too little room.
        VerificationError: If what is here is not what is there.
    """
    begun = time.monotonic()
    if not is_remote(server):
        raise SpecError(field="server", problem="a collection is pulled from a server")
    if not isinstance(local, EdgeClient):
        raise SpecError(field="local", problem="a collection is pulled into a folder")
    name = check_name(collection if name is None else name)
    policy = retry or RetryPolicy()
    with node_of(server) as node:
        _require_proved(server, collection, node, untested=untested)
        source = _target(server, collection)
        info = _info(server, source, node)
        holders = Peers.of(node, peers).holders(source)
        chosen = _chosen(shards, holders)
        whole = len(chosen) == len(holders)
        before = exact_count(server, source) if whole else None
        with local.receiving(name) as incoming:
            points = info.points_count or 0
            _require_vectors_room(incoming.room, info, points * len(chosen) // len(holders))
            arrival = _Arrival(source, node, incoming, policy, told, len(chosen))
            for shard in chosen:
                arrival.take(shard, holders[shard])
            arrival.tell("opening")
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


class _Arrival:
    """Shards, one after the other."""

    def __init__(
        self,
        collection: str,
        node: Node,
        incoming: Incoming,
        policy: RetryPolicy,
        told: Callable[[PullProgress], None] | None,
        shards: int,
    ) -> None:
        self.bytes = 0
        self._collection = collection
        self._where = node.url
        self._incoming = incoming
        self._policy = policy
        self._told = told
        self._shards = shards
        self._done = 0
        self._looked = 0

    def tell(self, phase: Literal["receiving", "opening"], more: int = 0) -> None:
        if self._told is not None:
            self._told(
                PullProgress(
                    phase=phase,
                    sent_bytes=self.bytes + more,
                    total_bytes=0,
                    shards_done=self._done,
                    shards=self._shards,
                )
            )

    def take(self, shard: int, holders: Sequence[Holder]) -> None:
        """Download a shard's snapshot and unpack it."""
        active = [holder for holder in holders if holder.state == _ACTIVE]
        if not active:
            states = ", ".join(f"peer {one.peer_id}: {one.state}" for one in holders) or "nobody"
            raise self._cannot(f"no replica of shard {shard} is {_ACTIVE} ({states}): wait for it")
        file = self._incoming.room / f"{shard}.snapshot"
        size = self._download(shard, active, file)
        self.bytes += size
        self.tell("receiving")
        require_room(self._incoming.room, size)  # it is unpacked beside itself
        self._incoming.take(file)
        self._done += 1
        self.tell("receiving")

    def _download(self, shard: int, active: Sequence[Holder], file: Path) -> int:
        """Try the shard's holders in turn, until one gives all of it."""
        waited_s, failures, cuts = 0.0, 0, 0
        while True:
            holder = active[failures % len(active)]
            self._looked = 0
            try:
                return self._attempt(shard, holder, file)
            except ServerUnavailableError as error:
                failures += 1
                cuts += file.stat().st_size > 0
                pause = self._policy.wait_s(failures)
                if cuts > _MOST_CUTS or waited_s + pause > self._policy.budget_s:
                    raise ServerUnavailableError(
                        where=error.where,
                        problem=f"shard {shard} of {self._collection!r}: {error.problem}",
                        tried=failures,
                        waited_s=waited_s,
                    ) from error
                waited_s += pause
                time.sleep(pause)

    def _attempt(self, shard: int, holder: Holder, file: Path) -> int:
        path = collection_path(self._collection, "shards", shard, "snapshot")
        try:
            with file.open("wb") as stream:
                size = holder.node.stream_to(path, stream, self._look)
        except EngineError as error:
            raise self._cannot(
                f"{holder.node.url} gives no snapshot of shard {shard} ({error.problem})"
            ) from error
        except OSError as error:
            raise StorageError(path=str(file), problem=error.strerror or str(error)) from error
        if not _ends_as_tar(file):
            raise ServerUnavailableError(
                where=holder.node.url, problem="the snapshot was cut", tried=1, waited_s=0.0
            )
        return size

    def _look(self, done: int) -> None:
        self.tell("receiving", done)
        if done >= self._looked:
            require_room(self._incoming.room, _LOOK_BYTES)
            self._looked = done + _LOOK_BYTES

    def _cannot(self, problem: str) -> CannotPullError:
        return CannotPullError(collection=self._collection, where=self._where, problem=problem)


def _require_proved(server: QdrantClient, collection: str, node: Node, *, untested: bool) -> None:
    version = patiently(
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
    """The collection that a name stands for."""
    aliases = patiently(server, collection, "reading aliases", lambda: server.get_aliases().aliases)
    return {one.alias_name: one.collection_name for one in aliases}.get(collection, collection)


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


def _chosen(wanted: Sequence[int] | None, holders: Mapping[int, object]) -> list[int]:
    there = sorted(holders)
    if wanted is None:
        return there
    chosen = sorted(set(wanted))
    unknown = [shard for shard in chosen if shard not in holders]
    if unknown or not chosen:
        raise SpecError(field="shards", problem=f"{unknown or 'none'} given; there are: {there}")
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


def _ends_as_tar(file: Path) -> bool:
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        if size < len(_TAR_END):
            return False
        stream.seek(-len(_TAR_END), 2)
        return stream.read() == _TAR_END
