"""Parquet: only the needed columns, a slice of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from qdrant_static.errors import ColumnNotFoundError, ColumnTypeError, SpecError
from qdrant_static.ids import Key
from qdrant_static.ingest import payloads
from qdrant_static.ingest.batch import MAX_BYTES, MAX_ROWS, Batch
from qdrant_static.ingest.rejects import Reason, Reject
from qdrant_static.ingest.selection import Selection


def schema(path: Path) -> pa.Schema:
    """The columns of a file.

    Raises:
        OSError: If it cannot be read.
        pa.ArrowException: If it is no Parquet file.
    """
    return pq.read_schema(path)


def row_count(path: Path) -> int:
    """Rows of a file, from its footer."""
    return int(pq.read_metadata(path).num_rows)


def left_out(found: pa.Schema, selection: Selection) -> tuple[str, ...]:
    """The columns that no payload can hold, because they are binary."""
    return tuple(
        name
        for name, kind in zip(found.names, found.types, strict=True)
        if selection.keeps(name) and not payloads.is_storable(kind)
    )


def check(path: Path, found: pa.Schema, selection: Selection) -> None:
    """Refuse a file that lacks a column, or has it in a type that cannot serve.

    Raises:
        ColumnNotFoundError: If a column is not there; it lists those that are.
        SpecError: If a column comes twice.
        ColumnTypeError: If the key is neither integer nor string, or a text is no string.
    """
    for name in found.names:
        if found.names.count(name) > 1 and (selection.keeps(name) or name in selection.needed):
            raise SpecError(field="columns", problem=f"{path} has the column {name!r} twice")
    for name in selection.needed:
        if name not in found.names:
            raise ColumnNotFoundError(column=name, columns=tuple(found.names), source=str(path))
    wanted = [(name, "a string", False) for name in selection.text]
    if selection.key is not None:
        wanted.append((selection.key, "an integer or a string", True))
    for name, told, integers in wanted:
        kind = found.field(name).type
        if not (_is_text(kind) or (integers and _is_key(kind))):
            raise ColumnTypeError(column=name, given=str(kind), wanted=told, source=str(path))


def read(path: Path, selection: Selection) -> Iterator[Batch | Reject]:
    """Read a file in batches; a break in the file comes last, as a reject of its own."""
    start = 0
    try:
        with pq.ParquetFile(path) as file:
            stored = [
                name
                for name, kind in zip(file.schema_arrow.names, file.schema_arrow.types, strict=True)
                if selection.keeps(name) and payloads.is_storable(kind)
            ]
            wanted = list(dict.fromkeys((*selection.needed, *stored)))
            for table in file.iter_batches(_rows_per_batch(file), columns=wanted):
                yield _batch(str(path), start, table, selection, stored)
                start += table.num_rows
    except (OSError, pa.ArrowException) as error:
        yield Reject(
            reason="unreadable_file",
            message=f"cannot be read after row {start - 1}: {error}" if start else str(error),
            file=str(path),
            unit="row",
        )


def _rows_per_batch(file: pq.ParquetFile) -> int:
    """As many rows as the largest row group's mean row allows within the bound of bytes."""
    groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    widest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1.0)
    return int(max(1, min(MAX_ROWS, MAX_BYTES / max(1.0, widest))))


def _batch(
    file: str, start: int, table: pa.RecordBatch, selection: Selection, stored: list[str]
) -> Batch:
    """Make records of rows; where a row cannot be one, look at them one by one."""
    table = _decoded(table)
    positions = range(start, start + table.num_rows)
    rejects: list[Reject] = []
    broken = _not_unicode(table)
    if broken:
        for row in broken:
            message = "a string is not UTF-8"
            rejects.append(_reject("not_unicode", message, file, positions[row], None))
        sound = [row for row in range(table.num_rows) if row not in broken]
        positions = [positions[row] for row in sound]  # type: ignore[assignment]
        table = table.take(pa.array(sound, type=pa.int64()))
    columns = {name: payloads.to_json(table.column(name)) for name in stored}
    rows = [
        dict(zip(stored, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    texts = _texts(table, selection)
    keys = None if selection.key is None else _keys(table.column(selection.key))
    kept = []
    for row in range(table.num_rows):
        if keys is not None and keys[row] is None:
            message = f"no key in {selection.key!r}"
            rejects.append(_reject("null_key", message, file, positions[row], rows[row]))
        elif not texts[row].is_valid:
            message = f"no text in {', '.join(selection.text)}"
            rejects.append(_reject("no_text", message, file, positions[row], rows[row]))
        else:
            kept.append(row)
    return Batch(
        file=file,
        unit="row",
        positions=[positions[row] for row in kept],
        keys=None if keys is None else [keys[row] for row in kept],  # type: ignore[misc]
        texts=texts.take(pa.array(kept, type=pa.int64())),
        payloads=[rows[row] for row in kept],
        rejects=rejects,
    )


def _texts(table: pa.RecordBatch, selection: Selection) -> pa.LargeStringArray:
    """The text columns joined by one space, without blank parts; null where nothing is left."""
    texts = None
    for name in selection.text:
        column = table.column(name).cast(pa.large_string())
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)
        part = pc.if_else(blank, pa.scalar(None, pa.large_string()), column)
        if texts is None:
            texts = part
        else:
            # Not null_handling="skip": with it pyarrow leaves out rows where all is null.
            joined = pc.binary_join_element_wise(texts, part, pa.scalar(" ", pa.large_string()))
            texts = pc.coalesce(joined, texts, part)
    return texts


def _keys(column: pa.Array) -> list[Key | None]:
    values: list[Key | None] = column.to_pylist()
    return values


def _decoded(table: pa.RecordBatch) -> pa.RecordBatch:
    """Dictionary columns as plain ones, so that a row can be judged by its own value."""
    columns = [
        column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=table.schema.names)


def _not_unicode(table: pa.RecordBatch) -> set[int]:
    """The rows that hold a string which is not UTF-8; Parquet's writers do not always check."""
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        return {row for row in range(table.num_rows) if not _is_sound(table.slice(row, 1))}
    return set()


def _is_sound(row: pa.RecordBatch) -> bool:
    # A slice shares its parent's buffers, and validation looks at all of them: copy it first.
    try:
        row.take(pa.array([0])).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _reject(reason: Reason, message: str, file: str, row: int, value: Any) -> Reject:
    return Reject(reason=reason, message=message, file=file, unit="row", position=row, row=value)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_null(kind)
        or (hasattr(pa.types, "is_string_view") and pa.types.is_string_view(kind))
    )


def _is_key(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_key(kind.value_type)
    return pa.types.is_integer(kind) or getattr(kind, "extension_name", "") == "arrow.uuid"
