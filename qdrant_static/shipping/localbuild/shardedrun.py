"""A run by several processes, one for each shard.

1. Each process builds its part, or continues it (`shardparts`).
2. The parts' ledgers and rejects are joined to those of the run, in one transaction.
3. The shards are moved into the collection.

After a crash between two steps, the ledger shows the next attempt which step was the last.
"""

from __future__ import annotations

import pickle
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qdrant_static.edge.assemble import assemble, begun
from qdrant_static.errors import TooManyRejectsError
from qdrant_static.ingestion.continuing import find_run
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.loading import RowCounters
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.ingestion.run import IngestRun
from qdrant_static.ingestion.runspec import RunSpec
from qdrant_static.ingestion.textstats import (
    correct_mean_length,
    note_zero_vectors,
    sample_texts,
)
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.merge import join
from qdrant_static.ledger.records import Run, Totals
from qdrant_static.reading.rejects import RejectsFile
from qdrant_static.reading.sources import Source
from qdrant_static.shipping.localbuild.rejectsmerge import join_rejects
from qdrant_static.shipping.localbuild.shardchild import ShardJob
from qdrant_static.shipping.localbuild.shardparts import (
    PartProgress,
    Parts,
    SharedMode,
    divide_seconds,
    encoding_statistics,
    sum_up,
)
from qdrant_static.shipping.localbuild.shardprocesses import ShardProcesses, SingleProcessError

