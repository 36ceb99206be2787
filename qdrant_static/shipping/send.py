"""Sends the shards of a build to the nodes that hold them, several at a time, with retries."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.retry import Attempts, RetryPolicy, retry_unavailable
from qdrant_static.errors import CannotShipError, EngineError, ServerUnavailableError
from qdrant_static.shipping.nodes.node import collection_path
from qdrant_static.shipping.packing.shardsnapshot import EmptySnapshot, ShardSnapshot
from qdrant_static.shipping.progress import Phase, ShipProgress
from qdrant_static.shipping.throttle import RateLimit, StoppableUpload, UploadStoppedError

if TYPE_CHECKING:
    from qdrant_static.shipping.nodes.peers import Peers
    from qdrant_static.shipping.nodes.replicas import Replica
    from qdrant_static.shipping.packing.segments import BuiltShard


class Sender:
    """Sends the shards of one build to the nodes that hold them.

    Args:
        peers: The server's nodes.
        target: The prepared collection on the server.
        shards: The built shards; nobody may have them open while they are sent.
        states: The segments' states in the target's configuration, by name.
        folder: A folder for the snapshots of the empty target; the caller removes it.
        workers: How many shards are sent at the same time.
        retry: How long to keep retrying a shard.
        rate: The limit for all shards together.
        progress: Called with the progress, by one thread at a time.
    """

    def __init__(
        self,
        peers: Peers,
        target: str,
        shards: Sequence[BuiltShard],
        states: Mapping[str, Mapping[str, Any]],
        folder: Path,
        *,
        workers: int,
        retry: RetryPolicy,
        rate: RateLimit,
        progress: Callable[[ShipProgress], None] | None = None,
    ) -> None:
        self._peers = peers
        self._target = target
        self._shards = shards
        self._states = states
        self._folder = folder
        self._workers = workers
        self._retry = retry
        self._rate = rate
        self._progress = progress
        self._snapshots: dict[int, ShardSnapshot] = {}
        self._sizes: dict[int, int] = {}
        self._sent: dict[int, int] = {}
        self._done: set[int] = set()
        self._guard = threading.Lock()
        self._stop = threading.Event()

    @property
    def sent_bytes(self) -> int:
        """The bytes sent of all shards; a shard that was sent again counts once."""
        return sum(self._sent.values())

    def fetch_empty_snapshots(self) -> None:
        """Download the snapshot of every shard of the empty target; then the sizes are known.

        Raises:
            CannotShipError, StorageError, ServerUnavailableError, EngineError: If a snapshot cannot
                be taken.
        """
        holders = self._holders()
        for shard in self._shards:
            holder = self._holders_of(holders, shard.number)[0]
            try:
                retry_unavailable(
                    lambda holder=holder, shard=shard: self._pack(holder, shard),  # type: ignore[misc]
                    self._retry,
                )
            except EngineError as error:
                raise CannotShipError(
                    collection=self._target,
                    where=holder.node.url,
                    problem="it gives no snapshots of its shards: the server does not support "
                    f"them, or a proxy blocks them ({error})",
                ) from error
            self._report()

    def send(self, numbers: Collection[int]) -> None:
        """Send some shards; returns when the server has opened all of them.

        Args:
            numbers: The shards' numbers.

        Raises:
            ServerUnavailableError: If a shard's nodes were unreachable for too long.
            AccessDeniedError, EngineError: If the server refuses a shard.
            StorageError: If a file has changed, or cannot be read.
        """
        for number in numbers:
            self._done.discard(number)
            self._sent[number] = 0
        self._stop.clear()
        pool = ThreadPoolExecutor(
            self._workers, thread_name_prefix="ship", initializer=_lower_priority
        )
        futures: list[Future[None]] = []
        try:
            futures = [
                pool.submit(self._run, shard) for shard in self._shards if shard.number in numbers
            ]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            self._stop.set()  # after a failure, or Ctrl-C: uploads that are running end
            pool.shutdown(wait=True, cancel_futures=True)
        errors = [future.exception() for future in futures if not future.cancelled()]
        for error in errors:
            if error is not None and not isinstance(error, UploadStoppedError):
                raise error

    def _run(self, shard: BuiltShard) -> None:
        try:
            self._send(shard)
        except BaseException:
            self._stop.set()
            raise

    def _send(self, shard: BuiltShard) -> None:
        """Send one shard, until a node that holds it has accepted it."""
        attempts, furthest = Attempts(self._retry), 0
        while True:
            if self._stop.is_set():
                raise UploadStoppedError
            self._sent[shard.number] = 0
            try:
                self._attempt(shard, attempts.failures)
            except ServerUnavailableError as error:
                if attempts.failures == 0 or self._sent[shard.number] > furthest:
                    furthest = self._sent[shard.number]
                    attempts.restart()
                pause = attempts.next_wait_s()
                if pause is None:
                    problem = f"shard {shard.number} of {self._target!r}: {error.problem}"
                    raise attempts.gave_up(error.where, problem) from error
                self._stop.wait(pause)
            else:
                with self._guard:
                    self._done.add(shard.number)
                    self._sent[shard.number] = self._sizes[shard.number]
                self._report()
                return

    def _attempt(self, shard: BuiltShard, failures: int) -> None:
        """Send a shard once, to one of its nodes: after each failure to the next one."""
        holders = self._holders_of(self._holders(), shard.number)
        holder = holders[failures % len(holders)]
        snapshot = self._snapshots[shard.number]

        def report(sent: int) -> None:
            self._sent[shard.number] = min(sent, self._sizes[shard.number])
            self._report()

        self._peers.wait_for_leader(holder.node, timeout_s=self._retry.budget_s)
        try:
            holder.node.upload(
                collection_path(self._target, "shards", shard.number, "snapshots", "upload"),
                f"{shard.number}.snapshot",
                StoppableUpload(snapshot, self._stop, self._rate),
                report,
                wait=True,
                priority="snapshot",
            )
        except EngineError as error:
            raise EngineError(
                operation=f"sending shard {shard.number} of {self._target!r}: {error.operation}",
                problem=error.problem,
            ) from error

    def _pack(self, holder: Replica, shard: BuiltShard) -> None:
        """Prepare the snapshot of a shard from the empty snapshot of one node.

        It fits the other nodes, too: the server replaces the peer id in it by its own. And it is
        taken once, because later the other replicas may have received the points already.
        """
        archive = self._folder / str(shard.number)
        with archive.open("wb") as file:
            path = collection_path(self._target, "shards", shard.number, "snapshot")
            holder.node.stream_to(path, file)
        snapshot = ShardSnapshot(shard, EmptySnapshot.read(archive), self._states)
        self._snapshots[shard.number] = snapshot
        self._sizes[shard.number] = snapshot.size

    def _holders(self) -> dict[int, list[Replica]]:
        return retry_unavailable(lambda: self._peers.holders(self._target), self._retry)

    def _holders_of(self, holders: Mapping[int, list[Replica]], number: int) -> list[Replica]:
        """Return the replicas of a shard; those whose node answers come first."""
        replicas = sorted(holders.get(number, ()), key=lambda replica: replica.points is None)
        if not replicas:
            raise EngineError(
                operation=f"sending shard {number} of {self._target!r}",
                problem="no node of the server holds it",
            )
        return replicas

    def _report(self) -> None:
        if self._progress is None:
            return
        with self._guard:
            self._progress(self.state("sending"))

    def state(self, phase: Phase) -> ShipProgress:
        """Return the progress, as that of a phase."""
        return ShipProgress(
            phase=phase,
            sent_bytes=self.sent_bytes,
            total_bytes=sum(self._sizes.values()),
            shards_done=len(self._done),
            shards=len(self._shards),
        )


def _lower_priority() -> None:
    """Give this thread the lowest priority, so that a server on this machine is not slowed down."""
    if sys.platform == "linux":  # on other systems a priority holds for the whole process
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
