"""Converts plain data (TOML, JSON, options) to typed objects, by the type hints of dataclasses.

Job files, specs, plans and options are checked here before a dataclass or a function receives them.
A value of the wrong type, an unknown key and an integer that the engine cannot hold are errors that
name the key by its path. An error never shows a value, since job files hold secrets.
"""

from __future__ import annotations

import os
import re
import tomllib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, time
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from qdrant_static.errors import ArgumentError
from qdrant_static.suggestions import suggestion

T = TypeVar("T")

#: The range of integers that TOML, SQLite and the engine all support.
_LEAST, _GREATEST = -(2**63), 2**63 - 1
_NAMES: Mapping[Any, str] = {
    str: "a string", int: "an integer", float: "a number", bool: "true or false",
    type(None): "null", list: "a list", tuple: "a list", Sequence: "a list", dict: "a table",
    Mapping: "a table",
}  # fmt: skip
#: Separates the steps of a path such as "nightly.toml: spec.sparse".
_STEP = re.compile(r"\.|: ")
_LISTS = (list, tuple, Sequence)
_TABLES = (dict, Mapping)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file in UTF-8, with or without a byte order mark.

    Raises:
        ArgumentError: If it cannot be read or is not TOML; it names the file.
    """
    try:
        raw = path.expanduser().read_bytes()
    except OSError as error:
        raise ArgumentError(
            field=str(path), problem=f"cannot be read: {error.strerror or error}"
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ArgumentError(
            field=str(path), problem=f"line {line} is not UTF-8; save the file as UTF-8"
        ) from error
    return parse_toml(text, str(path))


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Read TOML.

    Args:
        text: The TOML.
        where: Its name in errors.

    Raises:
        ArgumentError: If it is not TOML.
    """
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise ArgumentError(field=where, problem=f"is not valid TOML: {error}") from error


def build(kind: type[T], data: object, where: str) -> T:
    """Build a dataclass from plain data.

    Args:
        kind: The dataclass. Lists are converted to tuples where it has tuples.
        data: A table of its fields.
        where: The path of the table, for errors: ``"spec.sparse"``.

    Raises:
        ArgumentError: If a key is unknown or missing, a value is of another type, or the dataclass
            itself refuses one; the key is named by its path.
    """
    hints = {each.name: hint for each, hint in _fields_of(kind)}
    required = {
        name
        for name, parameter in signature(kind).parameters.items()
        if parameter.default is Parameter.empty
    }
    values = _table(data, hints, where)
    if missing := sorted(required - set(values)):
        raise ArgumentError(field=_join(where, missing[0]), problem="is missing")
    with placed(where):
        return kind(**values)


def arguments(
    function: Callable[..., Any], data: object, where: str, *, known: Sequence[str]
) -> dict[str, Any]:
    """Convert plain data to keyword arguments of a function.

    Args:
        function: The function, or a dataclass, with annotations.
        data: A table of its arguments.
        where: The path of the table, for errors.
        known: The arguments that the table may contain.

    Raises:
        ArgumentError: As `build`.
    """
    hints = get_type_hints(function)
    return _table(data, {name: hints[name] for name in known}, where)


@contextmanager
def placed(where: str) -> Iterator[None]:
    """Prepend a path to the field of an `ArgumentError` that the block raises."""
    try:
        yield
    except ArgumentError as error:
        if not where or error.field.startswith(where):
            raise
        # A dataclass names its fields by its own path, such as sparse.mean_length. Steps at the end
        # of the one path that are also at the beginning of the other are written once.
        before, after = _STEP.split(where), error.field.split(".")
        shared = next((n for n in range(len(after), 0, -1) if before[-n:] == after[:n]), 0)
        raise ArgumentError(
            field=_join(where, ".".join(after[shared:])), problem=error.problem
        ) from error


