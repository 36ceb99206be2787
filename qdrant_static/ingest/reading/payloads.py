"""Arrow values -> JSON values, column by column."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Convert = Callable[[Any], Any]

#: Decimal digits that float64 holds exactly enough to print them back.
_FLOAT_DIGITS = 15
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def is_storable(kind: pa.DataType) -> bool:
    """Whether JSON can hold the type: all but binary data, at any depth."""
    if pa.types.is_dictionary(kind):
        return is_storable(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _is_uuid(kind) or is_storable(kind.storage_type)
    if pa.types.is_nested(kind):
        return all(is_storable(kind.field(index).type) for index in range(kind.num_fields))
    return not (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or _is(kind, "binary_view")
    )


def plain(column: pa.Array) -> pa.Array:
    """The same values in a type of which single rows can be taken.

    Dictionaries and runs are written out, views become ordinary strings and lists; of the latter
    pyarrow cannot take rows.
    """
    if _is(column.type, "run_end_encoded"):
        column = pc.run_end_decode(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()

    def leaf(one: pa.DataType) -> pa.DataType:
        if _is(one, "string_view"):
            return pa.large_string()
        return pa.large_binary() if _is(one, "binary_view") else one

    kind = _mapped(column.type, leaf)
    return column if kind == column.type else column.cast(kind)


def _is(kind: pa.DataType, name: str) -> bool:
    """Whether a type is of a kind that not every version of pyarrow knows."""
    known = getattr(pa.types, f"is_{name}", None)
    return known is not None and bool(known(kind))


def to_json(column: pa.Array) -> list[Any]:
    """A column's values as JSON has them.

    Timestamps, dates and times become ISO 8601 (finer than microseconds is cut), durations
    seconds, decimals numbers up to 15 digits and strings beyond, UUIDs strings; numbers that
    are not finite become null.

    Args:
        column: n values of a storable type.

    Returns:
        n values of None, bool, int, float, str, list or dict.
    """
    kind = column.type
    if pa.types.is_floating(kind) and pc.all(pc.is_finite(column)).as_py() is not False:
        values: list[Any] = column.to_pylist()
        return values
    convert = _converter(kind)
    readable = column.cast(_readable(kind), safe=False) if _readable(kind) != kind else column
    try:
        return _converted(readable, convert)
    except (OverflowError, ValueError):  # a year beyond 9999 or before 1
        return [value for row in range(len(column)) for value in _one(readable, row, convert)]


def _converted(column: pa.Array, convert: Convert | None) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if convert is None:
        return values
    return [None if value is None else convert(value) for value in values]


def _one(column: pa.Array, row: int, convert: Convert | None) -> list[Any]:
    """One row; a time that Python cannot hold is a string as Arrow writes it."""
    single = column.slice(row, 1)
    try:
        return _converted(single, convert)
    except (OverflowError, ValueError):
        written = _mapped(single.type, lambda kind: pa.string() if _is_time(kind) else kind)
        return _converted(single.cast(written), _converter(written))


def _converter(kind: pa.DataType) -> Convert | None:
    """What to do with a value that is not null; None: nothing."""
    if pa.types.is_dictionary(kind):
        return _converter(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return str if _is_uuid(kind) else _converter(kind.storage_type)
    if pa.types.is_floating(kind):
        return _finite
    if pa.types.is_decimal(kind):
        return float if kind.precision <= _FLOAT_DIGITS else str
    if _is_time(kind):
        return _isoformat
    if pa.types.is_duration(kind):
        per_second = _PER_SECOND[kind.unit]
        return lambda count: count / per_second
    if pa.types.is_map(kind):
        return _map_converter(kind)
    if pa.types.is_struct(kind):
        return _struct_converter(kind)
    if pa.types.is_nested(kind) and kind.num_fields == 1:  # the lists
        return _list_converter(kind.value_type)
    return None


def _list_converter(kind: pa.DataType) -> Convert | None:
    inner = _converter(kind)
    if inner is None:
        return None
    return lambda values: [None if value is None else inner(value) for value in values]


def _struct_converter(kind: pa.StructType) -> Convert | None:
    inner = {
        kind.field(index).name: convert
        for index in range(kind.num_fields)
        if (convert := _converter(kind.field(index).type)) is not None
    }
    if not inner:
        return None
    return lambda value: {
        name: inner[name](one) if name in inner and one is not None else one
        for name, one in value.items()
    }


def _map_converter(kind: pa.MapType) -> Convert:
    inner = _converter(kind.item_type) or (lambda value: value)
    key = _converter(kind.key_type) or (lambda value: value)
    return lambda pairs: {
        str(key(name)): None if value is None else inner(value) for name, value in pairs
    }


def _isoformat(value: Any) -> str:
    written: str = value.isoformat()
    return written


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _is_uuid(kind: pa.BaseExtensionType) -> bool:
    return getattr(kind, "extension_name", "") == "arrow.uuid"


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_time(kind))


def _readable(kind: pa.DataType) -> pa.DataType:
    """The type whose values Python can hold: no finer than microseconds, durations as counts."""

    def leaf(one: pa.DataType) -> pa.DataType:
        if pa.types.is_duration(one):
            return pa.int64()
        if pa.types.is_timestamp(one) and one.unit == "ns":
            return pa.timestamp("us", one.tz)
        return pa.time64("us") if pa.types.is_time64(one) else one

    return _mapped(kind, leaf)


def _mapped(kind: pa.DataType, leaf: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """A type with its leaves replaced, at every depth."""
    if pa.types.is_dictionary(kind):
        return _mapped(kind.value_type, leaf)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_mapped(field.type, leaf)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_mapped(kind.key_type, leaf), _mapped(kind.item_type, leaf))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_mapped(kind.value_type, leaf), kind.list_size)
    if pa.types.is_large_list(kind) or _is(kind, "large_list_view"):
        return pa.large_list(_mapped(kind.value_type, leaf))
    if pa.types.is_list(kind) or _is(kind, "list_view"):
        return pa.list_(_mapped(kind.value_type, leaf))
    return leaf(kind)
