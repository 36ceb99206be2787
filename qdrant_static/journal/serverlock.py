"""A lock in a collection, for writers on several machines, which no dead writer keeps."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol
from uuid import uuid4

from qdrant_client import models

from qdrant_static.errors import ArgumentError, StorageError

#: How long a waiting writer sleeps between attempts, in seconds.
_PAUSE_S = 0.02


class LockPoint(Protocol):
    """A point that is read, and written on a condition."""

    def read(self) -> Mapping[str, Any]:
        """Its payload."""

    def write(self, payload: Mapping[str, Any], condition: models.Filter) -> None:
        """Replace its payload, if the condition holds when it is carried out."""


class Lease:
    """The lock.

    It is taken by a conditional write ("if the number is still 41, it is 42 and mine") and read
    back. Whoever finds the same number for the whole lease, by its own clock, takes it: no two
    clocks are compared. The holder renews it as it goes on.

    Args:
        point: Where it is.
        place: Where it is, in words.
        lease_s: After so long without a sign of life a holder is taken for dead, in seconds.
        patience_s: How long to wait for others, in seconds.
    """

    def __init__(self, point: LockPoint, place: str, lease_s: float, patience_s: float) -> None:
        self._point = point
        self._place = place
        self._lease_s = lease_s
        self._patience_s = patience_s
        self._me = f"{socket.gethostname()} process {os.getpid()} {uuid4().hex[:8]}"
        self._guard = threading.RLock()
        self._depth = 0
        self._ticket = -1
        self.renewed = 0.0

    @contextmanager
    def held(self, why: str) -> Iterator[None]:
        """Hold it; the thread that holds it may do so again.

        Raises:
            StorageError: If others held it for longer than the journal's patience, or it was
                taken from this one because it gave no sign of life.
        """
        if not self._guard.acquire(timeout=self._patience_s):
            raise StorageError(path=self._place, problem="another thread writes for too long")
        try:
            if not self._depth:
                self._take(why)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    self._release()
        finally:
            self._guard.release()

    def _take(self, why: str) -> None:
        end = time.monotonic() + self._patience_s
        seen, since = self._point.read(), time.monotonic()
        while True:
            now = time.monotonic()
            if not seen["holder"] or now - since >= self._lease_s:
                if self._claim(int(seen["ticket"]), f"{self._me}: {why}"):
                    return
            elif now >= end:
                raise StorageError(
                    path=self._place,
                    problem=f"others wrote for longer than {self._patience_s:g} s "
                    f"({seen['holder']}). Nothing was written; repeat it later",
                )
            else:
                time.sleep(_PAUSE_S)
            found = self._point.read()
            if found["ticket"] != seen["ticket"]:
                seen, since = found, time.monotonic()

    def _claim(self, ticket: int, holder: str) -> bool:
        """Take the lock, or renew or release it, if the number is still that one."""
        condition = models.Filter(
            must=[models.FieldCondition(key="ticket", match=models.MatchValue(value=ticket))]
        )
        payload = {"ticket": ticket + 1, "holder": holder, "by": self._me}
        self._point.write(payload, condition)
        found = self._point.read()
        mine = found["ticket"] == ticket + 1 and found.get("by") == self._me
        if mine:
            self._ticket, self.renewed = ticket + 1, time.monotonic()
        return mine

    def _release(self) -> None:
        self._claim(self._ticket, "")

    def check(self) -> None:
        """Whether it is still this one's; renews it in time.

        Raises:
            StorageError: If it is not.
        """
        if not self._depth:
            raise ArgumentError(field="journal", problem="is changed outside of exclusive()")
        if time.monotonic() - self.renewed < self._lease_s / 3:
            return
        if not self._claim(self._ticket, f"{self._me}: goes on"):
            raise StorageError(
                path=self._place,
                problem=f"this writer gave no sign of life for {self._lease_s:g} s, and another "
                "has taken over; what was appended is carried out by it. Repeat the rest",
            )
