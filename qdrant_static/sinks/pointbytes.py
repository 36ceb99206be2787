"""Points -> the bytes of protobuf's ``qdrant.UpsertPoints``, straight from the matrices.

A row of a float32 matrix is what a packed field of floats holds on the wire: it is copied, not
converted. Going through the messages' classes costs four times as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from qdrant_static.sinks.payloadbytes import UnfitPayloadError, delimited, entries, varint

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


def request_head(collection: str) -> bytes:
    """What stands before the points of a request: the collection, and that it waits."""
    return delimited(_COLLECTION, collection.encode()) + _WAIT


class PointBytes:
    """The points of one batch as bytes, made row by row.

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
        """One point, with its tag: points joined behind a `request_head` are a request.

        Raises:
            UnfitPayloadError: If the payload cannot travel.
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
    """Rows of integers as protobuf packs them, all rows at once.

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
    """The entries of a sparse vector, row by row."""

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
    """The matrix's memory, and the bytes of a row."""
    rows = np.ascontiguousarray(matrix, dtype="<f4")
    return rows.reshape(-1).view(np.uint8).data, 4 * matrix.shape[1]


def _dense_prefix(name: str, size: int) -> bytes:
    """All that stands in a named dense vector's entry before its floats."""
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


__all__ = ["PointBytes", "UnfitPayloadError", "packed_varints", "request_head"]
