"""What a field of a spec or plan may hold; what cannot be is an error that names the field."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from qdrant_static.errors import ArgumentError
from qdrant_static.suggestions import suggestion

#: The greatest count that a spec or plan may ask for: of 32 bits, as the engine keeps them.
GREATEST = 2**31 - 1
#: The greatest oversampling: so many candidates are held in memory for each hit.
GREATEST_FACTOR = 10_000


def known(where: str, given: Mapping[str, Any], kind: type) -> None:
    """Refuse a field that a dataclass lacks."""
    names = {one.name for one in fields(kind)}
    if unknown := sorted(map(str, set(given) - names)):
        raise ArgumentError(
            field=f"{where}.{unknown[0]}",
            problem=f"is unknown; known: {', '.join(sorted(names))}{suggestion(unknown[0], names)}",
        )


def place(field: str, given: str | os.PathLike[str]) -> str:
    """A path or URL as text; refuse an empty one, which as a path would be the working folder."""
    named = os.fspath(given)
    if not named.strip():
        raise ArgumentError(field=field, problem="is empty; name a place (. is the working folder)")
    return without_null(field, named)


def without_null(field: str, path: str) -> str:
    """The same path; refuse one with a null character, which no file can have."""
    if "\0" in path:
        raise ArgumentError(
            field=field, problem=f"{path!r} has a null character, which no path can have"
        )
    return path


def choice(field: str, value: object, known: tuple[str, ...]) -> None:
    """Refuse what is none of these."""
    if value not in known:
        raise ArgumentError(
            field=field,
            problem=f"{value!r} is unknown; known: {', '.join(known)}{suggestion(value, known)}",
        )


def whole(field: str, value: object, *, optional: bool = True, greatest: int = GREATEST) -> None:
    """Refuse what is not an integer from 1 to the greatest."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(field=field, problem=f"{value!r} must be an integer of at least 1")
    if value > greatest:
        raise ArgumentError(field=field, problem=f"is above {greatest:,}")


def factor(field: str, value: object) -> None:
    """Refuse what is neither None nor a number from 1 to `GREATEST_FACTOR`."""
    if value is None:
        return
    if not (is_number(value) and value >= 1):  # type: ignore[operator]
        raise ArgumentError(field=field, problem=f"{value!r} must be a number of at least 1")
    if value > GREATEST_FACTOR:  # type: ignore[operator]
        raise ArgumentError(field=field, problem=f"is above {GREATEST_FACTOR:,}")


def truth(field: str, value: object) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool):
        raise ArgumentError(field=field, problem=f"{value!r} is neither true nor false")


def is_number(value: object) -> bool:
    """Whether it is a finite number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # NaN is not, and math.isfinite fails on long integers
