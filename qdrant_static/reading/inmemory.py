"""Sources of rows that are in memory: Arrow tables, data frames, dictionaries.

Whatever offers the Arrow PyCapsule interface (``__arrow_c_stream__``: a pyarrow table, batch or
reader, a frame of pandas or polars, a relation of DuckDB) is read by its columns, without
importing its library. An iterable of dictionaries (a list, a generator, a Hugging Face dataset) is
read record by record, by the rules of JSON Lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from qdrant_static.collection.fields import value_at
from qdrant_static.edge.payloads import UnstorableError
from qdrant_static.edge.payloads import payload as payload_of
from qdrant_static.errors import ArgumentError, SourceNotFoundError
from qdrant_static.reading import arrowfile, columns, readyvectors, storedcolumns
from qdrant_static.reading.batch import MAX_ROWS, Batch, SettledRanges, unsettled
from qdrant_static.reading.batchbuilder import BatchBuilder, RejectedError
from qdrant_static.reading.inputs import Fingerprint, Input
from qdrant_static.reading.jsonl import Decoder
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection, select

#: Names of such inputs in rejects and ledgers.
TABLE, RECORDS = "table", "records"
#: How many characters of a rejected record are shown.
_SHOWN = 2000


class ArrowStream(Protocol):
    """Any object with the Arrow PyCapsule interface."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Export the columns as a capsule."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySource:
    """Rows that are in memory, or come from an iterator.

    Attributes:
        name: Its name in rejects and ledgers.
        selection: The columns.
        left_out: Columns that no payload can hold.
        total_rows: Number of rows; None where the data does not know it.
        read: Yields the batches of all rows but settled ranges.
        files: Always empty.
    """

    name: str
    selection: Selection
    left_out: tuple[str, ...]
    total_rows: int | None
    read: Callable[[Sequence[tuple[int, int]]], Iterator[Batch | Reject]] = field(repr=False)
    files: tuple[Path, ...] = ()

    def __iter__(self) -> Iterator[Batch | Reject]:
        """Yield all batches."""
        return self.batches()

    def batches(self, settled: SettledRanges | None = None) -> Iterator[Batch | Reject]:
        """Yield all batches, without what is settled."""
        return self.read(() if settled is None else settled.get(self.name, ()))

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Return a fingerprint that equals no other: a change of the data is not noticed."""
        return {self.name: Fingerprint(size=-1, modified_ns=0, digest="")}


def open_table(data: Any, options: SourceOptions) -> MemorySource:
    """Return a source of Arrow columns.

    Args:
        data: An object with ``__arrow_c_stream__``.
        options: Columns and limits.

    Raises:
        ColumnNotFoundError: If a column does not exist.
        ColumnTypeError: If a column has a wrong type.
        ArgumentError: If no column for the text is found, or if the data is not a table.
    """
    try:
        reader = pa.RecordBatchReader.from_stream(data)
    except pa.ArrowInvalid as error:  # such as a single column, which has no name
        raise ArgumentError(
            field="paths",
            problem=f"a {type(data).__name__} cannot be read as a table of named columns ({error})",
        ) from error
    schema = reader.schema
    selection = select(tuple(schema.names), TABLE, options)
    columns.check_schema(TABLE, schema, selection)
    first = list(islice(reader, 1)) if selection.vectors is not None else []
    if selection.vectors is not None:
        path = columns.path_to(schema, selection.vectors)
        if path is not None and first:
            column = columns.column_at(first[0], path)
            selection = replace(selection, dimension=readyvectors.dimension_of(column))
    file = Input(name=TABLE, path="", format="arrow")
    tables = chain(first, reader)
    return MemorySource(
        name=TABLE,
        selection=selection,
        left_out=tuple(storedcolumns.left_out(schema, selection)),
        total_rows=len(data) if isinstance(data, Sized) else None,
        read=lambda settled: arrowfile.batches(file, schema, tables, selection, settled),
    )


def open_records(data: Iterable[Any], options: SourceOptions) -> MemorySource:
    """Return a source of dictionaries; the columns are found in the first thousand.

    Args:
        data: The records. Dates, decimals, UUIDs, NumPy's values and the like are stored as
            `QdrantClient` stores them; other values that JSON cannot hold reject the record.
        options: Columns and limits.

    Raises:
        SourceNotFoundError: If there is no record.
        ColumnNotFoundError: If a column is in none of the first records.
        ArgumentError: If no column for the text is found.
    """
    records = iter(data)
    first = list(islice(records, MAX_ROWS))
    if not first:
        raise SourceNotFoundError(path=RECORDS, problem="there is no record")
    names = dict.fromkeys(name for one in first if isinstance(one, Mapping) for name in one)
    selection = select(tuple(map(str, names)), RECORDS, options)
    if (vectors := selection.vectors) is not None:
        found = (value_at(one, vectors) for one in first if isinstance(one, Mapping))
        plain = (one.tolist() if isinstance(one, np.ndarray) else one for one in found)
        lengths = (len(one) for one in plain if readyvectors.problem_of(one, None) is None)
        selection = replace(selection, dimension=next(lengths, None))
    return MemorySource(
        name=RECORDS,
        selection=selection,
        left_out=(),
        total_rows=len(data) if isinstance(data, Sized) else None,
        read=lambda settled: _read(chain(first, records), selection, settled),
    )


def _read(
    records: Iterator[Any], selection: Selection, settled: Sequence[tuple[int, int]]
) -> Iterator[Batch | Reject]:
    builder = BatchBuilder(RECORDS, "row", selection)
    decode = Decoder()
    start = position = 0
    for position, record in enumerate(records):
        if next(unsettled(position, position + 1, settled), None) is None:
            if builder.rows:
                yield builder.take(start, position)
            start = position + 1
            continue
        if builder.is_full:
            yield builder.take(start, position)
            start = position
        _add(builder, decode, position, record)
    if builder.rows:
        yield builder.take(start, position + 1)


def _add(builder: BatchBuilder, decode: Decoder, position: int, record: Any) -> None:
    """Add a record as if it were a line of JSON."""
    shown = repr(record)[:_SHOWN]
    if not isinstance(record, Mapping):
        message = f"a {type(record).__name__}, not a dictionary"
        builder.reject(position, "not_an_object", message, shown)
        return
    try:
        line = json.dumps(payload_of(record), ensure_ascii=False).encode("utf-8", "surrogatepass")
        read = decode(line)
    except RejectedError as problem:
        builder.reject(position, problem.reason, problem.message, shown)
    except UnstorableError as error:
        builder.reject(position, "wrong_type", str(error), shown)
    else:
        builder.add(position, read, len(line))
