"""Shards of a server's collection, downloaded and taken in one after the other."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from qdrant_static.clients.retry import Attempts, RetryPolicy
from qdrant_static.edge.directory import require_room
from qdrant_static.errors import (
    CannotPullError,
    EngineError,
    ServerUnavailableError,
    StorageError,
)
from qdrant_static.shipping.nodes.node import collection_path
from qdrant_static.shipping.nodes.peers import ACTIVE, Peers
from qdrant_static.shipping.progress import PullProgress
from qdrant_static.shipping.receiving.optimizerwatch import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from qdrant_static.edge.snapshotimport import Incoming

#: How often the download of one shard may break off after it has begun.
_MOST_CUTS = 5
#: How often a snapshot may be begun while its shard is rewritten.
_MOST_DISTURBED = 20
#: How often the disk is looked at while a file arrives, in bytes.
_LOOK_BYTES = 64 << 20
#: A block of zeros, in place of a header, ends a tar.
_TAR_END = bytes(512)


class _DisturbedError(ServerUnavailableError):
    """A snapshot that was begun while its shard was rewritten."""


class Arrival:
    """Shards, one after the other.

    Args:
        collection: Whose shards, on the server.
        peers: Who has them.
        where: The server, for messages.
        incoming: Where they go.
        policy: How long somebody who is away is waited for.
        progress: Called with the progress.
        shards: How many are to come.

    Attributes:
        bytes: What has been received.
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
        self._looked = 0

    def report(self, phase: Literal["receiving", "opening"], more: int = 0) -> None:
        """Report the progress; ``more`` bytes have come of a shard that is not complete yet."""
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
            shard: Its number.
            holders: Peer -> the state of its replica; the first are asked first.

        Raises:
            CannotPullError: If nobody has all of it, or gives it.
            ServerUnavailableError: If all who have it are away for too long, or break off again
                and again.
            AccessDeniedError: If the key does not allow it.
            StorageError: If the disk has too little room.
        """
        active = [peer for peer, state in holders.items() if state == ACTIVE]
        if not active:
            states = ", ".join(f"peer {peer}: {state}" for peer, state in holders.items())
            raise self._cannot(f"no replica of shard {shard} is {ACTIVE} ({states}): wait for it")
        file = self._incoming.room / f"{shard}.snapshot"
        size = self._download(shard, active, file)
        self.bytes += size
        self.report("receiving")
        require_room(self._incoming.room, size)  # it is unpacked beside itself
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
                if pause is None or cuts > _MOST_CUTS or disturbed > _MOST_DISTURBED:
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
        watch = Watch(node=node, collection=self._collection)
        watch.begin()
        self._looked = -1

        def look(done: int) -> None:
            if self._looked < 0:
                watch.look()
            self._look(done)

        try:
            with file.open("wb") as stream:
                path = collection_path(self._collection, "shards", shard, "snapshot")
                size = node.stream_to(path, stream, look)
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
                problem="the snapshot was cut, or is none",
                tried=1,
                waited_s=0.0,
            )
        if watch.disturbed(segments):
            raise _DisturbedError(
                where=node.url,
                problem="its optimizer was at work, and the snapshot may have what was deleted "
                "meanwhile",
                tried=1,
                waited_s=0.0,
            )
        return size

    def _look(self, done: int) -> None:
        self.report("receiving", done)
        if done >= self._looked:
            require_room(self._incoming.room, _LOOK_BYTES)
            self._looked = done + _LOOK_BYTES

    def _cannot(self, problem: str) -> CannotPullError:
        return CannotPullError(collection=self._collection, where=self._where, problem=problem)


def _segments(file: Path) -> set[str] | None:
    """The segments in a snapshot; None if it does not go on to its own end.

    A stream that was cut may have been ended politely, by something between.
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
