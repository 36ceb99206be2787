"""The account of a run: its report, its manifest and its state in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qdrant_static.errors import TooManyRejectsError
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.manifest import write_manifest
from qdrant_static.ingestion.modes import Mode
from qdrant_static.ledger.ledger import now
from qdrant_static.ledger.records import Run, RunState, Totals, UnreadableFile
from qdrant_static.reading.rejects import RejectsFile

if TYPE_CHECKING:
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.statistics import EncodingStatistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Reports and records what became of the rows of a run.

    Attributes:
        mode: The run's mode.
    """

    mode: Mode

    def check_rejects(
        self,
        totals: Totals,
        rejected: RejectsFile,
        unreadable: Sequence[UnreadableFile],
        *,
        at_end: bool,
    ) -> None:
        """Raise `TooManyRejectsError` if there are more rejects than allowed."""
        limit = self.mode.request.options.reject_limit
        if limit is not None and limit.is_exceeded(
            totals, at_end=at_end, unreadable=len(unreadable)
        ):
            raise TooManyRejectsError(
                rejected=totals.rejected,
                read=totals.read,
                limit=limit.text,
                rejects=str(rejected.path),
                unreadable=tuple(map(str, unreadable)),
            )

    def report(
        self,
        record: Run,
        rejected: RejectsFile,
        totals: Totals,
        *,
        spec: CollectionSpec,
        seconds: Mapping[str, float],
        points: tuple[int, int, int],
        sampled: int = 0,
        ended: bool,
        not_deleted: int = 0,
    ) -> IngestReport:
        """Return the account of a run; its points before, after, and how many of those are new."""
        request, workspace = self.mode.request, self.mode.workspace
        before, after, new = points
        unreadable = workspace.ledger.runs.unreadable(record.id)
        counts = self.mode.counts(
            stored=totals.stored,
            payload_updated=totals.payload_updated,
            unchanged=totals.unchanged,
        )
        return IngestReport(
            collection=request.name,
            encoder=request.encoder.info.name,
            fields=spec.fields,
            files=len(request.source.files),
            unreadable_files=len(unreadable),
            read=totals.read,
            rejected=dict(totals.reasons),
            rejects_path=rejected.path if rejected else None,
            left_out=request.source.left_out,
            points_before=before,
            points_after=after,
            seconds=seconds,
            interrupted=not ended,
            stored=counts.get("stored", 0),
            built=counts.get("built", 0),
            payload_updated=counts.get("payload_updated", 0),
            unchanged=counts.get("unchanged", 0),
            superseded=totals.superseded,
            points_written=totals.points,
            new=new,
            deleted=record.deleted,
            exact=record.complete and ended,
            run=record.id,
            attempts=record.attempts,
            sampled=sampled,
            ledger=workspace.ledger.path,
            manifest=workspace.files.manifest(record.id) if ended else None,
            earlier=workspace.display.earlier,
            notes=tuple(workspace.display.notes),
            zero_vectors=workspace.ledger.encoded.of_run(record.id).zeros,
            unreadable=unreadable,
            not_deleted=not_deleted,
        )

    def unchanged(
        self, last: Run, totals: Totals, *, points: int, rejects: Path | None
    ) -> IngestReport:
        """Return the account of a job whose input the last run has stored already."""
        request, workspace = self.mode.request, self.mode.workspace
        manifest = workspace.files.manifest(last.id)
        return IngestReport(
            collection=request.name,
            encoder=request.encoder.info.name,
            fields=request.spec.fields,
            files=len(request.source.files),
            unreadable_files=0,
            read=totals.read,
            stored=0,
            rejected=dict(totals.reasons),
            rejects_path=rejects,
            left_out=request.source.left_out,
            points_before=points,
            points_after=points,
            seconds={"load": 0.0},
            unchanged=totals.stored + totals.payload_updated + totals.unchanged,
            superseded=totals.superseded,
            run=last.id,
            ledger=workspace.ledger.path,
            manifest=manifest if manifest.exists() else None,
            unchanged_since=last.finished,
        )

    def close_without_collection(
        self,
        record: Run,
        rejected: RejectsFile,
        totals: Totals,
        *,
        spec: CollectionSpec,
        seconds: Mapping[str, float],
        ended: bool,
    ) -> IngestReport:
        """Close a run whose collection was not created, as no row of the input could be stored."""
        if ended:
            self.mode.workspace.display.note(
                f"collection {self.mode.collection!r} was not made: no row of the input could be "
                "stored"
            )
        report = self.report(
            record, rejected, totals, spec=spec, seconds=seconds, points=(0, 0, 0), ended=ended
        )
        report = replace(report, exact=ended)  # nothing before, and nothing after
        self.close(record, report, spec=spec, state="finished")
        return report

    def close(
        self,
        record: Run,
        report: IngestReport,
        *,
        spec: CollectionSpec,
        statistics: EncodingStatistics | None = None,
        state: RunState | None = None,
    ) -> None:
        """Write the manifest of a run that came to its end, and the ledger's state of any run."""
        request, ledger = self.mode.request, self.mode.workspace.ledger
        if not report.interrupted:
            ledger.rows.release(record.id)
        if report.manifest is not None:
            write_manifest(
                report.manifest,
                report,
                spec=spec,
                files=ledger.runs.files(record.id),
                statistics=statistics,
                details={
                    "started": record.started,
                    "finished": now(),
                    "options": request.recorded_options(**self.mode.identity()),
                },
            )
        ledger.runs.update(
            record.id,
            state="interrupted" if report.interrupted else state or self.mode.ended,
            finished=now(),
            points_after=report.points_after,
        )
