"""Floats as digests take them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.digests import all_rounded, rounded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (123456789012.0, 123456789013.0),
        (1e14, 1e14 + 1),
        (-98765432109876.0, -98765432109877.0),
        (1700000000.123, 1700000000.124),
        (12345678901.25, 12345678901.26),
        (0.1, 0.1000000001),
        (999999.999, 999999.998),
    ],
)
def test_numbers_that_people_write_are_told_apart(one, other):
    assert rounded(one) != rounded(other)
    assert rounded(np.nextafter(one, other)) == rounded(one)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 2 / 3e6, 1e300 / 3, 5e-324, -0.7, 1.7e308])
def test_a_float_in_ledgers_of_earlier_versions_keeps_its_bits(value):
    assert rounded(value) == pytest.approx(value, rel=2**-36)
    (bits,) = np.array([value]).view("<u8")
    assert rounded(value) == np.uint64((int(bits) + 2**15) & ~0xFFFF).view("<f8")


numbers = st.floats(allow_nan=False, allow_infinity=False, max_value=1.7e308, min_value=-1.7e308)
written = st.tuples(st.integers(-(10**15), 10**15), st.integers(0, 3)).map(
    lambda one: one[0] / 10 ** one[1]
)


@given(st.lists(numbers | written | written.map(lambda one: math.nextafter(one, 0)), max_size=20))
def test_an_array_gives_what_its_floats_give(values):
    expected = np.array([rounded(one) for one in values], "<f8").tobytes()
    assert all_rounded(np.array(values, "f8")) == expected


@given(written, st.integers(-2, 2))
def test_a_number_that_came_back_a_little_off_is_the_same(number, steps):
    off = number
    for _ in range(abs(steps)):
        off = math.nextafter(off, math.copysign(math.inf, steps))
    if 1e6 <= abs(number) < 2.0**38:
        assert rounded(off) == rounded(number) == number
