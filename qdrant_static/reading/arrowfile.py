"""Reads Arrow IPC files and streams (Feather too), and the tables of registered sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.ipc

from qdrant_static.reading import storedcolumns
from qdrant_static.reading.batch import MAX_ROWS, Batch, unsettled
from qdrant_static.reading.inputs import Input, unreadable_file
from qdrant_static.reading.partitions import with_partition
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection
from qdrant_static.reading.streams import DAMAGED
from qdrant_static.reading.tablebatches import TableConverter

_FILE_MAGIC = b"ARROW1"


def schema(file: Input) -> pa.Schema:
    """Return the columns of a file, those of its partition last.

    Raises:
        OSError: If it cannot be read.
        pa.ArrowException: If it is neither an Arrow file nor an Arrow stream.
    """
    with _tables(file, ()) as (own, _):
        return with_partition(own, file)


def read(
    file: Input, selection: Selection, settled: Sequence[tuple[int, int]] = ()
) -> Iterator[Batch | Reject]:
    """Read a file in batches; an error in the file comes last, as a reject of its own.

    Args:
        file: The file.
        selection: The columns.
        settled: Ranges of rows to leave out, sorted.
    """
    try:
        with _tables(file, ()) as (own, _):
            needed = storedcolumns.leaves(own, selection)
            top = sorted({own.get_field_index(path[0]) for path in needed} - {-1})
        with _tables(file, top) as (_, tables):
            yield from batches(file, with_partition(own, file), tables, selection, settled)
    except DAMAGED as error:
        yield unreadable_file(file, error)


def batches(
    file: Input,
    schema: pa.Schema,
    tables: Iterator[pa.RecordBatch],
    selection: Selection,
    settled: Sequence[tuple[int, int]],
) -> Iterator[Batch | Reject]:
    """Convert tables to batches, one after the other.

    Args:
        file: The file that they come from.
        schema: Its columns.
        tables: The tables; they may lack columns that are not needed.
        selection: The columns of the job.
        settled: Ranges of rows to leave out, sorted.
    """
    converter = TableConverter(file.name, schema, selection, file.partition, file.unfit)
    start = 0
    try:
        for table in tables:
            end = start + table.num_rows
            for first, last in unsettled(start, end, settled):
                for row in range(first, last, MAX_ROWS):
                    count = min(MAX_ROWS, last - row)
                    yield from converter.batches(table.slice(row - start, count), row)
            start = end
    except DAMAGED as error:
        yield unreadable_file(file, error, start)


@contextmanager
def _tables(
    file: Input, wanted: Sequence[int]
) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Open a file; yield its schema and tables, with some of the columns or, if none, all."""
    options = pa.ipc.IpcReadOptions(included_fields=list(wanted) or None)
    with file.open_seekable() as source:
        if source.read(len(_FILE_MAGIC)) == _FILE_MAGIC:
            source.seek(0)
            with pa.ipc.open_file(source, options=options) as reader:
                count = reader.num_record_batches
                yield reader.schema, (reader.get_batch(number) for number in range(count))
        else:
            source.seek(0)
            with pa.ipc.open_stream(source, options=options) as reader:
                yield reader.schema, iter(reader)
