"""One run, carried out by a process for each shard.

::

    <folder>/_state/<collection>/parts/0-of-3/     a directory of collections, of one: the shard
                                  .../_state/      its ledger, rejects and manifest

The parts are built, or gone on with; their ledgers and rejects are joined to the run's, in one
transaction; then their shards are moved together. Whatever ends this between two steps, the next
attempt knows from the ledger which was the last.
"""

from __future__ import annotations

import json
import pickle
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.edge.assemble import assemble, begun
from qdrant_static.edge.directory import STATE_FOLDER
from qdrant_static.encoders.statistics import EncodingStatistics
from qdrant_static.errors import TooManyRejectsError
from qdrant_static.ingestion.continuing import find_run
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.loading import RowCounters
from qdrant_static.ingestion.modes import BuildMode
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.ingestion.run import IngestRun
from qdrant_static.ingestion.runspec import RunSpec
from qdrant_static.ingestion.textstats import (
    correct_mean_length,
    note_zero_vectors,
    sample_texts,
)
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.merge import JOINED, join
from qdrant_static.ledger.records import Encoded, Run, Totals, UnreadableFile
from qdrant_static.ledger.runidentity import differences
from qdrant_static.reading.rejects import RejectsFile
from qdrant_static.reading.sources import Source
from qdrant_static.shipping.localbuild.rejectsmerge import join_rejects
from qdrant_static.shipping.localbuild.shardchild import Job, Part
from qdrant_static.shipping.localbuild.shardprocesses import Processes, UnfitError

if TYPE_CHECKING:
    from qdrant_static.ingestion.progress import Progress

_SUMMED = ("read", "stored", "rejected")


