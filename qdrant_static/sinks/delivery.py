"""Rows -> requests -> acknowledged or refused: repeated, split, given up, each with its reason."""

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
from qdrant_static.sinks.payloadbytes import UnfitPayloadError
from qdrant_static.sinks.requests import Points, Requests

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.sinks.pace import Pace

#: If so many points, spread over a refused request, are refused alone and for the same reason,
#: it is not the points.
_SAMPLE = 6
#: An overloaded server that does not say when to come back is asked so often for as much at once.
_OVERLOADS = 2
_DIGITS = re.compile(r"\d+")


class StoppedError(Exception):
    """The sink gave up, or was told to: what is left is not sent."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A point ready to be sent."""

    row: int
    point: Any
    size: int


class Delivery:
    """Delivers rows of a batch; used by several threads at a time.

    Args:
        client: Of the server.
        collection: Where the points go.
        requests: How they get there.
        sizes: Dense vector name -> size, as the collection had them.
        pace: Hears how long requests take.
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
            rows: Which of it.

        Returns:
            The rows that were refused, each with the reason; all others are acknowledged.

        Raises:
            StoppedError: If `stop` was called; nobody knows what became of the rows.
            QdrantStaticError: As `ServerSink.submit` says.
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
        """Look whether it is the points at all, where there are many; gives the rows done."""
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
        """What was refused may be so because the collection was changed."""
        try:
            params = self._client.get_collection(self._collection).config.params
        except Exception:  # what is wrong with it, the next request will tell
            return
        vectors = params.vectors
        there = (
            {name: one.size for name, one in vectors.items()} if isinstance(vectors, dict) else {}
        )
        differences = tuple(
            f"vector {name}: {there.get(name, 'none')}, not {size}"
            for name, size in self._sizes.items()
            if there.get(name) != size
        )
        if differences:
            raise SpecMismatchError(collection=self._collection, differences=differences)

    # --- one request -----------------------------------------------------------------------------

    def _until_answered(self, items: list[_Item]) -> Failure | None:
        """Send until the server says yes, which gives None, or no, which gives why."""
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
                self._pace.saw(len(items), now - begun)
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
                # It may be that a request as large as this one is never let through.
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
            # The server's answer to one request holds for all of them.
            self._not_before = max(self._not_before, now + retry_after)
        self._wait_until(now + wait)

    def _wait_until(self, moment: float) -> None:
        wait = moment - time.monotonic()
        if self._stopped.wait(wait) if wait > 0 else self._stopped.is_set():
            raise StoppedError


__all__ = ["Delivery", "StoppedError"]
