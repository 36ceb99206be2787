"""Joins the rejects files of several processes, in the order of addresses."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import IO, Any

from qdrant_static.reading.rejects import RejectsFile

#: After every position: an error in a file comes after the rejects of its rows.
_AFTER_ROWS = 2**62
_LINES_AT_A_TIME = 1000


def join_rejects(
    into: RejectsFile, parts: Sequence[tuple[Path, int]], files: Sequence[str]
) -> None:
    """Write the rejects of all processes to one file, those of unreadable files first.

    Args:
        into: The file to write to.
        parts: Rejects files, and how many bytes of each are valid.
        files: The names of the input's files, in order.
    """
    numbers = {name: number for number, name in enumerate(files)}
    with ExitStack() as stack:
        # Their places in the files, in a temporary table: there may be millions.
        places = stack.enter_context(closing(sqlite3.connect("")))
        places.execute("CREATE TABLE places (file, position, part, offset, length)")
        opened: list[IO[bytes] | None] = []
        broken: set[tuple[str, str]] = set()
        for number, (path, size) in enumerate(parts):
            file = stack.enter_context(path.open("rb")) if size else None
            opened.append(file)
            if file is not None:
                places.executemany(
                    "INSERT INTO places VALUES (?, ?, ?, ?, ?)",
                    _places(file, size, number, numbers, broken),
                )
        ordered = places.execute(
            "SELECT part, offset, length FROM places ORDER BY file, position, part, offset"
        )
        while chunk := list(islice(ordered, _LINES_AT_A_TIME)):
            into.add_lines([_line(opened[part], *place) for part, *place in chunk])


def _places(
    file: IO[bytes], size: int, part: int, numbers: dict[str, int], broken: set[tuple[str, str]]
) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield file and position of every line of a rejects file, and where the line is.

    An input file that several processes could not read is reported once.
    """
    offset = 0
    while offset < size:
        line = file.readline()
        reject: dict[str, Any] = json.loads(line)
        position = reject.get("line", reject.get("row"))
        problem = (reject["file"], reject["message"])
        if position is not None or problem not in broken:
            at = _AFTER_ROWS if position is None else position
            yield numbers.get(reject["file"], -1), at, part, offset, len(line)
        if position is None:
            broken.add(problem)
        offset += len(line)


def _line(file: IO[bytes] | None, offset: int, length: int) -> bytes:
    if file is None:
        return b""
    file.seek(offset)
    return file.read(length)
