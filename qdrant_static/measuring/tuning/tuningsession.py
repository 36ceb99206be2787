"""Runs the trials of one tuning: times and rates their answers, and makes the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from qdrant_static.errors import ArgumentError
from qdrant_static.measuring.measurement import Measurement
from qdrant_static.measuring.queries import QuerySet
from qdrant_static.measuring.tuning.race import Cost, Race, Trial
from qdrant_static.measuring.tuning.sweep import describe
from qdrant_static.measuring.tuning.tunereport import Fresh, MeasuredPlan, TuneReport
from qdrant_static.querying.explain import explain

if TYPE_CHECKING:
    from qdrant_client import models

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.ids import PointId
    from qdrant_static.measuring.tuning.tuneclock import Clock
    from qdrant_static.querying.run import Searcher

#: Called with the number of a query and the ids found; returns the quality in [0, 1].
Quality: TypeAlias = "Callable[[int, list[PointId]], float]"

#: Share of the budget for everything except the check at the end.
_FOR_CHOICE = 0.9
OUT_OF_TIME = (
    "the time was up before all plans were measured; a larger budget may find a better one"
)


class Session:
    """One tuning, by recall or by judgements.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        searcher: The collection, opened for searching.
        base: The plan to start from.
        k: Depth of the metric.
        condition: A filter for all queries.
        by: The cost to minimize.
        clock: The time limit.
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
        self.measurement = Measurement(
            client=client, collection=collection, spec=searcher.spec, queries=QuerySet(), k=k,
            condition=condition, searcher=searcher,
        )  # fmt: skip
        self.spec = searcher.spec
        # A cross-encoder is not measured; it stays in the plan.
        self.base = replace(base, rerank=None)
        self.rerank = base.rerank
        self.by = by
        self.clock = clock
        self.points = self._count(condition)
        self.all = self.points if condition is None else self._count(None)
        if not self.points:
            raise ArgumentError(
                field="collection",
                problem=f"{collection!r} has no points"
                + ("" if condition is None else " that match the filter"),
            )
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
        """Return a race over some queries; they are answered and timed one at a time."""
        self.queries = len(numbers)

        def measure(plan: SearchPlan, place: int) -> tuple[float, float]:
            number = numbers[place]
            ids, seconds = self.measurement.timed(plan, number)
            self.clock.tick()
            return quality(number, ids), seconds

        self.race = Race(
            measure,
            lambda: self.clock.over(_FOR_CHOICE),
            total=len(numbers),
            depth=depth,
            by=self.by,
        )
        return self.race

    def values(self, plan: SearchPlan, numbers: list[int], quality: Quality) -> list[float]:
        """Return the quality of a plan on some queries, fewer if the time is up."""
        return self.measurement.values(
            plan, numbers, quality, stop=lambda: self.clock.over(1.0), tick=self.clock.tick
        )

    def trial(self, plan: SearchPlan) -> Trial:
        """Return the trial of a plan, with nothing measured yet."""
        explained = explain(plan, self.spec, rows=self.all, limit=self.measurement.limit)
        return Trial(plan=plan, bytes_read=explained.bytes_read)

    def report(self, *, target: float | None, stored: bool) -> TuneReport:
        """Return all that was measured."""
        measurement = self.measurement
        trials = [trial for trial in self.trials if trial.values]
        if self.exact is not None and self.exact.values and self.exact not in trials:
            trials.append(self.exact)
        front = [] if self.race is None else self.race.front(trials)
        trials.sort(key=lambda trial: trial.cost(self.by))
        version = measurement.client.info()
        if self.rerank is not None:
            self.notes.append(f"{self.rerank} was not measured; it stays in the plan")
        name = "recall" if target is not None else "ndcg"
        return TuneReport(
            collection=measurement.collection,
            points=self.points,
            engine=f"{version.title} {version.version}",
            metric=f"{name}@{measurement.k}",
            target=target,
            source=measurement.queries.source,
            queries=self.queries,
            rows=tuple(self._row(trial, front) for trial in trials),
            exact=self._measured(self.exact, front),
            before=self._measured(self.before, front),
            choice=self._measured(self.choice, front),
            reached=self.reached,
            fresh=self.fresh,
            stored=stored,
            filtered=measurement.condition is not None,
            seconds=self.clock.elapsed,
            notes=tuple(self.notes),
        )

    def _count(self, condition: models.Filter | None) -> int:
        client, collection = self.measurement.client, self.measurement.collection
        return int(client.count(collection, count_filter=condition, exact=True).count)

    def _measured(self, trial: Trial | None, front: list[Trial]) -> MeasuredPlan | None:
        return None if trial is None or not trial.values else self._row(trial, front)

    def _row(self, trial: Trial, front: list[Trial]) -> MeasuredPlan:
        if self.race is None:
            raise ArgumentError(field="tune", problem="nothing was measured")
        interval = self.race.interval(trial)
        plan = trial.plan if self.rerank is None else replace(trial.plan, rerank=self.rerank)
        return MeasuredPlan(
            plan=plan,
            words=describe(trial.plan, self.spec),
            queries=len(trial.values),
            value=interval.mean,
            low=interval.low,
            high=interval.high,
            p50_ms=trial.milliseconds(50),
            p95_ms=trial.milliseconds(95),
            bytes_read=trial.bytes_read,
            front=trial in front,
        )
