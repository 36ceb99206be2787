"""How many points go into one request."""

from __future__ import annotations

from qdrant_static.sinks.delivery import FEWEST, FIRST, LONG_S, MOST, SHORT_S, Pace


def test_quick_answers_make_requests_larger_up_to_a_bound():
    pace = Pace()
    assert pace.points == FIRST
    for _ in range(20):
        pace.record(pace.points, SHORT_S / 2)
    assert pace.points == MOST


def test_slow_answers_make_them_smaller_down_to_a_bound():
    pace = Pace()
    for _ in range(20):
        pace.record(pace.points, 2 * LONG_S)
    assert pace.points == FEWEST
    pace = Pace()
    pace.too_slow(pace.points)
    assert pace.points == FIRST // 2


def test_answers_in_good_time_change_nothing():
    pace = Pace()
    pace.record(pace.points, (SHORT_S + LONG_S) / 2)
    assert pace.points == FIRST


def test_a_small_request_says_nothing_about_large_ones():
    pace = Pace()
    pace.record(FIRST // 2, 0.0)
    assert pace.points == FIRST


def test_one_slow_request_of_an_earlier_size_does_not_count_twice():
    pace = Pace()
    for _ in range(3):
        pace.record(FIRST, 2 * LONG_S)
    assert pace.points == FIRST // 2


def test_what_the_server_refuses_as_too_many_is_not_asked_again():
    pace = Pace()
    pace.too_many(100)
    for _ in range(20):
        pace.record(pace.points, 0.0)
    assert pace.points == 50
    pace.too_many(1)
    assert pace.points == 1
