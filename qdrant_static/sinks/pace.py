"""How many points go into one request: as many as the server answers in good time."""

from __future__ import annotations

import threading

#: Points of the first request, and the bounds of all others.
FIRST, FEWEST, MOST = 256, 8, 4096
#: A request that takes less is mostly overhead, one that takes more holds the others up; seconds.
SHORT_S, LONG_S = 0.1, 0.8


class Pace:
    """Doubles the size of requests that come back soon, halves it for those that do not.

    Attributes:
        points: Points of the next request.
    """

    def __init__(self, first: int = FIRST) -> None:
        self._lock = threading.Lock()
        self._most = MOST
        self.points = first

    def saw(self, points: int, seconds: float) -> None:
        """A request was acknowledged."""
        with self._lock:
            if seconds > LONG_S:
                self.points = max(FEWEST, min(self.points, points // 2))
            elif seconds < SHORT_S and 2 * points > self.points:
                # One that was much smaller than allowed says nothing about larger ones.
                self.points = min(self._most, 2 * self.points)

    def too_slow(self, points: int) -> None:
        """A request was not answered in time."""
        with self._lock:
            self.points = max(FEWEST, min(self.points, points // 2))

    def too_many(self, points: int) -> None:
        """The server takes fewer points than that at once; it is not asked again for as many."""
        with self._lock:
            self._most = max(1, min(self._most, points // 2))
            self.points = min(self.points, self._most)
