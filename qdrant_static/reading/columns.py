"""Columns by name or dotted path, and the part of a schema that is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from qdrant_static.collection.fields import value_at
from qdrant_static.reading import arrowtypes
from qdrant_static.reading.payloadchoice import Choice, Steps, steps_in
from qdrant_static.reading.selection import Selection

_MISSING = object()
#: Records may have names without end, and so ways to read a dotted one.
_REMEMBERED = 1000


def path_to(kind: pa.Schema | pa.StructType, name: str) -> tuple[str, ...] | None:
    """The steps to a column; a name with dots is a name before it is a path.

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
    """The type at the end of a path."""
    kind = schema.field(path[0]).type
    for step in path[1:]:
        kind = kind.field(step).type
    return kind


def column_at(table: pa.RecordBatch, path: tuple[str, ...]) -> pa.Array:
    """The column at the end of a path; null where a struct on the way is."""
    column = table.column(path[0])
    for step in path[1:]:
        column = pc.struct_field(column, [step])
    return column


def names(schema: pa.Schema) -> tuple[str, ...]:
    """All columns and all fields of structs, as paths, for errors."""
    return tuple(name for field in schema for name in _below(field, ""))


def _below(field: pa.Field, prefix: str) -> Iterator[str]:
    yield prefix + field.name
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield from _below(inner, f"{prefix}{field.name}.")


def choice_in(schema: pa.Schema, selection: Selection) -> Choice:
    """What of a schema is stored."""
    return Choice(selection, lambda name: path_to(schema, name) or (name,))


def leaves(schema: pa.Schema, selection: Selection) -> tuple[Steps, ...]:
    """The paths that a reader must read: key, text, vectors and what is stored, no more."""
    read: dict[Steps, None] = {}
    vectors = () if selection.vectors is None else (selection.vectors,)
    for name in (*selection.keys, *selection.text, *vectors, *selection.rename):
        read[path_to(schema, name) or (name,)] = None
    choice = choice_in(schema, selection)
    for field in schema:
        read |= dict.fromkeys(_stored_leaves(field, (field.name,), choice))
    return tuple(read)


def _stored_leaves(field: pa.Field, path: Steps, choice: Choice) -> Iterator[Steps]:
    taken = choice.of(path)
    if taken == "whole":
        if arrowtypes.is_storable(field.type) or pa.types.is_struct(field.type):
            yield path
    elif taken == "part" and pa.types.is_struct(field.type):
        for inner in field.type:
            yield from _stored_leaves(inner, (*path, inner.name), choice)


def left_out(schema: pa.Schema, selection: Selection) -> tuple[str, ...]:
    """The columns that would be stored, could a payload hold their type; as paths."""
    choice = choice_in(schema, selection)
    return tuple(name for field in schema for name in _unstorable(field, (field.name,), choice))


def _unstorable(field: pa.Field, path: Steps, choice: Choice) -> Iterator[str]:
    if choice.of(path) == "none":
        return
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield from _unstorable(inner, (*path, inner.name), choice)
    elif not arrowtypes.is_storable(field.type):
        yield ".".join(path)


def stored(
    table: pa.RecordBatch, selection: Selection, choice: Choice | None = None
) -> pa.RecordBatch:
    """The columns of the payload, under the names that they have there.

    Args:
        table: The columns that were read.
        selection: The columns of the job.
        choice: What is stored of the whole file; None: the table has all columns of it. A name with
            a dot may be a column that was not read.
    """
    if selection.payload is None and not selection.unwanted and not selection.rename:
        if all(arrowtypes.is_storable(kind) for kind in table.schema.types):
            return table
    choice = choice or choice_in(table.schema, selection)
    arrays: dict[str, pa.Array] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        kept = _pruned(column, (field.name,), choice)
        if kept is not None:
            arrays[field.name] = kept
    moved = {}
    for name, new in selection.rename.items():
        path = path_to(table.schema, name)
        if path is None:
            continue
        column = _taken(column_at(table, path), path, choice, choice.of_renamed(path))
        if column is not None and arrowtypes.is_storable(column.type):
            moved[name] = (new, column)
    # A column keeps its place under its new name; a field of a struct moves to the end.
    named = [
        moved.pop(name) if name in moved else (name, column) for name, column in arrays.items()
    ]
    named += moved.values()
    if not named:  # arrays alone would not say how many rows there are
        return pa.RecordBatch.from_struct_array(pa.array([{}] * table.num_rows, pa.struct([])))
    return pa.RecordBatch.from_arrays(
        [column for _, column in named], names=[name for name, _ in named]
    )


