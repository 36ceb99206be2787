"""One tuning: a collection, questions to it, and trials whose answers are timed and judged."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from qdrant_static.bars import Bar, duration, print_line
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import plain_id
from qdrant_static.measuring.tuning.questions import Questions
from qdrant_static.measuring.tuning.race import Cost, Race, Trial
from qdrant_static.measuring.tuning.sweep import describe
from qdrant_static.measuring.tuning.tunereport import Fresh, Measured, TuneReport
from qdrant_static.querying.answer import answer
from qdrant_static.querying.explain import explain

if TYPE_CHECKING:
    from qdrant_client import models

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.ids import PointId
    from qdrant_static.querying.run import Searcher

#: The number of a query and what a plan found -> quality in [0, 1].
Quality: TypeAlias = "Callable[[int, list[PointId]], float]"

_LOGGER = logging.getLogger("qdrant_static.querying")
#: How often a log gets a line within a phase, in seconds.
_LINE_INTERVAL_S = 10.0
#: Queries in one request, where nobody looks at the time.
BATCH = 16
#: Queries that a plan answers before its times count.
_WARM_UP = 3
#: Of the budget, at most so much for all but the check at the end.
_FOR_CHOICE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneProgress:
    """How far a tuning is.

    Attributes:
        phase: What is being measured: ``"exact search"``, ``"12 plans"``, ``"check"``.
        seconds: Time since the start.
        budget_s: Time that it may take, in seconds.
    """

    phase: str
    seconds: float
    budget_s: float


class Clock:
    """A budget of seconds that reports how much of it is used.

    Args:
        budget_s: In seconds.
        progress: True shows a bar on standard error where that is a terminal, else a line for
            every phase and every ten seconds; a function is called with a `TuneProgress`.
        collection: The collection's name, for log lines.
    """

    def __init__(
        self,
        budget_s: float,
        *,
        progress: bool | Callable[[TuneProgress], None] | None,
        collection: str = "",
    ) -> None:
        self.budget_s = budget_s
        self._started = time.perf_counter()
        self._collection = collection
        self._callback = progress if callable(progress) else None
        self._shown = bool(progress) and self._callback is None
        self._phase = "tune"
        self._next_line = 0.0
        self._bar = Bar("tune") if self._shown and sys.stderr.isatty() else None

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def over(self, share: float) -> bool:
        """Return whether that share of the budget is used up."""
        return self.elapsed >= share * self.budget_s

    def phase(self, what: str) -> None:
        """Start a phase."""
        self._phase = what
        self._next_line = 0.0
        _LOGGER.info("%s: tune: %s", self._collection, what)
        self.tick()

    def tick(self) -> None:
        """Report the time that is used up."""
        elapsed = self.elapsed
        if self._callback is not None:
            self._callback(TuneProgress(phase=self._phase, seconds=elapsed, budget_s=self.budget_s))
        elif self._bar is not None:
            gone = f"{duration(elapsed)} of at most {duration(self.budget_s)}"
            self._bar.show([gone, self._phase], done=elapsed / max(self.budget_s, 1e-9))
        elif self._shown and elapsed >= self._next_line:
            self._next_line = elapsed + _LINE_INTERVAL_S
            gone = f"{elapsed:.0f} of at most {self.budget_s:.0f} s"
            print_line(f"{self._collection}: tune: {self._phase}, {gone}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()


class Session:
    """What is common to both ways of tuning.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        searcher: The collection, opened for searching.
        base: The plan to start from.
        k: Depth.
        condition: A filter that all queries have.
        by: What makes a plan cheap.
        clock: How long it may take.
    """

    def __init__(
        self,
        client: Client,
        collection: str,
        searcher: Searcher,
        base: SearchPlan,
        k: int,
        condition: models.Filter | None,
        by: Cost,
        clock: Clock,
    ) -> None:
        self.client = client
        self.collection = collection
        self.searcher = searcher
        self.spec = searcher.spec
        # What a cross-encoder makes of the candidates is no matter of this; it stays in the plan.
        self.base = replace(base, rerank=None)
        self.rerank = base.rerank
        self.k = k
        self.condition = condition
        self.by = by
        self.clock = clock
        self.points = self.count(condition)
        self.all = self.points if condition is None else self.count(None)
        if not self.points:
            raise ArgumentError(
                field="collection",
                problem=f"{collection!r} has no points"
                + ("" if condition is None else " that match the filter"),
            )
        self.asked = Questions(source="")
        self.warm: set[SearchPlan] = set()
        self.notes: list[str] = []
        self.race: Race | None = None
        self.trials: list[Trial] = []
        self.exact: Trial | None = None
        self.before: Trial | None = None
        self.fresh: Fresh | None = None
        self.queries = 0
        self.choice: Trial | None = None
        self.reached = False

    def new_race(self, numbers: list[int], quality: Quality, *, depth: int | None) -> Race:
        """A race over some queries; its answers are timed, one at a time."""
        self.queries = len(numbers)

        def measure(plan: SearchPlan, place: int) -> tuple[float, float]:
            asked = self.asked.encoded(plan, self.searcher)
            if plan not in self.warm:
                self.warm.add(plan)
                for number in numbers[:_WARM_UP]:
                    self.answers(plan, [asked[number]], self.limit)
            number = numbers[place]
            started = time.perf_counter()
            (points,) = self.answers(plan, [asked[number]], self.limit)
            seconds = time.perf_counter() - started
            self.clock.tick()
            return quality(number, self.ids(number, points)), seconds

        self.race = Race(
            measure,
            lambda: self.clock.over(_FOR_CHOICE),
            total=len(numbers),
            depth=depth,
            by=self.by,
        )
        return self.race

    def values(self, plan: SearchPlan, numbers: list[int], quality: Quality) -> list[float]:
        """The quality of a plan on some queries, in batches, as far as the time goes."""
        asked = self.asked.encoded(plan, self.searcher)
        values: list[float] = []
        for start in range(0, len(numbers), BATCH):
            if self.clock.over(1.0):
                break
            part = numbers[start : start + BATCH]
            found = self.answers(plan, [asked[number] for number in part], self.limit)
            for number, points in zip(part, found, strict=True):
                values.append(quality(number, self.ids(number, points)))
            self.clock.tick()
        return values

    @property
    def limit(self) -> int:
        """One more where a query is a point, which finds itself."""
        return self.k + (self.asked.own is not None)

    def ids(self, number: int, points: Sequence[models.ScoredPoint]) -> list[PointId]:
        """The first k of an answer, without the point that the query is."""
        own = None if self.asked.own is None else self.asked.own[number]
        found = [plain_id(one.id) for one in points]
        return [one for one in found if one != own][: self.k]

    def answers(
        self, plan: SearchPlan, asked: Sequence[Any], limit: int
    ) -> list[list[models.ScoredPoint]]:
        """What a plan finds, with the filter that all queries have."""
        return answer(
            self.client, self.collection, self.spec, plan, asked,
            limit=limit, query_filter=self.condition,
        )  # fmt: skip

    def trial(self, plan: SearchPlan) -> Trial:
        """A plan that nothing was measured of yet."""
        explained = explain(plan, self.spec, rows=self.all, limit=self.limit)
        return Trial(plan=plan, bytes_read=explained.bytes_read)

    def count(self, condition: models.Filter | None) -> int:
        """How many points match, exactly."""
        return int(self.client.count(self.collection, count_filter=condition, exact=True).count)

    # --- the report --------------------------------------------------------------------------

    def report(self, *, target: float | None, stored: bool) -> TuneReport:
        """All that was found."""
        trials = [one for one in self.trials if one.values]
        if self.exact is not None and self.exact.values and self.exact not in trials:
            trials.append(self.exact)
        front = [] if self.race is None else self.race.front(trials)
        trials.sort(key=lambda one: one.cost(self.by))
        version = self.client.info()
        if self.rerank is not None:
            self.notes.append(f"the part of {self.rerank} was not measured; it stays in the plan")
        name = "recall" if target is not None else "ndcg"
        return TuneReport(
            collection=self.collection,
            points=self.points,
            engine=f"{version.title} {version.version}",
            metric=f"{name}@{self.k}",
            target=target,
            source=self.asked.source,
            queries=self.queries,
            rows=tuple(self._measured(one, front=one in front) for one in trials),
            exact=self._told(self.exact, front),
            before=self._told(self.before, front),
            choice=self._told(self.choice, front),
            reached=self.reached,
            fresh=self.fresh,
            stored=stored,
            filtered=self.condition is not None,
            seconds=self.clock.elapsed,
            notes=tuple(self.notes),
        )

    def _told(self, trial: Trial | None, front: list[Trial]) -> Measured | None:
        if trial is None or not trial.values:
            return None
        return self._measured(trial, front=trial in front)

    def _measured(self, trial: Trial, *, front: bool) -> Measured:
        if self.race is None:
            raise ArgumentError(field="tune", problem="nothing was measured")
        found = self.race.interval(trial)
        plan = trial.plan if self.rerank is None else replace(trial.plan, rerank=self.rerank)
        return Measured(
            plan=plan,
            words=describe(trial.plan, self.spec),
            queries=len(trial.values),
            value=found.mean,
            low=found.low,
            high=found.high,
            p50_ms=trial.milliseconds(50),
            p95_ms=trial.milliseconds(95),
            bytes_read=trial.bytes_read,
            front=front,
        )
