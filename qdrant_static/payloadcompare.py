"""Compares a payload that the engine returned with the one that was sent, or with its digest.

The engine parses JSON's numbers with an error of up to two units in the last place, so a float may
come back slightly different; it still counts as the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, combinations, islice
from typing import Any

from qdrant_static.digests import payload_digest, rounded

#: Four units in the last place, relative to the value.
_SLACK = 2.0**-50
#: The same for the smallest (subnormal) floats, whose last places all have the same size.
_LEAST_SLACK = 4 * 5e-324
#: How many combinations of moved floats are tried before a payload counts as different, for a
#: payload of a thousand floats; larger ones get fewer. One float in eight thousand can be moved.
_MOST_WAYS = 4096


def same_payload(sent: Any, stored: Any) -> bool:
    """Return whether two JSON values are equal, apart from the last digits of floats."""
    if isinstance(sent, float) and isinstance(stored, float):
        return abs(sent - stored) <= _SLACK * max(abs(sent), abs(stored)) + _LEAST_SLACK
    if isinstance(sent, Mapping) and isinstance(stored, Mapping):
        return sent.keys() == stored.keys() and all(
            same_payload(inner, stored[name]) for name, inner in sent.items()
        )
    if isinstance(sent, list | tuple) and isinstance(stored, list | tuple):
        return len(sent) == len(stored) and all(map(same_payload, sent, stored))
    return type(sent) is type(stored) and bool(sent == stored)


def agrees(stored: Mapping[str, Any], digest: bytes) -> bool:
    """Return whether a payload that the engine returned is the one that a digest was made of.

    1. A digest is made of rounded floats, so that most floats that differ slightly give the same.
    2. Only a float beside a boundary of the rounding may have crossed it: such floats are moved
       back across it, first one of them, then two, and so on.
    """
    if payload_digest(stored) == digest:
        return True
    count, edges = _edges(stored)
    ways = chain.from_iterable(
        combinations(edges, moved) for moved in range(1, len(edges) + 1)
    )  # no float moved was tried above
    most = _MOST_WAYS * 1000 // max(count, 1000)
    return any(payload_digest(_moved(stored, dict(way))) == digest for way in islice(ways, most))


def _edges(value: Any) -> tuple[int, list[tuple[int, float]]]:
    """Count the floats, and list those beside a boundary: number, value across it."""
    edges = []
    count = 0
    for number, one in enumerate(_floats(value)):
        count += 1
        here = rounded(one)
        for beyond in (one * (1 + _SLACK), one * (1 - _SLACK)):
            if rounded(beyond) != here:
                edges.append((number, beyond))
                break
    return count, edges


def _floats(value: Any) -> Iterator[float]:
    """Yield all floats, always in the same order."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _floats(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _floats(inner)


def _moved(value: Mapping[str, Any], others: Mapping[int, float]) -> dict[str, Any]:
    """Return the payload with some of its floats replaced."""
    number = -1

    def walk(one: Any) -> Any:
        nonlocal number
        if isinstance(one, float):
            number += 1
            return others.get(number, one)
        if isinstance(one, Mapping):
            return {name: walk(inner) for name, inner in one.items()}
        if isinstance(one, list | tuple):
            return [walk(inner) for inner in one]
        return one

    return {name: walk(inner) for name, inner in value.items()}
