"""Downloads the shards of a server's collection, one after the other."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from qdrant_static.clients.retry import Attempts, RetryPolicy
from qdrant_static.edge.directory import require_room
from qdrant_static.errors import (
    CannotPullError,
    EngineError,
    ServerUnavailableError,
    StorageError,
)
from qdrant_static.shipping.nodes.node import Node, collection_path
from qdrant_static.shipping.nodes.peers import Peers
from qdrant_static.shipping.nodes.replicas import ACTIVE
from qdrant_static.shipping.progress import PullProgress

if TYPE_CHECKING:
    from pathlib import Path

    from qdrant_static.edge.snapshotimport import Incoming

#: How often the download of one shard may break off after it has started.
_MAX_CUTS = 5
#: How often a snapshot of one shard may be discarded because the optimizer rewrote the shard.
_MAX_DISTURBED = 20
#: The free disk space is checked each time that this number of bytes has arrived.
_CHECK_BYTES = 64 << 20
#: A block of zeros in place of a header ends a tar archive.
_TAR_END = bytes(512)
#: How often the optimizer's state is read, in seconds.
_POLL_S = 0.2
#: How long to wait for a pause of the optimizer, in seconds. If there is none, it may still be
#: working on other shards.
_PAUSE_S = 30.0
#: The statuses of a collection while nothing is rewritten; grey waits for the next write.
_IDLE = ("green", "grey")


class _DisturbedError(ServerUnavailableError):
    """A snapshot was begun while the optimizer rewrote its shard."""


class Downloader:
    """Downloads shards one after the other.

    Args:
        collection: The collection on the server.
        peers: The server's nodes.
        where: The server's address, for messages.
        incoming: The local collection that receives them.
        policy: How long to keep retrying an unreachable node.
        progress: Called with the progress.
        shards: The number of shards to download.

    Attributes:
        bytes: The number of bytes received.
    """

    def __init__(
        self,
        collection: str,
        peers: Peers,
        where: str,
        incoming: Incoming,
        policy: RetryPolicy,
        progress: Callable[[PullProgress], None] | None,
        shards: int,
    ) -> None:
        self.bytes = 0
        self._collection = collection
        self._peers = peers
        self._where = where
        self._incoming = incoming
        self._policy = policy
        self._progress = progress
        self._shards = shards
        self._done = 0
        self._check_at = 0

    def report(self, phase: Literal["receiving", "opening"], more: int = 0) -> None:
        """Report the progress; ``more`` bytes have arrived of a shard that is not complete yet."""
        if self._progress is not None:
            self._progress(
                PullProgress(
                    phase=phase,
                    sent_bytes=self.bytes + more,
                    total_bytes=0,
                    shards_done=self._done,
                    shards=self._shards,
                )
            )

    def take(self, shard: int, holders: Mapping[int, str]) -> None:
        """Download a shard's snapshot and unpack it.

        Args:
            shard: The shard's number.
            holders: Peer -> the state of its replica; the first are asked first.

        Raises:
            CannotPullError: If no replica is active, or no node gives a snapshot.
            ServerUnavailableError: If all its nodes are unreachable for too long, or break off
                repeatedly.
            AccessDeniedError: If the API key does not allow it.
            StorageError: If the disk is too small.
        """
        active = [peer for peer, state in holders.items() if state == ACTIVE]
        if not active:
            states = ", ".join(f"peer {peer}: {state}" for peer, state in holders.items())
            raise self._cannot(f"no replica of shard {shard} is {ACTIVE} ({states}): wait for it")
        file = self._incoming.room / f"{shard}.snapshot"
        size = self._download(shard, active, file)
        self.bytes += size
        self.report("receiving")
        require_room(self._incoming.room, size)  # the archive stays while it is unpacked
        self._incoming.take(file)
        self._done += 1
        self.report("receiving")

    def _download(self, shard: int, peers: Sequence[int], file: Path) -> int:
        """Try the nodes that hold the shard in turn, until one has sent all of it."""
        tried = cuts = disturbed = 0
        waited_s = 0.0
        # Only the waits count: a download that breaks off may have taken long before.
        attempts = Attempts(self._policy, clock=lambda: waited_s)
        problems: dict[int, str] = {}
        while True:
            peer = peers[tried % len(peers)]
            try:
                return self._attempt(shard, peer, file)
            except ServerUnavailableError as error:
                tried += 1
                problems[peer] = f"{error.where}: {error.problem}"
                if isinstance(error, _DisturbedError):
                    disturbed += 1
                elif file.exists() and file.stat().st_size > 0:
                    cuts += 1
                # The next holder is asked at once; after all of them have failed, wait.
                pause = 0.0 if tried % len(peers) else attempts.next_wait_s()
                if pause is None or cuts > _MAX_CUTS or disturbed > _MAX_DISTURBED:
                    raise ServerUnavailableError(
                        where=self._where,
                        problem=f"shard {shard} of {self._collection!r}: "
                        + "; ".join(problems.values()),
                        tried=tried,
                        waited_s=waited_s,
                    ) from error
                waited_s += pause
                time.sleep(pause)

    def _attempt(self, shard: int, peer: int, file: Path) -> int:
        file.unlink(missing_ok=True)
        node = self._peers.node(peer)
        watch = OptimizerWatch(node=node, collection=self._collection)
        watch.begin()
        self._check_at = -1

        def received(done: int) -> None:
            if self._check_at < 0:
                watch.first_bytes_arrived()
            self._received(done)

        try:
            with file.open("wb") as stream:
                path = collection_path(self._collection, "shards", shard, "snapshot")
                size = node.stream_to(path, stream, received)
        except EngineError as error:
            raise self._cannot(
                f"{node.url} gives no snapshot of shard {shard} ({error.problem})"
            ) from error
        except OSError as error:
            raise StorageError(path=str(file), problem=error.strerror or str(error)) from error
        segments = _segments(file)
        if segments is None:
            raise ServerUnavailableError(
                where=node.url,
                problem="the snapshot is not complete, or is not a snapshot",
                tried=1,
                waited_s=0.0,
            )
        if watch.was_rewritten(segments):
            raise _DisturbedError(
                where=node.url,
                problem="its optimizer was running, and the snapshot may contain points that were "
                "deleted meanwhile",
                tried=1,
                waited_s=0.0,
            )
        return size

    def _received(self, done: int) -> None:
        self.report("receiving", done)
        if done >= self._check_at:
            require_room(self._incoming.room, _CHECK_BYTES)
            self._check_at = done + _CHECK_BYTES

    def _cannot(self, problem: str) -> CannotPullError:
        return CannotPullError(collection=self._collection, where=self._where, problem=problem)


def _segments(file: Path) -> set[str] | None:
    """Return the segments in a snapshot; None if it does not have its end.

    A proxy may end a stream that was cut as if it were complete.
    """
    names = set()
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                first, _, rest = member.name.partition("/")
                if first == "segments" and rest:
                    names.add(rest.partition("/")[0].removesuffix(".tar"))
            end = tar.offset
    except tarfile.TarError:
        return None
    with file.open("rb") as stream:
        stream.seek(end)
        return names if stream.read(len(_TAR_END)) == _TAR_END else None


@dataclass(slots=True, kw_only=True)
class OptimizerWatch:
    """Detects whether the optimizer rewrote a shard while its snapshot was begun.

    While segments are rewritten, changes to them are stored elsewhere: changed points in new
    segments, beside the old ones, and deletions in memory only. A snapshot of that moment has
    points twice, old and new, and has points that were deleted, and no log tells them apart
    (measured on 1.18.3: under steady writes nearly every snapshot was so). A server that restores
    such a snapshot sorts out the first; here such a snapshot is discarded.

    No rewrite starts or ends in a shard whose snapshot is being written. So a rewrite that
    overlaps its beginning was running before, or is running or has just ended when the first bytes
    arrive.

    Attributes:
        node: The node that gives the snapshot.
        collection: The collection on the server.
        wait: Sleeps for a number of seconds.
    """

    node: Node
    collection: str
    wait: Callable[[float], object] = time.sleep
    _before: set[str] = field(default_factory=set)
    _rewritten: dict[str, set[str] | None] = field(default_factory=dict)

    def begin(self) -> None:
        """Wait for a pause of the optimizer; call it before the snapshot is requested."""
        until = time.monotonic() + _PAUSE_S
        while True:
            report = self._optimizations()
            if not report.get("running") or time.monotonic() >= until:
                break
            self.wait(_POLL_S)
        self._before = {one["uuid"] for one in report.get("completed") or ()}
        self._rewritten = {}

    def first_bytes_arrived(self) -> None:
        """Read what is being rewritten; call it when the first bytes of the snapshot arrive."""
        report = self._optimizations()
        for one in [*(report.get("running") or ()), *(report.get("completed") or ())]:
            if one["uuid"] not in self._before:
                segments = one["segments"]
                self._rewritten[one["uuid"]] = (
                    None if segments is None else {segment["uuid"] for segment in segments}
                )

    def was_rewritten(self, segments: Collection[str]) -> bool:
        """Return whether one of these segments was being rewritten, or may have been."""
        return any(
            rewritten is None or not rewritten.isdisjoint(segments)
            for rewritten in self._rewritten.values()
        )

    def _optimizations(self) -> dict[str, Any]:
        path = collection_path(self.collection)
        try:
            report = self.node.get_or_none(f"{path}/optimizations", **{"with": "completed"})
        except ServerUnavailableError:
            # A cluster reports optimizations only if all nodes answer, but its status anyway.
            idle = self.node.get(path)["status"] in _IDLE
            report = {} if idle else {"running": [{"uuid": "", "segments": None}]}
        return report if isinstance(report, dict) else {}  # an older server has no report
