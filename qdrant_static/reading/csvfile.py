"""Reads CSV and TSV: every record is read or rejected, also after an unclosed quote.

Python's csv module has a limit of 128 KiB per cell that can be changed only for the whole process,
and reads the rest of the file as one cell after an unclosed quote. A columnar reader guesses types.
Here cells are strings unless a type is named, and an unclosed quote costs only its line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qdrant_static.errors import ArgumentError, ColumnNotFoundError
from qdrant_static.reading import csvcells
from qdrant_static.reading.batch import Batch, SettledPositions
from qdrant_static.reading.batchbuilder import BatchBuilder, RejectedError
from qdrant_static.reading.csvcells import CONVERTERS, Numbered, convert_cell, split_records
from qdrant_static.reading.inputs import Input, unreadable_file
from qdrant_static.reading.options import CellType
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection, check_names
from qdrant_static.reading.streams import DAMAGED, lines


def columns(file: Input) -> tuple[str, ...]:
    """Return the names in the header, with duplicates; none for an empty file."""
    try:
        with file.open_sample() as opened:
            numbered = enumerate(lines(opened, csvcells.MAX_RECORD_BYTES), 1)
            header = next(split_records(numbered, file.delimiter), None)
    except DAMAGED:
        return ()  # `read` reports it
    if header is None:
        return ()
    names = _names(file, header[1])
    return (*names, *(name for name in file.partition if name not in names))


def check_types(file: Input, found: Sequence[str], types: Mapping[str, CellType]) -> None:
    """Refuse a type for a column that does not exist.

    Raises:
        ColumnNotFoundError: It lists the columns that exist.
    """
    for name in types:
        if found and name not in found:
            raise ColumnNotFoundError(column=name, columns=tuple(found), source=file.name)


def read(
    file: Input,
    selection: Selection,
    settled: Sequence[tuple[int, int]] = (),
    types: Mapping[str, CellType] | None = None,
) -> Iterator[Batch | Reject]:
    """Read a file in batches; an error in the file comes last, as a reject of its own.

    The position of a record is that of its first line. The header belongs to the first batch.

    Args:
        file: The file.
        selection: The columns.
        settled: Ranges of lines to leave out, sorted; they are not parsed.
        types: Column -> type of its values; all others are strings.
    """
    builder = BatchBuilder(file.name, "line", selection, partition=file.partition, unfit=file.unfit)
    seen = _LineCounter()
    start = 1
    try:
        with file.open() as opened:
            numbered = seen.count(enumerate(lines(opened, csvcells.MAX_RECORD_BYTES), 1))
            header = next(split_records(numbered, file.delimiter), None)
            if header is not None:
                names = _names(file, header[1])
                check_names(file.name, names, selection)
                convert = _Converter(names, types or {})
                layout = {"delimiter": file.delimiter, "columns": names}
                skipping = _Skipping(numbered, settled)
                start = skipping.first
                records = split_records(iter(skipping), file.delimiter, len(names))
                for number, cells, size in records:
                    gap = skipping.gap_before(number)
                    if gap is not None:
                        if builder.rows:
                            yield builder.take(start, gap[0])
                        start = gap[1]
                    if builder.is_full:
                        yield builder.take(start, number)
                        start = number
                    _add(builder, convert, number, cells, size, layout)
                gap = skipping.gap_before(seen.number + 1)
                if builder.rows:
                    yield builder.take(start, seen.number + 1 if gap is None else gap[0])
    except DAMAGED as error:
        if builder.rows:
            yield builder.take(start, seen.number + 1)
        yield unreadable_file(file, error, seen.number)


class _LineCounter:
    """Counts the lines that were read."""

    def __init__(self) -> None:
        self.number = 0

    def count(self, numbered: Iterator[Numbered]) -> Iterator[Numbered]:
        for self.number, line in numbered:
            yield self.number, line


class _Skipping:
    """Lines that are not settled; remembers where settled lines were left out."""

    def __init__(self, numbered: Iterator[Numbered], settled: Sequence[tuple[int, int]]) -> None:
        self._numbered = numbered
        self._settled = SettledPositions(settled)
        self._gaps: deque[tuple[int, int]] = deque()
        self.first = SettledPositions(settled).end_of(1) or 1

    def __iter__(self) -> Iterator[Numbered]:
        for number, line in self._numbered:
            end = self._settled.end_of(number)
            if end is None:
                yield number, line
            elif not self._gaps or self._gaps[-1][1] != end:
                self._gaps.append((number, end))

    def gap_before(self, number: int) -> tuple[int, int] | None:
        """Return the settled ranges left out before a line, joined; None if there were none."""
        gaps = []
        while self._gaps and self._gaps[0][0] < number:
            gaps.append(self._gaps.popleft())
        return (gaps[0][0], gaps[-1][1]) if gaps else None


def _add(
    builder: BatchBuilder,
    convert: _Converter,
    number: int,
    cells: list[bytes] | RejectedError,
    size: int,
    layout: Mapping[str, Any],
) -> None:
    try:
        if isinstance(cells, RejectedError):
            raise cells
        record = convert(cells)
    except RejectedError as problem:
        builder.weigh(size)
        builder.reject(number, problem.reason, problem.message, problem.row, csv=layout)
        return
    builder.add(number, record, size)


class _Converter:
    """Converts cells to a record."""

    def __init__(self, names: Sequence[str], types: Mapping[str, CellType]) -> None:
        self._names = names
        self._types = {
            name: (kind, CONVERTERS[kind]) for name, kind in types.items() if name in names
        }

    def __call__(self, cells: list[bytes]) -> dict[str, Any]:
        try:
            texts = [cell.decode("utf-8") for cell in cells]
        except UnicodeDecodeError as error:
            shown = [cell.decode("utf-8", "backslashreplace") for cell in cells]
            raise RejectedError("not_unicode", f"not UTF-8: {error.reason}", shown) from error
        record = _record(self._names, texts)
        for name, (kind, read_cell) in self._types.items():
            if record[name] is not None:
                convert_cell(record, name, kind, read_cell)
        return record


def read_again(value: str | list[Any], layout: Mapping[str, Any]) -> dict[str, Any]:
    """Parse a rejected row that may have been corrected: a line of CSV, or its cells.

    Args:
        value: The line, which may have line breaks within quotes, or the cells.
        layout: The reject's ``csv``: delimiter and columns.

    Returns:
        Column -> cell; every cell is a string, or None where it is empty.

    Raises:
        RejectedError: If it is still not a record of its file.
    """
    names = layout["columns"]
    if not isinstance(value, str):
        return _record(names, value)
    text = value.encode("utf-8", "replace")
    numbered = enumerate(text.splitlines(keepends=True), 1)
    records = list(split_records(numbered, layout["delimiter"], len(names)))
    if len(records) != 1:
        raise RejectedError("not_csv", f"{len(records)} records instead of one", value)
    cells = records[0][1]
    if isinstance(cells, RejectedError):
        raise cells
    return _record(names, [cell.decode() for cell in cells])


def _record(names: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    if len(cells) != len(names):
        problem = f"{len(cells)} cells, the header has {len(names)}"
        raise RejectedError("not_csv", problem, list(cells))
    return {name: cell or None for name, cell in zip(names, cells, strict=True)}


def _names(file: Input, cells: list[bytes] | RejectedError) -> list[str]:
    """Return the names in the header; a column without one is named by its place."""
    if isinstance(cells, RejectedError):
        raise ArgumentError(field="header", problem=f"{file.name}: {cells.message}")
    try:
        names = [cell.decode("utf-8").strip() for cell in cells]
    except UnicodeDecodeError as error:
        raise ArgumentError(field="header", problem=f"{file.name}: not UTF-8") from error
    return [name or f"column_{place}" for place, name in enumerate(names)]
