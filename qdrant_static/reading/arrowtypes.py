"""Arrow types: which of them JSON can hold, and columns of which single rows can be taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_DAY_MS = 24 * 60 * 60 * 1000


def is_storable(kind: pa.DataType) -> bool:
    """Whether a payload can hold the type: all but binary data, intervals and unions, at any depth.

    Rows of unions are not taken: pyarrow 26 crashes the process on some.
    """
    if pa.types.is_dictionary(kind) or _is(kind, "run_end_encoded"):
        return is_storable(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return is_uuid(kind) or is_storable(kind.storage_type)
    if pa.types.is_union(kind):
        return False
    if pa.types.is_nested(kind):
        return all(is_storable(kind.field(index).type) for index in range(kind.num_fields))
    return not (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_interval(kind)
        or _is(kind, "binary_view")
    )


def types_within(kind: pa.DataType) -> Iterator[pa.DataType]:
    """A type and all types inside it."""
    yield kind
    if pa.types.is_dictionary(kind) or _is(kind, "run_end_encoded"):
        yield from types_within(kind.value_type)
    elif isinstance(kind, pa.BaseExtensionType):
        yield from types_within(kind.storage_type)
    elif pa.types.is_nested(kind):
        for index in range(kind.num_fields):
            yield from types_within(kind.field(index).type)


def plain(column: pa.Array) -> pa.Array:
    """The same values in a type of which single rows can be taken.

    Dictionaries and runs are written out, views become ordinary strings and lists, dates counted in
    milliseconds such counted in days, extensions but UUIDs what they are stored as; of some of
    these pyarrow cannot take rows.
    """
    if not any(map(_is_encoded, types_within(column.type))):
        return column
    kind = column.type
    if _is(kind, "run_end_encoded"):
        ends = column.run_ends.to_numpy()
        runs = np.searchsorted(ends, np.arange(len(column)) + column.offset, side="right")
        return plain(column.values).take(pa.array(runs))
    if pa.types.is_dictionary(kind):
        return plain(column.dictionary).take(column.indices)
    if isinstance(kind, pa.BaseExtensionType):
        return plain(column.storage)
    if pa.types.is_date64(kind):
        # Milliseconds within the day are against the format, and written all the same.
        days = np.asarray(pc.fill_null(column.cast(pa.int64()), 0)) // _DAY_MS
        null = column.is_null().to_numpy(zero_copy_only=False)
        return pa.array(days.astype(np.int32), mask=null).view(pa.date32())
    if _is(kind, "string_view"):
        return column.cast(pa.large_string())
    if _is(kind, "binary_view"):
        return column.cast(pa.large_binary())
    if pa.types.is_struct(kind):
        children = [plain(child) for child in column.flatten()]
        mask = column.is_null() if column.null_count else None
        return pa.StructArray.from_arrays(children, names=[one.name for one in kind], mask=mask)
    return _plain_list(column)


def _plain_list(column: pa.Array) -> pa.Array:
    """A list of any kind, or a map, with plain values."""
    kind = column.type
    null = column.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_map(kind):
        offsets = np.asarray(column.offsets)
        first, last = int(offsets[0]), int(offsets[-1])
        keys, items = (plain(one.slice(first, last - first)) for one in (column.keys, column.items))
        bounds = pa.array(offsets - first, mask=np.append(null, [False]))
        return pa.MapArray.from_arrays(bounds, keys, items)
    values = plain(column.flatten())
    if pa.types.is_fixed_size_list(kind):
        # Flattened, a list that is null has no values; in the column it has as many as others.
        rows = np.zeros(len(column), np.int64)
        rows[~null] = np.arange(int((~null).sum()))
        size = kind.list_size
        if not len(values):
            return pa.nulls(len(column), pa.list_(values.type, size))
        places = (rows[:, None] * size + np.arange(size)).ravel()
        mask = pa.array(null) if null.any() else None
        return pa.FixedSizeListArray.from_arrays(values.take(pa.array(places)), size, mask=mask)
    large = pa.types.is_large_list(kind) or _is(kind, "large_list_view")
    bounds = np.zeros(len(column) + 1, np.int64 if large else np.int32)
    np.cumsum(list_lengths(column), out=bounds[1:])
    array = pa.LargeListArray if large else pa.ListArray
    return array.from_arrays(pa.array(bounds, mask=np.append(null, [False])), values)


def _is_encoded(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return not is_uuid(kind) and getattr(kind, "extension_name", "") != "arrow.bool8"
    names = ("run_end_encoded", "string_view", "binary_view", "list_view", "large_list_view")
    if pa.types.is_dictionary(kind) or pa.types.is_date64(kind):
        return True
    return any(_is(kind, name) for name in names)


def _is(kind: pa.DataType, name: str) -> bool:
    """Whether a type is of a kind that not every version of pyarrow knows."""
    known = getattr(pa.types, f"is_{name}", None)
    return known is not None and bool(known(kind))


def is_uuid(kind: pa.BaseExtensionType) -> bool:
    """Whether an extension type is Arrow's own of UUIDs."""
    return getattr(kind, "extension_name", "") == "arrow.uuid"


def list_lengths(column: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The lengths of n lists; 0 where there is none."""
    if pa.types.is_fixed_size_list(column.type):
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        return np.where(valid, column.type.list_size, 0)
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    return np.asarray(lengths, dtype=np.int64)
