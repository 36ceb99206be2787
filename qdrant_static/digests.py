"""Digests (BLAKE2b, 16 bytes) of texts, vectors and payloads, which show that a row has changed.

They are functions of what a collection holds, so that a ledger that was lost can be made again from
the collection itself. Their values never change: ledgers of earlier runs have them.

Floats are rounded before a payload is hashed. The engine writes a float in the fewest digits that
identify it. Of one that needs 16 or 17, such as a quotient, the last digit may come back changed;
so floats are rounded to 37 bits, about ten digits. That would hide changes in further digits, so
numbers that the engine returns exactly are not rounded:

1. from a million on, numbers of up to three decimal places: amounts, milliseconds;
2. from `_WHOLE` on, whole numbers.

A float that differs from such a number by a few units in the last place counts as that number.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: Bytes of a digest: of an id, of a text, of a payload.
DIGEST_BYTES = 16

Digests = NDArray[np.uint8]

_BINARY = pa.large_binary()
_DOUBLE = struct.Struct("<d")
_BITS = struct.Struct("<Q")
_FLOAT = b"f8:"
#: Bits of a float's mantissa that rounding leaves out, and half of what they hold.
_LEFT_OUT = 16
_HALF = 1 << (_LEFT_OUT - 1)
_MASK = (1 << 64) - (1 << _LEFT_OUT)
#: Below, rounding keeps numbers of three places apart.
_LARGE = 1e6
#: From here on the neighbors of a float are too far from it for three places, ...
_WHOLE = 2.0**38
#: ... and from here on for whole numbers.
_LARGEST = 2.0**47
#: Eight units in the last place, relative to the value.
_NEAR = 2.0**-49


def as_digests(digests: Iterable[bytes]) -> Digests:
    """Return n digests as one array, uint8 ``(n, 16)``."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)


def each_digest(digests: Digests) -> list[bytes]:
    """Return the n digests of an array, uint8 ``(n, 16)``, one by one."""
    raw = digests.tobytes()
    return [raw[start : start + DIGEST_BYTES] for start in range(0, len(raw), DIGEST_BYTES)]


# --- texts and vectors -----------------------------------------------------------------------


def text_digests(texts: pa.LargeStringArray, key: bytes) -> Digests:
    """Hash texts, straight from Arrow's buffers.

    Args:
        texts: n texts, none null.
        key: A digest of what else decides the vectors, such as the encoder.

    Returns:
        uint8 ``(n, 16)``.
    """
    if not len(texts):
        return as_digests(())
    return as_digests(
        blake2b(text, digest_size=DIGEST_BYTES, key=key).digest() for text in _slices(texts)
    )


def vector_digests(texts: pa.LargeStringArray, vectors: NDArray[np.float32], key: bytes) -> Digests:
    """Hash ready vectors and the texts beside them, uint8 ``(n, 16)``."""
    return as_digests(
        blake2b(text.tobytes() + vector.tobytes(), digest_size=DIGEST_BYTES).digest()
        for text, vector in zip(text_digests(texts, key), vectors, strict=True)
    )


def _slices(column: pa.LargeStringArray | pa.LargeBinaryArray) -> Iterable[memoryview]:
    """Yield the bytes of n values without copying them."""
    _, offsets, content = column.buffers()
    bounds = np.frombuffer(offsets, np.int64, len(column) + 1, column.offset * 8).tolist()
    view = memoryview(content) if content is not None else memoryview(b"")
    return (view[start:stop] for start, stop in pairwise(bounds))


# --- payloads --------------------------------------------------------------------------------


def payload_digest(payload: Mapping[str, Any]) -> bytes:
    """Hash a payload, whatever the order of its fields.

    Every field is written as its name and its value, each with its length; strings as they are,
    floats as their eight bytes, all else as JSON with sorted names. Floats are rounded before.
    """
    whole = b"".join(_name(name) + _value(payload[name]) for name in sorted(payload))
    return blake2b(whole, digest_size=DIGEST_BYTES).digest()


