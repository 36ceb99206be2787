"""Tunes by recall: finds the cheapest plan with the wanted recall against exact search."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from qdrant_static.errors import ArgumentError
from qdrant_static.measuring.queries import of_points, of_texts, parts
from qdrant_static.measuring.tuning.sweep import approximations, reference
from qdrant_static.measuring.tuning.tunereport import Fresh, as_fresh
from qdrant_static.measuring.tuning.tuningsession import OUT_OF_TIME, Session
from qdrant_static.measuring.uncertainty import recall_interval

if TYPE_CHECKING:
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.measuring.tuning.race import Race, Trial

#: Share of the budget for exact search.
_FOR_EXACT = 0.5


class ByRecall(Session):
    """A tuning whose measure is recall against exact search."""

    def run(
        self,
        queries: Sequence[str] | str | os.PathLike[str] | None,
        sample: int,
        target: float,
        seed: int,
    ) -> None:
        """Choose the cheapest plan that reaches the target recall."""
        if self.base.kind == "bm25":
            raise ArgumentError(
                field="plan",
                problem="'bm25' compares every posting: there is no recall to tune; give judged "
                "queries, or another plan",
            )
        wanted, measurement = sample + sample // 2, self.measurement
        if queries is None:
            measurement.queries = of_points(
                measurement.client, measurement.collection, self.spec, self.base, wanted,
                measurement.condition, encoder=self._query_encoder(),
            )  # fmt: skip
            self.notes.append(
                "its own points as queries are easier than real queries, since each lies amid the "
                "data; give queries if you have some"
            )
        else:
            measurement.queries = of_texts(queries, wanted, seed)
        exact = reference(self.spec, self.base)
        self.clock.phase("exact search")
        numbers = measurement.find_neighbors(
            exact, stop=lambda: self.clock.over(_FOR_EXACT), tick=self.clock.tick
        )
        total = len(measurement.queries)
        if len(numbers) < total:
            self.notes.append(
                f"{total - len(numbers):,} of {total:,} queries were left out: "
                "exact search found nothing, or took too long"
            )
        chosen, fresh = parts(numbers, 2 / 3)
        self._enough(len(chosen), target)
        race = self.new_race(chosen, self.measurement.recall, depth=measurement.k)
        self.exact = self.trial(exact)
        plans = approximations(self.spec, self.base, measurement.k, self.all)
        self.trials = [self.trial(plan) for plan in plans if plan != exact]
        self.before = next((trial for trial in self.trials if trial.plan == self.base), self.exact)
        self.clock.phase(f"{len(self.trials)} plans")
        race.extend(self.exact, race.rungs()[0])
        cheapest = race.cheapest_that_reaches(self.trials, target)
        self._decide(race, cheapest)
        if self.choice is not None and fresh:
            self.clock.phase("check")
            values = self.values(self.choice.plan, fresh, self.measurement.recall)
            if values:
                interval = recall_interval(values, measurement.k)
                self.fresh = Fresh(queries=len(values), **as_fresh(interval))
                # A plan chosen by chance fails on queries that were not used for the choice.
                self.reached = self.reached and interval.high >= target

    def _query_encoder(self) -> Encoder | None:
        """Return the encoder of queries if the search is asymmetric; points need no other."""
        searcher = self.measurement.searcher
        return None if self.spec.queries is None or searcher is None else searcher.encoder

    def _decide(self, race: Race, cheapest: Trial | None) -> None:
        """Choose the cheapest that reached the target, else the best; exact search if cheaper."""
        self.reached = cheapest is not None
        measured = [trial for trial in self.trials if trial.values]
        best = cheapest or max(measured, key=lambda trial: race.interval(trial).low, default=None)
        exact = self.exact
        if exact is not None and exact.values:
            if best is None or exact.cost(self.by) <= best.cost(self.by):
                race.extend(exact, len(best.values) if best is not None else 0)
                self.reached, best = True, exact
        if race.cut_short:
            self.notes.append(OUT_OF_TIME)
        self.choice = best

    def _enough(self, count: int, target: float) -> None:
        """Raise an error if there are too few queries to show that any plan reaches the target."""
        k = self.measurement.k
        if count and recall_interval([1.0] * count, k).low >= target:
            return
        z = NormalDist().inv_cdf(0.975)
        needed = math.ceil(z * z * target / (1 - target) / k)
        problem = (
            f"{count:,} queries with an answer of exact search cannot show a recall@{k} of "
            f"{target:g}; {needed:,} are needed, and half as many for the check"
        )
        if self.clock.over(_FOR_EXACT):
            raise ArgumentError(
                field="budget_s", problem=f"{self.clock.budget_s:g} s were not enough: {problem}"
            )
        raise ArgumentError(field="queries", problem=problem)
