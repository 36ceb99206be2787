"""Payloads that stay columns until somebody wants rows, and their digests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qdrant_static.ingest import payloads

_DIGEST_BYTES = 16


class PayloadRows(Sequence[dict[str, Any]]):
    """n payloads: Arrow columns, of which dictionaries are made when they are asked for.

    A run that finds a row unchanged needs its digest alone, at a third of the price.

    Args:
        columns: n rows of the stored columns.
    """

    def __init__(self, columns: pa.RecordBatch) -> None:
        self.columns = columns
        self._rows: list[dict[str, Any]] | None = None

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
        joined = pc.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))
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
    all else as JSON with sorted names.
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
    raw = _json(value)
    return b"j%d:" % len(raw) + raw


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def _written(name: str, column: pa.Array) -> pa.Array:
    """``_field(name) + _value(value)`` for every value of a column, ``large_binary``."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        raw = column.cast(pa.large_string()).cast(pa.large_binary())
        tag = b"s"
    elif pa.types.is_integer(kind):
        raw = column.cast(pa.large_string()).cast(pa.large_binary())
        tag = b"j"
    else:
        values = [_value(value) for value in payloads.to_json(column)]
        return _joined(_field(name), pa.array(values, pa.large_binary()))
    lengths = pc.binary_length(raw).cast(pa.large_string()).cast(pa.large_binary())
    written = _joined(_field(name) + tag, lengths, b":", raw)
    if column.null_count:
        return pc.fill_null(written, pa.scalar(_field(name) + _value(None), pa.large_binary()))
    return written


def _joined(*parts: bytes | pa.Array) -> pa.Array:
    """Pieces side by side; null where one is null."""
    binary = pa.large_binary()
    given = [pa.scalar(one, binary) if isinstance(one, bytes) else one for one in parts]
    return pc.binary_join_element_wise(*given, pa.scalar(b"", binary))


def _rows(columns: pa.RecordBatch) -> list[dict[str, Any]]:
    names = columns.schema.names
    if not names:
        return [{} for _ in range(columns.num_rows)]
    values = [payloads.to_json(column) for column in columns.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
