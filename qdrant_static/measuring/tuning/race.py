"""Chooses among many plans with few measurements, by successive halving with a deadline.

Every plan answers a few queries; plans that can no longer win are dropped, and the rest answer
more. A plan is dropped only if its recall cannot reach the target, or a cheaper one reached it.
(Jamieson and Talwalkar, 2016, arXiv:1502.07943, halve by rank alone.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from qdrant_static.collection.plan import SearchPlan
from qdrant_static.measuring.uncertainty import Interval, bootstrap_interval, recall_interval

#: The cost of a plan: the time that it takes, or the bytes that it reads.
Cost = Literal["time", "bytes"]
#: Called with a plan and the number of a query; returns the answer's quality in [0, 1] and seconds.
Measure: TypeAlias = Callable[[SearchPlan, int], tuple[float, float]]

#: Minimum number of queries of the first round.
_FIRST = 24
#: Times within this factor count as equal: they vary as much by chance.
_SAME_TIME = 1.05
#: After a few queries, a plan that surely reaches the target drops those that cost more than this
#: multiple of it.
_CLEARLY = 1.25
#: With judgements, plans within this share of the best are as good, and the cheapest wins.
AS_GOOD = 0.995
#: Number of finalists that answer all judged queries.
_FINALISTS = 6


@dataclass(slots=True, kw_only=True, eq=False)
class Trial:
    """A plan and its measurements so far.

    Attributes:
        plan: The plan.
        bytes_read: Bytes per query, as computed from the plan; None if unknown.
        values: The quality of query 0, 1, 2, ...
        seconds: The time of each of these queries, in seconds.
    """

    plan: SearchPlan
    bytes_read: int | None = None
    values: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Mean quality."""
        return float(np.mean(self.values))

    def milliseconds(self, percentile: float) -> float:
        """Return a percentile of the times, in milliseconds."""
        return float(np.percentile(self.seconds, percentile)) * 1e3

    def cost(self, by: Cost) -> float:
        """Return the cost; it is infinite if the bytes are unknown."""
        if by == "time":
            return self.milliseconds(50)
        return math.inf if self.bytes_read is None else float(self.bytes_read)


class Race:
    """Runs trials, which answer the same queries in the same order.

    Args:
        measure: Runs one query by one plan.
        over: Returns whether the time is up.
        total: Number of queries.
        depth: The k of recall@k; None for another metric.
        by: The cost to minimize.
    """

    def __init__(
        self, measure: Measure, over: Callable[[], bool], *, total: int, depth: int | None, by: Cost
    ) -> None:
        self._measure = measure
        self._over = over
        self._total = total
        self._depth = depth
        self.by: Cost = by
        self.cut_short = False

    def rungs(self) -> list[int]:
        """Return the number of queries that are answered at the end of each round."""
        first = min(self._total, max(_FIRST, self._total // 8))
        second = min(self._total, max(2 * _FIRST, self._total // 3))
        return sorted({first, second, self._total})

    def extend(self, trial: Trial, count: int) -> bool:
        """Run a plan's queries up to number ``count``; return False if the time is up before."""
        while len(trial.values) < count:
            if self._over():
                self.cut_short = True
                return False
            value, seconds = self._measure(trial.plan, len(trial.values))
            trial.values.append(value)
            trial.seconds.append(seconds)
        return True

    def interval(self, trial: Trial) -> Interval:
        """Return the mean quality of a trial and its 95% interval."""
        if self._depth is None:
            return bootstrap_interval(trial.values)
        return recall_interval(trial.values, self._depth)

    def cheapest_that_reaches(self, trials: Sequence[Trial], target: float) -> Trial | None:
        """Return the cheapest plan whose whole interval of recall reaches the target.

        The mean is not enough: of many plans whose means scatter about their true recall, the
        cheapest whose mean reaches a target mostly does so by chance.
        """
        alive = list(trials)
        for count in self.rungs()[:-1]:
            for trial in alive:
                self.extend(trial, count)
            alive = self._hopeful(alive, target)
        dropped = [one for one in trials if one not in alive and one.values]
        dropped = [one for one in dropped if self.interval(one).high >= target]
        # A plan dropped for a cheaper one is tried if that one fails on more queries.
        for trial in [*self._by_cost(alive), *self._by_cost(dropped)]:
            if self.extend(trial, self._total) and self.interval(trial).low >= target:
                break  # the others cost more
        best = self.choice(trials, target)
        # A few queries may have been enough to choose it; its evidence must be of all queries.
        while best is not None and self.extend(best, self._total):
            cheapest = self.choice(trials, target)
            if cheapest is best:
                break
            best = cheapest
        return best

    def choice(self, trials: Sequence[Trial], target: float) -> Trial | None:
        """Return the cheapest trial that reaches the target; of equal ones, the better."""
        reaching = [
            trial for trial in trials if trial.values and self.interval(trial).low >= target
        ]
        return self._cheapest(reaching)

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """Return the cheapest trial whose mean is as good as the best."""
        alive = list(trials)
        rungs = self.rungs()
        for number, count in enumerate(rungs):
            for trial in alive:
                self.extend(trial, count)
            # Only trials that answered the same queries are compared, also when the time is up.
            last = number == len(rungs) - 1
            keep = len(alive) if last else max(_FINALISTS, math.ceil(len(alive) / 2))
            alive = sorted(alive, key=lambda one: -one.mean if one.values else 1.0)[:keep]
        common = max((len(one.values) for one in alive), default=0)
        alive = [one for one in alive if one.values and len(one.values) == common]
        if not alive:
            return None
        good = max(one.mean for one in alive) * AS_GOOD
        return self._cheapest([one for one in alive if one.mean >= good])

    def front(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the trials that no other beats in both quality and cost, cheapest first."""
        front: list[Trial] = []
        measured = [one for one in trials if one.values]
        for trial in sorted(measured, key=lambda one: (one.cost(self.by), -one.mean)):
            if not front or trial.mean > front[-1].mean:
                front.append(trial)
        return front

    def _hopeful(self, trials: Sequence[Trial], target: float) -> list[Trial]:
        """Return the trials that may still be the cheapest that reaches the target."""
        measured = [trial for trial in trials if trial.values]
        hopeful = [trial for trial in measured if self.interval(trial).high >= target]
        sure = [trial.cost(self.by) for trial in hopeful if self.interval(trial).low >= target]
        if sure:
            limit = min(sure) * (_CLEARLY if self.by == "time" else 1.0)
            hopeful = [trial for trial in hopeful if trial.cost(self.by) <= limit]
        # No plan can reach it: continue with the best ones, to measure how close they come.
        return hopeful or sorted(measured, key=lambda trial: -trial.mean)[:_FINALISTS]

    def _by_cost(self, trials: Sequence[Trial]) -> list[Trial]:
        measured = [trial for trial in trials if trial.values]
        return sorted(measured, key=lambda trial: (trial.cost(self.by), -trial.mean))

    def _cheapest(self, trials: Sequence[Trial]) -> Trial | None:
        """Return the cheapest; among times equal but for noise, the one that reads least."""
        if not trials:
            return None
        limit = min(trial.cost(self.by) for trial in trials) * (
            _SAME_TIME if self.by == "time" else 1
        )
        near = [trial for trial in trials if trial.cost(self.by) <= limit]
        return min(near, key=lambda trial: (trial.cost("bytes"), -trial.mean, trial.cost(self.by)))
