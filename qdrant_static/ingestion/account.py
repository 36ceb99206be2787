"""The account of a run: its report, its manifest and its state in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qdrant_static.errors import TooManyRejectsError
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.manifest import write_manifest
from qdrant_static.ingestion.textstats import SampledRun
from qdrant_static.ledger.ledger import now
from qdrant_static.ledger.records import Run, RunState, Totals, UnreadableFile
from qdrant_static.reading.rejects import RejectsFile

if TYPE_CHECKING:
    from qdrant_static.encoders.statistics import EncodingStatistics


@dataclass(slots=True, kw_only=True)
class AccountedRun(SampledRun):
    """A run that reports what became of its rows."""

    def _describe_input(self) -> str:
        """What a run reads, for a log."""
        rows = self.source.total_rows
        return (
            f"{len(self.source.files):,} file{'s' if len(self.source.files) != 1 else ''}"
            + ("" if rows is None else f", {rows:,} rows")
            + f", encoder {self.encoder.info.name}"
        )

    def _require_few_rejects(
        self,
        totals: Totals,
        rejected: RejectsFile,
        unreadable: Sequence[UnreadableFile],
        *,
        at_end: bool,
    ) -> None:
        if self.limit is not None and self.limit.is_exceeded(
            totals, at_end=at_end, unreadable=len(unreadable)
        ):
            raise TooManyRejectsError(
                rejected=totals.rejected,
                read=totals.read,
                limit=self.limit.text,
                rejects=str(rejected.path),
                unreadable=tuple(map(str, unreadable)),
            )

    def _report(
        self,
        run: Run,
        rejected: RejectsFile,
        totals: Totals,
        *,
        seconds: Mapping[str, float],
        points: tuple[int, int, int],
        sampled: int,
        ended: bool,
        not_deleted: int = 0,
    ) -> IngestReport:
        """The account of a run; its points before, after, and how many of those are new."""
        before, after, new = points
        unreadable = self.ledger.runs.unreadable(run.id)
        done = totals.stored + totals.payload_updated + totals.unchanged
        return IngestReport(
            collection=self.asked or self.collection,
            encoder=self.encoder.info.name,
            fields=self.spec.fields,
            files=len(self.source.files),
            unreadable_files=len(unreadable),
            read=totals.read,
            stored=0 if self.building else totals.stored,
            built=done if self.building else 0,
            rejected=dict(totals.reasons),
            rejects_path=rejected.path if rejected else None,
            left_out=self.source.left_out,
            points_before=before,
            points_after=after,
            seconds=seconds,
            interrupted=not ended,
            payload_updated=0 if self.building else totals.payload_updated,
            unchanged=0 if self.building else totals.unchanged,
            superseded=totals.superseded,
            points_written=totals.points,
            new=new,
            deleted=run.deleted,
            exact=run.complete and ended,
            run=run.id,
            attempts=run.attempts,
            sampled=sampled,
            ledger=self.ledger.path,
            manifest=self.files.manifest(run.id) if ended else None,
            earlier=self.display.earlier,
            notes=tuple(self.display.notes),
            zero_vectors=self.ledger.encoded.of_run(run.id).zeros,
            unreadable=unreadable,
            not_deleted=not_deleted,
        )

    def _leave_nothing(
        self,
        run: Run,
        rejected: RejectsFile,
        totals: Totals,
        seconds: Mapping[str, float],
        *,
        ended: bool,
    ) -> IngestReport:
        """Finish a run whose collection was not made, as no row of the input could be stored."""
        if ended:
            self.display.say(
                f"collection {self.collection!r} was not made: no row of the input could be stored"
            )
        report = self._report(
            run, rejected, totals, seconds=seconds, points=(0, 0, 0), sampled=0, ended=ended
        )
        report = replace(report, exact=ended)  # nothing before, and nothing after
        self._write_down(run, report, None, state="finished")
        return report

    def _write_down(
        self,
        run: Run,
        report: IngestReport,
        statistics: EncodingStatistics | None,
        *,
        state: RunState | None = None,
    ) -> None:
        """Keep what was done: the manifest, if it was done to the end, and the ledger's state."""
        if not report.interrupted:
            self.ledger.rows.release(run.id)
        if report.manifest is not None:
            write_manifest(
                report.manifest,
                report,
                spec=self.spec,
                files=self.ledger.runs.files(run.id),
                statistics=statistics,
                details={"started": run.started, "finished": now(), "options": self._options()},
            )
        done = state or ("built" if self.building else "finished")
        self.ledger.runs.update(
            run.id,
            state="interrupted" if report.interrupted else done,
            finished=now(),
            points_after=report.points_after,
        )
