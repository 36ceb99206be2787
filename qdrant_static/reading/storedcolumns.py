"""Selects which parts of a table, or of a record, are stored in the payload."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from qdrant_static.collection.fields import value_at
from qdrant_static.reading.columns import column_at, is_storable, path_to
from qdrant_static.reading.selection import Selection

#: A path to a value: the name of a column or field, then names of fields inside it.
Path = tuple[str, ...]
#: So many decisions are cached; records may have any number of different names.
_CACHED_PATHS = 10_000
#: So many interpretations of dotted names are cached.
_CACHED_CHOICES = 1000
_MISSING = object()


class Choice:
    """Decides which parts of one table are stored, or of records that have the same names.

    A name with dots is tried as a name before it is a path, so that its meaning depends on the
    columns that exist: ``user.name`` may be a column beside ``user``, or a field inside it.

    Args:
        selection: The columns of the job.
        path_of: Returns the path that a name stands for.
    """

    def __init__(self, selection: Selection, path_of: Callable[[str], Path]) -> None:
        self.path_of = path_of
        self._keys = [path_of(name) for name in selection.keys]
        self._unwanted = [path_of(name) for name in selection.unwanted]
        self._wanted = [path_of(name) for name in selection.wanted]
        self._takes_all = selection.payload is None
        # A renamed column stays in place; a renamed field inside a column moves out of it.
        self._moved = [path for name in selection.rename if len(path := path_of(name)) > 1]
        self._decided: dict[Path, str] = {}

    def of(self, path: Path) -> Literal["whole", "part", "none"]:
        """Return whether a value is stored ``whole``, in ``part`` (some of its fields) or not."""
        taken: Any = self._decided.get(path)
        if taken is None:
            taken = self._decide(path)
            if len(self._decided) < _CACHED_PATHS:
                self._decided[path] = taken
        return taken  # type: ignore[no-any-return]

    def of_renamed(self, path: Path) -> Literal["whole", "part"]:
        """Return whether a value that is renamed keeps all its fields."""
        return "part" if self._loses_fields(path) else "whole"

    def _loses_fields(self, path: Path) -> bool:
        return _has_below(path, self._unwanted) or _has_below(path, self._moved)

    def _decide(self, path: Path) -> str:
        if path in self._moved:
            return "none"
        if not _is_within(path, self._keys):
            if _is_within(path, self._unwanted):
                # Excluded, but the key may be inside.
                return "part" if _has_below(path, self._keys) else "none"
            if not self._takes_all and not _is_within(path, self._wanted):
                return "part" if _has_below(path, self._wanted) else "none"
        return "part" if self._loses_fields(path) else "whole"


def path_in(record: Mapping[str, Any], name: str) -> Path:
    """Return the path to a field of a record, also into the objects of a list."""
    head, dot, _ = name.rpartition(".")
    while dot and name not in record:
        for inner in _objects(record.get(head)):
            return (head, *path_in(inner, name[len(head) + 1 :]))
        head, dot, _ = head.rpartition(".")
    return (name,)


def _objects(value: Any) -> Sequence[Mapping[str, Any]]:
    """Return a value that is an object, or the objects of a list; else nothing."""
    some = value if isinstance(value, list) else [value]
    return [one for one in some if isinstance(one, Mapping)]


def _is_within(path: Path, wholes: Sequence[Path]) -> bool:
    return any(path[: len(one)] == one for one in wholes)


def _has_below(path: Path, others: Sequence[Path]) -> bool:
    return any(len(one) > len(path) and one[: len(path)] == path for one in others)


def choice_in(schema: pa.Schema, selection: Selection) -> Choice:
    """Return which parts of a schema are stored."""
    return Choice(selection, lambda name: path_to(schema, name) or (name,))


def leaves(schema: pa.Schema, selection: Selection) -> tuple[Path, ...]:
    """Return the paths that a reader must read: key, text, vectors and what is stored, no more."""
    read: dict[Path, None] = {}
    vectors = () if selection.vectors is None else (selection.vectors,)
    for name in (*selection.keys, *selection.text, *vectors, *selection.rename):
        read[path_to(schema, name) or (name,)] = None
    choice = choice_in(schema, selection)
    for field in schema:
        read |= dict.fromkeys(_stored_leaves(field, (field.name,), choice))
    return tuple(read)


def _stored_leaves(field: pa.Field, path: Path, choice: Choice) -> Iterator[Path]:
    taken = choice.of(path)
    if taken == "whole":
        if is_storable(field.type) or pa.types.is_struct(field.type):
            yield path
    elif taken == "part" and pa.types.is_struct(field.type):
        for inner in field.type:
            yield from _stored_leaves(inner, (*path, inner.name), choice)


def left_out(schema: pa.Schema, selection: Selection) -> tuple[str, ...]:
    """Return the columns whose type no payload can hold, as paths."""
    choice = choice_in(schema, selection)
    return tuple(name for field in schema for name in _unstorable(field, (field.name,), choice))


def _unstorable(field: pa.Field, path: Path, choice: Choice) -> Iterator[str]:
    if choice.of(path) == "none":
        return
    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield from _unstorable(inner, (*path, inner.name), choice)
    elif not is_storable(field.type):
        yield ".".join(path)


def stored(
    table: pa.RecordBatch, selection: Selection, choice: Choice | None = None
) -> pa.RecordBatch:
    """Return the columns of the payload, under their names there.

    Args:
        table: The columns that were read.
        selection: The columns of the job.
        choice: Which parts of the whole file are stored; None: the table has all its columns. A
            name with a dot may be a column that was not read.
    """
    if selection.payload is None and not selection.unwanted and not selection.rename:
        if all(is_storable(kind) for kind in table.schema.types):
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
        if column is not None and is_storable(column.type):
            moved[name] = (new, column)
    # A renamed column stays in place; a renamed field of a struct moves to the end.
    named = [
        moved.pop(name) if name in moved else (name, column) for name, column in arrays.items()
    ]
    named += moved.values()
    if not named:  # a table without columns must keep its number of rows
        return pa.RecordBatch.from_struct_array(pa.array([{}] * table.num_rows, pa.struct([])))
    return pa.RecordBatch.from_arrays(
        [column for _, column in named], names=[name for name, _ in named]
    )


def _pruned(column: pa.Array, path: Path, choice: Choice) -> pa.Array | None:
    """Return what of a column is stored; None for nothing."""
    return _taken(column, path, choice, choice.of(path))


def _taken(column: pa.Array, path: Path, choice: Choice, taken: str) -> pa.Array | None:
    if taken == "none":
        return None
    if taken == "whole" and is_storable(column.type):
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
    """Selects what is stored of one record at a time, as `stored` does of columns.

    Args:
        selection: The columns of the job.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._takes_all = selection.payload is None and not selection.unwanted
        named = (*selection.wanted, *selection.unwanted)
        self._dotted = tuple(dict.fromkeys(name for name in named if "." in name))
        self._choices: dict[tuple[Path, ...], Choice] = {}

    def stored(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the payload of a record.

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
        """Return the choice for records in which dotted names mean the same as in this one."""
        paths = tuple(path_in(record, name) for name in self._dotted)
        choice = self._choices.get(paths)
        if choice is None:
            known = dict(zip(self._dotted, paths, strict=True))
            choice = Choice(self._selection, lambda name: known.get(name, (name,)))
            if len(self._choices) < _CACHED_CHOICES:
                self._choices[paths] = choice
        return choice


def _renamed(record: dict[str, Any], name: str, choice: Choice) -> Any:
    """Return what of a value is stored under its new name."""
    value, path = value_at(record, name, _MISSING), choice.path_of(name)
    if choice.of_renamed(path) == "whole" or not isinstance(value, dict | list):
        return value
    return _part_of(value, path, choice) or _MISSING


def _part(record: dict[str, Any], path: Path, choice: Choice) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in record.items():
        inner_path = (*path, name)
        taken = choice.of(inner_path)
        if taken == "whole":
            kept[name] = value
        elif taken == "part" and (inner := _part_of(value, inner_path, choice)):
            kept[name] = inner
    return kept


def _part_of(value: Any, path: Path, choice: Choice) -> Any:
    """Return some fields of an object, or of the objects of a list."""
    if isinstance(value, list):
        return [_part_of(one, path, choice) if isinstance(one, dict) else one for one in value]
    return _part(value, path, choice) if isinstance(value, dict) else None
