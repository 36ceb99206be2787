"""Reads pairs of a query and a passage from JSON Lines and Parquet.

The names of the columns are ours, or those of sentence-transformers' data sets:

    {"query": "...", "passage": "...", "negatives": ["...", "..."]}
    {"anchor": "...", "positive": "...", "negative": "..."}
    {"anchor": "...", "positive": "...", "negative_1": "...", "negative_2": "..."}

Other columns, such as scores, are not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qdrant_static.errors import ArgumentError, SourceNotFoundError
from qdrant_static.reading.batchbuilder import RejectedError
from qdrant_static.reading.inputs import Input, describe
from qdrant_static.reading.jsonl import MAX_LINE_BYTES, Decoder
from qdrant_static.reading.streams import DAMAGED, lines, problem_of
from qdrant_static.training.pairset import Pair

_QUERY = ("query", "anchor")
_PASSAGE = ("passage", "positive")
_NEGATIVE = re.compile(r"negative(_[0-9]+)?")
#: Problems that a message shows.
_SHOWN = 5


def read_pairs(path: str | os.PathLike[str]) -> tuple[Pair, ...]:
    """Read pairs from a file.

    Args:
        path: JSON Lines (``.jsonl``, also compressed) or Parquet, with the columns ``query`` and
            ``passage``, and ``negatives``, a list, where there are hard negatives; or, as in
            sentence-transformers' data sets, ``anchor``, ``positive``, and ``negative`` or
            ``negative_1``, ``negative_2``, ...

    Raises:
        SourceNotFoundError: If there is no such file.
        ArgumentError: If a line cannot be read; it names the file and the lines.
    """
    file = Path(os.path.expanduser(path))
    if not file.is_file():
        raise SourceNotFoundError(path=str(path), problem="there is no such file of pairs")
    known = describe(file.name)
    if known is None or known[0] not in ("jsonl", "parquet"):
        raise ArgumentError(
            field="pairs", problem=f"{file} is neither JSON Lines (.jsonl) nor Parquet (.parquet)"
        )
    if known[0] == "parquet":
        return _checked(file, "row", _parquet_rows(file))
    source = Input(name=str(file), path=str(file), format="jsonl", compression=known[1])
    return _checked(file, "line", _json_rows(source))


def pair_of(record: Mapping[str, Any]) -> Pair:
    """Return the pair that a record describes.

    Raises:
        ArgumentError: If it describes none; its field is the column.
    """
    negatives: list[str] = []
    for name, value in record.items():
        if value is None:
            continue
        if name == "negatives":
            if not isinstance(value, list):
                raise ArgumentError(field=name, problem="is not a list of texts")
            negatives += [_text(name, text) for text in value]
        elif _NEGATIVE.fullmatch(name):
            negatives.append(_text(name, value))
    return Pair(
        query=_text_of(record, _QUERY),
        passage=_text_of(record, _PASSAGE),
        negatives=tuple(negatives),
    )


def _text_of(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if record.get(name) is not None:
            return _text(name, record[name])
    raise ArgumentError(field=names[0], problem=f"is missing (or {names[1]!r})")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ArgumentError(field=name, problem=f"is not a text but of type {type(value).__name__}")
    if not value.strip():
        raise ArgumentError(field=name, problem="is empty")
    return value


def _checked(file: Path, unit: str, rows: Iterable[tuple[int, Pair | str]]) -> tuple[Pair, ...]:
    """Return all pairs, or raise an error that names the places of the first problems."""
    pairs: list[Pair] = []
    problems: list[str] = []
    count = 0
    for number, row in rows:
        if isinstance(row, Pair):
            pairs.append(row)
            continue
        count += 1
        if len(problems) < _SHOWN:
            problems.append(f"{unit} {number}: {row}")
    if count:
        more = f"; and {count - len(problems)} more" if count > len(problems) else ""
        raise ArgumentError(field=str(file), problem="; ".join(problems) + more)
    if not pairs:
        raise ArgumentError(field=str(file), problem="has no pair")
    return tuple(pairs)


def _json_rows(file: Input) -> Iterator[tuple[int, Pair | str]]:
    decode = Decoder()
    number = 0
    try:
        with file.open() as opened:
            for number, line in enumerate(lines(opened, MAX_LINE_BYTES), 1):
                if line.strip():
                    yield number, _of_line(decode, line)
    except DAMAGED as error:
        yield number + 1, problem_of(error)


def _parquet_rows(file: Path) -> Iterator[tuple[int, Pair | str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(file) as opened:
            names = [
                name
                for name in opened.schema_arrow.names
                if name in (*_QUERY, *_PASSAGE, "negatives") or _NEGATIVE.fullmatch(name)
            ]
            for batch in opened.iter_batches(columns=names):
                for record in batch.to_pylist():
                    yield number, _of_record(record)
                    number += 1
    except (OSError, pa.ArrowException) as error:
        yield number, problem_of(error)


def _of_line(decode: Decoder, line: bytes) -> Pair | str:
    try:
        return _of_record(decode(line))
    except RejectedError as error:
        return error.message


def _of_record(record: Mapping[str, Any]) -> Pair | str:
    """Return the pair of a record, or why there is none."""
    try:
        return pair_of(record)
    except ArgumentError as error:
        return error.message
