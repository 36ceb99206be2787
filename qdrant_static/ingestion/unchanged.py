"""Whether a job has nothing to do, because the last run read the same input and all is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.manifest import versions

if TYPE_CHECKING:
    from qdrant_static.ingestion.runchoice import ContinuableRun
    from qdrant_static.ledger.records import Run


def unchanged(job: ContinuableRun, own_rejects: Path | None) -> IngestReport | None:
    """The account of a job that has nothing to do; None if there is something.

    There is where anybody could tell a difference: other files, options, encoder or version, an
    input that was not read to its end, more rejects than allowed, another number of points. With
    ``sync`` rows are compared one by one, and nothing is left out.

    Args:
        job: The job.
        own_rejects: Where its rejects are to go, if that was given.
    """
    last = job.ledger.runs.last()
    if last is None or not _is_done(job, last):
        return None
    totals = job.ledger.runs.totals(last.id)
    if job.limit is not None and job.limit.is_exceeded(totals, at_end=True):
        return None
    rejects = Path(last.rejects) if totals.rejected and last.rejects else None
    if rejects is not None and (not rejects.exists() or own_rejects not in (None, rejects)):
        return None
    if not job.client.collection_exists(job.collection):
        return None
    points = job.count()
    if not points == last.points_after == job.ledger.rows.count():
        return None
    manifest = job.files.manifest(last.id)
    return IngestReport(
        collection=job.asked or job.collection,
        encoder=job.encoder.info.name,
        fields=job.spec.fields,
        files=len(job.source.files),
        unreadable_files=0,
        read=totals.read,
        stored=0,
        rejected=dict(totals.reasons),
        rejects_path=rejects,
        left_out=job.source.left_out,
        points_before=points,
        points_after=points,
        seconds={"load": 0.0},
        unchanged=totals.stored + totals.payload_updated + totals.unchanged,
        superseded=totals.superseded,
        run=last.id,
        ledger=job.ledger.path,
        manifest=manifest if manifest.exists() else None,
        unchanged_since=last.finished,
    )


def _is_done(job: ContinuableRun, last: Run) -> bool:
    """Whether a run read the whole of the same input as this job would, and in the same way."""
    if job.again or job.sync or job.building or job.other is not None:
        return False
    if last.building or last.state != "finished":
        return False
    if getattr(job.source, "unreadable", ()) or job.ledger.runs.unreadable(last.id):
        return False
    marks = job.source.fingerprints().values()
    # What can be read only once, and what does not say when it was changed, may be another.
    if not marks or any(mark.size < 0 or not mark.modified_ns for mark in marks):
        return False
    named = job.encoder.info.name == job.spec.encoder.name
    return named and dict(last.versions) == versions() and job.is_same(last)
