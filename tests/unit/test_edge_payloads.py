"""Payloads as the engine takes them: what Python and NumPy hold, as JSON has it."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from qdrant_client import models
from qdrant_client.http.api.points_api import jsonable_encoder

from qdrant_static.edge.payloads import payload


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


class Color(Enum):
    RED = "red"


class Weekday(IntEnum):
    TUESDAY = 2


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1.10"),
        datetime.time(1, 2, 3),
        datetime.timedelta(days=1, seconds=2.5),
        datetime.timedelta(seconds=-1),
        datetime.date(2024, 1, 2),
        datetime.datetime(2024, 1, 2, 3, 4, 5),
        datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2))),
        UUID(int=5),
        Color.RED,
        Weekday.TUESDAY,
        Path("/a/b"),
        (1, 2),
        models.GeoPoint(lon=1, lat=2),
        {1: "a", 1.5: "b", None: "c", datetime.date(2024, 1, 1): "d", UUID(int=5): "e"},
        {True: 1, Color.RED: 2},
    ],
    ids=repr,
)
def test_what_python_holds_is_stored_as_the_client_writes_it(value):
    point = models.PointStruct(id=1, vector=[1.0], payload={"a": value, "deep": [{"b": value}]})
    assert payload(point.payload) == json.loads(jsonable_encoder(point))["payload"]


def test_a_moment_of_utc_ends_in_z():
    """So that what was written, and a filter in the same form, find each other."""
    at = datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert payload({"at": at}) == {"at": "2024-01-02T03:04:05Z"}


def test_keys_become_strings_at_every_level():
    given = {1: {np.int64(2): {Weekday.TUESDAY: "x"}}}
    assert payload(given) == {"1": {"2": {"2": "x"}}}
    assert given == {1: {2: {2: "x"}}}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"a": {"b": [1, {2}]}}, "'a.b[1]' holds a set, which JSON cannot hold"),
        ({"a": b"x"}, "'a' holds a bytes, which JSON cannot hold"),
        ({"a": [{"b": object()}]}, "'a[0].b' holds a object, which JSON cannot hold"),
        ({"a": {"b": 2**64}}, "'a.b' holds the integer 18446744073709551616, which has more than"),
        ({"a": Decimal("NaN"), "b": {"c": np.void(b"x")}}, "'b.c' holds a"),
        ({"a": {"b": {1: 1, "1": 2}}}, "'a.b.1' has two values: two keys become this one"),
        ({1: 1, "1": 2}, "'1' has two values: two keys become this one"),
        ({"a": {b"x": 1}}, "has a bytes as a key, which JSON cannot hold"),
        ({"a": np.timedelta64(1, "M")}, "'a' holds a duration of months"),
    ],
    ids=str,
)
def test_what_is_refused_is_named_by_its_place(given, told):
    with pytest.raises(ValueError, match=r"^the payload's field ") as caught:
        payload(given)
    assert told in str(caught.value)


def test_a_payload_of_json_alone_is_not_copied():
    given = {"a": 1, "b": "x", "c": None}
    assert payload(given) is given


def test_a_moment_that_is_none_is_null_as_numpys_is():
    class NaT(
        datetime.datetime
    ):  # as pandas makes it: a moment that equals nothing, itself neither
        __hash__ = datetime.datetime.__hash__

        def __eq__(self, other):
            return False

        def __ne__(self, other):
            return True

    nat = NaT(1, 1, 1)
    assert payload({"at": nat, "more": [nat, {"x": nat}]}) == {
        "at": None,
        "more": [None, {"x": None}],
    }
