"""Runs an ingest: begins or continues a run, loads the input, finishes, and records the account."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qdrant_static.clients.indexing import deferred_indexing, restore_all_indexing
from qdrant_static.errors import (
    JobStoppedError,
    QdrantStaticError,
    TooManyRejectsError,
    VerificationError,
)
from qdrant_static.ingestion import continuing
from qdrant_static.ingestion.account import Account
from qdrant_static.ingestion.finishing import Finish
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.loading import Load, RowCounters
from qdrant_static.ingestion.modes import Mode
from qdrant_static.ingestion.preparing import prepare_collection
from qdrant_static.ingestion.textstats import (
    correct_mean_length,
    in_passages,
    note_zero_vectors,
    sample_texts,
)
from qdrant_static.ingestion.writing import Writer
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.records import Run, Totals
from qdrant_static.reading.rejects import RejectsFile
from qdrant_static.reading.selection import row_options
from qdrant_static.sinks.encoding import BatchEncoder, LateVectors

if TYPE_CHECKING:
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ingestion.progress import Progress
    from qdrant_static.ingestion.runspec import RunSpec

#: What a run does between its begin and its end.
Body = Callable[[Run, RejectsFile], IngestReport]


@dataclass(slots=True, kw_only=True)
class IngestRun:
    """A run of a `RunSpec`, or the next attempt of one that was cut short.

    Attributes:
        mode: What is written where.
        spec: The collection's spec: the request's, which the load completes.
    """

    mode: Mode
    spec: CollectionSpec = field(init=False)

    def __post_init__(self) -> None:
        self.spec = self.mode.request.spec

    @property
    def request(self) -> RunSpec:
        """What the run does."""
        return self.mode.request

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.mode.workspace.ledger

    @property
    def display(self) -> Progress:
        """The display."""
        return self.mode.workspace.display

    @property
    def account(self) -> Account:
        """Reports and records the run."""
        return Account(mode=self.mode)

    def execute(self, body: Body | None = None) -> IngestReport:
        """Run, and record the account.

        Args:
            body: What is done between begin and end; None: `load_and_finish`.
        """
        mode, source = self.mode, self.request.source
        restore_all_indexing(mode.client, self.ledger.notes)
        mode.look_for_others()
        if (report := continuing.find_unchanged(mode)) is not None:
            self.display.log(report.nothing_to_do)
            return report
        record, resumed = continuing.begin(mode)
        self.display.run = record.id
        self.display.log(f"started: {self.request}")
        try:
            with RejectsFile(
                Path(record.rejects or mode.workspace.files.new_rejects()),
                options=row_options(
                    source.selection, getattr(source, "options", None), self.request.passages
                ),
                kept_bytes=record.rejects_bytes if resumed else 0,
            ) as rejected:
                return (body or self.load_and_finish)(record, rejected)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | JobStoppedError)
            state = "interrupted" if stopped else "failed"
            if isinstance(error, VerificationError):
                state = "abandoned"  # continuing would end in the same disagreement
            with suppress(QdrantStaticError):  # the ledger may be what has failed
                self.ledger.runs.update(record.id, state=state)
            raise
        finally:
            with suppress(QdrantStaticError):  # the server may be what has failed
                mode.after_writing()

    def load_and_finish(self, record: Run, rejected: RejectsFile) -> IngestReport:
        """Load the input, finish the collection, and record the account."""
        started = time.perf_counter()
        load = self._load(record, rejected)
        seconds = {"load": time.perf_counter() - started}
        totals = self.ledger.runs.totals(record.id)
        self._check_rejects(record, rejected, totals, load, seconds)
        if not load.exists:
            return self.account.close_without_collection(
                record, rejected, totals, spec=self.spec, seconds=seconds, ended=load.ended
            )
        return self._finish(record, rejected, totals, load, seconds)

    def _check_rejects(
        self,
        record: Run,
        rejected: RejectsFile,
        totals: Totals,
        load: Load,
        seconds: dict[str, float],
    ) -> None:
        unreadable = self.ledger.runs.unreadable(record.id)
        try:
            self.account.check_rejects(totals, rejected, unreadable, at_end=load.ended)
        except TooManyRejectsError as error:
            before = record.points_before or 0
            after = self.mode.count() if load.exists else 0
            error.report = self.account.report(
                record,
                rejected,
                totals,
                spec=self.spec,
                seconds=seconds,
                points=(before, after, after - before + record.deleted),
                ended=False,
            )
            raise

    def _load(self, record: Run, rejected: RejectsFile) -> Load:
        mode, request = self.mode, self.request
        self.spec = mode.known_spec(self.spec)
        late = None
        if self.spec.late is not None:  # its model may be missing: before anything is made
            late = LateVectors(mode.client, mode.collection, self.spec.late, request.late_encoder)
        names = [name for name, _ in self.ledger.runs.files(record.id)]
        settled = {
            names[file]: spans for file, spans in self.ledger.runs.settled(record.id).items()
        }
        items, self.spec = sample_texts(
            in_passages(request.source.batches(settled), request),
            request,
            mode.workspace,
            self.spec,
        )
        encoder = BatchEncoder(self.spec, request.encoder)
        writer = Writer(mode, self.spec, record.id, rejected, encoder, late)
        if writer.totals.read:
            self.display.resume(writer.totals.read, writer.totals.stored, writer.totals.rejected)
        stack = ExitStack()

        def prepare() -> None:
            prepare_collection(mode, record, self.spec)
            if request.options.bulk:
                stack.enter_context(
                    deferred_indexing(mode.client, mode.collection, self.ledger.notes)
                )

        load = Load(
            request=request,
            workspace=mode.workspace,
            run=record.id,
            files=names,
            encoder=encoder,
            writer=writer,
            rejected=rejected,
            counters=RowCounters(request.name, writer.totals),
            prepare=prepare,
        )
        with stack, writer:
            load.execute(items)
            if not load.exists and self._must_exist(load):
                prepare()
                load.exists = True
            return load

    def _must_exist(self, load: Load) -> bool:
        """Return whether the collection must exist though no row of the input could be stored.

        An existing one stays. A new one is created if the input is sound and has no rows.
        """
        sound = load.ended and not load.writer.totals.read and not load.unreadable
        mode = self.mode
        return sound or mode.creates_empty or mode.client.collection_exists(mode.collection)

    def finish(self, record: Run) -> Finish:
        """Return the steps after the load, for the spec as it is now."""
        mode = self.mode
        return Finish(
            client=mode.client, collection=mode.collection, spec=self.spec, ledger=self.ledger,
            run=record.id, display=self.display, stop=self.request.stop,
            query_encoder=self.request.query_encoder,
        )  # fmt: skip

    def _finish(
        self,
        record: Run,
        rejected: RejectsFile,
        totals: Totals,
        load: Load,
        seconds: dict[str, float],
    ) -> IngestReport:
        mode = self.mode
        ended = self._correct_texts(record, load)
        finish = self.finish(record)
        refused, not_deleted = None, 0
        if ended and mode.deletes and self.ledger.runs.unreadable(record.id):
            not_deleted = self.ledger.rows.count_vanished(record.id)
        elif ended and mode.deletes:
            refused = finish.delete_missing(mode.delete, force=mode.forces_deletion)
        if ended and (totals.points or continuing.find_run(self.ledger, record.id).deleted):
            started = time.perf_counter()
            ended = finish.build_index(totals.points)
            seconds["index"] = time.perf_counter() - started
        started = time.perf_counter()
        record = continuing.find_run(self.ledger, record.id)
        before, deleted = record.points_before or 0, record.deleted
        if ended:
            after, new = finish.count(
                totals, before=before, deleted=deleted, complete=record.complete
            )
        else:
            after = mode.count()
            new = after - before + deleted
        # Of a run that was stopped, some samples may not have been acknowledged.
        sampled = finish.read_back(load.encoder, load.writer.sampled.values()) if ended else 0
        if ended and not mode.builds:
            self.spec = finish.with_fields(self.request.fields, totals)
        seconds["verify"] = time.perf_counter() - started
        if ended:
            self._check_searches(finish, totals, changed=bool(totals.points or deleted))
        report = self.account.report(
            record,
            rejected,
            totals,
            spec=self.spec,
            seconds=seconds,
            points=(before, after, new),
            sampled=sampled,
            ended=ended,
            not_deleted=not_deleted,
        )
        self.account.close(record, report, spec=self.spec, statistics=load.encoder.statistics)
        if refused is not None:
            refused.report = report
            raise refused
        return report

    def _correct_texts(self, record: Run, load: Load) -> bool:
        """Note zero vectors and correct BM25's mean length; return False if it was stopped."""
        encoded = self.ledger.encoded
        zeros = encoded.of_run(record.id).zeros
        note_zero_vectors(self.request, self.mode.workspace, self.spec, zeros)
        if not load.ended:
            return False
        texts, terms = encoded.texts_and_terms(record.id)
        corrected = correct_mean_length(self.mode, self.spec, texts=texts, terms=terms)
        self.spec = corrected or self.spec
        return corrected is not None

    def _check_searches(self, finish: Finish, totals: Totals, *, changed: bool) -> None:
        """Note points that stay, warn of indexes that lack points, and measure the recall."""
        mode, request = self.mode, self.request
        if request.options.sync and not mode.deletes:
            finish.note_left_over(totals, passages=request.passages is not None)
        if mode.is_whole:
            finish.check_indexes()
            if (mode.shards or 1) == 1:  # several, of a collection to be shipped, are not searched
                self.spec = finish.measure_recall(self.spec, changed=changed)
