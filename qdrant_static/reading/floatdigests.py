"""Floats as digests take them: large ones that people write exactly, all others rounded.

The engine writes a float in as few digits as tell it from others. Of one that needs 16 or 17, such
as the quotient of two, the last may come back another; so floats are rounded to 37 bits, about ten
digits. A number of more digits would change unnoticed then. The engine gives back exactly, and a
digest takes as they are:

1. from a million on, numbers of up to three places after the point: amounts, milliseconds;
2. from `_WHOLE` on, whole numbers.

A float that is a few units in the last place off such a number is taken for it.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

_DOUBLE = struct.Struct("<d")
_BITS = struct.Struct("<Q")
#: Bits of a float's mantissa that rounding leaves out, and half of what they hold.
_LEFT_OUT = 16
_HALF = 1 << (_LEFT_OUT - 1)
_KEPT = (1 << 64) - (1 << _LEFT_OUT)
#: Below, rounding leaves numbers of three places apart.
_LARGE = 1e6
#: From here on the neighbors of a float are too far from it for three places, ...
_WHOLE = 2.0**38
#: ... and from here on for whole numbers.
_LARGEST = 2.0**47
#: Eight units in the last place, relative to the value.
_NEAR = 2.0**-49


def rounded(value: float) -> float:
    """A float as a digest takes it."""
    size = abs(value)
    if _LARGE <= size < _LARGEST:
        written = float(round(size)) if size >= _WHOLE else round(size * 1000.0) / 1000.0
        if abs(size - written) <= size * _NEAR:
            return math.copysign(written, value)
    (bits,) = _BITS.unpack(_DOUBLE.pack(value))
    result: float = _DOUBLE.unpack(_BITS.pack((bits + _HALF) & _KEPT))[0]
    return result


def all_rounded(values: np.ndarray[Any, np.dtype[np.float64]]) -> bytes:
    """The bytes of n finite floats, little-endian, each as `rounded` has it."""
    given = np.ascontiguousarray(values, "<f8")
    result = ((given.view("<u8") + np.uint64(_HALF)) & np.uint64(_KEPT)).view("<f8")
    large = np.flatnonzero((np.abs(given) >= _LARGE) & (np.abs(given) < _LARGEST))
    sizes = np.abs(given[large])
    written = np.where(sizes >= _WHOLE, np.rint(sizes), np.rint(sizes * 1000.0) / 1000.0)
    near = np.abs(sizes - written) <= sizes * _NEAR
    result[large[near]] = np.copysign(written, given[large])[near]
    return result.tobytes()
