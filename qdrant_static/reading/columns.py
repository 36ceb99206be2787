"""Columns of Arrow tables: found by name, checked against a selection, converted to plain types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qdrant_static.errors import ArgumentError, ColumnNotFoundError, ColumnTypeError
from qdrant_static.reading import readyvectors
from qdrant_static.reading.selection import Selection, check_names

_DAY_MS = 24 * 60 * 60 * 1000


def path_to(kind: pa.Schema | pa.StructType, name: str) -> tuple[str, ...] | None:
    """Return the path to a column; a name with dots is tried as a name before it is a path.

    Returns:
        One step for a column of the schema, more into structs; None if there is no such column.
    """
    if kind.get_field_index(name) >= 0:
        return (name,)
    head = name.rpartition(".")[0]
    while head:
        index = kind.get_field_index(head)
        if index >= 0 and pa.types.is_struct(kind.field(index).type):
            rest = path_to(kind.field(index).type, name[len(head) + 1 :])
            if rest is not None:
                return (head, *rest)
        head = head.rpartition(".")[0]
    return None


def type_at(schema: pa.Schema, path: tuple[str, ...]) -> pa.DataType:
    """Return the type at the end of a path."""
    kind = schema.field(path[0]).type
    for step in path[1:]:
        kind = kind.field(step).type
    return kind


def column_at(table: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    """Return the column at the end of a path; null where a struct on the way is null."""
    column = table.column(path[0])
    for step in path[1:]:
        column = pc.struct_field(column, [step])
    return column


def names(schema: pa.Schema) -> tuple[str, ...]:
    """Return all columns and all fields of structs, as paths, for errors."""
    return tuple(name for field in schema for name in _below(field, ""))


def _below(field: pa.Field, prefix: str) -> Iterator[str]:
    yield prefix + field.name
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield from _below(inner, f"{prefix}{field.name}.")


def check_schema(source: str, schema: pa.Schema, selection: Selection) -> None:
    """Refuse a schema that lacks a column of the selection, or has it in a wrong type.

    Raises:
        ColumnNotFoundError: If a column is not there; it lists those that are.
        ArgumentError: If a column comes twice.
        ColumnTypeError: If the key is neither integer nor string, a text is no string, or the
            vectors are no lists of numbers, or a time zone is not known.
    """
    _check_names(source, schema, selection)
    for name in selection.needed:
        # A column that comes twice and is not used has no path.
        if name not in schema.names and path_to(schema, name) is None:
            raise ColumnNotFoundError(column=name, columns=names(schema), source=source)
    wanted = [(name, "a string", _is_text) for name in selection.text]
    wanted += [(name, "an integer or a string", _is_key) for name in selection.keys]
    if selection.vectors is not None:
        wanted.append((selection.vectors, "lists of numbers", readyvectors.is_vector))
    for name, types, serves in wanted:
        path = path_to(schema, name)
        if path is not None and not serves(kind := type_at(schema, path)):
            raise ColumnTypeError(column=name, given=str(kind), wanted=types, source=source)
    for field in schema:
        if selection.keeps(field.name):
            _check_inside(source, field.name, field.type)


def _check_names(source: str, schema: pa.Schema, selection: Selection) -> None:
    check_names(source, schema.names, selection)
    renamed = set(selection.rename.values())
    for name in schema.names:
        if name in renamed and name not in selection.rename and selection.keeps(name):
            raise ArgumentError(
                field="rename", problem=f"{source} has a column {name!r} already; exclude it"
            )


def _check_inside(source: str, name: str, kind: pa.DataType) -> None:
    """Refuse a column whose values cannot be converted, at any depth."""
    for inner in types_within(kind):
        if pa.types.is_struct(inner):
            names = [field.name for field in inner]
            for one in names:
                if names.count(one) > 1:
                    problem = f"{source} has the field {one!r} twice in the column {name!r}"
                    raise ArgumentError(field="columns", problem=f"{problem}; exclude the column")
        if pa.types.is_timestamp(inner) and inner.tz is not None:
            try:
                pa.array([0], pa.int64()).view(inner).to_pylist()
            except Exception as error:  # depends on which library of time zones is installed
                raise ColumnTypeError(
                    column=name,
                    given=str(inner),
                    wanted="a time zone that this machine knows; or exclude the column",
                    source=source,
                ) from error


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _is_text(kind.value_type)
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_null(kind)
        or pa.types.is_string_view(kind)
    )


def _is_key(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _is_key(kind.value_type)
    if pa.types.is_integer(kind) or getattr(kind, "extension_name", "") == "arrow.uuid":
        return True
    return _is_text(kind)


def is_storable(kind: pa.DataType) -> bool:
    """Return whether a payload can hold a type: not binary data, intervals or unions, at any depth.

    Unions are left out because pyarrow 26 crashes the process on rows of some of them.
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
    """Yield a type and all types inside it."""
    yield kind
    if pa.types.is_dictionary(kind) or _is(kind, "run_end_encoded"):
        yield from types_within(kind.value_type)
    elif isinstance(kind, pa.BaseExtensionType):
        yield from types_within(kind.storage_type)
    elif pa.types.is_nested(kind):
        for index in range(kind.num_fields):
            yield from types_within(kind.field(index).type)


def plain(column: pa.Array) -> pa.Array:
    """Convert a column to a type of which pyarrow can take single rows.

    Dictionaries and runs are expanded, views become ordinary strings and lists, dates counted in
    milliseconds become dates counted in days, and extensions other than UUIDs become their storage.
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
        # Some writers store milliseconds within the day, against the format.
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
    """Convert a list of any kind, or a map."""
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
        # A null list has values in the column, and none once it is flattened.
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
    """Return whether a type is of a kind that only some versions of pyarrow know."""
    known = getattr(pa.types, f"is_{name}", None)
    return known is not None and bool(known(kind))


def is_uuid(kind: pa.BaseExtensionType) -> bool:
    """Return whether an extension type is Arrow's type of UUIDs."""
    return getattr(kind, "extension_name", "") == "arrow.uuid"


def list_lengths(column: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the lengths of n lists; 0 for a null."""
    if pa.types.is_fixed_size_list(column.type):
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        return np.where(valid, column.type.list_size, 0)
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    return np.asarray(lengths, dtype=np.int64)
