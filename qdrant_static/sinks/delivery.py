"""Sends rows in requests: retries, splits and gives up, and returns the reason of each refusal."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.connect import address, secrets_of
from qdrant_static.clients.failures import (
    Failure,
    Verdict,
    failure_of,
    final_error,
    names_something_else,
)
from qdrant_static.clients.retry import Attempts, RetryPolicy
from qdrant_static.errors import EveryPointRefusedError, SpecMismatchError
from qdrant_static.redaction import redact
from qdrant_static.sinks.pointbytes import UnfitPayloadError
from qdrant_static.sinks.requests import Points, Requests

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

#: Points of the first request, and the bounds of all others.
FIRST, FEWEST, MOST = 256, 8, 4096
#: A request that takes less is mostly overhead, one that takes more holds the others up; seconds.
SHORT_S, LONG_S = 0.1, 0.8
#: If this many points, spread over a refused request, are refused alone and for the same reason,
#: the points are not the cause.
_SAMPLE = 6
#: How often an overloaded server that sends no Retry-After gets a request of the same size.
_OVERLOADS = 2
_DIGITS = re.compile(r"\d+")


class Pace:
    """How many points go into one request: as many as the server answers in good time.

    The number is doubled when answers come soon, and halved when they do not.

    Attributes:
        points: Points of the next request.
    """

    def __init__(self, first: int = FIRST) -> None:
        self._lock = threading.Lock()
        self._most = MOST
        self.points = first

    def record(self, points: int, seconds: float) -> None:
        """Adapt to a request that was acknowledged."""
        with self._lock:
            if seconds > LONG_S:
                self.points = max(FEWEST, min(self.points, points // 2))
            elif seconds < SHORT_S and 2 * points > self.points:
                # One that was much smaller than allowed says nothing about larger ones.
                self.points = min(self._most, 2 * self.points)

    def too_slow(self, points: int) -> None:
        """Adapt to a request that was not answered in time."""
        with self._lock:
            self.points = max(FEWEST, min(self.points, points // 2))

    def too_many(self, points: int) -> None:
        """Note that the server takes fewer points at once: it never gets as many again."""
        with self._lock:
            self._most = max(1, min(self._most, points // 2))
            self.points = min(self.points, self._most)


class SinkStoppedError(Exception):
    """The sink gave up or was stopped: what is left is not sent."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A point ready to be sent."""

    row: int
    point: Any
    size: int