@dataclass(slots=True, kw_only=True)
class SharedMode(BuildMode):
    """Builds a collection of several shards, by as many processes where it can be.

    Attributes:
        folder: The directory of the client's collections.
    """

    folder: Path

    @property
    def home(self) -> Path:
        """The folder of the parts."""
        return self.folder / STATE_FOLDER / self.collection / "parts"

    def is_joined(self, record: Run) -> bool:
        """Return whether the ledgers of all parts are joined to the run's."""
        return bool(self.workspace.ledger.notes.get(JOINED) == record.id)

    def losses(self, record: Run) -> list[str]:
        """Return what a run had built that is gone."""
        if self.is_joined(record) and not (
            self.home.exists() or self.client.collection_exists(self.collection)
        ):
            return ["what was built is gone"]
        return BuildMode.losses(self, record)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRun:
    """A run into an embedded collection of several shards, by as many processes where it can be.

    The outcome is that of its `IngestRun` alone, which does it where it cannot be shared.

    Attributes:
        mode: Where the collection is built.
        run: The run.
        workers: So many processes at most; the request's ``threads`` are those of all together.
    """

    mode: SharedMode
    run: IngestRun
    workers: int

    def execute(self) -> IngestReport:
        """Run, and record the account."""
        return self.run.execute(self._build_shared)

    def _build_shared(self, run: Run, rejected: RejectsFile) -> IngestReport:
        mode = self.mode
        if mode.is_joined(run) and self._home.exists():
            return self._together(run, rejected, {})
        if begun(mode.folder, mode.collection):  # by an earlier run, of other shards
            shutil.rmtree(mode.folder / mode.collection)
        why = self._why_alone(run)
        if why is None:
            try:
                return self._in_parts(run, rejected)
            except UnfitError as error:
                why = str(error)
        if why:
            self._display.say(f"one process builds all shards: {why}")
        self._remove_parts()
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
    def _home(self) -> Path:
        return self.mode.home

    @property
    def _shards(self) -> int:
        return self.mode.shards or 1

    @property
    def _parts(self) -> list[Part]:
        of = self._shards
        return [
            Part(
                root=self._home / f"{shard}-of-{of}",
                collection=self.mode.collection,
                shard=shard,
                of=of,
            )
            for shard in range(of)
        ]

    def _why_alone(self, run: Run) -> str | None:
        """Why one process builds all; empty where that goes without saying."""
        if self._shards == 1 or self.mode.client.collection_exists(self.mode.collection):
            return ""  # what is there was built by one
        if self.workers == 1 and not (run.attempts > 1 and self._home.exists()):
            return ""
        if self._request.passages is not None:
            return "the passages of one row lie on several"
        if self._request.late_encoder is not None:
            return "other processes cannot load a late-interaction encoder that is given"
        if not isinstance(self._request.source, Source):
            return "rows that are not in files are read once"
        if any(one.stream is not None for one in self._request.source.inputs):
            return "a pipe is read once"
        try:
            pickle.dumps(self._request.source)
        except Exception as error:  # a file system of another package
            return f"other processes cannot open the input ({error})"
        return None

    def _in_parts(self, run: Run, rejected: RejectsFile) -> IngestReport:
        started = time.perf_counter()
        self._fix_mean_length()
        done = self._kept(run)
        try:
            ended = self._build(done)
        except TooManyRejectsError:  # one of them alone; below, all are counted
            ended = False
        spent = {"load": time.perf_counter() - started}
        with ExitStack() as stack:
            parts = [
                stack.enter_context(Ledger(one.ledger))
                for one in self._parts
                if one.ledger.exists()
            ]
            totals = Totals()
            rejects = []
            for part in parts:
                last = part.runs.last()
                if last is not None:
                    totals += part.runs.totals(last.id)
                    rejects.append((Path(last.rejects or ""), last.rejects_bytes))
            join_rejects(rejected, rejects, [name for name, _ in self._ledger.runs.files(run.id)])
            unreadable = {
                UnreadableFile(file=name, problem=problem)
                for part in parts
                for name, problem in part.query("SELECT path, message FROM broken")
            }
            files = sorted(unreadable, key=str)
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
        return self._together(run, rejected, spent)

    def _fix_mean_length(self) -> None:
        """Measure what one process would, once for all."""
        _, self.run.spec = sample_texts(
            iter(self._request.source.batches()),
            self._request,
            self.mode.workspace,
            self.run.spec,
        )

    def _kept(self, run: Run) -> dict[int, Totals]:
        """Remove what parts are not of this run; shard -> the sum of those that are complete."""
        who, files, home = self._request.identity(), self._request.files(), self._home
        own = {part.root for part in self._parts}
        for folder in home.iterdir() if home.exists() else ():
            if folder not in own or run.attempts == 1:
                shutil.rmtree(folder)
        done = {}
        for part in self._parts:
            if not part.ledger.exists():
                shutil.rmtree(part.root, ignore_errors=True)
                continue
            with Ledger(part.ledger) as ledger:
                last = ledger.runs.last()
                same = last is None or not differences(
                    last.identity, who, ledger.runs.files(last.id), files
                )
                if last is not None and last.state == "finished":
                    done[part.shard] = ledger.runs.totals(last.id)
            if not same or (last is not None and last.state == "abandoned"):
                done.pop(part.shard, None)
                shutil.rmtree(part.root)
        return done

    def _build(self, done: Mapping[int, Totals]) -> bool:
        """Run the processes of all parts that are not done; whether all came to their end."""
        counted = dict(done)

        def sum_of_all() -> Totals:
            return sum(counted.values(), Totals())

        unreadable: set[UnreadableFile] = set()

        def hear(shard: int, message: Mapping[str, Any]) -> None:
            self._show(shard, message, unreadable)
            counts = message.get("earlier") or message.get("counts")
            if counts is None:
                return
            before = counted.get(shard, Totals()).read
            counted[shard] = Totals(**{name: counts[name] for name in _SUMMED})
            whole, rows = sum_of_all(), counts["read"] - before
            if "earlier" in message:
                self._display.resume(rows, whole.stored, whole.rejected)
                return
            read_parts[shard] = message["part"]
            self._display.advance(rows, whole.stored, whole.rejected)

        read_parts: dict[int, float | None] = dict.fromkeys(range(self._shards), 0.0)
        read_parts |= dict.fromkeys(done, 1.0)
        self._display.read_part = lambda: _mean(read_parts.values())
        whole = sum_of_all()
        if whole.read:
            self._display.resume(whole.read, whole.stored, whole.rejected)
        waiting = [part for part in self._parts if part.shard not in done]
        at_once = max(1, min(self.workers, len(waiting)))
        limit = self._request.options.reject_limit
        options = RunOptions(
            sync=self._request.options.sync,
            on_duplicate=self._request.options.on_duplicate,
            max_rejects=limit.count if limit is not None else None,
        )
        jobs = [
            Job(
                part=part,
                spec=self.run.spec,
                source=self._request.source,
                threads=max(1, self._request.threads // at_once),
                options=options,
            )
            for part in waiting
        ]

        def must_stop() -> bool:
            if self._request.must_stop:
                return True
            return limit is not None and limit.is_exceeded(
                sum_of_all(), at_end=False, unreadable=len(unreadable)
            )

        return Processes(jobs, at_once=at_once, told=hear, must_stop=must_stop).run()

    def _show(
        self, shard: int, message: Mapping[str, Any], unreadable: set[UnreadableFile]
    ) -> None:
        """Show the notes and status lines of a process."""
        if "unreadable" in message:
            part = UnreadableFile(**message["unreadable"])
            if part not in unreadable:  # every process reads all files
                self._display.unreadable(part)
            unreadable.add(part)
        if "say" in message:
            self._display.say(f"shard {shard}: {message['say']}")
        if "status" in message:
            self._display.status(f"shard {shard}: {message['status']}")

    def _interrupted(
        self, run: Run, rejected: RejectsFile, totals: Totals, seconds: Mapping[str, float]
    ) -> IngestReport:
        report = self._unfinished(run, rejected, totals, seconds)
        self.run.account.close(run, report, spec=self.run.spec)
        return report

    def _unfinished(
        self, run: Run, rejected: RejectsFile, totals: Totals, seconds: Mapping[str, float]
    ) -> IngestReport:
        """The account of parts that are not together yet."""
        return self.run.account.report(
            run,
            rejected,
            totals,
            spec=self.run.spec,
            seconds=seconds,
            points=(0, totals.new, totals.new),
            ended=False,
        )

    # --- together ----------------------------------------------------------------------------

    def _together(
        self, run: Run, rejected: RejectsFile, spent: Mapping[str, float]
    ) -> IngestReport:
        """Move the shards of all parts together, and finish."""
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
            self._remove_parts()
            return report
        accounts = [_account(part) for part in self._parts]
        if not self.mode.client.collection_exists(self.mode.collection):
            self._display.phase(f"moving {self._shards} shards together ...")
            assemble(
                self.mode.folder,
                self.mode.collection,
                [(part.root, part.collection) for part in self._parts],
            )
        self._ledger.runs.update(run.id, points_before=0, complete=True)
        started = time.perf_counter()
        finish = self.run.finish(run)
        encoded = [_encoded(part) for part in self._parts]
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
        if ended and corrected != sampled:  # what was indexed before was written again
            ended = finish.build_index(totals.points)
        if not ended:
            return self._interrupted(run, rejected, totals, {"load": 0.0, **spent})
        after, new = finish.count(totals, before=0, deleted=0, complete=True)
        finish.check_indexes()
        seconds = _seconds(spent.get("load", 0.0), accounts)
        seconds["verify"] += time.perf_counter() - started
        report = self.run.account.report(
            find_run(self._ledger, run.id),
            rejected,
            totals,
            spec=self.run.spec,
            seconds=seconds,
            points=(0, after, new),
            sampled=sum(one["sampled"] for one in accounts),
            ended=True,
        )
        report = replace(report, zero_vectors=zeros)
        self.run.account.close(run, report, spec=self.run.spec, statistics=_statistics(accounts))
        self._remove_parts()
        return report

    def _remove_parts(self) -> None:
        """At once for whoever looks for them; what a crash leaves of them, the next time."""
        away = self._home.with_name("removed")
        shutil.rmtree(away, ignore_errors=True)
        if self._home.exists():
            self._home.rename(away)
            shutil.rmtree(away, ignore_errors=True)


def _mean(parts: Collection[float | None]) -> float | None:
    """Which part of the input all have read, on average; None where one does not know."""
    known = [one for one in parts if one is not None]
    return sum(known) / len(known) if known and len(known) == len(parts) else None


def _encoded(part: Part) -> Encoded:
    """What a part has encoded."""
    with Ledger(part.ledger) as ledger:
        last = ledger.runs.last()
        return Encoded() if last is None else ledger.encoded.of_run(last.id)


def _account(part: Part) -> dict[str, Any]:
    """The manifest of a part."""
    with Ledger(part.ledger) as ledger:
        last = ledger.runs.last()
    path = part.state / f"manifest-{0 if last is None else last.id}.json"
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _seconds(wall: float, accounts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The time on the wall, divided among the phases as the processes divided theirs."""
    phases = ("load", "index", "verify")
    own = {phase: sum(one["seconds"].get(phase, 0.0) for one in accounts) for phase in phases}
    whole = sum(own.values())
    return {phase: wall * one / whole if whole else 0.0 for phase, one in own.items()}


def _statistics(accounts: Sequence[Mapping[str, Any]]) -> EncodingStatistics | None:
    """What the encoders of all parts saw."""
    statistics = [one["encoding"] for one in accounts]
    if None in statistics:
        return None
    found = (
        EncodingStatistics(**{**one, "norm_histogram": tuple(one["norm_histogram"])})
        for one in statistics
    )
    return sum(found, EncodingStatistics())