def convert(value: Any, hint: Any, where: str) -> Any:
    """Check a value against a type hint; convert lists to tuples where the hint has them.

    Raises:
        ArgumentError: If it has another type; it names the wanted type and the type found.
    """
    if isinstance(value, int) and not isinstance(value, bool) and not _LEAST <= value <= _GREATEST:
        raise ArgumentError(field=where, problem="is an integer of more than 64 bits")
    if hint is Any:
        return value
    for choice in _choices(hint):
        if _fits(value, choice):
            return _converted(value, choice, where)
    literals = [literal for choice in _choices(hint) for literal in _literals(choice)]
    if literals and isinstance(value, str):
        raise ArgumentError(
            field=where,
            problem=f"is unknown; known: {', '.join(map(str, literals))}"
            f"{suggestion(value, literals)}",
        )
    raise ArgumentError(field=where, problem=f"is not {wanted(hint)}; found {_found(value)}")


def wanted(hint: Any) -> str:
    """Describe a type hint: ``a string or a list of strings``."""
    words = dict.fromkeys(_words(choice) for choice in _choices(hint) if choice is not type(None))
    return " or ".join(words) or "null"


def _fields_of(kind: type[Any]) -> list[tuple[Any, Any]]:
    hints = get_type_hints(kind)
    return [(each, hints[each.name]) for each in fields(kind)]


def _table(data: object, hints: Mapping[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise ArgumentError(field=where, problem=f"is not a table; found {_found(data)}")
    values = {}
    for name, value in data.items():
        if name not in hints:
            raise ArgumentError(
                field=_join(where, str(name)),
                problem=f"is unknown; known: {', '.join(hints)}{suggestion(str(name), hints)}",
            )
        values[name] = convert(value, hints[name], _join(where, name))
    return values


def _join(where: str, name: str) -> str:
    """Return the path of a key; after a file's name ("nightly.toml: ") no dot is needed."""
    if not (where and name):
        return where or name
    return f"{where}{name}" if where.endswith(" ") else f"{where}.{name}"


def _choices(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, mappings before dataclasses; of other hints, the hint."""
    if get_origin(hint) not in (Union, types.UnionType):
        return (hint,)
    # A field that takes any mapping checks it itself: quantization has several kinds of table.
    found = [inner for choice in get_args(hint) for inner in _choices(choice)]
    return tuple(sorted(found, key=is_dataclass))


def _literals(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value has a hint's outer type; `_converted` checks what is inside."""
    origin = get_origin(hint) or hint
    if origin is Any:
        return True
    if origin is Literal:
        return any(type(value) is type(literal) and value == literal for literal in get_args(hint))
    if is_dataclass(origin):
        return isinstance(value, Mapping | origin)
    if origin in _LISTS:
        return isinstance(value, list | tuple)
    if origin in _TABLES:
        return isinstance(value, Mapping)
    if origin is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if origin is os.PathLike:
        return isinstance(value, os.PathLike)
    return type(value) is origin


def _converted(value: Any, hint: Any, where: str) -> Any:
    origin = get_origin(hint) or hint
    inner = get_args(hint)
    if is_dataclass(origin) and isinstance(value, Mapping):
        from_dict = getattr(origin, "from_dict", None)
        return from_dict(value, where) if from_dict else build(origin, value, where)  # type: ignore[arg-type]
    if origin in _LISTS and inner:
        items = [convert(item, inner[0], f"{where}[{at}]") for at, item in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if origin in _TABLES and inner:
        return {
            name: convert(item, inner[1], _join(where, str(name))) for name, item in value.items()
        }
    return value


def _words(hint: Any) -> str:
    origin = get_origin(hint) or hint
    inner = get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in _LISTS and inner:
        plural = {str: "strings", int: "integers", float: "numbers"}.get(inner[0], "tables")
        return f"a list of {plural}"
    if is_dataclass(origin):
        return "a table"
    return _NAMES.get(origin, "a string")


def _found(value: Any) -> str:
    """Describe the type of a value, without showing the value."""
    if isinstance(value, date | time):
        return "a date or time"
    return next((name for kind, name in _NAMES.items() if type(value) is kind), "something else")
