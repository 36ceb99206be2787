"""Whether the columns of a file can serve as what they were chosen for."""

from __future__ import annotations

import pyarrow as pa

from qdrant_static.errors import ArgumentError, ColumnNotFoundError, ColumnTypeError
from qdrant_static.reading import arrowtypes, columns, readyvectors
from qdrant_static.reading.selection import Selection, check_names


def check(source: str, schema: pa.Schema, selection: Selection) -> None:
    """Refuse a schema that lacks a column, or has it in a type that cannot serve.

    Raises:
        ColumnNotFoundError: If a column is not there; it lists those that are.
        ArgumentError: If a column comes twice.
        ColumnTypeError: If the key is neither integer nor string, a text is no string, or the
            vectors are no lists of numbers, or a time zone is not known.
    """
    _check_names(source, schema, selection)
    for name in selection.needed:
        # One that comes twice and is left out has no path.
        if name not in schema.names and columns.path_to(schema, name) is None:
            raise ColumnNotFoundError(column=name, columns=columns.names(schema), source=source)
    wanted = [(name, "a string", _is_text) for name in selection.text]
    wanted += [(name, "an integer or a string", _is_key) for name in selection.keys]
    if selection.vectors is not None:
        wanted.append((selection.vectors, "lists of numbers", readyvectors.is_vector))
    for name, types, serves in wanted:
        path = columns.path_to(schema, name)
        if path is not None and not serves(kind := columns.type_at(schema, path)):
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
    """Refuse a column of whose values nothing could be made, at any depth."""
    for inner in arrowtypes.types_within(kind):
        if pa.types.is_struct(inner):
            names = [field.name for field in inner]
            for one in names:
                if names.count(one) > 1:
                    problem = f"{source} has the field {one!r} twice in the column {name!r}"
                    raise ArgumentError(field="columns", problem=f"{problem}; exclude the column")
        if pa.types.is_timestamp(inner) and inner.tz is not None:
            try:
                pa.array([0], pa.int64()).view(inner).to_pylist()
            except Exception as error:  # of the library that knows zones, whichever there is
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
