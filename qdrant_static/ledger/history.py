"""Past runs of a collection: what they did, and which of their files are kept.

Past runs are read without a lock on the ledger: a job may be writing it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qdrant_static.errors import LedgerNotFoundError, StorageError
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.ledgerfile import VERSION
from qdrant_static.ledger.records import SUM, Run, Totals, sum_line

#: How many runs keep their rejects files and manifests by default.
KEPT_RUNS = 20
#: Key of the ledger's note of the number that was set last.
KEEP_RUNS_NOTE = "keep_runs"
#: Beginnings of the names of a run's own files in the folder of its jobs.
_OWN = ("rejects-", "retry-")


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One run, as its ledger records it.

    Attributes:
        run: Its number.
        state: ``finished``; ``built``: complete in a local folder, not yet shipped;
            ``interrupted`` and ``failed``: the same command continues it; ``abandoned``: a later
            run has started from the beginning; ``running``: it runs, or its process died.
        started: ISO 8601, UTC.
        ended: ISO 8601, UTC; None for a run that has neither finished nor been interrupted.
        attempts: How many times it was started.
        totals: What became of its rows; None where that is no longer known.
        points_before: Exact count of points before it; None if it did not come that far.
        points_after: Exact count of points after it; None if it did not come that far.
        deleted: Points that it deleted.
        rejects: The file of its rejects; None if there are none, or the file was removed.
        manifest: Its manifest; None if it has none, or the file was removed.
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
        """Return the run as JSON-like data."""
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
            lines.append("its sums are no longer known")
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
    """Return the runs of a ledger, the last one first.

    Args:
        ledger: The file; it is only read.
        limit: Return at most so many.

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
        values = dict(row)  # ledgers of earlier versions lack some columns
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
    """Shorten ``2024-02-29T03:00:01.123+00:00`` to ``2024-02-29 03:00:01``."""
    return written[:19].replace("T", " ")


def remove_old_files(ledger: Ledger, folder: Path, keep: int | None) -> list[Path]:
    """Remove the rejects files and manifests of all but the last runs.

    A run that may be continued keeps its files. Rejects files in other folders stay too, because
    their caller named them. The ledger keeps the runs' sums and notes which files were removed.

    Args:
        ledger: The collection's.
        folder: The folder of its jobs.
        keep: How many of the last runs keep their files; None: the number that was set last.

    Returns:
        The files that were removed.
    """
    if keep is not None and ledger.notes.get(KEEP_RUNS_NOTE) != keep:
        ledger.notes[KEEP_RUNS_NOTE] = keep
    keep = ledger.notes.get(KEEP_RUNS_NOTE, KEPT_RUNS)
    runs = ledger.runs.all()
    over = ("finished", "abandoned")
    recent = {run.id for run in runs[-keep:]}
    kept = {run.id for run in runs if run.id in recent or run.state not in over}
    wanted = {path for run in runs if run.id in kept for path in _files(ledger, folder, run)}
    removed: list[Path] = []
    for run in runs:
        if run.id in kept or run.removed is not None:
            continue
        own = [path for path in _files(ledger, folder, run) if path not in wanted and path.exists()]
        # Noted before they are removed: after a crash an old file may be left, and none is missing.
        ledger.runs.update(run.id, removed=json.dumps([path.name for path in own]))
        for path in own:
            path.unlink(missing_ok=True)
        removed += own
    return removed


def _files(ledger: Ledger, folder: Path, run: Run) -> list[Path]:
    """Return a run's own files in the folder of its jobs, whether they exist or not."""
    named = [Path(path) for path, _ in ledger.runs.files(run.id)]
    named += [] if run.rejects is None else [Path(run.rejects)]
    home = folder.resolve()
    own = [path for path in named if path.name.startswith(_OWN) and path.parent.resolve() == home]
    return [*own, folder / f"manifest-{run.id}.json"]
