"""Converts names of payload fields between the user's notation and Qdrant's keys.

Qdrant's key is a path: names joined by dots, ``[]`` for the items of a list, and quotes around a
name that has anything but letters, digits, ``_`` and ``-`` in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

#: Names of fields; ``[]`` or ``[3]`` stands for all items of a list, or for one.
Path: TypeAlias = tuple[str, ...]

_STEP = re.compile(r'(?P<name>[\w-]+)|"(?P<quoted>[^"]+)"')
_ITEMS = re.compile(r"\[\d*\]")


def parse_key(key: str) -> Path | None:
    """Return the path of a Qdrant key; None if it is not a valid key."""
    path: list[str] = []
    at = 0
    while True:
        step = _STEP.match(key, at)
        if step is None:
            return None
        path.append(step["name"] or step["quoted"])
        at = step.end()
        while (items := _ITEMS.match(key, at)) is not None:
            path.append(items[0])
            at = items.end()
        if at == len(key):
            return tuple(path)
        if key[at] != ".":
            return None
        at += 1


def key_of(path: Path) -> str:
    """Return a path as Qdrant's key."""
    key = ""
    for step in path:
        if _ITEMS.fullmatch(step):
            key += step
            continue
        key += "." if key else ""
        key += step if re.fullmatch(r"[\w-]+", step) else f'"{step}"'
    return key


def as_key(name: str) -> str:
    """Return a name as a Qdrant key: unchanged where it is one, else in quotes."""
    if parse_key(name) is not None or '"' in name or not name:
        return name
    return key_of((name,))


def candidates(name: str) -> list[Path]:
    """Return the paths that a name can mean: first a field of exactly that name, then a path.

    Everywhere in this package, a field of that name takes precedence over a path.
    """
    paths: list[Path] = []
    if '"' not in name:
        paths.append((name,))
    path = parse_key(name)
    if path is not None and path not in paths:
        paths.append(path)
    return paths


def values_at(value: Any, path: Path) -> Iterator[Any]:
    """Yield the values at a path, those of lists one by one."""
    if not path:
        if isinstance(value, list):
            for item in value:
                yield from values_at(item, path)
        else:
            yield value
        return
    head, rest = path[0], path[1:]
    if _ITEMS.fullmatch(head):
        items = value if isinstance(value, list) else []
        for item in items if head == "[]" else items[int(head[1:-1]) :][:1]:
            yield from values_at(item, rest)
    elif isinstance(value, Mapping) and head in value:
        yield from values_at(value[head], rest)


def names_in(payload: Mapping[str, Any], before: Path = ()) -> Iterator[Path]:
    """Yield the paths of all fields of a payload, also within objects and lists of objects."""
    for name, value in payload.items():
        path = (*before, name)
        if isinstance(value, Mapping):
            yield from names_in(value, path)
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            for item in value:
                if isinstance(item, Mapping):
                    yield from names_in(item, (*path, "[]"))
        else:
            yield path
