"""A lock with a lease, in a point of a collection, for writers on several machines."""

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
        """Return its payload."""

    def write(self, payload: Mapping[str, Any], condition: models.Filter) -> None:
        """Replace its payload if the condition holds when the server executes the request."""


class Lease:
    """A lock that expires when its holder does not renew it.

    It is taken by a conditional write ("if the ticket is still 41, it becomes 42 and mine") that is
    then read back. A waiting writer that reads the same ticket for the whole lease, by its own
    clock, takes over: no two clocks are compared. The holder renews the lease while it works.

    Args:
        point: The point that holds the lock.
        place: The collection of the point, for messages.
        lease_s: A holder that does not renew it for so long has died, in seconds.
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
    def held(self, purpose: str) -> Iterator[None]:
        """Hold the lock for a block; reentrant within a thread.

        Raises:
            StorageError: If others held it for longer than the journal's patience, or another
                writer has taken over because this one did not renew it.
        """
        if not self._guard.acquire(timeout=self._patience_s):
            raise StorageError(
                path=self._place,
                problem=f"another thread wrote for longer than {self._patience_s:g} s. Nothing "
                "was written: repeat it later",
            )
        try:
            if not self._depth:
                self._acquire(purpose)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    self._release()
        finally:
            self._guard.release()

    def _acquire(self, purpose: str) -> None:
        end = time.monotonic() + self._patience_s
        seen, since = self._point.read(), time.monotonic()
        while True:
            now = time.monotonic()
            if not seen["holder"] or now - since >= self._lease_s:
                if self._claim(int(seen["ticket"]), f"{self._me}: {purpose}"):
                    return
            elif now >= end:
                raise StorageError(
                    path=self._place,
                    problem=f"others wrote for longer than {self._patience_s:g} s "
                    f"({seen['holder']}). Nothing was written: repeat it later",
                )
            else:
                time.sleep(_PAUSE_S)
            current = self._point.read()
            if current["ticket"] != seen["ticket"]:
                seen, since = current, time.monotonic()

    def _claim(self, ticket: int, holder: str) -> bool:
        """Acquire, renew or release the lock, if the ticket is still that one."""
        condition = models.Filter(
            must=[models.FieldCondition(key="ticket", match=models.MatchValue(value=ticket))]
        )
        payload = {"ticket": ticket + 1, "holder": holder, "by": self._me}
        self._point.write(payload, condition)
        written = self._point.read()
        mine = written["ticket"] == ticket + 1 and written.get("by") == self._me
        if mine:
            self._ticket, self.renewed = ticket + 1, time.monotonic()
        return mine

    def _release(self) -> None:
        self._claim(self._ticket, "")

    def check(self) -> None:
        """Renew the lease after a third of it.

        Raises:
            StorageError: If another writer has taken over.
        """
        if not self._depth:
            raise ArgumentError(field="journal", problem="is changed outside of exclusive()")
        if time.monotonic() - self.renewed < self._lease_s / 3:
            return
        if not self._claim(self._ticket, f"{self._me}: renewed"):
            raise StorageError(
                path=self._place,
                problem=f"this writer did not renew its lease for {self._lease_s:g} s, and another "
                "has taken over, which applies what was appended. Repeat the rest",
            )
