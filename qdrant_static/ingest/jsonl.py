"""JSON Lines, plain or gzip: every line is read or rejected, and lines are never lost.

The lines go through `json.loads` one by one. A columnar reader would be faster, but it guesses
types per block, turns strings that look like dates into timestamps, and gives up a whole block
for one bad line.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn, cast

import pyarrow as pa

from qdrant_static.edge.rows import MAX_PAYLOAD_DEPTH
from qdrant_static.ids import Key
from qdrant_static.ingest.batch import MAX_BYTES, MAX_ROWS, Batch
from qdrant_static.ingest.rejects import Reason, Reject
from qdrant_static.ingest.selection import Selection

#: A longer line is rejected, not read: it would not fit the memory that a batch may take.
MAX_LINE_BYTES = 64 * 2**20
#: How much of a line that is no JSON goes into the rejects file, in characters.
_SHOWN = 2000

#: What a line must hold for a number in it to be too large: many digits, or a large exponent.
_LARGE_NUMBER = re.compile(rb"\d{19}|[eE]\+?\d{3}")
_TOO_DEEP = f"nested deeper than {MAX_PAYLOAD_DEPTH} levels"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    type(None): "a null",
}
_DAMAGED = (OSError, EOFError, zlib.error)  # gzip reports damage by these three


class _RejectedError(Exception):
    """A line that is no record: its reason and what to say."""

    def __init__(self, reason: Reason, message: str, row: Any = None) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.message = message
        self.row = row


def columns(path: Path, records: int = MAX_ROWS) -> tuple[str, ...]:
    """The names that the first records of a file use, in order of appearance."""
    names: dict[str, None] = {}
    try:
        with _open(path) as file:
            for line in _lines(file):
                try:
                    names.update(dict.fromkeys(_object(line)))
                except _RejectedError:
                    continue
                records -= 1
                if not records:
                    break
    except _DAMAGED:
        pass  # read() says so, with what could be read before
    return tuple(names)


def read(path: Path, selection: Selection) -> Iterator[Batch | Reject]:
    """Read a file in batches; a break in the file comes last, as a reject of its own."""
    building = _Building(str(path), selection)
    number = 0
    try:
        with _open(path) as file:
            for number, line in enumerate(_lines(file), 1):
                if line.strip():
                    building.add(number, line)
                if building.is_full:
                    yield building.take()
    except _DAMAGED as error:
        if building.rows:
            yield building.take()
        yield Reject(
            reason="unreadable_file",
            message=f"cannot be read after line {number}: {error}",
            file=str(path),
            unit="line",
        )
        return
    if building.rows:
        yield building.take()


class _Building:
    """The batch that is being filled."""

    def __init__(self, file: str, selection: Selection) -> None:
        self._file = file
        self._selection = selection
        self._clear()

    def _clear(self) -> None:
        self._bytes = 0
        self._positions: list[int] = []
        self._keys: list[Key] = []
        self._texts: list[str] = []
        self._payloads: list[dict[str, Any]] = []
        self._rejects: list[Reject] = []

    @property
    def rows(self) -> int:
        return len(self._positions) + len(self._rejects)

    @property
    def is_full(self) -> bool:
        return self.rows >= MAX_ROWS or self._bytes >= MAX_BYTES

    def add(self, number: int, line: bytes) -> None:
        self._bytes += len(line)
        try:
            record = _object(line)
            key, text = _key(record, self._selection), _text(record, self._selection)
        except _RejectedError as problem:
            self._rejects.append(
                Reject(
                    reason=problem.reason,
                    message=problem.message,
                    file=self._file,
                    unit="line",
                    position=number,
                    row=problem.row,
                )
            )
            return
        self._positions.append(number)
        self._texts.append(text)
        if key is not None:
            self._keys.append(key)
        keeps = self._selection.keeps
        self._payloads.append({name: value for name, value in record.items() if keeps(name)})

    def take(self) -> Batch:
        batch = Batch(
            file=self._file,
            unit="line",
            positions=self._positions,
            keys=None if self._selection.key is None else self._keys,
            texts=pa.array(self._texts, type=pa.large_string()),
            payloads=self._payloads,
            rejects=self._rejects,
        )
        self._clear()
        return batch


def _object(line: bytes) -> dict[str, Any]:
    """Parse a line, strictly: what another reader of JSON would refuse is refused here."""
    if len(line) > MAX_LINE_BYTES:
        raise _RejectedError("too_long", f"longer than {MAX_LINE_BYTES // 2**20} MiB")
    try:
        value = json.loads(line.rstrip(b"\r\n").decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        shown = line[:_SHOWN].decode("utf-8", "backslashreplace")
        raise _RejectedError("not_unicode", f"not UTF-8: {error.reason}", shown) from error
    except RecursionError as error:
        shown = line[:_SHOWN].decode("utf-8", "replace")
        raise _RejectedError("wrong_type", _TOO_DEEP, shown) from error
    except ValueError as error:
        shown = line[:_SHOWN].decode("utf-8", "replace").rstrip("\n")
        raise _RejectedError("not_json", f"not JSON: {error}", shown) from error
    if not isinstance(value, dict):
        raise _RejectedError("not_an_object", f"{_kind(value)}, not an object", value)
    if _SURROGATE.search(line):
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise _RejectedError(
                "not_unicode", "half of a surrogate pair is not a character", value
            ) from error
    suspicious = (
        _LARGE_NUMBER.search(line) or line.count(b"[") + line.count(b"{") > MAX_PAYLOAD_DEPTH
    )
    if suspicious and (problem := _unfit(value)) is not None:
        raise _RejectedError("wrong_type", problem, value)
    return value


def _key(record: dict[str, Any], selection: Selection) -> Key | None:
    if selection.key is None:
        return None
    key = record.get(selection.key)
    if key is None:
        raise _RejectedError("null_key", f"no key in {selection.key!r}", record)
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise _RejectedError(
            "wrong_type",
            f"the key {selection.key!r} is {_kind(key)}, not an integer or a string",
            record,
        )
    return key


def _text(record: dict[str, Any], selection: Selection) -> str:
    parts = []
    for name in selection.text:
        part = record.get(name)
        if part is None:
            continue
        if not isinstance(part, str):
            raise _RejectedError(
                "wrong_type", f"the text {name!r} is {_kind(part)}, not a string", record
            )
        if part.strip():
            parts.append(part)
    if not parts:
        raise _RejectedError("no_text", f"no text in {', '.join(selection.text)}", record)
    return " ".join(parts)


def _unfit(value: Any) -> str | None:
    """Why no collection can hold a value, looked for at every depth; None if one can."""
    waiting = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_PAYLOAD_DEPTH:
            return _TOO_DEEP
        if isinstance(one, int) and not -(2**63) <= one < 2**64:
            return f"the integer {one} has more than 64 bits"
        if isinstance(one, float) and not math.isfinite(one):
            return "a number is beyond what 64 bits can hold"
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        waiting += [(each, depth + 1) for each in inner]
    return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), "a number")


def _open(path: Path) -> IO[bytes]:
    zipped = path.suffix.lower() == ".gz"
    return cast("IO[bytes]", gzip.open(path) if zipped else path.open("rb"))


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines with their ends; of one that is too long, a piece that is too long as well."""
    first = True
    while line := file.readline(MAX_LINE_BYTES + 2):
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES + 2)
        if first:
            line = line.removeprefix(b"\xef\xbb\xbf")
            first = False
        yield line
