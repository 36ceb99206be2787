"""Past runs of a collection, read from its ledger without touching it: a job may be writing it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qdrant_static.errors import LedgerNotFoundError, StorageError
from qdrant_static.ledger.records import SUM, Totals, sum_line
from qdrant_static.ledger.tables import VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One run, as its ledger records it.

    Attributes:
        run: Its number.
        state: ``finished``; ``built``: complete in a local folder, not yet shipped;
            ``interrupted`` and ``failed``: the same command goes on with it; ``abandoned``: a later
            run has begun anew; ``running``: it runs, or its process died.
        started: ISO 8601, UTC.
        ended: Likewise; None for a run that has not ended in order.
        attempts: How many times it was begun.
        totals: What became of its rows; None where that is not known any more.
        points_before: Exact count of points before it; None if it did not come that far.
        points_after: And after it.
        deleted: Points that it deleted.
        rejects: The file of its rejects; None if there are none, or the file was removed.
        manifest: Likewise.
        removed: Names of its files that a later run removed.
    """

    run: int
    state: str
    started: str
    ended: str | None
    attempts: int
    totals: Totals | None
    points_before: int | None
    points_after: int | None
    deleted: int
    rejects: Path | None
    manifest: Path | None
    removed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The run as JSON-like data."""
        return {
            **asdict(self),
            "rejects": None if self.rejects is None else str(self.rejects),
            "manifest": None if self.manifest is None else str(self.manifest),
            "removed": list(self.removed),
        }

    def __str__(self) -> str:
        ended = "" if self.ended is None else f" to {_moment(self.ended)}"
        again = "" if self.attempts == 1 else f", {self.attempts} attempts"
        lines = [f"run {self.run}: {self.state}, {_moment(self.started)}{ended} UTC{again}"]
        if self.totals is None:
            lines.append("its sums are not known any more")
        else:
            counts = asdict(self.totals)
            reasons = counts.pop("reasons")
            lines.append(sum_line(counts, word="built" if self.state == "built" else "stored"))
            if reasons:
                parts = ", ".join(f"{name} {count:,}" for name, count in reasons.items())
                lines.append(f"rejected: {parts}")
        if self.points_before is not None and self.points_after is not None:
            deleted = f", {self.deleted:,} deleted" if self.deleted else ""
            lines.append(f"{self.points_after:,} points ({self.points_before:,} before{deleted})")
        if self.rejects is not None:
            lines.append(f"rejects: {self.rejects}")
        lines += [f"removed since: {name}" for name in self.removed]
        return "\n  ".join(lines)


def past_runs(ledger: Path, *, limit: int | None = None) -> list[PastRun]:
    """The runs of a ledger, the last one first.

    Args:
        ledger: The file; it is only read.
        limit: At most so many.

    Raises:
        LedgerNotFoundError: If there is no such file.
        StorageError: If it cannot be read.
    """
    if not ledger.exists():
        raise LedgerNotFoundError(path=str(ledger))
    try:
        with closing(sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return list(_runs(db, ledger, limit))
    except sqlite3.Error as error:
        raise StorageError(path=str(ledger), problem=f"cannot be read: {error}") from error


def _runs(db: sqlite3.Connection, ledger: Path, limit: int | None) -> Iterator[PastRun]:
    version = db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()[0]
    if int(version) > VERSION:
        raise StorageError(
            path=str(ledger),
            problem=f"is a ledger of version {version}, this version of qdrant-static reads up to "
            f"{VERSION}: upgrade it",
        )
    db.row_factory = sqlite3.Row
    found = db.execute(
        "SELECT * FROM runs ORDER BY id DESC LIMIT ?", (-1 if limit is None else limit,)
    )
    for row in found.fetchall():
        values = dict(row)  # ledgers of earlier versions lack some
        run = values["id"]
        rejects = Path(values["rejects"]) if values["rejects"] and values["rejects_bytes"] else None
        manifest = ledger.with_name(f"manifest-{run}.json")
        yield PastRun(
            run=run,
            state=values["state"],
            started=values["started"],
            ended=values["finished"],
            attempts=values["attempts"],
            totals=_totals(db, run, values.get("totals")),
            points_before=values["points_before"],
            points_after=values["points_after"],
            deleted=values["deleted"],
            rejects=rejects if rejects is not None and rejects.exists() else None,
            manifest=manifest if manifest.exists() else None,
            removed=tuple(json.loads(values.get("removed") or "[]")),
        )


def _totals(db: sqlite3.Connection, run: int, kept: str | None) -> Totals | None:
    if kept is not None:
        return Totals(**json.loads(kept))
    sums = ", ".join(f"sum({name})" for name in SUM)
    settled = "FROM batches WHERE run = ? AND state <> 'sent'"
    counts = db.execute(f"SELECT {sums} {settled}", (run,)).fetchone()
    if counts[0] is None:
        known = db.execute("SELECT 1 FROM files WHERE run = ?", (run,)).fetchone()
        return None if known is None else Totals()
    reasons: dict[str, int] = {}
    for (written,) in db.execute(f"SELECT reasons {settled} AND reasons <> '{{}}'", (run,)):
        for name, count in json.loads(written).items():
            reasons[name] = reasons.get(name, 0) + count
    return Totals(**dict(zip(SUM, counts, strict=True)), reasons=dict(sorted(reasons.items())))


def _moment(written: str) -> str:
    """``2024-02-29T03:00:01.123+00:00`` -> ``2024-02-29 03:00:01``."""
    return written[:19].replace("T", " ")
