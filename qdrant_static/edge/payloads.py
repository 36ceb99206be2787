"""Converts payloads to JSON for the engine, and reads values at paths of a payload.

Dates, times, UUIDs, decimals, enumerations and the like are converted by pydantic, as by
`QdrantClient`. Values that would be stored as something else raise an error that names the field:
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

#: The engine can store deeper payloads, but not read them back.
MAX_PAYLOAD_DEPTH = 120
_PLAIN = frozenset({str, int, float, bool, type(None)})
#: One step of a path: a key, quoted or not, or an index in brackets.
_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"\\]*)"|(?P<plain>[\w-]+))|\[(?P<index>\d*)\]')
_NO_JSON = (bytes, bytearray, memoryview, set, frozenset)


class UnstorableError(ValueError):
    """A payload or vector that cannot be stored; the text says why."""


class InvalidFieldError(UnstorableError):
    """A value in a payload that cannot be stored; the text says where it is, and why.

    Args:
        problem: What is wrong; follows "the payload's field … " in the message.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = ""

    def inside(self, step: str) -> InvalidFieldError:
        """Prepend a step to the path of the value, and return the error."""
        self.path = step + self.path
        return self

    def __str__(self) -> str:
        return f"the payload's field {self.path.removeprefix('.')!r} {self.problem}"


def payload(value: Mapping[Any, Any] | None, level: int = 1) -> dict[str, Any] | None:
    """Return a payload as JSON that the engine stores without loss.

    Args:
        value: The payload.
        level: Its depth in the point's payload; 1 is the payload itself.

    Raises:
        InvalidFieldError: If it holds something that JSON cannot hold; it names the field.
        UnstorableError: If it is nested too deep.
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
    """Return the metadata of a collection as JSON.

    Raises:
        ArgumentError: If it holds something that JSON cannot hold; it names the field.
    """
    try:
        return dict(payload(value) or {})
    except InvalidFieldError as error:
        raise ArgumentError(field=f"metadata{error.path}", problem=error.problem) from error
    except UnstorableError as error:
        raise ArgumentError(field="metadata", problem=str(error)) from error


def _mapping(value: Mapping[Any, Any], level: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, inner in value.items():
        name = key if type(key) is str else _key(key)
        try:
            if name in made:
                raise InvalidFieldError("has two values: two keys become this one")
            made[name] = _plain(inner, level + 1)
        except InvalidFieldError as error:
            raise error.inside(f".{name}") from None
    return made


def _list(value: list[Any] | tuple[Any, ...], level: int) -> list[Any]:
    made: list[Any] = []
    for inner in value:
        try:
            made.append(_plain(inner, level + 1))
        except InvalidFieldError as error:
            raise error.inside(f"[{len(made)}]") from None
    return made


def _plain(value: Any, level: int) -> Any:
    kind = type(value)
    if kind is int and not -(2**63) <= value < 2**64:
        raise InvalidFieldError(f"holds the integer {value}, which has more than 64 bits")
    if kind in _PLAIN:
        return value
    if isinstance(value, Mapping | list | tuple):
        _require_depth(level)
        return _mapping(value, level) if isinstance(value, Mapping) else _list(value, level)
    if isinstance(value, np.generic | np.ndarray):
        return _plain(_python(value), level)
    return _plain(_written(value), level)


def _written(value: Any) -> Any:
    """Convert a value that is not JSON as pydantic does."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):  # a subclass of it
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, datetime) and value != value:  # pandas' NaT
        return None
    if isinstance(value, _NO_JSON):
        raise InvalidFieldError(f"holds a {type(value).__name__}, which JSON cannot hold")
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError:
        raise InvalidFieldError(f"holds a {type(value).__name__}, which JSON cannot hold") from None


def _key(value: Any) -> str:
    """Convert a key as pydantic does: a number to its digits, a date to ISO 8601."""
    try:
        if isinstance(value, bytes):
            raise TypeError
        plain = value.item() if isinstance(value, np.generic) else value
        (name,) = to_jsonable_python({plain: None})
    except (PydanticSerializationError, TypeError, ValueError):
        raise InvalidFieldError(
            f"has a {type(value).__name__} as a key, which JSON cannot hold"
        ).inside(f".{value!r}") from None
    return str(name)


def _python(value: Any) -> Any:
    """Convert NumPy values to Python's; times to microseconds, durations to seconds.

    NumPy itself converts times and durations in nanoseconds, and times after the year 9999, to
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
            raise InvalidFieldError("holds a duration of months, which has no seconds")
        seconds = float(value / np.timedelta64(1, "s"))
        return None if np.isnat(value) else seconds
    if value.dtype.kind == "f" and value.dtype.itemsize > 8:  # `tolist` would keep NumPy's type
        return value.astype(np.float64).tolist()
    return value.tolist()


def _require_depth(level: int) -> None:
    if level > MAX_PAYLOAD_DEPTH:
        raise UnstorableError(f"the payload is nested deeper than {MAX_PAYLOAD_DEPTH} levels")


class PayloadPath:
    """A path into a payload, as in ``group_by``: ``a``, ``a.b``, ``a[].b``, ``"a.b"[0]``.

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
        #: The payload selector that returns the values.
        self.selector = text.removesuffix("[]")

    def values(self, payload: Mapping[str, Any] | None) -> Iterator[Any]:
        """Yield the values at the path; those of a list one by one."""
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
