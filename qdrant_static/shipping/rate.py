"""So many bytes a second at most, over all that are under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Rate:
    """Holds its callers to a rate; threads may share it.

    Args:
        mb_s: Megabytes a second; 0: nobody is held.
        clock: Seconds from anywhere.
        wait: How to wait, in seconds.
    """

    def __init__(
        self,
        mb_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._bytes_s = mb_s * 1e6
        self._clock = clock
        self._wait = wait
        self._guard = threading.Lock()
        self._free_at = 0.0

    def take(self, count: int) -> None:
        """Wait until so many bytes may go. Time in which nobody sends is not made up for."""
        if not self._bytes_s:
            return
        with self._guard:
            now = self._clock()
            begin = max(now, self._free_at)
            self._free_at = begin + count / self._bytes_s
        if begin > now:
            self._wait(begin - now)
