"""Which run of the ledger a job executes: a new one, the last one if it was cut short, or none."""

from __future__ import annotations

from pathlib import Path

from qdrant_static.errors import ArgumentError
from qdrant_static.ingestion.account import Account
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.manifest import versions
from qdrant_static.ingestion.modes import Mode
from qdrant_static.ingestion.runspec import RunSpec
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.records import Run
from qdrant_static.ledger.runidentity import differences


def begin(mode: Mode) -> tuple[Run, bool]:
    """Begin a new run, or resume the last one if it was cut short and is the same.

    Returns:
        The run as the ledger records it, and whether it is resumed.
    """
    request, ledger = mode.request, mode.workspace.ledger
    display = mode.workspace.display
    last = ledger.runs.last()
    if last is not None and last.state not in ("finished", "abandoned"):
        changes = _changes(mode, last)
        if not changes:
            ledger.resume(last.id)
            display.note(f"going on with run {last.id}, which did not end")
            return find_run(ledger, last.id), True
        display.note(
            f"run {last.id} did not end, and is not continued: {'; '.join(changes)}. "
            "Everything is read from the beginning"
        )
    mode.clear(last)
    number = ledger.begin(
        identity=request.identity(**mode.identity()),
        files=request.files(),
        rejects=str(request.rejects or mode.workspace.files.new_rejects()),
        versions=versions(),
        building=mode.builds,
    )
    return find_run(ledger, number), False


def find_run(ledger: Ledger, number: int) -> Run:
    """Return the ledger's record of the run that is under way."""
    last = ledger.runs.last()
    if last is None or last.id != number:
        raise ArgumentError(field="state", problem=f"run {number} has gone from the ledger")
    return last


def is_same(request: RunSpec, ledger: Ledger, record: Run, **more: object) -> bool:
    """Return whether a run of the ledger has done what this one is to do."""
    files = ledger.runs.files(record.id)
    return not differences(record.identity, request.identity(**more), files, request.files())


def find_built(mode: Mode) -> Run | None:
    """Return the last run if it has built all of what this one is to build, and it exists."""
    last = mode.workspace.ledger.runs.last()
    if last is None or last.state != "built":
        return None
    return None if _changes(mode, last) else last


def _changes(mode: Mode, last: Run) -> list[str]:
    """Return what keeps an unfinished run from being continued."""
    request, ledger = mode.request, mode.workspace.ledger
    changes = differences(
        last.identity,
        request.identity(**mode.identity()),
        ledger.runs.files(last.id),
        request.files(),
    )
    if mode.other is not None:
        changes.append(f"a job with another ledger has written to {mode.collection!r} since")
    return changes + mode.losses(last)


def find_unchanged(mode: Mode) -> IngestReport | None:
    """Return the account of a job that has nothing to do; None if there is something to do.

    There is something to do wherever a difference could be seen: other files, options, encoder or
    version, an input that was not read to its end, more rejects than allowed, another number of
    points. With ``sync`` rows are compared one by one, and nothing is skipped.
    """
    request, ledger = mode.request, mode.workspace.ledger
    last = ledger.runs.last()
    if last is None or not _is_done(mode, last):
        return None
    totals = ledger.runs.totals(last.id)
    limit = request.options.reject_limit
    if limit is not None and limit.is_exceeded(totals, at_end=True):
        return None
    rejects = Path(last.rejects) if totals.rejected and last.rejects else None
    if rejects is not None and (not rejects.exists() or request.rejects not in (None, rejects)):
        return None
    if not mode.client.collection_exists(mode.collection):
        return None
    points = mode.count()
    if not points == last.points_after == ledger.rows.count():
        return None
    return Account(mode=mode).unchanged(last, totals, points=points, rejects=rejects)


def _is_done(mode: Mode, last: Run) -> bool:
    """Return whether a run read the whole of the same input, in the same way."""
    request, ledger = mode.request, mode.workspace.ledger
    if request.options.again or request.options.sync or mode.builds or mode.other is not None:
        return False
    if last.building or last.state != "finished":
        return False
    if getattr(request.source, "unreadable", ()) or ledger.runs.unreadable(last.id):
        return False
    marks = request.source.fingerprints().values()
    # What can be read only once, and what does not say when it was changed, may be another.
    if not marks or any(mark.size < 0 or not mark.modified_ns for mark in marks):
        return False
    named = request.encoder.info.name == request.spec.encoder.name
    return named and dict(last.versions) == versions() and is_same(request, ledger, last)
