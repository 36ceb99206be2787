"""An iterator that works ahead of its consumer, in a thread of its own, a bounded way."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")


class _Raised:
    """What the thread's iterator raised, on its way to the consumer."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    """The thread's iterator is exhausted."""


def read_ahead(items: Iterator[T], *, depth: int) -> Generator[T, None, None]:
    """Iterate in a thread, at most ``depth`` items ahead.

    What the iterator raises is raised here, with its own traceback. Closing this generator ends
    the thread after the item that it is at.

    Args:
        items: The iterator; it is advanced in the thread only.
        depth: Items that may wait.
    """
    waiting: queue.Queue[T | _Raised | _End] = queue.Queue(maxsize=depth)
    closed = threading.Event()
    thread = threading.Thread(
        target=_fill, args=(waiting, items, closed), name="read-ahead", daemon=True
    )
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        closed.set()
        thread.join()


def _fill(
    waiting: queue.Queue[T | _Raised | _End], items: Iterator[T], closed: threading.Event
) -> None:
    """The thread: one item after the other, until the end, an error, or the consumer's leave."""
    try:
        for item in items:
            if not _put(waiting, item, closed):
                return
        _put(waiting, _End(), closed)
    except BaseException as error:  # raised again in the consumer
        _put(waiting, _Raised(error), closed)


def _put(
    waiting: queue.Queue[T | _Raised | _End], item: T | _Raised | _End, closed: threading.Event
) -> bool:
    """Wait for room; False if the consumer has left meanwhile."""
    while not closed.is_set():
        try:
            waiting.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