def _pruned(column: pa.Array, path: Steps, choice: Choice) -> pa.Array | None:
    """What of a column is stored; None for nothing."""
    return _taken(column, path, choice, choice.of(path))


def _taken(column: pa.Array, path: Steps, choice: Choice, taken: str) -> pa.Array | None:
    if taken == "none":
        return None
    if taken == "whole" and arrowtypes.is_storable(column.type):
        return column
    if not pa.types.is_struct(column.type):
        return None
    kept = {}
    for field in column.type:
        inner = _pruned(pc.struct_field(column, [field.name]), (*path, field.name), choice)
        if inner is not None:
            kept[field.name] = inner
    if not kept:
        return None
    mask = column.is_null() if column.null_count else None
    return pa.StructArray.from_arrays(list(kept.values()), names=list(kept), mask=mask)


class RecordShape:
    """What `stored` is for columns, for one record at a time.

    Args:
        selection: The columns of the job.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._takes_all = selection.payload is None and not selection.unwanted
        named = (*selection.wanted, *selection.unwanted)
        self._dotted = tuple(dict.fromkeys(name for name in named if "." in name))
        self._choices: dict[tuple[Steps, ...], Choice] = {}

    def stored(self, record: dict[str, Any]) -> dict[str, Any]:
        """The payload of a record.

        Raises:
            ValueError: If two of its fields would have the same name.
        """
        if self._takes_all and not self._selection.rename:
            return record
        choice = self._choice_for(record)
        kept = _part(record, (), choice)
        for name, new in self._selection.rename.items():
            value = value_at(record, name, _MISSING)
            if value is _MISSING:
                continue
            if new in kept and new not in self._selection.rename:
                raise ValueError(f"both {name!r} and {new!r} would be stored as {new!r}")
        renamed = self._selection.rename
        moved = {new: _renamed(record, name, choice) for name, new in renamed.items()}
        kept = {name: value for name, value in kept.items() if name not in renamed}
        return kept | {new: value for new, value in moved.items() if value is not _MISSING}

    def _choice_for(self, record: dict[str, Any]) -> Choice:
        """The choice for records in which the dotted names stand for the same as in this one."""
        found = tuple(steps_in(record, name) for name in self._dotted)
        choice = self._choices.get(found)
        if choice is None:
            known = dict(zip(self._dotted, found, strict=True))
            choice = Choice(self._selection, lambda name: known.get(name, (name,)))
            if len(self._choices) < _REMEMBERED:
                self._choices[found] = choice
        return choice


def _renamed(record: dict[str, Any], name: str, choice: Choice) -> Any:
    """What of a value is stored under its new name."""
    value, path = value_at(record, name, _MISSING), choice.steps(name)
    if choice.of_renamed(path) == "whole" or not isinstance(value, dict | list):
        return value
    return _part_of(value, path, choice) or _MISSING


def _part(record: dict[str, Any], path: Steps, choice: Choice) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in record.items():
        steps = (*path, name)
        taken = choice.of(steps)
        if taken == "whole":
            kept[name] = value
        elif taken == "part" and (inner := _part_of(value, steps, choice)):
            kept[name] = inner
    return kept


def _part_of(value: Any, path: Steps, choice: Choice) -> Any:
    """Some fields of an object, or of the objects of a list."""
    if isinstance(value, list):
        return [_part_of(one, path, choice) if isinstance(one, dict) else one for one in value]
    return _part(value, path, choice) if isinstance(value, dict) else None
