"""Chooses among many plans with few measurements: successive halving with a deadline.

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

#: What makes a plan cheap: the time that it takes here, or the bytes that it reads.
Cost = Literal["time", "bytes"]
#: A plan and the number of a query -> the answer's quality in [0, 1], and seconds.
Measure: TypeAlias = Callable[[SearchPlan, int], tuple[float, float]]

#: Queries of the first round, at least.
_FIRST = 24
#: Times differ by so much without a reason.
_SAME_TIME = 1.05
#: A sure plan drops those that are so much costlier after a few queries.
_CLEARLY = 1.25
#: With judgements, plans within this share of the best are as good, and the cheapest wins.
AS_GOOD = 0.995
#: So many finalists answer all judged queries.
_FINALISTS = 6


@dataclass(slots=True, kw_only=True, eq=False)
class Trial:
    """A plan and its measurements so far.

    Attributes:
        plan: The plan.
        bytes_read: As it computes them; None if it cannot.
        values: Quality of query 0, 1, 2, ...
        seconds: Time of the same.
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
        """A percentile of its times, in milliseconds."""
        return float(np.percentile(self.seconds, percentile)) * 1e3

    def cost(self, by: Cost) -> float:
        """Return its cost; a plan whose bytes are unknown costs most."""
        if by == "time":
            return self.milliseconds(50)
        return math.inf if self.bytes_read is None else float(self.bytes_read)


class Race:
    """Trials that answer the same queries, in the same order.

    Args:
        measure: Runs one query by one plan.
        over: Whether the time is up.
        total: Number of queries.
        depth: The k of recall@k; None where quality is another metric.
        by: What makes a plan cheap.
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
        """How many queries each round has answered at its end."""
        first = min(self._total, max(_FIRST, self._total // 8))
        second = min(self._total, max(2 * _FIRST, self._total // 3))
        return sorted({first, second, self._total})

    def extend(self, trial: Trial, count: int) -> bool:
        """Have a plan answer its queries up to number ``count``; False if the time is up before."""
        while len(trial.values) < count:
            if self._over():
                self.cut_short = True
                return False
            value, seconds = self._measure(trial.plan, len(trial.values))
            trial.values.append(value)
            trial.seconds.append(seconds)
        return True

    def interval(self, trial: Trial) -> Interval:
        """The mean quality of a trial, and how sure it is."""
        if self._depth is None:
            return bootstrap_interval(trial.values)
        return recall_interval(trial.values, self._depth)

    def cheapest_that_reaches(self, trials: Sequence[Trial], target: float) -> Trial | None:
        """The cheapest plan of which the whole interval of recall reaches the target.

        Not the mean: of many plans whose means scatter about their true recall, the cheapest
        whose mean reaches a target mostly does so by luck.
        """
        alive = list(trials)
        for count in self.rungs()[:-1]:
            for trial in alive:
                self.extend(trial, count)
            alive = self._hopeful(alive, target)
        dropped = [one for one in trials if one not in alive and one.values]
        dropped = [one for one in dropped if self.interval(one).high >= target]
        # A plan dropped for a cheaper one comes back if that one fails on more queries.
        for trial in [*self._by_cost(alive), *self._by_cost(dropped)]:
            if self.extend(trial, self._total) and self.interval(trial).low >= target:
                break  # what follows is costlier
        found = self.choice(trials, target)
        # Few queries may have been enough to see that; the evidence is to be of all.
        while found is not None and self.extend(found, self._total):
            again = self.choice(trials, target)
            if again is found:
                break
            found = again
        return found

    def choice(self, trials: Sequence[Trial], target: float) -> Trial | None:
        """The cheapest of those that were seen to reach the target; of equals, the better."""
        reaching = [one for one in trials if one.values and self.interval(one).low >= target]
        return self._cheapest(reaching)

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """The cheapest of those that are as good as the best in the mean."""
        alive = list(trials)
        rungs = self.rungs()
        for number, count in enumerate(rungs):
            for trial in alive:
                self.extend(trial, count)
            # By the same queries: where the time was up, the first ones that all have answered.
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
        """The trials that no other beats in both quality and cost, cheapest first."""
        found: list[Trial] = []
        measured = [one for one in trials if one.values]
        for trial in sorted(measured, key=lambda one: (one.cost(self.by), -one.mean)):
            if not found or trial.mean > found[-1].mean:
                found.append(trial)
        return found

    def _hopeful(self, trials: Sequence[Trial], target: float) -> list[Trial]:
        """Those that may still be the cheapest that reaches the target."""
        measured = [one for one in trials if one.values]
        hopeful = [one for one in measured if self.interval(one).high >= target]
        sure = [one.cost(self.by) for one in hopeful if self.interval(one).low >= target]
        if sure:
            limit = min(sure) * (_CLEARLY if self.by == "time" else 1.0)
            hopeful = [one for one in hopeful if one.cost(self.by) <= limit]
        # No plan can reach it: measure how near the best ones come.
        return hopeful or sorted(measured, key=lambda one: -one.mean)[:_FINALISTS]

    def _by_cost(self, trials: Sequence[Trial]) -> list[Trial]:
        measured = [one for one in trials if one.values]
        return sorted(measured, key=lambda one: (one.cost(self.by), -one.mean))

    def _cheapest(self, trials: Sequence[Trial]) -> Trial | None:
        """The cheapest; of times that are the same but for noise, the one that reads least."""
        if not trials:
            return None
        limit = min(one.cost(self.by) for one in trials) * (_SAME_TIME if self.by == "time" else 1)
        near = [one for one in trials if one.cost(self.by) <= limit]
        return min(near, key=lambda one: (one.cost("bytes"), -one.mean, one.cost(self.by)))
