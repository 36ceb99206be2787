"""One run: begun or continued, loaded, finished, and written down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from qdrant_static.clients.indexing import deferred_indexing, restore_all_indexing
from qdrant_static.clients.retry import call_with_retries
from qdrant_static.collection.create import (
    create_collection,
    read_spec,
    write_spec,
)
from qdrant_static.collection.migrationcheck import metadata_of, refusal
from qdrant_static.errors import (
    JobStoppedError,
    QdrantStaticError,
    TooManyRejectsError,
    VerificationError,
)
from qdrant_static.ingestion.account import AccountedRun
from qdrant_static.ingestion.finishing import Finish
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.loading import Load
from qdrant_static.ingestion.rebuild import rebuild
from qdrant_static.ingestion.telemetry import RowCounters
from qdrant_static.ingestion.unchanged import unchanged
from qdrant_static.ingestion.writing import Writer
from qdrant_static.journal import directwriters
from qdrant_static.journal.directwriters import other_ledger
from qdrant_static.journal.jobwriter import find_migration
from qdrant_static.ledger.records import Run, Totals, UnreadableFile
from qdrant_static.ledger.runidentity import encoding_key
from qdrant_static.reading.rejects import RejectsFile
from qdrant_static.reading.selection import row_options
from qdrant_static.sinks.encoding import BatchEncoder
from qdrant_static.sinks.latevectors import LateVectors

if TYPE_CHECKING:
    from qdrant_static.collection.spec import Fields
    from qdrant_static.ids import PointId


#: Notes of the ledger: the collection that its rows are of, and what decided their vectors.
_COLLECTION, _ENCODING = "collection", "encoding"
#: The ledger's own name, and the mark of another one's job whose rows it has read.
_NAME, _SEEN = "name", "seen"


@dataclass(slots=True, kw_only=True)
class IngestRun(AccountedRun):
    """A run of the ledger, or the next attempt of one; the fields are those of `ingest`.

    Attributes:
        mark: The mark that it has left in the collection; None before its first write.
    """

    mark: str | None = None

    def carry_out(self, own_rejects: Path | None) -> IngestReport:
        """Load, finish, and write down what was done."""
        restore_all_indexing(self.client, self.ledger.notes)
        self._look_for_others()
        if (report := unchanged(self, own_rejects)) is not None:
            self.display.log(report.nothing_to_do)
            return report
        run, again = self._begin(own_rejects)
        self.display.run = run.id
        self.display.log(f"started: {self._describe_input()}")
        try:
            with RejectsFile(
                Path(run.rejects or self.files.new_rejects()),
                options=row_options(
                    self.source.selection, getattr(self.source, "options", None), self.passages
                ),
                kept_bytes=run.rejects_bytes if again else 0,
            ) as rejected:
                return self._carry_out(run, rejected)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | JobStoppedError)
            state = "interrupted" if stopped else "failed"
            if isinstance(error, VerificationError):
                state = "abandoned"  # going on would end in the same disagreement
            with suppress(QdrantStaticError):  # the ledger may be what has failed
                self.ledger.runs.update(run.id, state=state)
            raise
        finally:
            if self.mark is not None and self.journaled is None:
                with suppress(QdrantStaticError):  # the server may be what has failed
                    self._leave(self.mark)

    def _carry_out(self, run: Run, rejected: RejectsFile) -> IngestReport:
        started = time.perf_counter()
        seconds: dict[str, float] = {}
        writer, encoder, ended, there = self._load(run, rejected)
        seconds["load"] = time.perf_counter() - started
        totals = self.ledger.runs.totals(run.id)
        unreadable = self.ledger.runs.unreadable(run.id)
        try:
            self._require_few_rejects(totals, rejected, unreadable, at_end=ended)
        except TooManyRejectsError as error:
            before, after = run.points_before or 0, self.count() if there else 0
            error.report = self._report(
                run,
                rejected,
                totals,
                seconds=seconds,
                points=(before, after, after - before + run.deleted),
                sampled=0,
                ended=False,
            )
            raise
        if not there:
            return self._leave_nothing(run, rejected, totals, seconds, ended=ended)
        ended = self._look_back(run, ended=ended)
        finish = Finish(
            client=self.client,
            collection=self.collection,
            spec=self.spec,
            ledger=self.ledger,
            run=run.id,
            display=self.display,
            stop=self.stop,
        )
        refused, not_deleted = None, 0
        if ended and self._deletes and unreadable:
            not_deleted = self.ledger.rows.count_vanished(run.id)
        elif ended and self._deletes:
            refused = finish.delete_missing(self._delete, force=self.force or self.building)
        if ended and (totals.points or self._run(run.id).deleted):
            started = time.perf_counter()
            ended = finish.build_index(totals.points)
            seconds["index"] = time.perf_counter() - started
        started = time.perf_counter()
        run = self._run(run.id)
        before, deleted = run.points_before or 0, run.deleted
        if ended:
            after, new = finish.count(totals, before=before, deleted=deleted, complete=run.complete)
        else:
            after = self.count()
            new = after - before + deleted
        # Of a run that was stopped, some samples may not have been acknowledged.
        sampled = finish.read_back(encoder, writer.sampled.values()) if ended else 0
        if ended and not self.building:
            self.spec = finish.with_fields(self._fields, totals)
        seconds["verify"] = time.perf_counter() - started
        if ended:
            self._note_left_over(run, totals)
            self._look_at_searches(finish, changed=bool(totals.points or deleted))
        report = self._report(
            run,
            rejected,
            totals,
            seconds=seconds,
            points=(before, after, new),
            sampled=sampled,
            ended=ended,
            not_deleted=not_deleted,
        )
        self._write_down(run, report, encoder.statistics)
        if refused is not None:
            refused.report = report
            raise refused
        return report

    def _note_left_over(self, run: Run, totals: Totals) -> None:
        """Note that points stay of rows that are rejected now, or of passages that are gone."""
        compares = self.sync and not self._deletes and not self.building
        if not compares or not (totals.rejected or self.passages is not None):
            return
        if points := self.ledger.rows.count_vanished(run.id):
            have = "1 point has" if points == 1 else f"{points:,} points have"
            self.display.say(
                f"{have} no row or passage in this input that could be stored: what earlier runs "
                "stored stays, and is found. If this is the whole input, --sync --delete-missing "
                "deletes it"
            )

    def _look_at_searches(self, finish: Finish, *, changed: bool) -> None:
        """Warn of payload indexes that lack points, and measure the recall of searches."""
        if not self.whole:
            return
        finish.check_indexes()
        if (self.shards or 1) == 1:  # several, of a collection to be shipped, are not searched
            self.spec = finish.measure_recall(self.spec, changed=changed)

    @property
    def _fields(self) -> Fields:
        """Where this job's payloads hold key and text, and how the text is made."""
        return self.source.selection.fields if self.passages is None else self.passages.fields

    # --- load --------------------------------------------------------------------------------

    def _load(self, run: Run, rejected: RejectsFile) -> tuple[Writer, BatchEncoder, bool, bool]:
        """Load the input; whether that came to its end, and whether the collection is there."""
        self._know_mean_length()
        late = None
        if self.spec.late is not None:  # its model may be missing: before anything is made
            late = LateVectors(self.client, self.collection, self.spec.late, self.late_encoder)
        names = [name for name, _ in self.ledger.runs.files(run.id)]
        settled = {names[file]: spans for file, spans in self.ledger.runs.settled(run.id).items()}
        items = self.source.batches(settled)
        items = self._sample(self._in_passages(items))
        encoder = BatchEncoder(self.spec, self.encoder)
        writer = Writer(
            self.client,
            self.collection,
            self.spec,
            self.ledger,
            run.id,
            rejected,
            encoder,
            self.on_duplicate,
            late,
            journaled=self.journaled,
            before_writing=self._before_writing,
        )
        writer.totals = self.ledger.runs.totals(run.id)
        if writer.totals.read:
            self.display.resume(writer.totals.read, writer.totals.stored, writer.totals.rejected)
        stack, there = ExitStack(), False

        def prepare() -> None:
            nonlocal there
            self._prepare(run)
            there = True
            if self.bulk:
                stack.enter_context(
                    deferred_indexing(self.client, self.collection, self.ledger.notes)
                )

        load = Load(
            ledger=self.ledger,
            run=run.id,
            files=names,
            encoder=encoder,
            writer=writer,
            rejected=rejected,
            display=self.display,
            counters=RowCounters(self.asked or self.collection, writer.totals),
            key=encoding_key(self.spec),
            sync=self.sync,
            on_duplicate=self.on_duplicate,
            prepare=prepare,
            cancel=getattr(self.source, "cancel", _nothing),
            limit=self.limit,
            threads=self.threads,
            stop=self.stop,
        )
        with stack, writer:
            ended = load.carry_out(items)
            if not there and self._may_prepare(writer.totals, load.unreadable, ended=ended):
                prepare()
            return writer, encoder, ended, there

    def _may_prepare(
        self, totals: Totals, unreadable: Sequence[UnreadableFile], *, ended: bool
    ) -> bool:
        """Whether a collection is to be there though no row of the input could be stored.

        One that is there stays. A new one is made if the input is sound and has no rows.
        """
        sound = ended and not totals.read and not unreadable
        return sound or self.always_made or self.client.collection_exists(self.collection)

    def _look_for_others(self) -> None:
        """Find out whether a job with another ledger has written since this one's last run."""
        if not (self.building or self.fills):
            found = other_ledger(metadata_of(self.client, self.collection), self._name)
            self.other = None if found == self.ledger.notes.get(_SEEN) else found

    @property
    def _name(self) -> str:
        """The ledger's own name, which it keeps wherever its folder is moved."""
        notes = self.ledger.notes
        if _NAME not in notes:
            notes[_NAME] = uuid4().hex
        return str(notes[_NAME])

    def _before_writing(self) -> None:
        """Leave a mark, tell migrations of a run that writes directly; refuse if one just began."""
        if self.mark is not None or self.building or self.fills:
            return
        self._look_for_others()
        if self.other is not None:
            self.ledger.notes[_COLLECTION] = ""  # what this one knows of other rows may be old
        if self.journaled is not None:
            self.mark = self._name
            directwriters.sign(self.client, self.collection, self._name)
            return
        run = self.ledger.runs.last()
        self.mark = directwriters.enter(
            self.client, self.collection, self.files.path, run.id if run else 0, self._name
        )
        if (state := find_migration(self.client, self.asked or self.collection)) is not None:
            raise refusal(state, self.collection, "it began just now. Run the job again")

    def _leave(self, mark: str) -> None:
        """Say that nothing more is written; look at all points next time if others wrote too."""
        if not directwriters.leave(self.client, self.collection, self.files.path, mark):
            self.ledger.notes[_COLLECTION] = ""

    def _delete(self, points: list[PointId]) -> None:
        self._before_writing()
        if self.journaled is not None:
            self.journaled.delete(points)
            return
        call_with_retries(
            self.client,
            self.collection,
            "deleting points",
            lambda: self.client.delete(self.collection, list(points), wait=True),
        )

    def _prepare(self, run: Run) -> None:
        """Have the collection there as it is to be, and know what it holds."""
        if not self.client.collection_exists(self.collection):
            self.ledger.rows.clear()  # of a collection that was deleted since
            self.ledger.runs.forget_unreadable(before=run.id)
            create_collection(self.client, self.collection, self.spec, shards=self.shards)
        elif read_spec(self.client, self.collection) != self.spec:
            write_spec(self.client, self.collection, self.spec)
        if run.points_before is None:
            before = self.count()
            moved = self._was_of_another(run) or self.other is not None
            complete = before == self.ledger.rows.count() and not moved
            if self.sync and not complete:
                why = (
                    "" if self.other is None else ", to which a job with another ledger has written"
                )
                self.display.say(
                    f"the ledger does not know the {before:,} points of {self.collection!r}{why}: "
                    "reading them"
                )
                before = rebuild(self.client, self.collection, self.ledger, self.spec)
                complete = True
            if complete or not moved:
                self.ledger.notes[_COLLECTION] = "" if self.fills else self.collection
                self.ledger.notes[_ENCODING] = encoding_key(self.spec).hex()
            if self.other is not None and complete:
                self.ledger.notes[_SEEN] = self.other
            self.ledger.runs.update(run.id, points_before=before, complete=complete)

    def _was_of_another(self, run: Run) -> bool:
        """Whether the ledger's rows are of another collection than the job's alias stands for now.

        Those of a run that filled a generation are too: the journal has changed it since. So are
        those of a collection that was given another vector: it was filled where it is.
        """
        known = self.ledger.notes.get(_COLLECTION)
        if known is not None:
            key = self.ledger.notes.get(_ENCODING)
            same = known == self.collection and key in (None, encoding_key(self.spec).hex())
            return not same and not self.fills
        # An earlier version left no note; another encoder tells of a cut-over.
        before = [one for one in self.ledger.runs.all() if one.id < run.id]
        return bool(before) and before[-1].identity.get("encoder") != run.identity.get("encoder")


def _nothing() -> None:
    """Sources that never wait have nothing to cancel."""
