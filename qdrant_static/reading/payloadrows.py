"""Payloads that stay columns until somebody wants rows, and their digests."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qdrant_static.reading import payloads
from qdrant_static.reading.floatdigests import all_rounded, rounded

_DIGEST_BYTES = 16
#: From so many on, making all rows at once is cheaper than making one after the other.
_SINGLE_ROWS = 16
_BINARY = pa.large_binary()
_DOUBLE = struct.Struct("<d")
_FLOAT = b"f8:"


class PayloadRows(Sequence[dict[str, Any]]):
    """n payloads: Arrow columns, of which dictionaries are made when they are asked for.

    A run that finds a row unchanged needs its digest alone, at a third of the price.

    Args:
        columns: n rows of the stored columns.
    """

    def __init__(self, columns: pa.RecordBatch) -> None:
        self.columns = columns
        self._rows: list[dict[str, Any]] | None = None
        self._single = 0

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if self._rows is not None or isinstance(index, slice):
            return self.rows()[index]
        row = range(len(self))[index]  # an index from the end, and IndexError beyond
        self._single += 1
        if self._single > _SINGLE_ROWS:
            return self.rows()[row]
        return _rows(self.columns.slice(row, 1))[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.rows() == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PayloadRows({len(self)} rows of {', '.join(self.columns.schema.names)})"

    def rows(self) -> list[dict[str, Any]]:
        """All rows; made once, and kept."""
        if self._rows is None:
            self._rows = _rows(self.columns)
        return self._rows

    def take(self, indices: Sequence[int]) -> PayloadRows:
        """Some of the rows, still as columns."""
        return PayloadRows(self.columns.take(pa.array(indices, type=pa.int64())))

    def digests(self) -> list[bytes]:
        """N digests, equal to `payload_digest` of every row, mostly without making the row."""
        order = sorted(self.columns.schema.names)
        parts = [_written(name, self.columns.column(name)) for name in order]
        if not parts:
            return [payload_digest({})] * len(self)
        joined = pc.binary_join_element_wise(*parts, pa.scalar(b"", _BINARY))
        offsets = np.frombuffer(joined.buffers()[1], np.int64, len(self) + 1, joined.offset * 8)
        bounds = offsets.tolist()
        data = memoryview(joined.buffers()[2] or b"")
        return [
            blake2b(data[start:stop], digest_size=_DIGEST_BYTES).digest()
            for start, stop in pairwise(bounds)
        ]


def payload_digest(payload: Mapping[str, Any]) -> bytes:
    """A digest of a payload that does not depend on the order of its fields (BLAKE2b, 16 bytes).

    Every field is written as its name and its value, each with its length; strings as they are,
    floats as their eight bytes, all else as JSON with sorted names. Floats that the engine may give
    back one or two units in the last place off are rounded before; see `floats`.
    """
    whole = b"".join(_field(name) + _value(payload[name]) for name in sorted(payload))
    return blake2b(whole, digest_size=_DIGEST_BYTES).digest()


def payload_digests(rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """The digests of n payloads, by columns where they are columns."""
    if isinstance(rows, PayloadRows):
        return rows.digests()
    return [payload_digest(row) for row in rows]


def _field(name: str) -> bytes:
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
    """JSON with its floats rounded, at any depth."""
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, Mapping):
        return {name: _with_rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_rounded(inner) for inner in value]
    return value


def _written(name: str, column: pa.Array) -> pa.Array:
    """``_field(name) + _value(value)`` for every value of a column, ``large_binary``."""
    kind = column.type
    head = _field(name)
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
        values = [_value(value) for value in payloads.to_json(column)]
        return _joined(head, pa.array(values, _BINARY))
    if column.null_count:
        return pc.fill_null(written, pa.scalar(head + _value(None), _BINARY))
    return written


def _with_length(head: bytes, raw: pa.Array) -> pa.Array:
    lengths = pc.binary_length(raw).cast(pa.large_string()).cast(_BINARY)
    return _joined(head, lengths, b":", raw)


def _eight_bytes(column: pa.Array) -> pa.Array:
    """Floats as they lie in memory, little-endian, nulls as nulls."""
    values = column.cast(pa.float64())
    raw = all_rounded(pc.fill_null(values, 0.0).to_numpy())
    written = pa.Array.from_buffers(pa.binary(8), len(values), [None, pa.py_buffer(raw)])
    valid = values.is_valid()
    return pc.if_else(valid, written.cast(_BINARY), pa.scalar(None, _BINARY))


def _joined(*parts: bytes | pa.Array) -> pa.Array:
    """Pieces side by side; null where one is null."""
    given = [pa.scalar(one, _BINARY) if isinstance(one, bytes) else one for one in parts]
    return pc.binary_join_element_wise(*given, pa.scalar(b"", _BINARY))


def _rows(columns: pa.RecordBatch) -> list[dict[str, Any]]:
    names = columns.schema.names
    if not names:
        return [{} for _ in range(columns.num_rows)]
    values = [payloads.to_json(column) for column in columns.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
