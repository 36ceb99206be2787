"""One run: begun or continued, loaded, finished, and written down."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from qdrant_static.collection.build import (
    create_collection,
    read_spec,
    write_spec,
)
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.errors import (
    QdrantStaticError,
    SpecError,
    TooManyRejectsError,
    VerificationError,
)
from qdrant_static.ingest.accounting.accounts import Run, Totals
from qdrant_static.ingest.accounting.hashes import encoding_key
from qdrant_static.ingest.accounting.identity import differences, identity
from qdrant_static.ingest.accounting.ledger import Ledger, now
from qdrant_static.ingest.accounting.state import State
from qdrant_static.ingest.deciding import OnDuplicate
from qdrant_static.ingest.encoding import BatchEncoder, mean_length
from qdrant_static.ingest.finishing import Finish
from qdrant_static.ingest.late import LateVectors
from qdrant_static.ingest.limits import RejectLimit
from qdrant_static.ingest.loading import Load, in_passages, sample
from qdrant_static.ingest.manifest import versions, write_manifest
from qdrant_static.ingest.progress import Progress
from qdrant_static.ingest.reading.passages import Passages, token_offsets
from qdrant_static.ingest.reading.rejects import RejectsFile
from qdrant_static.ingest.reading.sources import AnySource
from qdrant_static.ingest.rebuild import rebuild
from qdrant_static.ingest.report import IngestReport
from qdrant_static.ingest.server.bulk import deferred_indexing, restore_indexing
from qdrant_static.ingest.server.calls import exact_count
from qdrant_static.ingest.telemetry import RowCounters
from qdrant_static.ingest.writing import Writer

if TYPE_CHECKING:
    from qdrant_static.connect import Client
    from qdrant_static.encoders.base import Encoder, LateInteractionEncoder
    from qdrant_static.encoders.statistics import EncodingStatistics
    from qdrant_static.ingest.reading.inputs import Fingerprint


def _marked(mark: Fingerprint) -> str:
    """A fingerprint as the ledger has it; what can be read once only is never the same again."""
    if mark.size < 0:
        return f"read {now()}, {uuid4().hex}"
    return f"{mark.size} bytes, {mark.modified_ns}, {mark.digest}"


@dataclass(slots=True, kw_only=True)
class IngestRun:
    """A run of the ledger, or the next attempt of one; the fields are those of `ingest`."""

    client: Client
    collection: str
    spec: CollectionSpec
    encoder: Encoder
    source: AnySource
    files: State
    ledger: Ledger
    display: Progress
    threads: int
    stop: threading.Event | None
    sync: bool
    delete_missing: bool
    force: bool
    on_duplicate: OnDuplicate
    limit: RejectLimit | None
    bulk: bool
    passages: Passages | None
    late_encoder: LateInteractionEncoder | None = None
    #: Shards of a local collection, which is built to be shipped; None: nothing is to be shipped.
    shards: int | None = None

    @property
    def building(self) -> bool:
        """Whether the client is a local one, and what it stores is to be shipped."""
        return self.shards is not None

    def carry_out(self, own_rejects: Path | None) -> IngestReport:
        """Load, finish, and write down what was done."""
        restore_indexing(self.client, self.collection, self.ledger.notes)
        run, again = self._begin(own_rejects)
        try:
            with RejectsFile(
                Path(run.rejects or self.files.new_rejects()),
                kept_bytes=run.rejects_bytes if again else 0,
            ) as rejected:
                return self._carry_out(run, rejected)
        except BaseException as error:
            state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            if isinstance(error, VerificationError):
                state = "abandoned"  # going on would end in the same disagreement
            with suppress(QdrantStaticError):  # the ledger may be what has failed
                self.ledger.note(run.id, state=state)
            raise

    def _carry_out(self, run: Run, rejected: RejectsFile) -> IngestReport:
        started = time.perf_counter()
        seconds: dict[str, float] = {}
        writer, encoder, ended = self._load(run, rejected)
        seconds["load"] = time.perf_counter() - started
        totals = self.ledger.totals(run.id)
        self._require_few_rejects(totals, rejected, at_end=ended)
        finish = Finish(
            client=self.client,
            collection=self.collection,
            spec=self.spec,
            ledger=self.ledger,
            run=run.id,
            display=self.display,
            stop=self.stop,
        )
        refused = None
        if ended and self._deletes:
            refused = finish.delete_missing(force=self.force or self.building)
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
            after = self._count()
            new = after - before + deleted
        # Of a run that was stopped, some samples may not have been acknowledged.
        sampled = finish.read_back(encoder, writer.sampled.values()) if ended else 0
        seconds["verify"] = time.perf_counter() - started
        report = self._report(
            run,
            rejected,
            totals,
            seconds=seconds,
            points=(before, after, new),
            sampled=sampled,
            ended=ended,
        )
        self._write_down(run, report, encoder.statistics)
        if refused is not None:
            raise refused
        return report

    def _require_few_rejects(self, totals: Totals, rejected: RejectsFile, *, at_end: bool) -> None:
        if self.limit is not None and self.limit.is_exceeded(totals, at_end=at_end):
            raise TooManyRejectsError(
                rejected=totals.rejected,
                read=totals.read,
                limit=self.limit.told,
                rejects=str(rejected.path),
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
    ) -> IngestReport:
        """The account of a run; its points before, after, and how many of those are new."""
        before, after, new = points
        done = totals.stored + totals.payload_updated + totals.unchanged
        return IngestReport(
            collection=self.collection,
            encoder=self.encoder.info.name,
            fields=self.spec.fields,
            files=len(self.source.files),
            unreadable_files=self.ledger.broken_files(run.id),
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
        )

    def _write_down(
        self, run: Run, report: IngestReport, statistics: EncodingStatistics | None
    ) -> None:
        """Keep what was done: the manifest, if it was done to the end, and the ledger's state."""
        if report.manifest is not None:
            write_manifest(
                report.manifest,
                report,
                spec=self.spec,
                files=self.ledger.files(run.id),
                statistics=statistics,
                details={"started": run.started, "finished": now(), "options": self._options()},
            )
        state = "built" if self.building else "finished"
        self.ledger.note(
            run.id,
            state="interrupted" if report.interrupted else state,
            finished=now(),
            points_after=report.points_after,
        )

    # --- begin -------------------------------------------------------------------------------

    def built(self) -> Run | None:
        """The last run, if it has built all of what this one is to build, and it is there."""
        last = self.ledger.last()
        if last is None or last.state != "built":
            return None
        return None if self._changes(last, self._identity(), self._files()) else last

    def is_same(self, run: Run) -> bool:
        """Whether a run has stored what this one is to store."""
        files = self.ledger.files(run.id)
        return not differences(run.identity, self._identity(), files, self._files())

    def _identity(self) -> dict[str, str]:
        return identity(self.spec, self.encoder.info.fingerprint, self._options())

    def _files(self) -> list[tuple[str, str]]:
        return [(name, _marked(mark)) for name, mark in self.source.fingerprints().items()]

    def _changes(
        self, last: Run, who: Mapping[str, str], files: Sequence[tuple[str, str]]
    ) -> list[str]:
        """What keeps an unfinished run from being continued, in words."""
        changes = differences(last.identity, who, self.ledger.files(last.id), files)
        return changes + self._losses(last)

    def _begin(self, own_rejects: Path | None) -> tuple[Run, bool]:
        """The run to carry out: the last one if it was cut short and is the same, or a new one."""
        who, files = self._identity(), self._files()
        last = self.ledger.last()
        if last is not None and last.state not in ("finished", "abandoned"):
            changes = self._changes(last, who, files)
            if not changes:
                self.ledger.resume(last.id)
                self.display.say(f"going on with run {last.id}, which did not end")
                return self._run(last.id), True
            self.display.say(
                f"run {last.id} did not end, and is not continued: {'; '.join(changes)}. "
                "Everything is read from the beginning"
            )
        if self.building and not self._may_compare(last, who):
            self.client.delete_collection(self.collection)  # it must hold nothing else
        number = self.ledger.begin(
            identity=who,
            files=files,
            rejects=str(own_rejects or self.files.new_rejects()),
            versions=versions(),
            building=self.building,
        )
        return self._run(number), False

    def _may_compare(self, last: Run | None, who: Mapping[str, str]) -> bool:
        """Whether what an earlier attempt has built can be brought up to date by comparing."""
        if not self.sync or last is None or not self.client.collection_exists(self.collection):
            return False
        same = all(last.identity.get(name) == who[name] for name in ("encoder", "spec"))
        params = self.client.get_collection(self.collection).config.params
        return (
            last.building
            and same
            and (params.shard_number or 1) == self.shards
            and self._count() == self.ledger.built_points()
        )

    @property
    def _deletes(self) -> bool:
        """Whether what is not in the input goes: of what is built, always."""
        return self.delete_missing or (self.building and self.sync)

    def _losses(self, run: Run) -> list[str]:
        """What a run had stored that is no longer there."""
        if run.points_before is None:
            return []
        there = self._count() if self.client.collection_exists(self.collection) else 0
        totals = self.ledger.totals(run.id)
        least = run.points_before - run.deleted + (totals.new if run.complete else 0)
        if there < least:
            what = "what was built" if self.building else "the collection"
            return [f"{what} has {there:,} points, and had {least:,}"]
        if self.building and self.ledger.built_points() < least:
            return ["the ledger's rows were made anew"]
        return []

    def _options(self) -> dict[str, Any]:
        """How the input is read and what is done about it, as the ledger compares it."""
        return {
            "selection": asdict(self.source.selection),
            "passages": None if self.passages is None else asdict(self.passages),
            "sync": self.sync,
            "on_duplicate": self.on_duplicate,
            # Only then: runs that earlier versions have left can be continued.
            **({"shards": self.shards} if self.building else {}),
        }

    # --- load --------------------------------------------------------------------------------

    def _load(self, run: Run, rejected: RejectsFile) -> tuple[Writer, BatchEncoder, bool]:
        self._know_mean_length()
        late = None
        if self.spec.late is not None:  # its model may be missing: before anything is made
            late = LateVectors(self.client, self.collection, self.spec.late, self.late_encoder)
        names = [name for name, _ in self.ledger.files(run.id)]
        settled = {names[file]: spans for file, spans in self.ledger.settled(run.id).items()}
        items = self.source.batches(settled)
        if self.passages is not None:
            items = in_passages(
                items,
                self.passages,
                token_offsets(self.encoder),
                self.source.selection.fields.text,
            )
        if self.spec.sparse is not None and self.spec.sparse.mean_length is None:
            texts, items = sample(items)
            if texts:
                length = mean_length(texts, self.spec.sparse)
                self.spec = self.spec.with_source(fields=self.spec.fields, mean_length=length)
        self._prepare(run)
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
        )
        writer.totals = self.ledger.totals(run.id)
        if writer.totals.read:
            self.display.advance(writer.totals.read, writer.totals.stored, writer.totals.rejected)
        load = Load(
            ledger=self.ledger,
            run=run.id,
            files=names,
            encoder=encoder,
            writer=writer,
            rejected=rejected,
            display=self.display,
            counters=RowCounters(self.collection, writer.totals),
            key=encoding_key(self.spec),
            sync=self.sync,
            on_duplicate=self.on_duplicate,
            limit=self.limit,
            threads=self.threads,
            stop=self.stop,
        )
        with ExitStack() as stack:
            if self.bulk:
                stack.enter_context(
                    deferred_indexing(self.client, self.collection, self.ledger.notes)
                )
            stack.enter_context(writer)
            return writer, encoder, load.carry_out(items)

    def _know_mean_length(self) -> None:
        """What an earlier attempt has built with; the server does not know it yet."""
        sparse = self.spec.sparse
        if not self.building or sparse is None or sparse.mean_length is not None:
            return
        if self.client.collection_exists(self.collection):
            there = read_spec(self.client, self.collection).sparse
            known = None if there is None else there.mean_length
            self.spec = self.spec.with_source(fields=self.spec.fields, mean_length=known)

    def _prepare(self, run: Run) -> None:
        """Have the collection there as it is to be, and know what it holds."""
        if not self.client.collection_exists(self.collection):
            self.ledger.clear_rows()  # of a collection that was deleted since
            create_collection(self.client, self.collection, self.spec, shards=self.shards)
        elif read_spec(self.client, self.collection) != self.spec:
            write_spec(self.client, self.collection, self.spec)
        if run.points_before is None:
            before = self._count()
            complete = before == self.ledger.points()
            if self.sync and not complete:
                self.display.say(
                    f"the ledger does not know the {before:,} points of the collection: reading "
                    "them"
                )
                before = rebuild(self.client, self.collection, self.ledger, self.spec)
                complete = True
            self.ledger.note(run.id, points_before=before, complete=complete)

    def _run(self, number: int) -> Run:
        last = self.ledger.last()
        if last is None or last.id != number:
            raise SpecError(field="state", problem=f"run {number} has gone from the ledger")
        return last

    def _count(self) -> int:
        return exact_count(self.client, self.collection)