if TYPE_CHECKING:
    from qdrant_static.ingestion.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRun:
    """A run into an embedded collection of several shards, by several processes where possible.

    The outcome is that of its `IngestRun`, which runs alone where only one process can build the
    collection.

    Attributes:
        mode: Where the collection is built.
        run: The run.
        workers: Most processes; they share the request's ``threads``.
    """

    mode: SharedMode
    run: IngestRun
    workers: int

    def execute(self) -> IngestReport:
        """Run, and record the outcome."""
        return self.run.execute(self._build_shared)

    def _build_shared(self, run: Run, rejected: RejectsFile) -> IngestReport:
        mode = self.mode
        if mode.is_joined(run) and self._parts.home.exists():
            return self._assemble(run, rejected, {})
        if begun(mode.folder, mode.collection):  # by an earlier run, of other shards
            shutil.rmtree(mode.folder / mode.collection)
        why = self._why_single(run)
        if why is None:
            try:
                return self._in_parts(run, rejected)
            except SingleProcessError as error:
                why = str(error)
        if why:
            self._display.note(f"one process builds all shards: {why}")
        self._parts.remove()
        return self.run.load_and_finish(run, rejected)

    # --- parts -------------------------------------------------------------------------------

    @property
    def _request(self) -> RunSpec:
        return self.mode.request

    @property
    def _ledger(self) -> Ledger:
        return self.mode.workspace.ledger

    @property
    def _display(self) -> Progress:
        return self.mode.workspace.display

    @property
    def _parts(self) -> Parts:
        return self.mode.parts

    def _why_single(self, run: Run) -> str | None:
        """Return why one process builds all; empty if no note is needed; None if several do."""
        if self._parts.shards == 1 or self.mode.client.collection_exists(self.mode.collection):
            return ""  # one process has begun it
        if self.workers == 1 and not (run.attempts > 1 and self._parts.home.exists()):
            return ""
        if self._request.passages is not None:
            return "the passages of one row lie on several shards"
        if self._request.late_encoder is not None:
            return "other processes cannot load the late-interaction encoder, which is an object"
        if not isinstance(self._request.source, Source):
            return "rows that are not in files can be read only once"
        if any(one.stream is not None for one in self._request.source.inputs):
            return "a pipe can be read only once"
        try:
            pickle.dumps(self._request.source)
        except Exception as error:  # such as a file system of another package
            return f"other processes cannot open the input ({error})"
        return None

    def _in_parts(self, run: Run, rejected: RejectsFile) -> IngestReport:
        started = time.perf_counter()
        self._fix_mean_length()
        done = self._parts.keep_of_run(
            self._request.identity(), self._request.files(), is_new=run.attempts == 1
        )
        try:
            ended = self._build(done)
        except TooManyRejectsError:  # of one part; the rejects of all are counted below
            ended = False
        spent = {"load": time.perf_counter() - started}
        with ExitStack() as stack:
            parts = [
                stack.enter_context(Ledger(one.ledger))
                for one in self._parts.all
                if one.ledger.exists()
            ]
            totals, rejects, files = sum_up(parts)
            join_rejects(rejected, rejects, [name for name, _ in self._ledger.runs.files(run.id)])
            try:
                self.run.account.check_rejects(totals, rejected, files, at_end=ended)
            except TooManyRejectsError as error:
                error.report = replace(
                    self._unfinished(run, rejected, totals, spent), unreadable=tuple(files)
                )
                raise
            if not ended:
                return self._interrupted(run, rejected, totals, spent)
            join(self._ledger, run.id, parts, state="built", rejects_bytes=rejected.bytes)
        RowCounters(self.mode.collection, Totals()).count(totals)
        return self._assemble(run, rejected, spent)

    def _fix_mean_length(self) -> None:
        """Sample BM25's mean length once, for all processes."""
        _, self.run.spec = sample_texts(
            iter(self._request.source.batches()),
            self._request,
            self.mode.workspace,
            self.run.spec,
        )

    def _build(self, done: Mapping[int, Totals]) -> bool:
        """Run the processes of all parts that are not done; return whether all completed."""
        request = self._request
        progress = PartProgress(self._display, self._parts.shards, done)
        waiting = [part for part in self._parts.all if part.shard not in done]
        at_once = max(1, min(self.workers, len(waiting)))
        limit = request.options.reject_limit
        options = RunOptions(
            sync=request.options.sync,
            on_duplicate=request.options.on_duplicate,
            max_rejects=limit.count if limit is not None else None,
        )
        jobs = [
            ShardJob(
                part=part,
                spec=self.run.spec,
                source=request.source,
                threads=max(1, request.threads // at_once),
                options=options,
            )
            for part in waiting
        ]

        def must_stop() -> bool:
            if request.must_stop:
                return True
            return limit is not None and limit.is_exceeded(
                progress.totals(), at_end=False, unreadable=len(progress.unreadable)
            )

        return ShardProcesses(
            jobs, at_once=at_once, receive=progress.receive, must_stop=must_stop
        ).run()

    def _interrupted(
        self, run: Run, rejected: RejectsFile, totals: Totals, seconds: Mapping[str, float]
    ) -> IngestReport:
        report = self._unfinished(run, rejected, totals, seconds)
        self.run.account.close(run, report, spec=self.run.spec)
        return report

    def _unfinished(
        self, run: Run, rejected: RejectsFile, totals: Totals, seconds: Mapping[str, float]
    ) -> IngestReport:
        """Return the report of parts that are not joined yet."""
        return self.run.account.report(
            run,
            rejected,
            totals,
            spec=self.run.spec,
            seconds=seconds,
            points=(0, totals.new, totals.new),
            ended=False,
        )

    # --- joining -----------------------------------------------------------------------------

    def _assemble(
        self, run: Run, rejected: RejectsFile, spent: Mapping[str, float]
    ) -> IngestReport:
        """Move the shards of all parts into the collection, and finish the run."""
        totals = self._ledger.runs.totals(run.id)
        if not totals.points and (totals.read or self._ledger.runs.unreadable(run.id)):
            report = self.run.account.close_without_collection(
                run,
                rejected,
                totals,
                spec=self.run.spec,
                seconds={"load": 0.0, **spent},
                ended=True,
            )
            self._parts.remove()
            return report
        manifests = [part.manifest() for part in self._parts.all]
        if not self.mode.client.collection_exists(self.mode.collection):
            self._display.phase(f"moving {self._parts.shards} shards together ...")
            assemble(
                self.mode.folder,
                self.mode.collection,
                [(part.root, part.collection) for part in self._parts.all],
            )
        self._ledger.runs.update(run.id, points_before=0, complete=True)
        started = time.perf_counter()
        finish = self.run.finish(run)
        encoded = [part.encoded() for part in self._parts.all]
        zeros = sum(one.zeros for one in encoded)
        note_zero_vectors(self._request, self.mode.workspace, self.run.spec, zeros)
        self.run.spec = sampled = self.mode.known_spec(self.run.spec)
        corrected = correct_mean_length(
            self.mode,
            sampled,
            texts=sum(one.texts for one in encoded),
            terms=sum(one.terms for one in encoded),
        )
        self.run.spec = corrected or sampled
        ended = corrected is not None
        if ended and corrected != sampled:  # the indexed vectors were written again
            ended = finish.build_index(totals.points)
        if not ended:
            return self._interrupted(run, rejected, totals, {"load": 0.0, **spent})
        after, new = finish.count(totals, before=0, deleted=0, complete=True)
        finish.check_indexes()
        seconds = divide_seconds(spent.get("load", 0.0), manifests)
        seconds["verify"] += time.perf_counter() - started
        report = self.run.account.report(
            find_run(self._ledger, run.id),
            rejected,
            totals,
            spec=self.run.spec,
            seconds=seconds,
            points=(0, after, new),
            sampled=sum(one["sampled"] for one in manifests),
            ended=True,
        )
        report = replace(report, zero_vectors=zeros)
        self.run.account.close(
            run, report, spec=self.run.spec, statistics=encoding_statistics(manifests)
        )
        self._parts.remove()
        return report
