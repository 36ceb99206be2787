"""Payloads as the engine stores them: JSON, made of what Python has as the client makes it.

`QdrantClient` writes dates, times, UUIDs, decimals, enumerations and the like with pydantic, and
so does this. What would be stored as something else than was meant is refused, with its place:
bytes, sets (which have no order), integers of more than 64 bits, and two keys that become one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any

import numpy as np
from pydantic_core import PydanticSerializationError, to_jsonable_python

from qdrant_static.errors import ArgumentError

#: The engine stores deeper payloads, and cannot read them back.
MAX_PAYLOAD_DEPTH = 120
_PLAIN = frozenset({str, int, float, bool, type(None)})
#: One step of a path: a key, quoted or not, or an index in brackets.
_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"\\]*)"|(?P<plain>[\w-]+))|\[(?P<index>\d*)\]')
_NO_JSON = (bytes, bytearray, memoryview, set, frozenset)


class UnfitError(ValueError):
    """A part of a point that does not fit; the text says why."""


class UnfitFieldError(UnfitError):
    """A value in a payload that does not fit; the text says where it is, and why.

    Args:
        problem: What is wrong, to follow "the payload's field … ".
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = ""

    def inside(self, step: str) -> UnfitFieldError:
        """The same, one level further out."""
        self.path = step + self.path
        return self

    def __str__(self) -> str:
        return f"the payload's field {self.path.removeprefix('.')!r} {self.problem}"


def payload(value: Mapping[Any, Any] | None, level: int = 1) -> dict[str, Any] | None:
    """A payload that the engine stores as it is meant.

    Args:
        value: What is given.
        level: How deep in the point's payload it will lie; 1 is the payload itself.

    Raises:
        UnfitFieldError: If it holds something that JSON cannot hold; it names the field.
        UnfitError: If it is nested too deep.
    """
    if value is None:
        return None
    _require_depth(level)
    for key, one in value.items():
        kind = type(one)
        if (
            kind not in _PLAIN
            or (kind is int and not -(2**63) <= one < 2**64)
            or type(key) is not str
        ):
            return _mapping(value, level)
    return value if type(value) is dict else dict(value)


def metadata(value: Mapping[Any, Any] | None) -> dict[str, Any]:
    """A collection's metadata as JSON, which it is kept in.

    Raises:
        ArgumentError: If it holds something that JSON cannot hold; it names the field.
    """
    try:
        return dict(payload(value) or {})
    except UnfitFieldError as error:
        raise ArgumentError(field=f"metadata{error.path}", problem=error.problem) from error
    except UnfitError as error:
        raise ArgumentError(field="metadata", problem=str(error)) from error


def _mapping(value: Mapping[Any, Any], level: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, inner in value.items():
        name = key if type(key) is str else _key(key)
        try:
            if name in made:
                raise UnfitFieldError("has two values: two keys become this one")
            made[name] = _plain(inner, level + 1)
        except UnfitFieldError as error:
            raise error.inside(f".{name}") from None
    return made


def _list(value: list[Any] | tuple[Any, ...], level: int) -> list[Any]:
    made: list[Any] = []
    for inner in value:
        try:
            made.append(_plain(inner, level + 1))
        except UnfitFieldError as error:
            raise error.inside(f"[{len(made)}]") from None
    return made


def _plain(value: Any, level: int) -> Any:
    kind = type(value)
    if kind is int and not -(2**63) <= value < 2**64:
        raise UnfitFieldError(f"holds the integer {value}, which has more than 64 bits")
    if kind in _PLAIN:
        return value
    if isinstance(value, Mapping | list | tuple):
        _require_depth(level)
        return _mapping(value, level) if isinstance(value, Mapping) else _list(value, level)
    if isinstance(value, np.generic | np.ndarray):
        return _plain(_python(value), level)
    return _plain(_written(value), level)


def _written(value: Any) -> Any:
    """Convert what is not JSON as pydantic writes it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):  # a class that is made of it
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, datetime) and value != value:  # pandas' NaT
        return None
    if isinstance(value, _NO_JSON):
        raise UnfitFieldError(f"holds a {type(value).__name__}, which JSON cannot hold")
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        raise UnfitFieldError(f"holds a {type(value).__name__}, which JSON cannot hold") from None


def _key(value: Any) -> str:
    """A key as pydantic writes it: a number by its digits, a date in ISO 8601."""
    try:
        if isinstance(value, bytes):
            raise TypeError
        plain = value.item() if isinstance(value, np.generic) else value
        (name,) = to_jsonable_python({plain: None})
    except (PydanticSerializationError, TypeError, ValueError):
        raise UnfitFieldError(
            f"has a {type(value).__name__} as a key, which JSON cannot hold"
        ).inside(f".{value!r}") from None
    return str(name)


def _python(value: Any) -> Any:
    """NumPy's values as Python's; moments cut to microseconds, durations as seconds.

    Of moments and durations in nanoseconds, and of moments beyond the year 9999, NumPy itself makes
    integers.
    """
    if value.dtype.kind in "Mm" and value.ndim:
        return [_python(one) for one in value]
    if value.dtype.kind == "M":
        if np.datetime_data(value.dtype)[0] in ("ns", "ps", "fs", "as"):
            value = value.astype("M8[us]")
        moment = value.tolist()
        return str(value) if isinstance(moment, int) else moment
    if value.dtype.kind == "m":
        if np.datetime_data(value.dtype)[0] in ("Y", "M"):
            raise UnfitFieldError("holds a duration of months, which has no seconds")
        seconds = float(value / np.timedelta64(1, "s"))
        return None if np.isnat(value) else seconds
    if value.dtype.kind == "f" and value.dtype.itemsize > 8:  # else it stays NumPy's
        return value.astype(np.float64).tolist()
    return value.tolist()


def _require_depth(level: int) -> None:
    if level > MAX_PAYLOAD_DEPTH:
        raise UnfitError(f"the payload is nested deeper than {MAX_PAYLOAD_DEPTH} levels")


class PayloadPath:
    """A path into a payload, as ``group_by`` gives it: ``a``, ``a.b``, ``a[].b``, ``"a.b"[0]``.

    Args:
        text: The path.

    Raises:
        ArgumentError: If it is no path.
    """

    def __init__(self, text: str) -> None:
        self.steps: list[str | int | None] = []
        position = 0
        while position < len(text):
            step = _STEP.match(text, position)
            if step is None or (text[position] == ".") != (
                bool(self.steps) and step["index"] is None
            ):
                raise ArgumentError(
                    field="group_by", problem=f"{text!r} is not a valid path in a payload"
                )
            key = step["plain"] if step["quoted"] is None else step["quoted"]
            self.steps.append(key if step["index"] is None else int(step["index"] or -1))
            position = step.end()
        if not self.steps or isinstance(self.steps[0], int):
            raise ArgumentError(
                field="group_by", problem=f"{text!r} is not a valid path in a payload"
            )
        #: The path that selects the payload that is needed.
        self.selector = text.removesuffix("[]")

    def values(self, payload: Mapping[str, Any] | None) -> Iterator[Any]:
        """What lies at the path; the values of a list one by one."""
        for value in _walk(payload or {}, self.steps):
            if isinstance(value, list):
                yield from value
            else:
                yield value


def _walk(value: Any, steps: Sequence[str | int | None]) -> Iterator[Any]:
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        if isinstance(value, Mapping) and step in value:
            yield from _walk(value[step], rest)
    elif isinstance(value, list):
        for one in value if step == -1 else value[step : step + 1]:  # type: ignore[operator]
            yield from _walk(one, rest)
