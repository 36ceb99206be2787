"""Parquet: only the needed columns, a slice of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qdrant_static.ingest.reading import columns
from qdrant_static.ingest.reading.batch import MAX_BYTES, MAX_ROWS, Batch
from qdrant_static.ingest.reading.inputs import Input, unsettled
from qdrant_static.ingest.reading.records import Records, constant
from qdrant_static.ingest.reading.rejects import Reject
from qdrant_static.ingest.reading.selection import Selection

#: Column chunks are read in pieces of this size. Whole, those of a row group are held at once.
_PIECE_BYTES = 2**20
#: Timestamps of 96 bits, as Spark writes them, become integers of 64. Counted in nanoseconds, which
#: is pyarrow's default, those span 1677 to 2262, and any other date silently becomes one of these.
_INT96_UNIT = "us"


def describe(file: Input) -> tuple[pa.Schema, int]:
    """The columns of a file, those of its partition last, and how many rows it has.

    Raises:
        OSError: If it cannot be read.
        pa.ArrowException: If it is no Parquet file.
    """
    with _opened(file) as reader:
        return with_partition(reader.schema_arrow, file), int(reader.metadata.num_rows)


def with_partition(found: pa.Schema, file: Input) -> pa.Schema:
    """A schema and the columns of a partition; a file's own column goes before the folder's."""
    for name, value in file.partition.items():
        if found.get_field_index(name) < 0:
            found = found.append(pa.field(name, constant(value).type))
    return found


def read(
    file: Input | Path, selection: Selection, settled: Sequence[tuple[int, int]] = ()
) -> Iterator[Batch | Reject]:
    """Read a file in batches; a break in the file comes last, as a reject of its own.

    Args:
        file: The file.
        selection: The columns.
        settled: Ranges of rows that are not wanted again, sorted; row groups that lie in them are
            not read.
    """
    given = _input(file)
    start = 0
    try:
        with _opened(given) as reader:
            found = with_partition(reader.schema_arrow, given)
            needed = columns.leaves(reader.schema_arrow, selection)
            records = Records(given.name, found, selection, given.partition)
            for groups, start, stop in _runs(reader.metadata, settled):  # noqa: B007
                tables = reader.iter_batches(
                    _rows_per_batch(reader.metadata),
                    row_groups=groups,
                    columns=[".".join(path) for path in needed],
                )
                for table in tables:
                    end = start + table.num_rows
                    for first, last in unsettled(start, end, settled):
                        part = table.slice(first - start, last - first)
                        yield from records.batches(part, first)
                    start = end
    except (OSError, pa.ArrowException) as error:
        yield Reject(
            reason="unreadable_file",
            message=f"cannot be read after row {start - 1}: {error}" if start else str(error),
            file=given.name,
            unit="row",
        )


def _input(file: Input | Path) -> Input:
    if isinstance(file, Input):
        return file
    return Input(name=str(file), path=str(file), format="parquet")


@contextmanager
def _opened(file: Input) -> Iterator[pq.ParquetFile]:
    with (
        file.open_at() as source,
        pq.ParquetFile(
            source,
            pre_buffer=False,
            buffer_size=_PIECE_BYTES,
            coerce_int96_timestamp_unit=_INT96_UNIT,
        ) as reader,
    ):
        yield reader


def _runs(
    metadata: pq.FileMetaData, settled: Sequence[tuple[int, int]]
) -> list[tuple[list[int], int, int]]:
    """Neighbouring row groups of which some row is wanted: their numbers, first row, end."""
    runs: list[tuple[list[int], int, int]] = []
    start = 0
    for group in range(metadata.num_row_groups):
        stop = start + metadata.row_group(group).num_rows
        if any(unsettled(start, stop, settled)):
            if runs and runs[-1][2] == start:
                runs[-1] = ([*runs[-1][0], group], runs[-1][1], stop)
            else:
                runs.append(([group], start, stop))
        start = stop
    return runs


def _rows_per_batch(metadata: pq.FileMetaData) -> int:
    """As many rows as the largest row group's mean row allows within the bound of bytes."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    widest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1.0)
    return int(max(1, min(MAX_ROWS, MAX_BYTES / max(1.0, widest))))
