"""Texts that stand for values of a type: cells of CSV, names of folders."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from qdrant_static.reading.batchbuilder import RejectedError
from qdrant_static.reading.options import CellType

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
#: Python's own `float` takes 1_000, digits of any script, and words.
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("no integer")
    value = int(text)
    if not -(2**63) <= value < 2**64:
        raise ValueError("more than 64 bits")
    return value


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise ValueError("no number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _boolean(text: str) -> bool:
    low = text.lower()
    if low not in ("true", "false", "1", "0"):
        raise ValueError("neither true nor false")
    return low in ("true", "1")


#: Type -> how a text of it is read; a ValueError where it is none.
READ: Mapping[CellType, Callable[[str], Any]] = {
    "string": str,
    "integer": _integer,
    "float": _float,
    "boolean": _boolean,
}


def convert_cell(
    record: dict[str, Any], name: str, kind: CellType, read_cell: Callable[[str], Any]
) -> None:
    """Convert the string that a record has in a column.

    Raises:
        RejectedError: If it is not of the type.
    """
    try:
        record[name] = read_cell(record[name].strip(" \t"))
    except ValueError as error:
        problem = f"{name!r} is {record[name][:100]!r}, not of type {kind}"
        raise RejectedError("wrong_type", problem, record) from error


def convert_strings(record: dict[str, Any], types: Mapping[str, CellType]) -> None:
    """Convert the strings of a record that are to be of other types, as cells of CSV are.

    Raises:
        RejectedError: If one is not of its type.
    """
    for name, kind in types.items():
        if isinstance(record.get(name), str):
            convert_cell(record, name, kind, READ[kind])
