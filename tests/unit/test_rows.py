"""Payloads as the engine takes them: what Python and NumPy hold, as JSON has it."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static.edge.rows import payload


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.datetime64("2024-01-01", "D"), "2024-01-01"),
        (np.datetime64("2024-01-01T00:00:00", "s"), "2024-01-01T00:00:00"),
        (np.datetime64("2024-01-01T00:00:00.5", "ns"), "2024-01-01T00:00:00.500000"),
        (np.datetime64("1960-01-01T00:00:00.123456789", "ns"), "1960-01-01T00:00:00.123456"),
        (np.datetime64("12000-01-01", "s"), "12000-01-01T00:00:00"),
        (np.datetime64("NaT"), None),
        (np.array([["2024", "NaT"]], "M8[ns]"), [["2024-01-01T00:00:00", None]]),
        (np.timedelta64(1500, "ms"), 1.5),
        (np.timedelta64("NaT", "ns"), None),
        (np.array([5, 2 * 10**9], "m8[ns]"), [5e-09, 2.0]),
        (np.longdouble(1.5), 1.5),
        (np.array([1.5, 2], np.longdouble), [1.5, 2.0]),
        (np.float32(0.5), 0.5),
        (np.array([[1, 2]], np.uint8), [[1, 2]]),
    ],
    ids=repr,
)
def test_what_numpy_holds_is_stored_as_it_is_meant(value, expected):
    """NumPy makes integers of moments in nanoseconds, and of moments beyond the year 9999."""
    assert payload({"a": value}) == {"a": expected}
    assert payload({"a": {"b": [value]}}) == {"a": {"b": [expected]}}


def test_a_duration_of_months_is_refused():
    with pytest.raises(ValueError, match="a duration of months"):
        payload({"a": np.timedelta64(1, "M")})
