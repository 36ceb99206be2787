"""Shards on their way: several at once, a failed one repeated alone, told in bytes."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.retry import Attempts, RetryPolicy, retry_unavailable
from qdrant_static.errors import CannotShipError, EngineError, ServerUnavailableError
from qdrant_static.shipping.nodes.node import Sendable, collection_path
from qdrant_static.shipping.packing.pack import Frame, Packed
from qdrant_static.shipping.progress import Phase, ShipProgress
from qdrant_static.shipping.rate import Rate

if TYPE_CHECKING:
    from qdrant_static.shipping.nodes.peers import Holder, Peers
    from qdrant_static.shipping.packing.segments import BuiltShard


class _StoppedError(Exception):
    """Another shard's failure, or the user, has ended the sending."""


class Sender:
    """Sends the shards of one build to the nodes that hold them.

    Args:
        peers: The server's nodes.
        target: The collection there, prepared.
        shards: What was built; at rest until the last byte is sent.
        states: Its segments' states in the target's words, by name.
        folder: For the target's own small snapshots; it is the caller's to remove.
        parallel: How many shards are under way at once.
        retry: How long a failing shard is repeated.
        rate: What all shards together are held to.
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
        parallel: int,
        retry: RetryPolicy,
        rate: Rate,
        progress: Callable[[ShipProgress], None] | None = None,
    ) -> None:
        self._peers = peers
        self._target = target
        self._shards = shards
        self._states = states
        self._folder = folder
        self._parallel = parallel
        self._retry = retry
        self._rate = rate
        self._progress = progress
        self._packed: dict[int, Packed] = {}
        self._sizes: dict[int, int] = {}
        self._sent: dict[int, int] = {}
        self._done: set[int] = set()
        self._guard = threading.Lock()
        self._stop = threading.Event()

    @property
    def sent_bytes(self) -> int:
        """Bytes of all shards; those of a shard that was sent again count once."""
        return sum(self._sent.values())

    def frame(self) -> None:
        """Take every shard's own snapshot from its node, while it is empty; then sizes are known.

        Raises:
            CannotShipError, StorageError, ServerUnavailableError, EngineError: If one cannot be
                taken.
        """
        holders = self._holders()
        for shard in self._shards:
            holder = self._of(holders, shard.number)[0]
            try:
                retry_unavailable(
                    lambda holder=holder, shard=shard: self._pack(holder, shard),  # type: ignore[misc]
                    self._retry,
                )
            except EngineError as error:
                raise CannotShipError(
                    collection=self._target,
                    where=holder.node.url,
                    problem="snapshots of its shards cannot be had: a server without them, or a "
                    f"proxy that lets them not through ({error})",
                ) from error
            self._report()

    def send(self, numbers: Collection[int]) -> None:
        """Send some shards; returns when the server has opened all of them.

        Args:
            numbers: Which.

        Raises:
            ServerUnavailableError: If a shard's nodes were away for too long.
            AccessDeniedError, EngineError: If the server refuses one.
            StorageError: If a file changed, or cannot be read.
        """
        for number in numbers:
            self._done.discard(number)
            self._sent[number] = 0
        self._stop.clear()
        pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="ship", initializer=_give_way)
        futures: list[Future[None]] = []
        try:
            futures = [
                pool.submit(self._run, shard) for shard in self._shards if shard.number in numbers
            ]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            self._stop.set()  # after a failure, or Ctrl-C: what is under way breaks off
            pool.shutdown(wait=True, cancel_futures=True)
        errors = [future.exception() for future in futures if not future.cancelled()]
        for error in errors:
            if error is not None and not isinstance(error, _StoppedError):
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
                raise _StoppedError
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
        """Once, to one of the shard's nodes: after a failure the next one's turn comes."""
        holders = self._of(self._holders(), shard.number)
        holder = holders[failures % len(holders)]
        packed = self._packed[shard.number]

        def report(sent: int) -> None:
            self._sent[shard.number] = min(sent, self._sizes[shard.number])
            self._report()

        self._peers.wait_led(holder.node, patience_s=self._retry.budget_s)
        try:
            holder.node.upload(
                collection_path(self._target, "shards", shard.number, "snapshots", "upload"),
                f"{shard.number}.snapshot",
                _Breakable(packed, self._stop, self._rate),
                report,
                wait=True,
                priority="snapshot",
            )
        except EngineError as error:
            raise EngineError(
                operation=f"sending shard {shard.number} of {self._target!r}: {error.operation}",
                problem=error.problem,
            ) from error

    def _pack(self, holder: Holder, shard: BuiltShard) -> None:
        """Pack a shard, in a frame of this node.

        It fits the other nodes, too: the server puts its own peer id in the place of the frame's.
        And it is the only one, because later their replicas may have got the points already.
        """
        archive = self._folder / str(shard.number)
        with archive.open("wb") as file:
            path = collection_path(self._target, "shards", shard.number, "snapshot")
            holder.node.stream_to(path, file)
        packed = Packed(shard, Frame.read(archive), self._states)
        self._packed[shard.number] = packed
        self._sizes[shard.number] = packed.size

    def _holders(self) -> dict[int, list[Holder]]:
        return retry_unavailable(lambda: self._peers.holders(self._target), self._retry)

    def _of(self, holders: Mapping[int, list[Holder]], number: int) -> list[Holder]:
        """A shard's nodes; those that answer first."""
        found = sorted(holders.get(number, ()), key=lambda one: one.points is None)
        if not found:
            raise EngineError(
                operation=f"sending shard {number} of {self._target!r}",
                problem="no node of the server holds it",
            )
        return found

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


def _give_way() -> None:
    """Let a server on this machine, and all others, go before this thread, where that is known."""
    if sys.platform == "linux":  # elsewhere a priority is the whole process's
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


class _Breakable:
    """A file that comes no faster than it may, and stops coming when all is to end."""

    def __init__(self, packed: Sendable, stop: threading.Event, rate: Rate) -> None:
        self._packed = packed
        self._stop = stop
        self._rate = rate

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._packed.size

    def chunks(self) -> Iterator[bytes]:
        """The bytes."""
        for chunk in self._packed.chunks():
            if self._stop.is_set():
                raise _StoppedError
            self._rate.take(len(chunk))
            yield chunk
