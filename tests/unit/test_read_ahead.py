"""read_ahead: an iterator in a thread of its own, bounded, and never left behind."""

from __future__ import annotations

import threading
from itertools import count

import pytest

from qdrant_static.ingestion.loading import read_ahead

PATIENCE_S = 10


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "read-ahead"]


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_all_items_come_in_order(depth):
    assert list(read_ahead(iter(range(50)), depth=depth)) == list(range(50))
    assert threads() == []


def test_none_and_exceptions_are_items_like_any_other():
    items = [None, ValueError("an item"), StopIteration, 0, ""]
    assert list(read_ahead(iter(items), depth=2)) == items


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(3)])
def test_what_the_iterator_raises_is_raised_here_after_the_items_before_it(error):
    def items():
        yield 1
        raise error

    ahead = read_ahead(items(), depth=5)
    assert next(ahead) == 1
    with pytest.raises(type(error)) as caught:
        next(ahead)
    assert caught.value is error
    assert "items" in [entry.name for entry in caught.traceback]
    assert threads() == []


def test_closing_ends_the_thread_of_an_endless_iterator():
    ahead = read_ahead(count(), depth=2)
    assert next(ahead) == 0
    assert len(threads()) == 1
    ahead.close()
    assert threads() == []


def test_closing_what_never_began_starts_no_thread():
    read_ahead(count(), depth=2).close()
    assert threads() == []


def test_an_error_of_the_consumer_ends_the_thread():
    def consume():
        for _ in read_ahead(count(), depth=2):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        consume()
    assert threads() == []


def test_it_works_ahead_but_never_further_than_the_depth():
    made = threading.Semaphore(0)
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            made.release()
            yield number

    ahead = read_ahead(items(), depth=3)
    assert next(ahead) == 0
    for _ in range(5):  # one consumed, three waiting, one in the thread's hand
        assert made.acquire(timeout=PATIENCE_S)
    assert not made.acquire(timeout=0.3)
    assert len(taken) == 5
    ahead.close()
    assert len(taken) <= 6