def payload_digests(
    columns: pa.RecordBatch, to_json: Callable[[pa.Array], list[Any]]
) -> list[bytes]:
    """Hash n payloads that are columns, mostly without making a Python object of a value.

    Args:
        columns: n rows of the stored columns.
        to_json: Converts a column of any other type than those below to JSON values.

    Returns:
        n digests, equal to `payload_digest` of every row.
    """
    order = sorted(columns.schema.names)
    if not order:
        return [payload_digest({})] * int(columns.num_rows)
    fields = [_field(name, columns.column(name), to_json) for name in order]
    joined = pc.binary_join_element_wise(*fields, pa.scalar(b"", _BINARY))
    return [blake2b(row, digest_size=DIGEST_BYTES).digest() for row in _slices(joined)]


def _name(name: str) -> bytes:
    raw = name.encode()
    return b"%d:" % len(raw) + raw


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        raw = value.encode()
        return b"s%d:" % len(raw) + raw
    if isinstance(value, float):
        return _FLOAT + _DOUBLE.pack(rounded(value))
    raw = json.dumps(_with_rounded(value), sort_keys=True, separators=(",", ":")).encode()
    return b"j%d:" % len(raw) + raw


def _with_rounded(value: Any) -> Any:
    """Round the floats in JSON, at any depth."""
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, Mapping):
        return {name: _with_rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_rounded(inner) for inner in value]
    return value


def _field(name: str, column: pa.Array, to_json: Callable[[pa.Array], list[Any]]) -> pa.Array:
    """Write ``_name(name) + _value(value)`` for every value of a column, ``large_binary``."""
    kind = column.type
    head = _name(name)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        written = _with_length(head + b"s", column.cast(pa.large_string()).cast(_BINARY))
    elif pa.types.is_integer(kind):
        written = _with_length(head + b"j", column.cast(pa.large_string()).cast(_BINARY))
    elif pa.types.is_boolean(kind):
        true, false = (pa.scalar(head + _value(one), _BINARY) for one in (True, False))
        written = pc.if_else(column, true, false)
    elif pa.types.is_floating(kind) and pc.all(pc.is_finite(column)).as_py():
        written = _joined(head + _FLOAT, _eight_bytes(column))
    else:
        return _joined(head, pa.array([_value(value) for value in to_json(column)], _BINARY))
    if column.null_count:
        return pc.fill_null(written, pa.scalar(head + _value(None), _BINARY))
    return written


def _with_length(head: bytes, raw: pa.Array) -> pa.Array:
    lengths = pc.binary_length(raw).cast(pa.large_string()).cast(_BINARY)
    return _joined(head, lengths, b":", raw)


def _eight_bytes(column: pa.Array) -> pa.Array:
    """Write floats as they lie in memory, little-endian, nulls as nulls."""
    values = column.cast(pa.float64())
    raw = all_rounded(pc.fill_null(values, 0.0).to_numpy())
    written = pa.Array.from_buffers(pa.binary(8), len(values), [None, pa.py_buffer(raw)])
    return pc.if_else(values.is_valid(), written.cast(_BINARY), pa.scalar(None, _BINARY))


def _joined(*parts: bytes | pa.Array) -> pa.Array:
    """Join pieces of every row; null where one piece is null."""
    pieces = [pa.scalar(one, _BINARY) if isinstance(one, bytes) else one for one in parts]
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", _BINARY))


# --- floats ----------------------------------------------------------------------------------


def rounded(value: float) -> float:
    """Round a float as a digest takes it."""
    size = abs(value)
    if _LARGE <= size < _LARGEST:
        written = float(round(size)) if size >= _WHOLE else round(size * 1000.0) / 1000.0
        if abs(size - written) <= size * _NEAR:
            return math.copysign(written, value)
    (bits,) = _BITS.unpack(_DOUBLE.pack(value))
    result: float = _DOUBLE.unpack(_BITS.pack((bits + _HALF) & _MASK))[0]
    return result


def all_rounded(values: NDArray[np.float64]) -> bytes:
    """Return the bytes of n finite floats, little-endian, each rounded as by `rounded`."""
    exact = np.ascontiguousarray(values, "<f8")
    result = ((exact.view("<u8") + np.uint64(_HALF)) & np.uint64(_MASK)).view("<f8")
    large = np.flatnonzero((np.abs(exact) >= _LARGE) & (np.abs(exact) < _LARGEST))
    sizes = np.abs(exact[large])
    written = np.where(sizes >= _WHOLE, np.rint(sizes), np.rint(sizes * 1000.0) / 1000.0)
    near = np.abs(sizes - written) <= sizes * _NEAR
    result[large[near]] = np.copysign(written, exact[large])[near]
    return result.tobytes()