class Delivery:
    """Delivers rows of batches, in several threads at a time.

    Args:
        client: The client of the server.
        collection: The collection.
        requests: Makes and sends requests.
        sizes: Dense vector name -> size, as the collection had them.
        pace: Adapts the size of requests to the time that they take.
        retry: When to try again, and when to give up.
        max_batch_bytes: Bytes of a request, at most.
        max_point_bytes: Bytes of a point, at most.
    """

    def __init__(
        self,
        client: QdrantClient,
        collection: str,
        requests: Requests,
        sizes: Mapping[str, int],
        pace: Pace,
        retry: RetryPolicy,
        *,
        max_batch_bytes: int,
        max_point_bytes: int,
    ) -> None:
        self._client = client
        self._collection = collection
        self._requests = requests
        self._sizes = dict(sizes)
        self._pace = pace
        self._retry = retry
        self._max_batch_bytes = max_batch_bytes
        self._max_point_bytes = max_point_bytes
        self._stopped = threading.Event()
        self._acknowledged_at = float("-inf")
        self._not_before = float("-inf")

    def stop(self) -> None:
        """Send nothing more; waits end at once."""
        self._stopped.set()

    def deliver(self, points: Points, rows: Sequence[int]) -> dict[int, str]:
        """Store rows.

        Args:
            points: The batch that they belong to.
            rows: Which rows of it.

        Returns:
            The rows that were refused, each with the reason; all others are acknowledged.

        Raises:
            SinkStoppedError: If `stop` was called; whether the rows are stored is not known.
            QdrantStaticError: As `ServerSink.submit`.
        """
        refused: dict[int, str] = {}
        for items in self._by_bytes(points, rows, refused):
            self._send(items, refused)
        return refused

    def _by_bytes(
        self, points: Points, rows: Sequence[int], refused: dict[int, str]
    ) -> Iterator[list[_Item]]:
        items: list[_Item] = []
        total = 0
        for row in rows:
            try:
                point, size = points.point(row)
            except UnfitPayloadError as error:
                refused[row] = f"payload: {error}"
                continue
            if size > self._max_point_bytes:
                refused[row] = f"takes {size} bytes; a request may have {self._max_point_bytes}"
                continue
            if items and total + size > self._max_batch_bytes:
                yield items
                items, total = [], 0
            items.append(_Item(row, point, size))
            total += size
        if items:
            yield items

    # --- refusals --------------------------------------------------------------------------------

    def _send(self, items: list[_Item], refused: dict[int, str]) -> None:
        """Send points together; if they are refused, find out which of them are."""
        failure = self._until_answered(items)
        if failure is None:
            return
        if len(items) == 1:
            refused[items[0].row] = failure.problem
            return
        if not failure.overload:
            self._check_collection()
            tried = self._sample(items, failure, refused)
            items = [item for item in items if item.row not in tried]
        before = len(refused)
        middle = len(items) // 2
        for half in (items[:middle], items[middle:]):
            if half:
                self._send(half, refused)
        if failure.overload:
            self._pace.too_slow(len(items))
        elif len(refused) == before:
            # No point was bad; there were too many of them.
            self._pace.too_many(len(items))

    def _sample(self, items: list[_Item], failure: Failure, refused: dict[int, str]) -> set[int]:
        """Send a sample alone, to see whether the points are the cause; return the rows sent."""
        if len(items) < 4 * _SAMPLE:
            return set()
        done: set[int] = set()
        for place in range(_SAMPLE):
            item = items[place * (len(items) - 1) // (_SAMPLE - 1)]
            answer = self._until_answered([item])
            done.add(item.row)
            if answer is None:
                return done
            refused[item.row] = answer.problem
        # A server may name the point, or where in the request it stands.
        if len({_DIGITS.sub("#", refused[row]) for row in done}) > 1:
            return done
        raise EveryPointRefusedError(collection=self._collection, problem=failure.problem)

    def _check_collection(self) -> None:
        """Raise `SpecMismatchError` if the collection was changed, which makes it refuse points."""
        try:
            params = self._client.get_collection(self._collection).config.params
        except Exception:  # the next request raises what is wrong
            return
        vectors = params.vectors
        stored = (
            {name: one.size for name, one in vectors.items()} if isinstance(vectors, dict) else {}
        )
        differences = tuple(
            f"vector {name}: {stored.get(name, 'none')}, not {size}"
            for name, size in self._sizes.items()
            if stored.get(name) != size
        )
        if differences:
            raise SpecMismatchError(collection=self._collection, differences=differences)

    # --- one request -----------------------------------------------------------------------------

    def _until_answered(self, items: list[_Item]) -> Failure | None:
        """Send until the server acknowledges (returns None) or refuses (returns the failure)."""
        points = [item.point for item in items]
        attempts: Attempts | None = None
        while True:
            self._wait_until(self._not_before)
            begun = time.monotonic()
            try:
                self._requests.send(points)
            except Exception as error:
                failure = failure_of(error)
                if failure is None:
                    raise
                cause = error
            else:
                self._acknowledged_at = now = time.monotonic()
                self._pace.record(len(items), now - begun)
                return None
            if failure.verdict is Verdict.REFUSED or names_something_else(
                self._client, self._collection, failure
            ):
                return failure
            if failure.verdict is not Verdict.AGAIN:
                raise final_error(
                    self._client, self._collection, "storing points", failure
                ) from cause
            attempts = attempts or Attempts(self._retry, started=begun)
            if failure.too_slow:
                self._pace.too_slow(len(items))
            if failure.overload and failure.retry_after_s is None:
                # A request as large as this one may never be accepted.
                if attempts.failures >= _OVERLOADS and len(items) > 1:
                    return failure
            self._wait(failure, attempts, cause)

    def _wait(self, failure: Failure, attempts: Attempts, cause: Exception) -> None:
        retry_after = failure.retry_after_s
        wait = attempts.next_wait_s(retry_after_s=retry_after, accepted_at=self._acknowledged_at)
        if wait is None:
            problem = redact(failure.problem, secrets_of(self._client))
            raise attempts.gave_up(address(self._client), problem) from cause
        now = time.monotonic()
        if retry_after is not None:
            # A Retry-After holds for all requests.
            self._not_before = max(self._not_before, now + retry_after)
        self._wait_until(now + wait)

    def _wait_until(self, moment: float) -> None:
        wait = moment - time.monotonic()
        if self._stopped.wait(wait) if wait > 0 else self._stopped.is_set():
            raise SinkStoppedError
