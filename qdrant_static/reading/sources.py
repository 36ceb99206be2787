"""Paths, folders, globs and URIs -> files -> batches of records."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import pyarrow as pa

from qdrant_static.collection.fields import value_at
from qdrant_static.errors import ArgumentError
from qdrant_static.reading import (
    arrowfile,
    columns,
    csvfile,
    jsonl,
    parquet,
    partitions,
    readyvectors,
    registered,
    storedcolumns,
)
from qdrant_static.reading.batch import Batch, SettledRanges
from qdrant_static.reading.find import PathLike, find, find_files
from qdrant_static.reading.inputs import Fingerprint, Input, ReadPosition, unreadable_file
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.partitions import PartitionType
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection, select
from qdrant_static.reading.streams import DAMAGED

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

__all__ = [
    "AnySource",
    "PathLike",
    "Source",
    "SourceOptions",
    "find_files",
    "open_source",
]


@runtime_checkable
class AnySource(Protocol):
    """What a job reads: a `Source`, or an existing collection."""

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
        """Rows, where that is known beforehand."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, by name."""
        ...

    def batches(self, settled: SettledRanges | None = None) -> Iterator[Batch | Reject]:
        """All batches but what is settled."""
        ...

    def fingerprints(self) -> dict[str, Fingerprint]:
        """File name -> what changes when the file does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Input files whose columns are chosen and checked.

    Attributes:
        inputs: The files that can be opened, in order.
        selection: The columns.
        unreadable: The files that cannot.
        left_out: Columns that no payload can hold: of bytes, intervals or unions.
        total_rows: Rows in all files, where every file says it beforehand.
        options: How they are read.
        position: How far they are read, where not every file says its rows beforehand; None where
            the bytes of one of them are not known either.
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
        """All batches, file by file; a file's break comes as a reject."""
        return self.batches()

    def batches(self, settled: SettledRanges | None = None) -> Iterator[Batch | Reject]:
        """All batches but what is settled, file by file; a file's break comes as a reject.

        The ranges of a file's batches, and what is settled, tile it. Asked twice with the same
        ranges on the same files, it gives the same batches.

        Args:
            settled: What earlier batches accounted for, by the name of their file.
        """
        yield from self.unreadable
        for one in self.inputs:
            if self.position is not None:
                self.position.begin(one.name)
            yield from self.read(one, () if settled is None else settled.get(one.name, ()))

    def end_on(self, stop: threading.Event | None) -> None:
        """Stop waiting for bytes of pipes when this is set."""
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
        """The batches of one of the inputs."""
        if file.format == "parquet":
            return parquet.read(file, self.selection, settled)
        if file.format == "arrow":
            return arrowfile.read(file, self.selection, settled)
        if file.format == "jsonl":
            return jsonl.read(file, self.selection, settled, self.options.types)
        if file.format in ("csv", "tsv"):
            return csvfile.read(file, self.selection, settled, self.options.types)
        return _read_registered(file, self.selection, settled)

    def with_partition_types(self, types: Mapping[str, PartitionType]) -> Source:
        """The same source, with values of these types in the columns of its folders.

        Args:
            types: Column -> type; one that the options name is not changed.
        """
        wanted = {**types, **_named_types(self.options)}
        return replace(self, inputs=tuple(partitions.with_types(self.inputs, wanted)))

    def fingerprints(self) -> dict[str, Fingerprint]:
        """File name -> its fingerprint; a file that cannot be read any more has none."""
        found = {}
        for one in self.inputs:
            try:
                found[one.name] = one.fingerprint()
            except OSError:
                continue
        return found


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
    """Find the files and choose the columns; no row is read yet.

    Args:
        paths: Files, folders (with all that is below), globs, URIs, pipes, ``-`` for standard
            input.
        key: In place of the options' key.
        text: Likewise.
        payload: Likewise.
        options: Columns, limits and formats.
        filesystem: Where the paths lie; None: on this machine, or where their URI says.
        stop: Ends the waiting for the first bytes of a pipe, and for later ones.

    Raises:
        SourceNotFoundError: If a path, folder or glob gives no file.
        JobStoppedError: If it is to stop before a pipe has given its first rows.
        StorageError: If the place that a URI names cannot be reached.
        ColumnNotFoundError: If a column is not there.
        ColumnTypeError: If a column's type cannot serve.
        ArgumentError: If no column for the text is found, or options get in each other's way.
    """
    asked = (options or SourceOptions()).with_columns(key=key, text=text, payload=payload)
    there = find(paths, asked, filesystem=filesystem)
    found = partitions.with_types(there.inputs, _named_types(asked))
    for one in found:
        if one.stream is not None:
            one.stream.stop = stop
    schemas: dict[str, pa.Schema] = {}
    unreadable = list(there.unreached)
    inputs: list[Input] = []
    rows: list[int | None] = []
    for file in found:
        try:
            schema, count = _describe(file)
        except DAMAGED as error:
            unreadable.append(unreadable_file(file, error))
            continue
        inputs.append(file)
        rows.append(count)
        if schema is not None:
            schemas[file.name] = schema
    _check_types(inputs, asked)
    selection = _select(inputs, schemas, asked)
    for name, schema in schemas.items():
        columns.check_schema(name, schema, selection)
    selection = _with_dimension(inputs, schemas, selection)
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
        options=asked,
        position=position,
    )


