"""Payloads: Arrow columns, and the JSON values that their rows become."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qdrant_static import digests
from qdrant_static.reading import columns

#: Decimal digits that float64 holds exactly enough to print them back.
_FLOAT_DIGITS = 15
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_OFFSET = len("+00:00")
#: From so many rows on, converting all rows at once is faster than one after the other.
_SINGLE_ROWS = 16


class PayloadRows(Sequence[dict[str, Any]]):
    """n payloads: Arrow columns, converted to dictionaries only when they are used.

    A run that finds a row unchanged needs only its digest, which takes a third of the time.

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
        """Return all rows; they are converted once and kept."""
        if self._rows is None:
            self._rows = _rows(self.columns)
        return self._rows

    def take(self, indices: Sequence[int]) -> PayloadRows:
        """Return some of the rows, still as columns."""
        return PayloadRows(self.columns.take(pa.array(indices, type=pa.int64())))

    def digests(self) -> list[bytes]:
        """Hash the n payloads, mostly without making the rows."""
        return digests.payload_digests(self.columns, to_json)


def _rows(columns: pa.RecordBatch) -> list[dict[str, Any]]:
    names = columns.schema.names
    if not names:
        return [{} for _ in range(columns.num_rows)]
    values = [to_json(column) for column in columns.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


class DoubledNameError(ValueError):
    """A map has a name twice, of which JSON would keep one."""


def to_json(column: pa.Array, *, pairs: bool = False) -> list[Any]:
    """Convert the values of a column to JSON values.

    Timestamps, dates and times become ISO 8601 (truncated to microseconds), durations become
    seconds, decimals become numbers up to 15 digits and strings beyond, UUIDs become strings;
    numbers that are not finite become null.

    Args:
        column: n values of a storable type.
        pairs: Whether a map that has a name twice becomes a list of its pairs, for display.

    Returns:
        n values of None, bool, int, float, str, list or dict.

    Raises:
        DoubledNameError: If a map has a name twice, unless it becomes pairs.
    """
    column = columns.plain(column)
    kind = column.type
    if pa.types.is_struct(kind):
        return _objects(column, pairs)
    if pa.types.is_map(kind):
        return _maps(column, pairs)
    if pa.types.is_nested(kind):
        values = to_json(column.flatten(), pairs=pairs)
        bounds = [0, *np.cumsum(columns.list_lengths(column)).tolist()]
        return _with_nulls([values[start:stop] for start, stop in pairwise(bounds)], column)
    return _simple(column)


def _simple(column: pa.Array) -> list[Any]:
    """Convert values that are not nested."""
    kind = column.type
    if pa.types.is_temporal(kind):
        return _temporal(column)
    if pa.types.is_float16(kind):
        column = column.cast(pa.float32())
    values: list[Any] = column.to_pylist()
    if pa.types.is_floating(kind):
        if pc.all(pc.is_finite(column)).as_py() is False:
            return [None if one is None or not math.isfinite(one) else one for one in values]
    elif pa.types.is_decimal(kind):
        convert = float if kind.precision <= _FLOAT_DIGITS else str
        return [None if one is None else convert(one) for one in values]
    elif isinstance(kind, pa.BaseExtensionType) and columns.is_uuid(kind):
        return [None if one is None else str(one) for one in values]
    return values


def _temporal(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        return _timestamps(column)
    if pa.types.is_duration(kind):
        per_second = _PER_SECOND[kind.unit]
        counts = column.cast(pa.int64()).to_pylist()
        return [None if count is None else count / per_second for count in counts]
    if pa.types.is_time64(kind):
        column = column.cast(pa.time64("us"), safe=False)
    return _written(column, _iso)


def _with_nulls(values: list[Any], column: pa.Array) -> list[Any]:
    if not column.null_count:
        return values
    valid = column.is_valid().to_pylist()
    return [value if there else None for value, there in zip(values, valid, strict=True)]


def _objects(column: pa.Array, pairs: bool) -> list[Any]:
    names = [field.name for field in column.type]
    if not names:
        return _with_nulls([{} for _ in range(len(column))], column)
    children = [to_json(child, pairs=pairs) for child in column.flatten()]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*children, strict=True)]
    return _with_nulls(rows, column)


def _maps(column: pa.Array, pairs: bool) -> list[Any]:
    offsets = np.asarray(column.offsets).tolist()
    first, count = offsets[0], offsets[-1] - offsets[0]
    keys = [str(key) for key in to_json(column.keys.slice(first, count), pairs=pairs)]
    items = to_json(column.items.slice(first, count), pairs=pairs)
    valid = column.is_valid().to_pylist()
    rows: list[Any] = []
    for (start, stop), there in zip(pairwise(offsets), valid, strict=True):
        own = slice(start - first, stop - first)
        row: Any = dict(zip(keys[own], items[own], strict=True)) if there else None
        if row is not None and len(row) < stop - start:
            if not pairs:
                twice = next(name for name in keys[own] if keys[own].count(name) > 1)
                raise DoubledNameError(f"a map has the name {twice!r} twice")
            row = [list(pair) for pair in zip(keys[own], items[own], strict=True)]
        rows.append(row)
    return rows


def _timestamps(column: pa.Array) -> list[Any]:
    zone = column.type.tz
    if column.type.unit == "ns":
        # Rounded down: a cast would move times before 1970 to the next microsecond.
        counts = np.asarray(pc.fill_null(column.cast(pa.int64()), 0)) // 1000
        null = column.is_null().to_numpy(zero_copy_only=False)
        column = pa.array(counts, mask=null).view(pa.timestamp("us", zone))
    return _written(column, _iso if zone is None else _zoned)


def _iso(value: Any) -> str:
    written: str = value.isoformat()
    return written


def _zoned(value: dt.datetime) -> str:
    """Format a time in its zone; in UTC where the zone's offset has seconds, as before 1900."""
    written = value.isoformat()
    return written if written[-_OFFSET] in "+-" else value.astimezone(dt.UTC).isoformat()


def _written(column: pa.Array, write: Callable[[Any], str]) -> list[Any]:
    """Format timestamps, dates and times; those that Python cannot hold are given in UTC."""
    try:
        return [None if value is None else write(value) for value in column.to_pylist()]
    except (OverflowError, ValueError):  # a year beyond 9999 or before 1
        if len(column) > 1:
            single = (column.slice(row, 1) for row in range(len(column)))
            return [value for one in single for value in _written(one, write)]
    zone = getattr(column.type, "tz", None)
    if zone not in (None, "UTC"):
        return _written(column.cast(pa.timestamp(column.type.unit, "UTC")), write)
    is_date = pa.types.is_date32(column.type)
    count = column.cast(pa.int32() if is_date else pa.int64())[0].as_py()
    moment, _, part = str(np.datetime64(count, "D" if is_date else column.type.unit)).partition(".")
    return [moment + (f".{part}" if part.strip("0") else "") + ("+00:00" if zone else "")]


def doubled_names(stored: pa.RecordBatch) -> Iterator[tuple[int, str]]:
    """Yield the rows with a map that has a name twice, and a message about it."""
    for name, column in zip(stored.schema.names, stored.columns, strict=True):
        if not any(map(pa.types.is_map, columns.types_within(column.type))):
            continue
        try:
            to_json(column)
        except DoubledNameError:
            for row in range(len(column)):
                try:
                    to_json(column.slice(row, 1))
                except DoubledNameError as error:
                    yield row, f"{name!r}: {error}"
