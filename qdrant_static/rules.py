"""Checks of arguments and of the fields of specs and plans; an error names the field."""

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
#: The greatest number of bytes.
GREATEST_BYTES = 2**63 - 1
#: The greatest oversampling: the number of candidates in memory for each hit.
GREATEST_FACTOR = 10_000


def check_fields(where: str, given: Mapping[str, Any], kind: type) -> None:
    """Raise `ArgumentError` if ``given`` has a key that is no field of the dataclass."""
    names = {one.name for one in fields(kind)}
    if unknown := sorted(map(str, set(given) - names)):
        raise ArgumentError(
            field=f"{where}.{unknown[0]}",
            problem=f"is unknown; known: {', '.join(sorted(names))}{suggestion(unknown[0], names)}",
        )


def location(field: str, given: str | os.PathLike[str]) -> str:
    """Return a path or URL as text.

    An empty one is an error: as a path it would be the working folder.
    """
    named = os.fspath(given)
    if not named.strip():
        raise ArgumentError(
            field=field, problem="is empty; name a folder or a URL (. is the working folder)"
        )
    return without_null(field, named)


def without_null(field: str, path: str) -> str:
    """Return the path; a null character, which no file name can have, is an error."""
    if "\0" in path:
        raise ArgumentError(
            field=field, problem=f"{path!r} has a null character, which no path can have"
        )
    return path


def check_choice(field: str, value: object, known: tuple[str, ...]) -> None:
    """Raise `ArgumentError` if the value is none of the known ones."""
    if value not in known:
        raise ArgumentError(
            field=field,
            problem=f"{value!r} is unknown; known: {', '.join(known)}{suggestion(value, known)}",
        )


def check_integer(
    field: str,
    value: object,
    *,
    least: int = 1,
    greatest: int = GREATEST,
    optional: bool = False,
) -> None:
    """Raise `ArgumentError` if the value is not an integer from ``least`` to ``greatest``.

    With ``optional`` None is valid, too.
    """
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(field=field, problem=f"{value!r} is not an integer of at least {least}")
    if value > greatest:
        raise ArgumentError(field=field, problem=f"{value!r} is above {greatest:,}")


def check_factor(field: str, value: object) -> None:
    """Raise `ArgumentError` if the value is neither None nor from 1 to `GREATEST_FACTOR`."""
    if value is None:
        return
    if not (is_number(value) and value >= 1):  # type: ignore[operator]
        raise ArgumentError(field=field, problem=f"{value!r} is not a number of at least 1")
    if value > GREATEST_FACTOR:  # type: ignore[operator]
        raise ArgumentError(field=field, problem=f"is above {GREATEST_FACTOR:,}")


def check_bool(field: str, value: object) -> None:
    """Raise `ArgumentError` if the value is neither true nor false."""
    if not isinstance(value, bool):
        raise ArgumentError(field=field, problem=f"{value!r} is neither true nor false")


def check_instance(field: str, value: object, kind: type) -> None:
    """Raise `ArgumentError` if the value is neither None nor of the class."""
    if value is not None and not isinstance(value, kind):
        raise ArgumentError(
            field=field,
            problem=f"an object of type {type(value).__name__} is not a {kind.__name__}",
        )


def is_number(value: object) -> bool:
    """Return whether the value is a finite number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # NaN is not, and math.isfinite fails on long integers
