"""Tunes by judged queries: finds the cheapest of the plans that are as good as the best."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qdrant_static.errors import ArgumentError
from qdrant_static.measuring.metrics import ndcg
from qdrant_static.measuring.queries import of_judged, parts
from qdrant_static.measuring.tuning.sweep import kinds, refinements
from qdrant_static.measuring.tuning.tunereport import Fresh, as_fresh
from qdrant_static.measuring.tuning.tuningsession import OUT_OF_TIME, Session
from qdrant_static.measuring.uncertainty import bootstrap_interval, paired_test

if TYPE_CHECKING:
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.ids import PointId
    from qdrant_static.measuring.judged import JudgedSet
    from qdrant_static.measuring.tuning.race import Trial

#: Level of paired tests: a plan must be significantly better to replace the one before, and is
#: refused if it is significantly worse on the other half.
_LEVEL = 0.05
#: A plan that costs at most this share of another is clearly cheaper.
_CLEARLY = 0.8


class ByJudgements(Session):
    """A tuning whose measure is NDCG by relevance judgements."""

    def run(self, judged: JudgedSet | str | os.PathLike[str], seed: int) -> None:
        """Choose by NDCG on one half of the queries, and report on the other."""
        measurement = self.measurement
        measurement.queries, notes = of_judged(
            measurement.client, measurement.collection, judged, seed
        )
        self.notes += notes
        chosen, fresh = parts(list(range(len(measurement.queries))), 1 / 2)
        if not chosen or not fresh:
            raise ArgumentError(field="judged", problem="one query cannot be split into halves")
        race = self.new_race(chosen, self._ndcg, depth=None)
        first = [self.trial(plan) for plan in kinds(self.spec, self.base)]
        self.trials = first
        self.before = before = first[0]
        self.exact = next((trial for trial in first if trial.plan.kind == "exact"), None)
        self.clock.phase(f"{len(first)} kinds and weights")
        best = race.best(first)
        if best is not None:
            known = {trial.plan: trial for trial in first}
            wanted = [
                plan for trial in _leaders(best, first) for plan in refinements(self.spec, trial)
            ]
            second = [known.get(plan) or self.trial(plan) for plan in dict.fromkeys(wanted)]
            self.trials = list({id(trial): trial for trial in [*first, *second]}.values())
            self.clock.phase(f"{len(second)} refinements")
            best = race.best(second) or best
        race.extend(before, len(chosen))
        self.choice = best if best is None or self._deserves(best, before) else before
        if race.cut_short:
            self.notes.append(OUT_OF_TIME)
        if self.choice is not None:
            self.clock.phase("check")
            self._compare(self.choice, fresh)

    def _deserves(self, best: Trial, before: Trial) -> bool:
        """Return whether the best plan replaces the one before.

        The best of thirty plans on some queries is a little better by chance: it must be better
        in a paired test, or be clearly cheaper and not worse.
        """
        count = min(len(best.values), len(before.values))
        if best is before or not count:
            return True
        test = paired_test(best.values[:count], before.values[:count])
        if test.difference > 0 and test.p_value < _LEVEL:
            return True
        return test.difference >= 0 and best.cost(self.by) <= _CLEARLY * before.cost(self.by)

    def _compare(self, best: Trial, fresh: list[int]) -> None:
        """Compare the choice with the previous plan on the other half of the queries."""
        ours = self.values(best.plan, fresh, self._ndcg)
        theirs = self.values(self.base, fresh, self._ndcg)
        count = min(len(ours), len(theirs))
        if not count:
            self.notes.append("there was no time left to check the choice on the other queries")
            return
        test = paired_test(ours[:count], theirs[:count])
        self.reached = not (test.difference < 0 and test.p_value < _LEVEL)
        self.fresh = Fresh(
            queries=count,
            **as_fresh(bootstrap_interval(ours[:count])),
            before=sum(theirs[:count]) / count,
            p_value=test.p_value,
        )

    def _ndcg(self, number: int, ids: list[PointId]) -> float:
        relevant = (self.measurement.queries.relevant or [])[number]
        return ndcg(ids, relevant, self.measurement.k)


def _leaders(best: Trial, trials: list[Trial]) -> list[SearchPlan]:
    """Return the best plan, and the best that has settings to refine, which BM25 has not."""
    most = max(len(trial.values) for trial in trials)
    knobs = [trial for trial in trials if trial.plan.needs_dense and len(trial.values) == most]
    leaders = [best, *sorted(knobs, key=lambda trial: -trial.mean)[:1]]
    return list(dict.fromkeys(trial.plan for trial in leaders))
