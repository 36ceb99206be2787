"""Reads Parquet: only the needed columns, a slice of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qdrant_static.reading import storedcolumns
from qdrant_static.reading.batch import MAX_BYTES, MAX_ROWS, Batch, unsettled
from qdrant_static.reading.inputs import Input, unreadable_file
from qdrant_static.reading.partitions import with_partition
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection
from qdrant_static.reading.streams import DAMAGED, DamagedError, problem_of
from qdrant_static.reading.tablebatches import TableConverter

#: Column chunks are read in pieces of this size; else a whole row group would be in memory.
_PIECE_BYTES = 2**20
#: Timestamps of 96 bits, as Spark writes them, become integers of 64 bits. In nanoseconds, which is
#: pyarrow's default, those span 1677 to 2262, and any other date would silently become one of them.
_INT96_UNIT = "us"
#: How many spans of unreadable rows a message lists.
_MOST_SPANS = 5


def describe(file: Input) -> tuple[pa.Schema, int]:
    """Return the columns of a file, those of its partition last, and its number of rows.

    Raises:
        OSError: If it cannot be read.
        pa.ArrowException: If it is not a Parquet file.
    """
    with _opened(file) as reader:
        return with_partition(reader.schema_arrow, file), int(reader.metadata.num_rows)


def read(
    file: Input | Path, selection: Selection, settled: Sequence[tuple[int, int]] = ()
) -> Iterator[Batch | Reject]:
    """Read a file in batches; an error in the file comes last, as a reject of its own.

    Args:
        file: The file.
        selection: The columns.
        settled: Ranges of rows to leave out, sorted; row groups inside them are not read.
    """
    source = _input(file)
    try:
        with _opened(source) as reader:
            opened = _OpenFile(reader, source, selection, settled)
            for groups, start, stop in _runs(reader.metadata, settled):
                yield from opened.read(groups, start, stop, done=start)
    except DAMAGED as error:
        yield unreadable_file(source, error)
        return
    if opened.broken:
        yield _broken_parts(source, opened.broken)


class _OpenFile:
    """A file that is being read.

    Attributes:
        broken: Parts that cannot be read: first row, row after the last, reason.
    """

    def __init__(
        self,
        reader: pq.ParquetFile,
        file: Input,
        selection: Selection,
        settled: Sequence[tuple[int, int]],
    ) -> None:
        schema = reader.schema_arrow
        self.broken: list[tuple[int, int, str]] = []
        self._reader = reader
        self._settled = settled
        self._columns = [".".join(path) for path in storedcolumns.leaves(schema, selection)]
        self._converter = TableConverter(
            file.name, with_partition(schema, file), selection, file.partition, file.unfit
        )
        self._rows_per_batch = _rows_per_batch(reader.metadata)

    def read(self, groups: Sequence[int], start: int, stop: int, *, done: int) -> Iterator[Batch]:
        """Read row groups; after an error one by one, so that it costs only one of them.

        Args:
            groups: Neighboring row groups.
            start: Their first row.
            stop: The row after their last.
            done: Rows before this one were read already.
        """
        row = start
        try:
            for table in self._reader.iter_batches(
                self._rows_per_batch, row_groups=list(groups), columns=self._columns
            ):
                end = row + table.num_rows
                for first, last in unsettled(max(row, done), end, self._settled):
                    yield from self._converter.batches(
                        table.slice(first - row, last - first), first
                    )
                row = end
            if row != stop:
                raise DamagedError(
                    f"it has {row - start} rows where the footer says {stop - start}"
                )
        except DAMAGED as error:
            if len(groups) == 1:
                self.broken.append((max(row, done), stop, problem_of(error)))
                return
            first = start
            for group in groups:
                last = first + self._reader.metadata.row_group(group).num_rows
                if last > row:
                    yield from self.read([group], first, last, done=max(row, done))
                first = last


def _broken_parts(file: Input, broken: Sequence[tuple[int, int, str]]) -> Reject:
    """Return the reject for the parts of a file that cannot be read."""
    spans: list[list[int]] = []
    for start, stop, _ in broken:
        if spans and spans[-1][1] == start:
            spans[-1][1] = stop
        else:
            spans.append([start, stop])
    ranges = ", ".join(f"{start} to {stop - 1}" for start, stop in spans[:_MOST_SPANS])
    more = ", ..." if len(spans) > _MOST_SPANS else ""
    return Reject(
        reason="unreadable_file",
        message=f"rows {ranges}{more} cannot be read: {broken[0][2]}",
        file=file.name,
        unit="row",
    )


def _input(file: Input | Path) -> Input:
    if isinstance(file, Input):
        return file
    return Input(name=str(file), path=str(file), format="parquet")


@contextmanager
def _opened(file: Input) -> Iterator[pq.ParquetFile]:
    with (
        file.open_seekable() as source,
        pq.ParquetFile(
            source,
            pre_buffer=False,
            buffer_size=_PIECE_BYTES,
            coerce_int96_timestamp_unit=_INT96_UNIT,
            page_checksum_verification=True,  # where pages have one
        ) as reader,
    ):
        yield reader


def _runs(
    metadata: pq.FileMetaData, settled: Sequence[tuple[int, int]]
) -> list[tuple[list[int], int, int]]:
    """Return neighboring row groups with rows to read: their numbers, first row, end."""
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
    """Return how many rows fit in `MAX_BYTES`, by the mean row of the largest row group."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    widest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1.0)
    return int(max(1, min(MAX_ROWS, MAX_BYTES / max(1.0, widest))))
