"""Limits the rate of uploads, and lets them be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from qdrant_static.shipping.nodes.node import Upload


class RateLimit:
    """Limits the rate of all its callers together; threads may share it.

    Args:
        mb_s: Megabytes a second; 0 for no limit.
        clock: Returns seconds.
        wait: Sleeps for a number of seconds.
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
        """Wait until a number of bytes may be sent. Unused time is not saved up."""
        if not self._bytes_s:
            return
        with self._guard:
            now = self._clock()
            begin = max(now, self._free_at)
            self._free_at = begin + count / self._bytes_s
        if begin > now:
            self._wait(begin - now)


class UploadStoppedError(Exception):
    """The upload was stopped: another shard failed, or the user interrupted it."""


class StoppableUpload:
    """A file to upload whose chunks are rate-limited, and end with an error when stopped."""

    def __init__(self, content: Upload, stop: threading.Event, rate: RateLimit) -> None:
        self._content = content
        self._stop = stop
        self._rate = rate

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self._content.size

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in chunks."""
        for chunk in self._content.chunks():
            if self._stop.is_set():
                raise UploadStoppedError
            self._rate.take(len(chunk))
            yield chunk
