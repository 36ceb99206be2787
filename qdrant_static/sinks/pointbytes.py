"""Writes points as the bytes of protobuf's ``qdrant.UpsertPoints``, straight from the matrices.

A row of a float32 matrix is what a packed field of floats holds on the wire: it is copied, not
converted. Going through the messages' classes costs four times as much. A payload is walked once,
and nothing is built but the bytes of its ``qdrant.Value``, at a fifth of protobuf's price. Checked
against protobuf in ``tests/unit/test_wirepoints.py``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.encoders.sparsevectors import SparseRows
    from qdrant_static.ids import PointId

# Tags: field number and wire type, as in points.proto.
_COLLECTION = b"\x0a"  # UpsertPoints.collection_name
_WAIT = b"\x10\x01"  # UpsertPoints.wait = true
_POINT = b"\x1a"  # UpsertPoints.points
_ID = b"\x0a"  # PointStruct.id
_PAYLOAD = b"\x1a"  # PointStruct.payload, an entry of the map
_VECTORS = b"\x22"  # PointStruct.vectors
_NAMED = b"\x12"  # Vectors.vectors
_ENTRY = b"\x0a"  # NamedVectors.vectors, an entry of the map
_KEY = b"\x0a"
_VALUE = b"\x12"
_DENSE = b"\xaa\x06"  # Vector.dense
_SPARSE = b"\xb2\x06"  # Vector.sparse
_DATA = b"\x0a"  # DenseVector.data, SparseVector.values
_INDICES = b"\x12"  # SparseVector.indices

#: Nested lists and objects that a server still reads: protobuf readers stop at 100 messages
#: inside each other, a level takes up to three of them, and the point around it four.
MAX_DEPTH = 30

_NULL = b"\x08\x00"
_TRUE = b"\x28\x01"
_FALSE = b"\x28\x00"
_DOUBLE = struct.Struct("<cd")
_INT64 = range(-(2**63), 2**63)


def request_head(collection: str) -> bytes:
    """Encode what precedes the points of a request: the collection, and ``wait``."""
    return delimited(_COLLECTION, collection.encode()) + _WAIT


class PointBytes:
    """Encodes the points of one batch, row by row.

    Args:
        ids: n point ids.
        dense: Vector name -> float32 ``(n, size)``.
        sparse: n sparse vectors, or None; an empty one is left out of its point.
        sparse_name: The name of the sparse vector.
        payloads: n payloads.
    """

    def __init__(
        self,
        ids: Sequence[PointId],
        dense: Mapping[str, NDArray[np.float32]],
        payloads: Sequence[Mapping[str, Any]],
        *,
        sparse: SparseRows | None = None,
        sparse_name: str = "",
    ) -> None:
        self._ids = ids
        self._payloads = payloads
        self._dense = [
            (_dense_prefix(name, matrix.shape[1]), *_rows_as_bytes(matrix))
            for name, matrix in dense.items()
        ]
        self._dense_size = sum(len(prefix) + width for prefix, _, width in self._dense)
        self._sparse = None if sparse is None else _SparseBytes(sparse_name, sparse)

    def point(self, row: int) -> bytes:
        """Encode a point with its tag: points joined behind a `request_head` are a request.

        Raises:
            UnfitPayloadError: If the payload cannot be sent.
        """
        terms = b"" if self._sparse is None else self._sparse.entry(row)
        size = self._dense_size + len(terms)
        named = _NAMED + varint(size)
        head = _id(self._ids[row])
        payload = entries(_PAYLOAD, self._payloads[row])
        vectors = _VECTORS + varint(size + len(named)) + named
        parts: list[Any] = [
            _POINT,
            varint(len(head) + len(payload) + len(vectors) + size),
            head,
            payload,
            vectors,
        ]
        for prefix, data, width in self._dense:
            parts.append(prefix)
            parts.append(data[row * width : (row + 1) * width])
        parts.append(terms)
        return b"".join(parts)


def packed_varints(
    values: NDArray[np.uint32], pointers: NDArray[np.int64]
) -> tuple[bytes, NDArray[np.int64]]:
    """Encode rows of integers as packed fields, all rows at once.

    Args:
        values: uint32 ``(nnz,)``.
        pointers: int64 ``(n + 1,)``: row i is ``values[pointers[i] : pointers[i + 1]]``.

    Returns:
        The bytes, and int64 ``(n + 1,)``: where each row begins in them.
    """
    widths = np.ones(len(values), dtype=np.int64)
    for bits in (7, 14, 21, 28):
        widths += values >= np.uint32(1 << bits)
    ends = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(widths, out=ends[1:])
    packed = np.empty(int(ends[-1]), dtype=np.uint8)
    for place in range(5):
        longer = widths > place
        part = (values[longer] >> np.uint32(7 * place)) & np.uint32(0x7F)
        more = (widths[longer] > place + 1).astype(np.uint32) << np.uint32(7)
        packed[ends[:-1][longer] + place] = part | more
    return packed.tobytes(), ends[pointers]


class _SparseBytes:
    """Encodes a sparse vector, row by row."""

    def __init__(self, name: str, rows: SparseRows) -> None:
        self._key = delimited(_KEY, name.encode())
        self._pointers = rows.pointers.tolist()
        self._values = np.ascontiguousarray(rows.values, dtype="<f4").tobytes()
        self._indices, starts = packed_varints(rows.indices, rows.pointers)
        self._starts = starts.tolist()

    def entry(self, row: int) -> bytes:
        begin, end = self._pointers[row], self._pointers[row + 1]
        if begin == end:
            return b""
        values = delimited(_DATA, self._values[4 * begin : 4 * end])
        indices = delimited(_INDICES, self._indices[self._starts[row] : self._starts[row + 1]])
        vector = delimited(_SPARSE, values + indices)
        return delimited(_ENTRY, self._key + delimited(_VALUE, vector))


def _rows_as_bytes(matrix: NDArray[np.float32]) -> tuple[memoryview, int]:
    """Return the matrix's memory, and the number of bytes of a row."""
    rows = np.ascontiguousarray(matrix, dtype="<f4")
    return rows.reshape(-1).view(np.uint8).data, 4 * matrix.shape[1]


