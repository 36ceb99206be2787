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
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from qdrant_static.edge.assemble import assemble, begun
from qdrant_static.edge.directory import STATE_FOLDER
from qdrant_static.encoders.statistics import EncodingStatistics
from qdrant_static.errors import TooManyRejectsError
from qdrant_static.ingestion.finishing import Finish
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.run import IngestRun
from qdrant_static.ingestion.telemetry import RowCounters
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.merge import JOINED, join
from qdrant_static.ledger.records import Encoded, Run, Totals, UnreadableFile
from qdrant_static.ledger.runidentity import differences, identity
from qdrant_static.reading.rejects import RejectsFile
from qdrant_static.reading.sources import Source
from qdrant_static.shipping.localbuild.rejectsmerge import join_rejects
from qdrant_static.shipping.localbuild.shardchild import Job, Part
from qdrant_static.shipping.localbuild.shardprocesses import Processes, UnfitError

_SUMMED = ("read", "stored", "rejected")


@dataclass(slots=True, kw_only=True)
class SharedRun(IngestRun):
    """A run into an embedded collection of several shards, by as many processes where it can be.

    The outcome is that of an `IngestRun` with the same fields, which it is where it cannot.

    Attributes:
        folder: The directory of the client's collections.
        workers: So many processes at most; ``threads`` are those of all together.
    """

    folder: Path
    workers: int

    @classmethod
    def of(cls, job: IngestRun, *, folder: Path, workers: int) -> Self:
        """The same run by several processes."""
        own = {field.name: getattr(job, field.name) for field in fields(IngestRun)}
        return cls(**own, folder=folder, workers=workers)

    def _carry_out(self, run: Run, rejected: RejectsFile) -> IngestReport:
        if self._is_joined(run) and self._home.exists():
            return self._together(run, rejected, {})
        if begun(self.folder, self.collection):  # by an earlier run, of other shards
            shutil.rmtree(self.folder / self.collection)
        why = self._why_alone(run)
        if why is None:
            try:
                return self._in_parts(run, rejected)
            except UnfitError as error:
                why = str(error)
        if why:
            self.display.say(f"one process builds all shards: {why}")
        self._remove_parts()
        return IngestRun._carry_out(self, run, rejected)

    def _is_joined(self, run: Run) -> bool:
        return self.ledger.notes.get(JOINED) == run.id

    def _losses(self, run: Run) -> list[str]:
        if self._is_joined(run) and not (
            self._home.exists() or self.client.collection_exists(self.collection)
        ):
            return ["what was built is gone"]
        return IngestRun._losses(self, run)

    # --- parts -------------------------------------------------------------------------------

    @property
    def _home(self) -> Path:
        return self.folder / STATE_FOLDER / self.collection / "parts"

    @property
    def _parts(self) -> list[Part]:
        of = self.shards or 1
        return [
            Part(
                root=self._home / f"{shard}-of-{of}",
                collection=self.collection,
                shard=shard,
                of=of,
            )
            for shard in range(of)
        ]

    def _why_alone(self, run: Run) -> str | None:
        """Why one process builds all; empty where that goes without saying."""
        if (self.shards or 1) == 1 or self.client.collection_exists(self.collection):
            return ""  # what is there was built by one
        if self.workers == 1 and not (run.attempts > 1 and self._home.exists()):
            return ""
        if self.passages is not None:
            return "the passages of one row lie on several"
        if self.late_encoder is not None:
            return "other processes cannot load a late-interaction encoder that is given"
        if not isinstance(self.source, Source):
            return "rows that are not in files are read once"
        if any(one.stream is not None for one in self.source.inputs):
            return "a pipe is read once"
        try:
            pickle.dumps(self.source)
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
            join_rejects(rejected, rejects, [name for name, _ in self.ledger.runs.files(run.id)])
            unreadable = {
                UnreadableFile(file=name, problem=problem)
                for part in parts
                for name, problem in part.query("SELECT path, message FROM broken")
            }
            files = sorted(unreadable, key=str)
            try:
                self._require_few_rejects(totals, rejected, files, at_end=ended)
            except TooManyRejectsError as error:
                error.report = replace(
                    self._unfinished(run, rejected, totals, spent), unreadable=tuple(files)
                )
                raise
            if not ended:
                return self._interrupted(run, rejected, totals, spent)
            state = "built" if self.building else "stored"
            join(self.ledger, run.id, parts, state=state, rejects_bytes=rejected.bytes)
        RowCounters(self.collection, Totals()).tell(totals)
        return self._together(run, rejected, spent)

    def _fix_mean_length(self) -> None:
        """Measure what one process would, once for all."""
        self._sample(iter(self.source.batches()))

    def _kept(self, run: Run) -> dict[int, Totals]:
        """Remove what parts are not of this run; shard -> the sum of those that are complete."""
        options = self._options()
        options.pop("shards", None)
        who = identity(self.spec, self.encoder.info.fingerprint, options)
        files, home = self._files(), self._home
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
                self.display.resume(rows, whole.stored, whole.rejected)
                return
            read_parts[shard] = message["part"]
            self.display.advance(rows, whole.stored, whole.rejected)

        read_parts: dict[int, float | None] = dict.fromkeys(range(self.shards or 1), 0.0)
        read_parts |= dict.fromkeys(done, 1.0)
        self.display.read_part = lambda: _mean(read_parts.values())
        whole = sum_of_all()
        if whole.read:
            self.display.resume(whole.read, whole.stored, whole.rejected)
        waiting = [part for part in self._parts if part.shard not in done]
        at_once = max(1, min(self.workers, len(waiting)))
        limit = self.limit
        jobs = [
            Job(
                part=part,
                spec=self.spec,
                source=self.source,
                threads=max(1, self.threads // at_once),
                sync=self.sync,
                on_duplicate=self.on_duplicate,
                limit=limit if limit is not None and limit.count is not None else None,
            )
            for part in waiting
        ]

        def must_stop() -> bool:
            if self.stop is not None and self.stop.is_set():
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
                self.display.unreadable(part)
            unreadable.add(part)
        if "say" in message:
            self.display.say(f"shard {shard}: {message['say']}")
        if "status" in message:
            self.display.status(f"shard {shard}: {message['status']}")

    def _interrupted(
        self, run: Run, rejected: RejectsFile, totals: Totals, seconds: Mapping[str, float]
    ) -> IngestReport:
        report = self._unfinished(run, rejected, totals, seconds)
        self._write_down(run, report, None)
        return report

    def _unfinished(
        self, run: Run, rejected: RejectsFile, totals: Totals, seconds: Mapping[str, float]
    ) -> IngestReport:
        """The account of parts that are not together yet."""
        return self._report(
            run,
            rejected,
            totals,
            seconds=seconds,
            points=(0, totals.new, totals.new),
            sampled=0,
            ended=False,
        )

    # --- together ----------------------------------------------------------------------------

    def _together(
        self, run: Run, rejected: RejectsFile, spent: Mapping[str, float]
    ) -> IngestReport:
        """Move the shards of all parts together, and finish."""
        totals = self.ledger.runs.totals(run.id)
        if not totals.points and (totals.read or self.ledger.runs.unreadable(run.id)):
            report = self._leave_nothing(run, rejected, totals, {"load": 0.0, **spent}, ended=True)
            self._remove_parts()
            return report
        accounts = [_account(part) for part in self._parts]
        if not self.client.collection_exists(self.collection):
            self.display.phase(f"moving {self.shards} shards together ...")
            assemble(
                self.folder,
                self.collection,
                [(part.root, part.collection) for part in self._parts],
            )
        self.ledger.runs.update(run.id, points_before=0, complete=True)
        started = time.perf_counter()
        finish = Finish(
            client=self.client,
            collection=self.collection,
            spec=self.spec,
            ledger=self.ledger,
            run=run.id,
            display=self.display,
            stop=self.stop,
        )
        encoded = [_encoded(part) for part in self._parts]
        self._note_zero_vectors(sum(one.zeros for one in encoded))
        self._know_mean_length()
        sampled = self.spec
        counts = (sum(one.texts for one in encoded), sum(one.terms for one in encoded))
        ended = self._correct_mean_length(*counts)
        if ended and self.spec != sampled:  # what was indexed before was written again
            ended = finish.build_index(totals.points)
        if not ended:
            return self._interrupted(run, rejected, totals, {"load": 0.0, **spent})
        after, new = finish.count(totals, before=0, deleted=0, complete=True)
        finish.check_indexes()
        seconds = _seconds(spent.get("load", 0.0), accounts)
        seconds["verify"] += time.perf_counter() - started
        report = self._report(
            self._run(run.id),
            rejected,
            totals,
            seconds=seconds,
            points=(0, after, new),
            sampled=sum(one["sampled"] for one in accounts),
            ended=True,
        )
        report = replace(report, zero_vectors=sum(one.zeros for one in encoded))
        self._write_down(run, report, _statistics(accounts))
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
