"""Reads JSON Lines: every line becomes a record or a reject.

Python's decoder parses the lines one by one. A columnar reader would be faster, but it guesses
types per block, turns strings that look like dates into timestamps, and drops a whole block for one
bad line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from qdrant_static.edge.payloads import MAX_PAYLOAD_DEPTH
from qdrant_static.reading.batch import MAX_BYTES, MAX_ROWS, Batch, SettledPositions
from qdrant_static.reading.batchbuilder import BatchBuilder, RejectedError, kind_of
from qdrant_static.reading.csvcells import convert_strings
from qdrant_static.reading.inputs import Input, describe, unreadable_file
from qdrant_static.reading.options import CellType
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection
from qdrant_static.reading.streams import DAMAGED, lines

#: A longer line is rejected without being read: it would exceed the memory of a batch.
MAX_LINE_BYTES = 64 * 2**20

_TOO_DEEP = f"nested deeper than {MAX_PAYLOAD_DEPTH} levels"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def columns(file: Input | Path, records: int = MAX_ROWS) -> tuple[str, ...]:
    """Return the names in the first records of a file, in order of appearance."""
    source = _input(file)
    names: dict[str, None] = {}
    for record in first_records(source, records):
        names.update(dict.fromkeys(record))
    return tuple(names | dict.fromkeys(source.partition)) if names else ()


def first_records(file: Input, records: int = MAX_ROWS) -> Iterator[dict[str, Any]]:
    """Yield the first records of a file, without lines that are rejected."""
    decode = Decoder()
    try:
        with file.open_sample() as opened:
            for line in lines(opened, MAX_LINE_BYTES):
                try:
                    yield decode(line)
                except RejectedError:
                    continue
                records -= 1
                if not records:
                    break
    except DAMAGED:
        pass  # `read` reports it, after what can be read before


def read(
    file: Input | Path,
    selection: Selection,
    settled: Sequence[tuple[int, int]] = (),
    types: Mapping[str, CellType] | None = None,
) -> Iterator[Batch | Reject]:
    """Read a file in batches; an error in the file comes last, as a reject of its own.

    Args:
        file: The file.
        selection: The columns.
        settled: Ranges of lines to leave out, sorted; they are not parsed.
        types: Column -> type to convert its strings to, as cells of CSV.
    """
    source = _input(file)
    skipped = SettledPositions(settled)
    builder = BatchBuilder(
        source.name,
        "line",
        selection,
        partition=source.partition,
        unfit=source.unfit,
        max_rows=MAX_ROWS,
        max_bytes=MAX_BYTES,
    )
    decode = Decoder()
    number, start = 0, 1
    try:
        with source.open() as opened:
            for number, line in enumerate(lines(opened, MAX_LINE_BYTES), 1):
                end = skipped.end_of(number)
                if end is not None:
                    if builder.rows:
                        yield builder.take(start, number)
                    start = end
                elif line.strip():
                    if builder.is_full:
                        yield builder.take(start, number)
                        start = number
                    _add(builder, decode, types, number, line)
    except DAMAGED as error:
        if builder.rows:
            yield builder.take(start, number + 1)
        yield unreadable_file(source, error, number)
        return
    if builder.rows:
        yield builder.take(start, number + 1)


def _add(
    builder: BatchBuilder,
    decode: Decoder,
    types: Mapping[str, CellType] | None,
    number: int,
    line: bytes,
) -> None:
    try:
        record = decode(line)
        if types:
            convert_strings(record, types)
    except RejectedError as problem:
        builder.weigh(len(line))
        builder.reject(number, problem.reason, problem.message, problem.row)
        return
    builder.add(number, record, len(line))


def _input(file: Input | Path) -> Input:
    if isinstance(file, Input):
        return file
    compression = (describe(file.name, "jsonl") or ("jsonl", None))[1]
    return Input(name=str(file), path=str(file), format="jsonl", compression=compression)


class Decoder:
    """Parses lines strictly: what other JSON readers refuse or read differently is rejected.

    One decoder serves a whole file. Its hooks check every number and object during parsing; a
    search for large numbers in the line itself took three times as long as parsing it.
    """

    def __init__(self) -> None:
        self._too_large: str | None = None
        self._twice: str | None = None
        self._parse = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._integer,
            parse_float=self._float,
            parse_constant=_no_constant,
        ).decode

    def __call__(self, line: bytes) -> dict[str, Any]:
        """Return the object in a line.

        Raises:
            RejectedError: If there is none.
        """
        value = self._parsed(line)
        if not isinstance(value, dict):
            raise RejectedError("not_an_object", f"{kind_of(value)}, not an object", value)
        if _SURROGATE.search(line):
            try:
                json.dumps(value, ensure_ascii=False).encode("utf-8")
            except UnicodeEncodeError as error:
                raise RejectedError(
                    "not_unicode", "half of a surrogate pair is not a character", value
                ) from error
        if line.count(b"[") + line.count(b"{") > MAX_PAYLOAD_DEPTH and _is_too_deep(value):
            raise RejectedError("wrong_type", _TOO_DEEP, value)
        if self._too_large is not None:
            raise RejectedError("wrong_type", self._too_large, value)
        if self._twice is not None:
            message = f"an object has the name {self._twice!r} twice"
            raise RejectedError("not_json", message, _shown(line))
        return value

    def _parsed(self, line: bytes) -> Any:
        if len(line) > MAX_LINE_BYTES:
            raise RejectedError("too_long", f"longer than {MAX_LINE_BYTES // 2**20} MiB")
        self._too_large = self._twice = None
        try:
            return self._parse(line.rstrip(b"\r\n").decode("utf-8"))
        except UnicodeDecodeError as error:
            shown = line.decode("utf-8", "backslashreplace").rstrip("\r\n")
            raise RejectedError("not_unicode", f"not UTF-8: {error.reason}", shown) from error
        except RecursionError as error:
            raise RejectedError("wrong_type", _TOO_DEEP, _shown(line)) from error
        except ValueError as error:
            raise RejectedError("not_json", f"not JSON: {error}", _shown(line)) from error

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            self._twice = next(name for name in names if names.count(name) > 1)
        return found

    def _integer(self, digits: str) -> int:
        value = int(digits)
        if not -(2**63) <= value < 2**64:
            self._too_large = f"the integer {value} has more than 64 bits"
        return value

    def _float(self, digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            self._too_large = "a number is beyond what 64 bits can hold"
        return value


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r\n")


def _is_too_deep(value: Any) -> bool:
    """Return whether a value is nested deeper than the engine can read back."""
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_PAYLOAD_DEPTH:
            return True
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        waiting += [(each, depth + 1) for each in inner]
    return False


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
