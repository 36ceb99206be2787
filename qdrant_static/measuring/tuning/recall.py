"""Tuning by recall: the cheapest plan that finds what exact search finds."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from qdrant_static.errors import ArgumentError
from qdrant_static.ids import plain_id
from qdrant_static.measuring.metrics import neighbor_recall
from qdrant_static.measuring.tuning.questions import of_points, of_texts, parts
from qdrant_static.measuring.tuning.sweep import approximations, reference
from qdrant_static.measuring.tuning.tunereport import Fresh, as_fresh
from qdrant_static.measuring.tuning.tuningsession import BATCH, Session
from qdrant_static.measuring.uncertainty import recall_interval
from qdrant_static.querying.answer import nearness

if TYPE_CHECKING:
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.ids import PointId
    from qdrant_static.measuring.tuning.race import Race, Trial

#: Of the budget, at most so much for exact search.
_FOR_TRUTH = 0.5


class ByRecall(Session):
    """A tuning whose yardstick is exact search."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.truth: dict[int, dict[PointId, float]] = {}

    def run(
        self,
        queries: Sequence[str] | str | os.PathLike[str] | None,
        sample: int,
        target: float,
        seed: int,
    ) -> None:
        """Choose the cheapest plan that finds what exact search finds."""
        if self.base.kind == "bm25":
            raise ArgumentError(
                field="plan",
                problem="'bm25' compares every posting: there is no recall to tune; give judged "
                "queries, or another plan",
            )
        wanted = sample + sample // 2
        if queries is None:
            self.asked = of_points(
                self.client, self.collection, self.spec, self.base, wanted, self.condition
            )
            self.notes.append(
                "points as queries are easier than real ones: each lies in the midst of the data; "
                "give queries if there are some"
            )
        else:
            self.asked = of_texts(queries, wanted, seed)
        exact = reference(self.spec, self.base)
        self.clock.phase("exact search")
        numbers = self._truths(exact)
        chosen, fresh = parts(numbers, 2 / 3)
        self._enough(len(chosen), target)
        race = self.new_race(chosen, self._recall, depth=self.k)
        self.exact = self.trial(exact)
        plans = approximations(self.spec, self.base, self.k, self.all)
        self.trials = [self.trial(plan) for plan in plans if plan != exact]
        self.before = next((one for one in self.trials if one.plan == self.base), self.exact)
        self.clock.phase(f"{len(self.trials)} plans")
        race.extend(self.exact, race.rungs()[0])
        found = race.cheapest_that_reaches(self.trials, target)
        self._decide(race, found)
        if self.choice is not None and fresh:
            self.clock.phase("check")
            values = self.values(self.choice.plan, fresh, self._recall)
            if values:
                found_again = recall_interval(values, self.k)
                self.fresh = Fresh(queries=len(values), **as_fresh(found_again))
                # Chance may choose; it does not choose twice.
                self.reached = self.reached and found_again.high >= target

    def _decide(self, race: Race, found: Trial | None) -> None:
        """What reached the target; exact search where it costs no more; else the best there is."""
        self.reached = found is not None
        measured = [one for one in self.trials if one.values]
        best = found or max(measured, key=lambda one: race.interval(one).low, default=None)
        exact = self.exact
        if exact is not None and exact.values:
            if best is None or exact.cost(self.by) <= best.cost(self.by):
                race.extend(exact, len(best.values) if best is not None else 0)
                self.reached, best = True, exact
        if race.cut_short:
            self.notes.append("the time was up before all was measured; more of it may find more")
        self.choice = best

    def _truths(self, exact: SearchPlan) -> list[int]:
        """Ask exact search, in batches, as far as its part of the budget goes.

        Returns:
            The numbers of the queries that have an answer.
        """
        # The k-th may have equals, which are as right as it is; a fused plan has no more than
        # its candidates.
        depth = 2 * self.k + 11
        most = {"hybrid": exact.candidates, "late": exact.late_candidates}.get(exact.kind, depth)
        depth = max(self.k + 1, min(depth, most))
        asked = self.asked.encoded(exact, self.searcher)
        for start in range(0, len(asked), BATCH):
            if self.clock.over(_FOR_TRUTH):
                break
            found = self.answers(exact, asked[start : start + BATCH], depth)
            for number, points in enumerate(found, start):
                own = None if self.asked.own is None else self.asked.own[number]
                scores = {
                    plain_id(one.id): nearness(one.score, exact, self.spec, unit=False)
                    for one in points
                    if plain_id(one.id) != own
                }
                if scores:
                    self.truth[number] = scores
            self.clock.tick()
        if len(self.truth) < len(asked):
            self.notes.append(
                f"{len(asked) - len(self.truth):,} of {len(asked):,} queries were left out: "
                "exact search found nothing, or took too long"
            )
        return sorted(self.truth)

    def _enough(self, count: int, target: float) -> None:
        """Refuse what so few queries cannot show, however good a plan is."""
        if count and recall_interval([1.0] * count, self.k).low >= target:
            return
        z = NormalDist().inv_cdf(0.975)
        needed = math.ceil(z * z * target / (1 - target) / self.k)
        told = (
            f"{count:,} queries with an answer of exact search cannot show a recall@{self.k} of "
            f"{target:g}; {needed:,} are needed, and half as many for the check"
        )
        if self.clock.over(_FOR_TRUTH):
            raise ArgumentError(
                field="budget_s", problem=f"{self.clock.budget_s:g} s were too short: {told}"
            )
        raise ArgumentError(field="queries", problem=told)

    def _recall(self, number: int, found: list[PointId]) -> float:
        return neighbor_recall(found, self.truth[number], self.k)