def _position(inputs: Sequence[Input]) -> ReadPosition | None:
    """How far the files are read, in bytes; None if one is not on this machine, or is a stream."""
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
    """Refuse types where nothing is read as text: other formats have types of their own."""
    if not inputs or any(one.format in ("csv", "tsv") for one in inputs):
        return
    for name in options.types:
        if not any(name in one.folders for one in inputs):
            raise ArgumentError(
                field=f"types.{name}",
                problem=f"types are for cells of CSV and values of folders ({name}=...); "
                f"{inputs[0].name} has types of its own",
            )


def _describe(file: Input) -> tuple[pa.Schema | None, int | None]:
    """Columns and rows of a file that says them beforehand; of text, which is but opened, None."""
    if file.format == "parquet":
        return parquet.describe(file)
    if file.format == "arrow":
        return arrowfile.schema(file), None
    if file.format in ("jsonl", "csv", "tsv"):
        if file.stream is None:
            file.open().close()
        return None, None
    with registered.opened(file.format, file.path) as (found, _):
        return partitions.with_partition(found, file), None


def _read_registered(
    file: Input, selection: Selection, settled: Sequence[tuple[int, int]]
) -> Iterator[Batch | Reject]:
    try:
        with registered.opened(file.format, file.path) as (found, tables):
            schema = partitions.with_partition(found, file)
            yield from arrowfile.batches(file, schema, tables, selection, settled)
    except DAMAGED as error:
        yield unreadable_file(file, error)


def _select(
    inputs: Sequence[Input], schemas: Mapping[str, pa.Schema], options: SourceOptions
) -> Selection:
    """Choose by the first file that has columns."""
    for file in inputs:
        if file.name in schemas:
            found = tuple(schemas[file.name].names)
        elif file.format == "jsonl":
            found = jsonl.columns(file)
        else:
            found = csvfile.columns(file)
            csvfile.check_types(file, found, options.types)
        if found:
            return select(found, file.name, options)
    return select((), "the input", options)


def _with_dimension(
    inputs: Sequence[Input], schemas: Mapping[str, pa.Schema], selection: Selection
) -> Selection:
    """The dimension of ready vectors: the type's, else that of the first one."""
    if selection.vectors is None:
        return selection
    for file in inputs:
        dimension = _dimension(file, schemas.get(file.name), selection)
        if dimension is not None:
            return replace(selection, dimension=dimension)
    return selection


def _dimension(file: Input, schema: pa.Schema | None, selection: Selection) -> int | None:
    name = selection.vectors
    if name is None:
        return None
    if schema is None:
        if file.format != "jsonl":
            return None
        vectors = (value_at(record, name) for record in jsonl.first_records(file))
        lengths = (len(one) for one in vectors if readyvectors.problem_of(one, None) is None)
        return next(lengths, None)
    path = columns.path_to(schema, name)
    kind = None if path is None else columns.type_at(schema, path)
    if kind is not None and pa.types.is_fixed_size_list(kind):
        return int(kind.list_size)
    probe = replace(selection, dimension=None)
    for item in Source(
        inputs=(file,), selection=probe, unreadable=(), left_out=(), total_rows=None,
        options=SourceOptions(),
    ):  # fmt: skip
        if isinstance(item, Batch) and item.vectors is not None and len(item):
            return int(item.vectors.shape[1])
    return None
