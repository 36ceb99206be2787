"""The ledgers of parts -> the ledger of the whole.

Every part has read the same input under the same addresses, and settled other rows of it: sums are
added by address, and rows put side by side. Parts that were cut short may have cut their batches
elsewhere when they went on; where ranges overlap, they become one.
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
    """A range of a file, with its part of the sum."""

    file: int
    start: int
    stop: int
    totals: Totals


#: The whole's note of the last run whose parts were joined.
JOINED = "joined"


def join(
    whole: Ledger, run: int, parts: Sequence[Ledger], *, state: str, rejects_bytes: int
) -> None:
    """Enter what the last runs of all parts have settled, in one transaction.

    What the whole has of the run, and of points, is replaced.

    Args:
        whole: The ledger that is written.
        run: Its run.
        parts: Ledgers of which no two know the same point.
        state: Of the batches: ``stored`` or ``built``.
        rejects_bytes: Size of the whole's rejects file.
    """
    with whole.transaction() as database:
        numbers = {name: number for number, (name, _) in enumerate(whole.files(run))}
        files = [_numbers(database, run, numbers, part) for part in parts]
        for table in ("batches", "broken"):
            database.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
        for table in ("rows", "pending"):
            database.execute(f"DELETE FROM {table}")
        database.executemany(
            f"INSERT INTO batches (run, file, start, stop, state, {', '.join(SUM)}, reasons) "
            f"VALUES (?, ?, ?, ?, ?, {'?, ' * len(SUM)}?)",
            (_columns(run, state, one) for one in _joined(_ranges(parts, files))),
        )
        database.executemany(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)",
            # By id, as the table has them: each row then comes behind the one before.
            heapq.merge(
                *(_rows(part, run, own) for part, own in zip(parts, files, strict=True)),
                key=itemgetter(0),
            ),
        )
        for part in parts:
            database.executemany(
                "INSERT OR IGNORE INTO broken VALUES (?, ?, ?)",
                ((run, *one) for one in part.query("SELECT path, message FROM broken")),
            )
        database.execute("UPDATE runs SET rejects_bytes = ? WHERE id = ?", (rejects_bytes, run))
        whole.enter_note(JOINED, run)


def _numbers(
    database: sqlite3.Connection, run: int, numbers: dict[str, int], part: Ledger
) -> dict[int, int]:
    """A part's number of a file -> the whole's; a file that the whole does not know is entered."""
    found = {}
    names = part.query(
        "SELECT number, path, fingerprint FROM files WHERE run = (SELECT max(id) FROM runs) "
        "ORDER BY number"
    )
    for own, name, fingerprint in names:
        if name not in numbers:
            numbers[name] = len(numbers)
            row = (run, numbers[name], name, fingerprint)
            database.execute("INSERT INTO files VALUES (?, ?, ?, ?)", row)
        found[own] = numbers[name]
    return found


def _ranges(parts: Sequence[Ledger], files: Sequence[dict[int, int]]) -> list[_Range]:
    """The batches of all parts, by address."""
    statement = (
        f"SELECT file, start, stop, {', '.join(SUM)}, reasons FROM batches "
        "WHERE run = (SELECT max(id) FROM runs) AND state = 'stored'"
    )
    found = [
        _Range(
            numbers[file],
            start,
            stop,
            Totals(**dict(zip(SUM, counts, strict=True)), reasons=json.loads(reasons)),
        )
        for part, numbers in zip(parts, files, strict=True)
        for file, start, stop, *counts, reasons in part.query(statement)
    ]
    return sorted(found, key=lambda one: (one.file, one.start, one.stop))


def _joined(ranges: Sequence[_Range]) -> Iterator[_Range]:
    """Ranges that do not overlap; of none that did, anything is lost."""
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
    part.merge()
    for id_, text, payload, file, position, state in part.query(
        "SELECT id, text, payload, file, position, state FROM rows ORDER BY id"
    ):
        yield id_, text, payload, run, files[file], position, state
