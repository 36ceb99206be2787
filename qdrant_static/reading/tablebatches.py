"""Converts Arrow tables to batches: by columns, and row by row only where one is rejected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qdrant_static.errors import ColumnNotFoundError
from qdrant_static.ids import Key
from qdrant_static.reading import columns, payloads, readyvectors, storedcolumns
from qdrant_static.reading.batch import MAX_BYTES, Batch, Whole
from qdrant_static.reading.partitions import constant
from qdrant_static.reading.payloads import PayloadRows
from qdrant_static.reading.rejects import Reason, Reject
from qdrant_static.reading.selection import Selection

_TEXT = pa.large_string()
#: Selects every column that can be stored.
_ALL = Selection(key=None, text=(), payload=None)


class TableConverter:
    """Converts the tables of one file to batches.

    Args:
        file: Its name.
        schema: Its columns, those of its partition included.
        selection: The columns of the job.
        constants: Column -> value: the partition that the file lies in.
        unfit: Column of the partition -> why its value is not of the type.
    """

    def __init__(
        self,
        file: str,
        schema: pa.Schema,
        selection: Selection,
        constants: Mapping[str, Any] | None = None,
        unfit: Mapping[str, str] | None = None,
    ) -> None:
        self._file = file
        self._selection = selection
        self._constants = {} if constants is None else constants
        self._unfit = {
            name: problem for name, problem in (unfit or {}).items() if selection.takes(name)
        }
        self._notes = {
            name: selection.note_on(name, file)
            for name in selection.overlooked
            if schema.get_field_index(name) >= 0
        }
        self._choice = storedcolumns.choice_in(schema, selection)
        self._keys = [self._path(schema, name) for name in selection.keys]
        self._texts = {name: self._path(schema, name) for name in selection.text}
        self._vectors = None
        if selection.vectors is not None:
            self._vectors = self._path(schema, selection.vectors)

    def _path(self, schema: pa.Schema, name: str) -> tuple[str, ...]:
        path = columns.path_to(schema, name)
        if path is None:
            raise ColumnNotFoundError(column=name, columns=columns.names(schema), source=self._file)
        return path

    def batches(self, table: pa.RecordBatch, start: int) -> Iterator[Batch]:
        """Yield batches of consecutive rows, of at most `MAX_BYTES`.

        Args:
            table: The rows.
            start: The position of the first.
        """
        for part in _bounded(table):
            if part.num_rows:
                yield self._batch(part, start)
            start += part.num_rows

    def _batch(self, table: pa.RecordBatch, start: int) -> Batch:
        unfit = [problem for name, problem in self._unfit.items() if name not in table.schema.names]
        table = _plain(table, self._constants)
        stop = start + table.num_rows
        positions = np.arange(start, stop)
        rejects: list[Reject] = []
        invalid = _invalid(table)
        if invalid:
            valid = np.delete(np.arange(table.num_rows), sorted(invalid))
            rejects += [
                _reject(reason, message, self._file, start + row, None)
                for row, (reason, message) in sorted(invalid.items())
            ]
            positions, table = positions[valid], table.take(pa.array(valid))
        stored = storedcolumns.stored(table, self._selection, self._choice)
        whole = Whole(
            row=partial(_shown, storedcolumns.stored(table, _ALL)), at=range(table.num_rows)
        )
        keys = self._key_lists(table)
        texts = self._joined_texts(table)
        vectors = self._ready_vectors(table)
        faults = self._faults(table, stored, texts, vectors)
        if unfit:
            faults = dict.fromkeys(range(table.num_rows), ("wrong_type", unfit[0]))
        kept = None
        if faults:
            for row, (reason, message) in sorted(faults.items()):
                position = int(positions[row])
                rejects.append(_reject(reason, message, self._file, position, whole[row]))
            kept = np.delete(np.arange(table.num_rows), sorted(faults))
            chosen = pa.array(kept)
            whole = whole.take(kept.tolist())
            stored, texts, positions = stored.take(chosen), texts.take(chosen), positions[kept]
            keys = [[column[row] for row in kept.tolist()] for column in keys]
        rejects.sort(key=lambda one: one.position or 0)
        matrix = None if vectors is None else vectors.matrix
        return Batch(
            file=self._file,
            unit="row",
            positions=range(start, stop) if not rejects else positions.tolist(),
            keys=_as_keys(keys),
            texts=texts.fill_null("") if texts.null_count else texts,
            payloads=PayloadRows(stored),
            rejects=rejects,
            start=start,
            stop=stop,
            vectors=matrix if matrix is None or kept is None else matrix[kept],
            notes=self._notes,
            whole=whole,
        )

    def _key_lists(self, table: pa.RecordBatch) -> list[list[Any]]:
        """Return the parts of the key, each a list of n values."""
        return [columns.column_at(table, path).to_pylist() for path in self._keys]

    def _ready_vectors(self, table: pa.RecordBatch) -> readyvectors.ReadyVectors | None:
        if self._vectors is None:
            return None
        column = columns.column_at(table, self._vectors)
        dimension = self._selection.dimension or readyvectors.dimension_of(column) or 1
        return readyvectors.from_column(column, dimension)

    def _faults(
        self,
        table: pa.RecordBatch,
        stored: pa.RecordBatch,
        texts: pa.Array,
        vectors: readyvectors.ReadyVectors | None,
    ) -> dict[int, tuple[Reason, str]]:
        """Return row -> why it is rejected; later rules override earlier ones."""
        faults = dict(self._too_long(stored, texts))
        faults |= {row: ("wrong_type", why) for row, why in payloads.doubled_names(stored)}
        if vectors is not None:
            faults |= {row: ("bad_vector", message) for row, message in vectors.bad.items()}
        if texts.null_count and (vectors is None or not self._keys):
            message = f"no text in {', '.join(self._selection.text)}"
            faults |= dict.fromkeys(_nulls(texts), ("no_text", message))
        for name, path in zip(self._selection.keys, self._keys, strict=True):
            column = columns.column_at(table, path)
            if column.null_count:
                faults |= dict.fromkeys(_nulls(column), ("null_key", f"no key in {name!r}"))
        return faults

    def _too_long(
        self, stored: pa.RecordBatch, texts: pa.Array
    ) -> Iterator[tuple[int, tuple[Reason, str]]]:
        """Yield the rows over the limits; rows are measured only where one may be."""
        limit = self._selection.max_payload_bytes
        if stored.nbytes > limit:
            for row in range(stored.num_rows):
                if (size := stored.slice(row, 1).nbytes) > limit:
                    yield row, ("too_long", f"a payload of {size:,} bytes; limit {limit:,}")
        limit = self._selection.max_text_bytes
        lengths = pc.binary_length(texts)
        if (pc.max(lengths).as_py() or 0) > limit:
            sizes = pc.fill_null(lengths, 0).to_numpy(zero_copy_only=False)
            for row in np.flatnonzero(sizes > limit).tolist():
                yield row, ("too_long", f"a text of {sizes[row]:,} bytes; limit {limit:,}")

    def _joined_texts(self, table: pa.RecordBatch) -> pa.LargeStringArray:
        """Return the texts, null where there is none; a template's blank parts are left empty."""
        parts = {
            name: _without_blanks(columns.column_at(table, path))
            for name, path in self._texts.items()
        }
        if not parts:
            return pa.nulls(table.num_rows, _TEXT)
        template = self._selection.template
        if template is None:
            return _spaced(list(parts.values()))
        pieces: list[Any] = [pa.scalar(template.pieces[0], _TEXT)]
        for name, piece in zip(template.columns, template.pieces[1:], strict=True):
            pieces += (pc.fill_null(parts[name], ""), pa.scalar(piece, _TEXT))
        filled = pc.binary_join_element_wise(*pieces, pa.scalar("", _TEXT))
        valid = [part.is_valid() for part in parts.values()]
        has_text = valid[0]
        for one in valid[1:]:
            has_text = pc.or_(has_text, one)
        return pc.if_else(has_text, filled, pa.scalar(None, _TEXT))


