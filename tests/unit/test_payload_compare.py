"""A payload comes back as it was sent, but for the last digits of its floats."""

from __future__ import annotations

import math
from typing import Any

import pytest

from qdrant_static import payloadcompare
from qdrant_static.digests import payload_digest, rounded
from qdrant_static.payloadcompare import agrees, same_payload


def edges(count: int) -> list[tuple[float, float]]:
    """Neighbors in the last place between which the rounding of digests has an edge."""
    found = []
    for number in range(count):
        low = 1.0 + number / 64 + (2.0**-36) * 0.5  # half of the last digit that is kept
        pair = (math.nextafter(low, 0), low)
        assert rounded(pair[0]) != rounded(pair[1])
        found.append(pair)
    return found


@pytest.mark.parametrize("moved", [0, 1, 2, 3, 8])
def test_any_number_of_floats_over_an_edge_is_the_same_payload(moved: int) -> None:
    pairs = edges(8)
    sent = {"v": [low for low, _ in pairs], "deep": {"x": 0.5, "word": "w"}}
    stored = {
        "v": [pair[1] if place < moved else pair[0] for place, pair in enumerate(pairs)],
        "deep": {"x": 0.5, "word": "w"},
    }
    assert same_payload(sent, stored)
    assert agrees(stored, payload_digest(sent))
    assert not agrees({**stored, "deep": {"x": 0.25, "word": "w"}}, payload_digest(sent))


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (1, 1.0),
        (1, True),
        (0, False),
        ("1", 1),
        (None, 0),
        ([1.0], [1.0, 1.0]),
        ([1.0], {"0": 1.0}),
        ({"a": 1.0}, {"a": 1.0, "b": None}),
        ({"a": 1.0}, {"b": 1.0}),
        (1.0, 1.0 + 2.0**-48),
        (1e-300, 1.1e-300),
        (1.0, -1.0),
        (2**60, 2**60 + 1),
    ],
)
def test_other_values_are_told_apart(sent: Any, stored: Any) -> None:
    assert not same_payload({"x": sent}, {"x": stored})
    assert not same_payload({"x": stored}, {"x": sent})


@pytest.mark.parametrize("value", [0.0, -0.5, 1e308, 5e-324, 1e-300, 0.1, 1e22])
def test_two_units_in_the_last_place_are_the_same(value: float) -> None:
    up = math.nextafter(math.nextafter(value, math.inf), math.inf)
    assert same_payload([value], [up])
    assert same_payload([up], [value])


def test_a_long_list_of_floats_is_digested_a_few_times_alone(monkeypatch) -> None:
    made = []

    def counted(payload: dict[str, Any]) -> bytes:
        made.append(payload)
        return payload_digest(payload)

    monkeypatch.setattr(payloadcompare, "payload_digest", counted)
    values = [1.0 + number / 7000 for number in range(5000)]
    on_edges = len(payloadcompare._edges(values)[1])
    assert on_edges < 4
    assert not agrees({"v": values}, payload_digest({"v": [*values[:-1], 7.0]}))
    assert len(made) == 2**on_edges


def test_a_payload_of_edges_alone_is_not_tried_for_ever(monkeypatch) -> None:
    made = []
    monkeypatch.setattr(
        payloadcompare, "payload_digest", lambda payload: made.append(payload) or b"no"
    )
    assert not agrees({"v": [low for low, _ in edges(60)]}, b"digest")
    assert len(made) == payloadcompare._MOST_WAYS + 1
