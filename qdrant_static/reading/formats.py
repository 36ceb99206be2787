"""Dispatches on the format of an input: its columns, its batches, the dimension of its vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from qdrant_static.collection.fields import value_at
from qdrant_static.reading import (
    arrowfile,
    columns,
    csvfile,
    jsonl,
    parquet,
    partitions,
    readyvectors,
    registered,
)
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.inputs import Input, unreadable_file
from qdrant_static.reading.options import CellType, SourceOptions
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection, select
from qdrant_static.reading.streams import DAMAGED


def read(
    file: Input,
    selection: Selection,
    settled: Sequence[tuple[int, int]] = (),
    types: Mapping[str, CellType] | None = None,
) -> Iterator[Batch | Reject]:
    """Read the batches of a file; an error in the file comes last, as a reject of its own.

    Args:
        file: The file.
        selection: The columns.
        settled: Ranges of positions to leave out, sorted.
        types: Column -> type of values that are text.
    """
    if file.format == "parquet":
        return parquet.read(file, selection, settled)
    if file.format == "arrow":
        return arrowfile.read(file, selection, settled)
    if file.format == "jsonl":
        return jsonl.read(file, selection, settled, types)
    if file.format in ("csv", "tsv"):
        return csvfile.read(file, selection, settled, types)
    return _read_registered(file, selection, settled)


def _read_registered(
    file: Input, selection: Selection, settled: Sequence[tuple[int, int]]
) -> Iterator[Batch | Reject]:
    try:
        with registered.opened(file.format, file.path) as (own, tables):
            schema = partitions.with_partition(own, file)
            yield from arrowfile.batches(file, schema, tables, selection, settled)
    except DAMAGED as error:
        yield unreadable_file(file, error)


def describe(file: Input) -> tuple[pa.Schema | None, int | None]:
    """Return columns and number of rows of a file, where its format stores them.

    A text file is opened, to see that it can be; its columns are found by `select_columns`.
    """
    if file.format == "parquet":
        return parquet.describe(file)
    if file.format == "arrow":
        return arrowfile.schema(file), None
    if file.format in ("jsonl", "csv", "tsv"):
        if file.stream is None:
            file.open().close()
        return None, None
    with registered.opened(file.format, file.path) as (own, _):
        return partitions.with_partition(own, file), None


def select_columns(
    inputs: Sequence[Input], schemas: Mapping[str, pa.Schema], options: SourceOptions
) -> Selection:
    """Select the columns by the first file that has any.

    Args:
        inputs: The files.
        schemas: File name -> columns, of formats that store them.
        options: The columns that are wanted.
    """
    for file in inputs:
        if file.name in schemas:
            names = tuple(schemas[file.name].names)
        elif file.format == "jsonl":
            names = jsonl.columns(file)
        else:
            names = csvfile.columns(file)
            csvfile.check_types(file, names, options.types)
        if names:
            return select(names, file.name, options)
    return select((), "the input", options)


def dimension(
    inputs: Sequence[Input], schemas: Mapping[str, pa.Schema], selection: Selection
) -> int | None:
    """Return the dimension of ready vectors: that of the column's type, or of the first vector."""
    if selection.vectors is None:
        return None
    found = (_dimension(file, schemas.get(file.name), selection) for file in inputs)
    return next((one for one in found if one is not None), None)


def _dimension(file: Input, schema: pa.Schema | None, selection: Selection) -> int | None:
    name = selection.vectors or ""
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
    for item in read(file, replace(selection, dimension=None)):
        if isinstance(item, Batch) and item.vectors is not None and len(item):
            return int(item.vectors.shape[1])
    return None