def _dense_prefix(name: str, size: int) -> bytes:
    """Encode what precedes the floats of a named dense vector."""
    width = 4 * size
    data = _DATA + varint(width)
    dense = _DENSE + varint(width + len(data)) + data
    value = _VALUE + varint(width + len(dense)) + dense
    key = delimited(_KEY, name.encode())
    return _ENTRY + varint(len(key) + len(value) + width) + key + value


def _id(identity: PointId | UUID) -> bytes:
    if isinstance(identity, int):
        return delimited(_ID, b"\x08" + varint(identity))
    return delimited(_ID, delimited(b"\x12", str(identity).encode()))


# --- payloads -----------------------------------------------------------------------------------


class UnfitPayloadError(ValueError):
    """A payload that cannot be sent; the text says why."""


def varint(number: int) -> bytes:
    """Encode an unsigned integer as protobuf does: seven bits a byte, the lowest first."""
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
    """Encode a length-delimited field."""
    return tag + varint(len(content)) + content


def entries(tag: bytes, values: Mapping[str, Any], depth: int = 0) -> bytes:
    """Encode the entries of a map from names to values.

    Args:
        tag: The field's tag in the message around it.
        values: JSON values: None, bool, int, float, str, lists, and mappings of strings.
        depth: The nesting depth of the map.

    Raises:
        UnfitPayloadError: For another type, an integer beyond 64 bits with a sign, a number that
            is not finite, a string that is not Unicode, or too many levels.
    """
    parts: list[bytes] = []
    for name, value in values.items():
        if not isinstance(name, str):
            raise UnfitPayloadError(f"a field's name is {type(name).__name__}, not a string")
        key = _utf8(name)
        content = _value(value, depth)
        size = 2 + len(key) + len(content) + _extra(len(key)) + _extra(len(content))
        parts += (tag, varint(size), b"\x0a", varint(len(key)), key)
        parts += (b"\x12", varint(len(content)), content)
    return b"".join(parts)


def _extra(length: int) -> int:
    """Return the number of bytes that a length itself takes."""
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
    """Encode containers, and subclasses of the plain types, such as enumerations."""
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
