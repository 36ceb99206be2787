"""Texts that stand for values of a type: cells of CSV, names of folders."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from qdrant_static.ingest.reading.options import CellType

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
