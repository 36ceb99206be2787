"""Joins the ledgers of processes that each loaded a part of an input into the ledger of the whole.

Every process has read the same input under the same addresses, and settled other rows of it: sums
are added by address, and rows are put side by side. A process that was interrupted may have divided
the rest of the input into other batches when it continued; ranges that overlap become one.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.records import SUM, Totals

if TYPE_CHECKING:
    import sqlite3


@dataclass(slots=True)
class _Range:
    """A range of positions in a file, with its part of the sum."""

    file: int
    start: int
    stop: int
    totals: Totals


#: The note of the last run whose parts were joined, in the ledger of the whole.
JOINED = "joined"


def join(
    whole: Ledger, run: int, parts: Sequence[Ledger], *, state: str, rejects_bytes: int
) -> None:
    """Enter what the last runs of all parts have settled, in one transaction.

    What the ledger of the whole has of the run, and its points, is replaced.

    Args:
        whole: The ledger that is written.
        run: Its run.
        parts: Ledgers of which no two know the same point.
        state: State of the batches: ``stored`` or ``built``.
        rejects_bytes: Size of the rejects file of the whole.
    """
    with whole.transaction() as connection:
        numbers = {name: number for number, (name, _) in enumerate(whole.runs.files(run))}
        files = [_file_numbers(connection, run, numbers, part) for part in parts]
        for table in ("batches", "broken"):
            connection.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
        for table in ("rows", "pending"):
            connection.execute(f"DELETE FROM {table}")
        connection.executemany(
            f"INSERT INTO batches (run, file, start, stop, state, {', '.join(SUM)}, reasons) "
            f"VALUES (?, ?, ?, ?, ?, {'?, ' * len(SUM)}?)",
            (_columns(run, state, one) for one in _joined(_ranges(parts, files))),
        )
        connection.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)",
            # In the order of ids, which is that of the table: each row is appended to it.
            heapq.merge(
                *(_rows(part, run, own) for part, own in zip(parts, files, strict=True)),
                key=itemgetter(0),
            ),
        )
        for part in parts:
            connection.executemany(
                "INSERT OR IGNORE INTO broken VALUES (?, ?, ?)",
                ((run, *one) for one in part.query("SELECT path, message FROM broken")),
            )
        connection.execute("UPDATE runs SET rejects_bytes = ? WHERE id = ?", (rejects_bytes, run))
        whole.put_note(JOINED, run)


def _file_numbers(
    connection: sqlite3.Connection, run: int, numbers: dict[str, int], part: Ledger
) -> dict[int, int]:
    """Map a part's numbers of files to the whole's; enter files that the whole does not know."""
    mapped = {}
    names = part.query(
        "SELECT number, path, fingerprint FROM files WHERE run = (SELECT max(id) FROM runs) "
        "ORDER BY number"
    )
    for own, name, fingerprint in names:
        if name not in numbers:
            numbers[name] = len(numbers)
            row = (run, numbers[name], name, fingerprint)
            connection.execute("INSERT INTO files VALUES (?, ?, ?, ?)", row)
        mapped[own] = numbers[name]
    return mapped


def _ranges(parts: Sequence[Ledger], files: Sequence[dict[int, int]]) -> list[_Range]:
    """Return the batches of all parts, by address."""
    statement = (
        f"SELECT file, start, stop, {', '.join(SUM)}, reasons FROM batches "
        "WHERE run = (SELECT max(id) FROM runs) AND state = 'stored'"
    )
    ranges = [
        _Range(
            numbers[file],
            start,
            stop,
            Totals(**dict(zip(SUM, counts, strict=True)), reasons=json.loads(reasons)),
        )
        for part, numbers in zip(parts, files, strict=True)
        for file, start, stop, *counts, reasons in part.query(statement)
    ]
    return sorted(ranges, key=lambda one: (one.file, one.start, one.stop))


def _joined(ranges: Sequence[_Range]) -> Iterator[_Range]:
    """Join ranges that overlap, and add their sums."""
    last: _Range | None = None
    for one in ranges:
        same = last is not None and one.start == last.start and one.stop == last.stop
        if last is not None and one.file == last.file and (one.start < last.stop or same):
            last.stop = max(last.stop, one.stop)
            last.totals += one.totals
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


def _columns(run: int, state: str, one: _Range) -> tuple[Any, ...]:
    reasons = Counter({name: count for name, count in one.totals.reasons.items() if count})
    counts = (getattr(one.totals, name) for name in SUM)
    return (run, one.file, one.start, one.stop, state, *counts, json.dumps(reasons))


def _rows(part: Ledger, run: int, files: dict[int, int]) -> Iterator[tuple[Any, ...]]:
    part.rows.merge()
    for id_, text, payload, file, position, state in part.query(
        "SELECT id, text, payload, file, position, state FROM rows ORDER BY id"
    ):
        yield id_, text, payload, run, files[file], position, state
