"""Sources: whatever a job reads, opened with its columns chosen, and read in batches."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pyarrow as pa

from qdrant_static.errors import ArgumentError
from qdrant_static.reading import columns, formats, partitions, storedcolumns
from qdrant_static.reading.batch import Batch, SettledRanges
from qdrant_static.reading.find import PathLike, find, find_files
from qdrant_static.reading.inmemory import ArrowStream, open_records, open_table
from qdrant_static.reading.inputs import Fingerprint, Input, ReadPosition, unreadable_file
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.partitions import PartitionType
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection
from qdrant_static.reading.streams import DAMAGED

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

__all__ = [
    "AnySource",
    "ArrowStream",
    "PathLike",
    "Source",
    "SourceOptions",
    "find_files",
    "open_data",
    "open_source",
]


@runtime_checkable
class AnySource(Protocol):
    """Whatever a job reads: files (`Source`), rows in memory, an existing collection."""

    @property
    def selection(self) -> Selection:
        """The columns."""
        ...

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that no payload can hold."""
        ...

    @property
    def total_rows(self) -> int | None:
        """Number of rows; None where it is not known before they are read."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """The names of the files."""
        ...

    def batches(self, settled: SettledRanges | None = None) -> Iterator[Batch | Reject]:
        """Yield all batches, without what is settled."""
        ...

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Return file name -> what changes when the file does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Input files whose columns are chosen and checked.

    Attributes:
        inputs: The files that can be opened, in order.
        selection: The columns.
        unreadable: The files that cannot be opened.
        left_out: Columns that no payload can hold: of bytes, intervals or unions.
        total_rows: Number of rows in all files; None where a file does not store its own.
        options: How they are read.
        position: How far they are read, where `total_rows` is None; None where the size of one of
            them is not known either.
    """

    inputs: tuple[Input, ...]
    selection: Selection
    unreadable: tuple[Reject, ...]
    left_out: tuple[str, ...]
    total_rows: int | None
    options: SourceOptions
    position: ReadPosition | None = field(default=None, repr=False, compare=False)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files' names as paths, one for every input, remote ones too."""
        return tuple(Path(one.name) for one in self.inputs)

    def __iter__(self) -> Iterator[Batch | Reject]:
        """Yield all batches, file by file; an error in a file comes as a reject."""
        return self.batches()

    def batches(self, settled: SettledRanges | None = None) -> Iterator[Batch | Reject]:
        """Yield all batches, file by file; an error in a file comes as a reject.

        The ranges of a file's batches, and what is settled, tile it. The same ranges of the same
        files give the same batches again.

        Args:
            settled: What earlier batches accounted for, by the name of their file.
        """
        yield from self.unreadable
        for one in self.inputs:
            if self.position is not None:
                self.position.begin(one.name)
            yield from self.read(one, () if settled is None else settled.get(one.name, ()))

    def end_on(self, stop: threading.Event | None) -> None:
        """Stop waiting for bytes of pipes when an event is set."""
        for one in self.inputs:
            if one.stream is not None and stop is not None:
                one.stream.stop = stop

    def cancel(self) -> None:
        """Stop waiting for bytes of pipes."""
        for one in self.inputs:
            if one.stream is not None:
                one.stream.cancel()

    def read(
        self, file: Input, settled: Sequence[tuple[int, int]] = ()
    ) -> Iterator[Batch | Reject]:
        """Yield the batches of one of the inputs, without what is settled."""
        return formats.read(file, self.selection, settled, self.options.types)

    def with_partition_types(self, types: Mapping[str, PartitionType]) -> Source:
        """Return the same source, with partition values of these types.

        Args:
            types: Column -> type; a type that the options name is not changed.
        """
        wanted = {**types, **_named_types(self.options)}
        return replace(self, inputs=tuple(partitions.with_types(self.inputs, wanted)))

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Return file name -> fingerprint; a file that can no longer be read has none."""
        found = {}
        for one in self.inputs:
            try:
                found[one.name] = one.fingerprint()
            except OSError:
                continue
        return found


def open_data(
    data: Any,
    *,
    key: Sequence[str] | str | None = None,
    text: Sequence[str] | str | None = None,
    payload: Sequence[str] | None = None,
    options: SourceOptions | None = None,
    stop: threading.Event | None = None,
) -> AnySource:
    """Open paths, Arrow columns or dictionaries as a source; no row of a file is read yet.

    Args:
        data: Paths, as for `open_source`; an object with ``__arrow_c_stream__``, or a record batch;
            an iterable of dictionaries.
        key: The key's columns, instead of those of the options.
        text: The text's columns, instead of those of the options.
        payload: The payload's columns, instead of those of the options.
        options: Columns, limits and formats.
        stop: As for `open_source`.

    Raises:
        ArgumentError: If the data is none of these.
    """
    wanted = (options or SourceOptions()).with_columns(key=key, text=text, payload=payload)
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if hasattr(data, "__arrow_c_stream__"):
        return open_table(data, wanted)
    if isinstance(data, str | os.PathLike) or (
        isinstance(data, Sequence) and all(isinstance(item, str | os.PathLike) for item in data)
    ):
        return open_source(data, options=wanted, stop=stop)
    if isinstance(data, Mapping) or not isinstance(data, Iterable):
        raise ArgumentError(
            field="paths",
            problem=f"a {type(data).__name__} is neither paths, nor an Arrow table or data frame, "
            "nor an iterable of dictionaries",
        )
    return open_records(data, wanted)


def open_source(
    paths: PathLike | Sequence[PathLike],
    *,
    key: Sequence[str] | str | None = None,
    text: Sequence[str] | str | None = None,
    payload: Sequence[str] | None = None,
    options: SourceOptions | None = None,
    filesystem: FileSystem | None = None,
    stop: threading.Event | None = None,
) -> Source:
    """Find the files and choose the columns; rows are read later, by `Source.batches`.

    Args:
        paths: Files, folders (with all that is below), globs, URIs, pipes, ``-`` for standard
            input.
        key: The key's columns, instead of those of the options.
        text: The text's columns, instead of those of the options.
        payload: The payload's columns, instead of those of the options.
        options: Columns, limits and formats.
        filesystem: Where the paths lie; None: on this machine, or where their URI says.
        stop: Ends the wait for bytes of a pipe.

    Raises:
        SourceNotFoundError: If a path, folder or glob names no file.
        JobStoppedError: If the job is stopped while it waits for the first rows of a pipe.
        StorageError: If the place that a URI names cannot be reached.
        ColumnNotFoundError: If a column does not exist.
        ColumnTypeError: If a column has a wrong type.
        ArgumentError: If no column for the text is found, or options contradict each other.
    """
    wanted = (options or SourceOptions()).with_columns(key=key, text=text, payload=payload)
    files = find(paths, wanted, filesystem=filesystem)
    found = partitions.with_types(files.inputs, _named_types(wanted))
    for one in found:
        if one.stream is not None:
            one.stream.stop = stop
    schemas: dict[str, pa.Schema] = {}
    unreadable = list(files.unreached)
    inputs: list[Input] = []
    rows: list[int | None] = []
    for file in found:
        try:
            schema, count = formats.describe(file)
        except DAMAGED as error:
            unreadable.append(unreadable_file(file, error))
            continue
        inputs.append(file)
        rows.append(count)
        if schema is not None:
            schemas[file.name] = schema
    _check_types(inputs, wanted)
    selection = formats.select_columns(inputs, schemas, wanted)
    for name, schema in schemas.items():
        columns.check_schema(name, schema, selection)
    selection = replace(selection, dimension=formats.dimension(inputs, schemas, selection))
    position = _position(inputs) if None in rows else None
    return Source(
        inputs=tuple(replace(one, position=position) for one in inputs),
        selection=selection,
        unreadable=tuple(unreadable),
        left_out=tuple(
            dict.fromkeys(
                name
                for schema in schemas.values()
                for name in storedcolumns.left_out(schema, selection)
            )
        ),
        total_rows=None if None in rows else sum(one or 0 for one in rows),
        options=wanted,
        position=position,
    )


def _position(inputs: Sequence[Input]) -> ReadPosition | None:
    """Return what follows how far files are read; None if the size of one is not known."""
    sizes = {}
    for one in inputs:
        if one.stream is not None or one.filesystem is not None:
            return None
        path = Path(one.path)
        if not path.is_file():
            return None
        sizes[one.name] = path.stat().st_size
    return ReadPosition(sizes)


def _named_types(options: SourceOptions) -> dict[str, PartitionType]:
    return {name: PartitionType(kind=kind, is_strict=True) for name, kind in options.types.items()}


def _check_types(inputs: Sequence[Input], options: SourceOptions) -> None:
    """Refuse types where no value is text: other formats have types of their own."""
    if not inputs or any(one.format in ("csv", "tsv") for one in inputs):
        return
    for name in options.types:
        if not any(name in one.folders for one in inputs):
            raise ArgumentError(
                field=f"types.{name}",
                problem=f"types are for cells of CSV and values of folders ({name}=...); "
                f"{inputs[0].name} has types of its own",
            )
