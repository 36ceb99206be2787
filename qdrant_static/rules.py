"""What a field of a spec or plan may hold; what cannot be is an error that names the field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from qdrant_static.errors import SpecError


def known(where: str, given: Mapping[str, Any], kind: type) -> None:
    """Refuse a field that a dataclass lacks."""
    names = {one.name for one in fields(kind)}
    if unknown := sorted(map(str, set(given) - names)):
        raise SpecError(
            field=f"{where}.{unknown[0]}", problem=f"is unknown; known: {', '.join(sorted(names))}"
        )


def choice(field: str, value: object, known: tuple[str, ...]) -> None:
    """Refuse what is none of these."""
    if value not in known:
        raise SpecError(field=field, problem=f"{value!r} is unknown; known: {', '.join(known)}")


def whole(field: str, value: object, *, optional: bool = True) -> None:
    """Refuse what is no integer from 1 on."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(field=field, problem=f"{value!r} must be an integer of at least 1")


def factor(field: str, value: object) -> None:
    """Refuse what is neither None nor a number from 1 on."""
    if value is not None and not (is_number(value) and value >= 1):  # type: ignore[operator]
        raise SpecError(field=field, problem=f"{value!r} must be a number of at least 1")


def truth(field: str, value: object) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool):
        raise SpecError(field=field, problem=f"{value!r} is neither true nor false")


def is_number(value: object) -> bool:
    """Whether it is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
