"""Rejects files and manifests of old runs, which would fill the disk: removed, and noted."""

from __future__ import annotations

import json
from pathlib import Path

from qdrant_static.errors import ArgumentError
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.records import Run

#: How many runs keep their files by default.
KEPT_RUNS = 20
#: Key of the ledger's note of the number that was given last.
NOTE = "keep_runs"
#: What a run's own files in the folder of its jobs are called.
_OWN = ("rejects-", "retry-")


def check_keep_runs(keep: int | None) -> None:
    """Refuse a number of runs that keeps nothing.

    Raises:
        ArgumentError: If it is below 1.
    """
    if keep is not None and keep < 1:
        raise ArgumentError(
            field="keep_runs", problem=f"{keep} is below 1: the last run's files stay"
        )


def remove_old_files(ledger: Ledger, folder: Path, keep: int | None) -> list[Path]:
    """Remove the rejects files and manifests of all but the last runs.

    A run that may be continued keeps its files, and so do rejects files that lie elsewhere,
    because their caller named them. The ledger keeps the runs' sums and says which files went.

    Args:
        ledger: The collection's.
        folder: The folder of its jobs.
        keep: How many of the last runs keep their files; None: the number that was given last.

    Returns:
        What was removed.
    """
    if keep is not None and ledger.notes.get(NOTE) != keep:
        ledger.notes[NOTE] = keep
    keep = ledger.notes.get(NOTE, KEPT_RUNS)
    runs = ledger.runs()
    over = ("finished", "abandoned")
    recent = {one.id for one in runs[-keep:]}
    kept = {one.id for one in runs if one.id in recent or one.state not in over}
    wanted = {path for one in runs if one.id in kept for path in _files(ledger, folder, one)}
    gone: list[Path] = []
    for one in runs:
        if one.id in kept or one.removed is not None:
            continue
        mine = [
            path for path in _files(ledger, folder, one) if path not in wanted and path.exists()
        ]
        # Noted before they go: what is left after a crash is an old file, and no lost one.
        ledger.note(one.id, removed=json.dumps([path.name for path in mine]))
        for path in mine:
            path.unlink(missing_ok=True)
        gone += mine
    return gone


def _files(ledger: Ledger, folder: Path, run: Run) -> list[Path]:
    """A run's own files in the folder of its jobs, whether they are there or not."""
    named = [Path(path) for path, _ in ledger.files(run.id)]
    named += [] if run.rejects is None else [Path(run.rejects)]
    home = folder.resolve()
    own = [path for path in named if path.name.startswith(_OWN) and path.parent.resolve() == home]
    return [*own, folder / f"manifest-{run.id}.json"]
