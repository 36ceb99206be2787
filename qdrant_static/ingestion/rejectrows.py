"""Copies the rows of a rejects file into a file that can be ingested."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdrant_static.errors import ArgumentError, SourceNotFoundError, StorageError
from qdrant_static.reading.batchbuilder import RejectedError
from qdrant_static.reading.csvfile import read_again

#: Reasons for which a retry is useless: another row has the key; a file is no row.
LEFT_ALONE = frozenset({"duplicate_key", "unreadable_file"})
#: The reason for rows that the rejects file does not hold completely.
CUT = "not_whole"
#: The reason for lines of CSV that are still invalid.
NOT_CSV = "not_csv"
#: How bytes that are not UTF-8 are shown in a cell.
_BYTES_SHOWN = re.compile(r"\\x[89a-f][0-9a-f]")
#: Earlier versions wrote this many characters of a line that was no record.
_EARLIER_CUT = 2000


@dataclass(slots=True, kw_only=True)
class CopiedRows:
    """The rows of a rejects file, copied one a line into a file of their own.

    Attributes:
        target: That file.
        rows: How many there are.
        left: Those that were left out, by reason.
        flat: Names of columns that have a dot in them, which are no paths.
        options: How they were read, each way once, with the first line that says so; None where
            the file does not say it.
    """

    target: Path
    rows: int = 0
    left: dict[str, int] = field(default_factory=dict)
    flat: set[str] = field(default_factory=set)
    options: list[tuple[int, Mapping[str, Any] | None]] = field(default_factory=list)


def copy_rows(path: Path, target: Path, notify: Callable[[str], None]) -> CopiedRows:
    """Write the rows of a rejects file, one a line."""
    copied = CopiedRows(target=target)
    left: Counter[str] = Counter()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as lines, target.open("wb") as rows:
            for number, line in enumerate(lines, 1):
                reject = _read(path, number, line)
                if reject["reason"] in LEFT_ALONE:
                    left[reject["reason"]] += 1
                elif not _is_whole(reject):
                    left[CUT] += 1
                    notify(_not_whole(path, number, reject))
                elif (problem := _read_cells(reject)) is not None:
                    left[NOT_CSV] += 1
                    notify(f"not retried: {path}, line {number}: {problem}")
                else:
                    _note_options(copied, number, reject.get("options"))
                    row, names = _row(reject)
                    rows.write(row + b"\n")
                    copied.rows += 1
                    copied.flat.update(name for name in names if "." in name)
    except FileNotFoundError as error:
        raise SourceNotFoundError(path=str(path), problem="there is no such file") from error
    except OSError as error:
        raise StorageError(path=str(target), problem=str(error.strerror)) from error
    copied.left = dict(sorted(left.items()))
    return copied


def _read(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        reject = json.loads(line)
        if {"reason", "value"} <= reject.keys():
            found = dict(reject)
        else:
            raise ValueError("no reject")
    except (ValueError, AttributeError):
        raise SourceNotFoundError(
            path=str(path), problem=f"line {number} is not a reject: it has no reason and value"
        ) from None
    if str(found.get("file", "")).startswith("collection:"):
        raise ArgumentError(
            field="rejects",
            problem=f"{path}, line {number}: the row is a point of {found['file']!r}; correct it "
            "there, and repeat the job",
        )
    return found


def _is_whole(reject: Mapping[str, Any]) -> bool:
    """Return whether the whole row is there; earlier versions cut rows without a mark."""
    value = reject["value"]
    if value is None or reject.get("cut"):
        return False
    if "options" in reject:
        return True
    return reject["reason"] != "too_long" and not (
        isinstance(value, str) and len(value) >= _EARLIER_CUT
    )


def _not_whole(path: Path, number: int, reject: Mapping[str, Any]) -> str:
    unit = "line" if "line" in reject else "row"
    return (
        f"not retried: {path}, line {number} does not hold the whole row ({reject.get('file')}, "
        f"{unit} {reject.get(unit)}). Correct it where it came from, or write the whole row here "
        'and remove "cut"'
    )


def _note_options(copied: CopiedRows, number: int, options: Mapping[str, Any] | None) -> None:
    if all(options != known for _, known in copied.options):
        copied.options.append((number, options))


def _read_cells(reject: dict[str, Any]) -> str | None:
    """Read a line of CSV, or its cells, as a record again; return what is wrong with it."""
    value, divided = reject["value"], reject.get("csv")
    if divided is None or not isinstance(value, str | list):
        return None
    instead = "Correct the value, or write the row as a JSON object"
    cells = [value] if isinstance(value, str) else value
    if reject["reason"] == "not_unicode" and any(_BYTES_SHOWN.search(str(one)) for one in cells):
        return f"it still has bytes that are no text, as \\xff. {instead}"
    try:
        reject["value"] = read_again(value, divided)
    except RejectedError as problem:
        return f"{problem.message} ({', '.join(divided['columns'])}). {instead}"
    return None


def _row(reject: Mapping[str, Any]) -> tuple[bytes, Iterable[str]]:
    """Return a row as it was, and the names of its columns.

    Of a line that was no record the rejects file has the text, which may be a record now. It stays
    as it is, so that the reader checks it; the columns from its folders' names are added.
    """
    value, partition = reject["value"], reject.get("partition") or {}
    if isinstance(value, dict):
        value = {**partition, **value}
        return json.dumps(value).encode(), value
    if not isinstance(value, str):
        return json.dumps(value).encode(), ()
    text = value.replace("\n", " ").strip()
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return text.encode("utf-8", "replace"), ()
    missing = {name: one for name, one in partition.items() if name not in record}
    if missing and record:
        text = f"{json.dumps(missing)[:-1]}, {text[1:]}"
    return text.encode("utf-8", "replace"), (*missing, *record)
