"""Reads and writes numbers with units, such as ``10M`` and ``4GB``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from qdrant_static.errors import ArgumentError

_COUNTS: Mapping[str, int] = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9}
_BYTES: Mapping[str, int] = {
    "": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40, "PIB": 2**50,
}  # fmt: skip
#: In bytes; a smaller memory or disk is a number whose unit was forgotten.
_LEAST_MEMORY = 10**6
_NUMBER = re.compile(r"(\d+(?:[_,]\d{3})*(?:\.\d+)?)\s*([A-Za-z]*)")


def count(text: str, option: str) -> int:
    """Read a count: ``250000``, ``250_000``, ``250K``, ``10M``, ``1.5B``.

    Args:
        text: What was typed.
        option: The option, for errors.

    Raises:
        ArgumentError: If it is not a count, or not a whole number.
    """
    return _parsed(text, option, _COUNTS, "a number such as 250000, 250K, 10M or 1.5B")


def size(text: str, option: str) -> int:
    """Read a number of bytes: ``500``, ``500MB``, ``4GB``, ``1.5TB``, ``64GiB``.

    Args:
        text: What was typed.
        option: The option, for errors.

    Raises:
        ArgumentError: If it is not a size.
    """
    return _parsed(text, option, _BYTES, "a size such as 500, 500MB, 4GB or 64GiB")


def memory(text: str, option: str) -> int:
    """Read the size of a memory or a disk: as `size`, but below one megabyte is an error.

    Args:
        text: What was typed.
        option: The option, for errors.

    Raises:
        ArgumentError: If it is not a size, or too small.
    """
    value = size(text, option)
    if value < _LEAST_MEMORY:
        given = text.strip()
        hint = f": {given}GB?" if given.isdecimal() else ""
        raise ArgumentError(
            field=option, problem=f"{text!r} is {size_text(value)}, too little{hint}"
        )
    return value


def _parsed(text: str, option: str, units: Mapping[str, int], wanted: str) -> int:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[2].upper() not in units:
        raise ArgumentError(field=option, problem=f"{text!r} is not {wanted}")
    value = Decimal(match[1].replace("_", "").replace(",", "")) * units[match[2].upper()]
    if value != int(value):
        raise ArgumentError(field=option, problem=f"{text!r} is not a whole number")
    return int(value)


def count_text(value: int) -> str:
    """Write a number as `count` reads it: ``10M``."""
    for unit, factor in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if value >= factor and value * 100 % factor == 0:
            return f"{value / factor:g}{unit}"
    return f"{value:,}"


def size_text(value: float) -> str:
    """Write a number of bytes with about three digits: ``4.10 GB``."""
    for unit, factor in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if value >= 0.9995 * factor:
            scaled = value / factor
            return f"{scaled:.{2 if scaled < 9.995 else 1 if scaled < 99.95 else 0}f} {unit}"
    return f"{value:.0f} B"