def _as_keys(parts: Sequence[list[Any]]) -> list[Key] | None:
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else list(zip(*parts, strict=True))


def _without_blanks(column: pa.Array) -> pa.LargeStringArray:
    """Return strings, null where there is only white space."""
    column = column.cast(_TEXT)
    # Not utf8_trim_whitespace, which copies every text; this reads the first characters only.
    blank = pc.or_(pc.equal(pc.binary_length(column), 0), pc.utf8_is_space(column))
    if not pc.any(blank).as_py():
        return column
    return pc.if_else(blank, pa.scalar(None, _TEXT), column)


def _spaced(parts: Sequence[pa.Array]) -> pa.LargeStringArray:
    """Join parts by one space, without those that are null."""
    texts = parts[0]
    for part in parts[1:]:
        # Not null_handling="skip": with it pyarrow leaves out rows where all is null.
        joined = pc.binary_join_element_wise(texts, part, pa.scalar(" ", _TEXT))
        texts = pc.coalesce(joined, texts, part) if joined.null_count else joined
    return texts


def _bounded(table: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield slices of at most `MAX_BYTES`; a larger row is a slice of its own."""
    if table.nbytes <= MAX_BYTES:
        yield table
        return
    start, size = 0, 0
    for row in range(table.num_rows):
        own = table.slice(row, 1).nbytes
        if size and size + own > MAX_BYTES:
            yield table.slice(start, row - start)
            start, size = row, 0
        size += own
    yield table.slice(start)


def _plain(table: pa.RecordBatch, constants: Mapping[str, Any]) -> pa.RecordBatch:
    """Return plain columns, those of the partition included."""
    plain = {
        name: columns.plain(column)
        for name, column in zip(table.schema.names, table.columns, strict=True)
        if not pa.types.is_union(column.type)
    }
    for name, value in constants.items():
        if name not in table.schema.names:
            plain[name] = pa.repeat(constant(value), table.num_rows)
    return pa.RecordBatch.from_arrays(list(plain.values()), names=list(plain))


def _invalid(table: pa.RecordBatch) -> dict[int, tuple[Reason, str]]:
    """Return the rows with a value that its type does not allow: not all writers check.

    Most are strings that are not UTF-8; a time of 25 hours is another example.
    """
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        rows = ((row, _problem(table.slice(row, 1))) for row in range(table.num_rows))
        return {row: problem for row, problem in rows if problem is not None}
    return {}


def _problem(row: pa.RecordBatch) -> tuple[Reason, str] | None:
    # A slice shares its parent's buffers, and validation reads all of them: copy it first.
    for name, column in zip(row.schema.names, row.take(pa.array([0])).columns, strict=True):
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            if "UTF8" in str(error):
                return "not_unicode", f"a string of {name!r} is not UTF-8"
            return "wrong_type", f"{name!r}: {error}"
    return None


def _shown(stored: pa.RecordBatch, row: int) -> dict[str, Any]:
    """Return a row for display."""
    columns_ = zip(stored.schema.names, stored.slice(row, 1).columns, strict=True)
    return {name: payloads.to_json(column, pairs=True)[0] for name, column in columns_}


def _nulls(column: pa.Array) -> list[int]:
    rows: list[int] = np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False)).tolist()
    return rows


def _reject(reason: Reason, message: str, file: str, row: int, value: Any) -> Reject:
    return Reject(reason=reason, message=message, file=file, unit="row", position=row, row=value)
