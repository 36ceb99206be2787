"""So many bytes a second, on a clock of the test's own."""

from __future__ import annotations

from qdrant_static.shipping.throttle import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def wait(self, seconds: float) -> None:
        self.now += seconds


def held(mb_s: float) -> tuple[RateLimit, Clock]:
    clock = Clock()
    return RateLimit(mb_s, clock=lambda: clock.now, wait=clock.wait), clock


def test_what_is_taken_takes_its_time() -> None:
    rate, clock = held(10)
    for _ in range(5):
        rate.take(1_000_000)
    assert round(clock.now - 100.0, 6) == 0.4  # the first goes at once


def test_a_pause_is_not_made_up_for() -> None:
    rate, clock = held(10)
    rate.take(1_000_000)
    clock.now += 60.0
    started = clock.now
    rate.take(1_000_000)
    rate.take(1_000_000)
    assert round(clock.now - started, 6) == 0.1


def test_zero_holds_nobody() -> None:
    rate, clock = held(0)
    for _ in range(100):
        rate.take(10**9)
    assert clock.now == 100.0
