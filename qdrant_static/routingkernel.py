"""Kernel of `qdrant_static.routing`: SipHash-2-4 of rows of 64-bit words.

Imported on first use, because importing Numba takes longer than a short search.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - Numba infers the types of kernels
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from qdrant_static.intrinsics import compiled

_U = np.uint64
#: "somepseudorandomlygeneratedbytes", the state before the key, which is zero here.
_V0, _V1 = _U(0x736F6D6570736575), _U(0x646F72616E646F6D)
_V2, _V3 = _U(0x6C7967656E657261), _U(0x7465646279746573)
_ENDING = _U(0xFF)
#: The last word holds the message's length in its upper byte, and no byte of whole words.
_BYTES, _LENGTH_AT = _U(8), _U(56)
_13, _16, _17, _21, _32 = _U(13), _U(16), _U(17), _U(21), _U(32)
_64 = _U(64)


@compiled
def _round(v0, v1, v2, v3):
    v0 += v1
    v1 = ((v1 << _13) | (v1 >> (_64 - _13))) ^ v0
    v0 = (v0 << _32) | (v0 >> _32)
    v2 += v3
    v3 = ((v3 << _16) | (v3 >> (_64 - _16))) ^ v2
    v0 += v3
    v3 = ((v3 << _21) | (v3 >> (_64 - _21))) ^ v0
    v2 += v1
    v1 = ((v1 << _17) | (v1 >> (_64 - _17))) ^ v2
    v2 = (v2 << _32) | (v2 >> _32)
    return v0, v1, v2, v3


@compiled
def siphash(rows, hashes):
    """Hash each row as the bytes of its words in little endian.

    Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.

    Args:
        rows: uint64 (n, words).
        hashes: uint64 (n,), receives the hashes.
    """
    n, words = rows.shape
    last = (_U(words) * _BYTES) << _LENGTH_AT
    for row in range(n):
        v0, v1, v2, v3 = _V0, _V1, _V2, _V3
        for column in range(words + 1):
            word = rows[row, column] if column < words else last
            v3 ^= word
            v0, v1, v2, v3 = _round(v0, v1, v2, v3)
            v0, v1, v2, v3 = _round(v0, v1, v2, v3)
            v0 ^= word
        v2 ^= _ENDING
        for _ in range(4):
            v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        hashes[row] = v0 ^ v1 ^ v2 ^ v3
