"""JSON values -> the bytes of protobuf's ``qdrant.Value``.

What protobuf itself makes of the same values, at a fifth of its price: a payload is walked once
and nothing is built but the bytes. Checked against protobuf in ``tests/unit/test_wirepayload.py``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

#: Nested lists and objects that a server still reads: protobuf readers stop at 100 messages
#: inside each other, a level takes up to three of them, and the point around it four.
MAX_DEPTH = 30

_NULL = b"\x08\x00"
_TRUE = b"\x28\x01"
_FALSE = b"\x28\x00"
_DOUBLE = struct.Struct("<cd")
_INT64 = range(-(2**63), 2**63)


class UnfitPayloadError(ValueError):
    """A payload that cannot travel; its text says why."""


def varint(number: int) -> bytes:
    """Protobuf's form of an unsigned integer: seven bits a byte, the lowest first."""
    if number < 0x80:
        return number.to_bytes(1, "little")
    if number < 0x4000:
        return bytes((number & 0x7F | 0x80, number >> 7))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def delimited(tag: bytes, content: bytes) -> bytes:
    """A field that says its length."""
    return tag + varint(len(content)) + content


def entries(tag: bytes, values: Mapping[str, Any], depth: int = 0) -> bytes:
    """The entries of a map from names to values.

    Args:
        tag: The field's tag in the message around it.
        values: JSON values: None, bool, int, float, str, lists, and mappings of strings.
        depth: How deep they lie already.

    Raises:
        UnfitPayloadError: For another type, an integer beyond 64 bits with a sign, a number that
            is not finite, a string that is not Unicode, or too many levels.
    """
    parts = []
    for name, value in values.items():
        if not isinstance(name, str):
            raise UnfitPayloadError(f"a field's name is {type(name).__name__}, not a string")
        key = _utf8(name)
        content = _value(value, depth)
        parts.append(
            b"".join(
                (
                    tag,
                    varint(2 + len(key) + len(content) + _extra(len(key)) + _extra(len(content))),
                    b"\x0a",
                    varint(len(key)),
                    key,
                    b"\x12",
                    varint(len(content)),
                    content,
                )
            )
        )
    return b"".join(parts)


def _extra(length: int) -> int:
    """The bytes that a length takes itself."""
    return 1 if length < 0x80 else (length.bit_length() + 6) // 7


def _value(value: Any, depth: int) -> bytes:
    kind = type(value)
    if kind is str:
        text = _utf8(value)
        return b"\x22" + varint(len(text)) + text
    if value is None:
        return _NULL
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is int:
        return _integer(value)
    if kind is float:
        return _double(value)
    return _rare(value, depth)


def _rare(value: Any, depth: int) -> bytes:
    """Containers, and types that stand for the plain ones, such as enumerations."""
    if isinstance(value, Mapping):
        _check_depth(depth)
        return delimited(b"\x32", entries(b"\x0a", value, depth + 1))
    if isinstance(value, list | tuple):
        _check_depth(depth)
        return delimited(b"\x3a", _elements(value, depth + 1))
    if isinstance(value, int):
        return _integer(int(value))
    if isinstance(value, float):
        return _double(float(value))
    if isinstance(value, str):
        return delimited(b"\x22", _utf8(str.__str__(value)))
    raise UnfitPayloadError(f"a payload cannot hold a {type(value).__name__}")


def _elements(values: Sequence[Any], depth: int) -> bytes:
    return b"".join([delimited(b"\x0a", _value(value, depth)) for value in values])


def _integer(number: int) -> bytes:
    if number not in _INT64:
        raise UnfitPayloadError(
            f"the integer {number} is outside -2^63 .. 2^63-1, which is what gRPC carries"
        )
    return b"\x18" + varint(number & 0xFFFFFFFFFFFFFFFF)


def _double(number: float) -> bytes:
    if not math.isfinite(number):
        raise UnfitPayloadError(f"{number} is not a JSON number")
    return _DOUBLE.pack(b"\x11", number)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UnfitPayloadError(f"a string is not Unicode: {error.reason}") from error


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise UnfitPayloadError(f"nested deeper than {MAX_DEPTH} levels")
