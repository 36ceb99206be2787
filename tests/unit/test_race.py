"""The race between plans: certain reasons to leave, the cheapest that reaches, the front."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static.collection.plan import SearchPlan
from qdrant_static.measuring.tuning.race import Race, Trial


class Made:
    """Plans whose recall and time are known: plan number n is ``oversampling=n + 1``."""

    def __init__(self, recalls, milliseconds, total=300, seed=0):
        self.recalls = recalls
        self.milliseconds = milliseconds
        self.total = total
        self.asked = 0
        self.limit = float("inf")
        generator = np.random.default_rng(seed)
        self.values = [generator.binomial(10, recall, total) / 10 for recall in recalls]

    def measure(self, plan, number):
        self.asked += 1
        which = int(plan.oversampling) - 1
        return float(self.values[which][number]), self.milliseconds[which] / 1e3

    def race(self, by="time", depth=10) -> Race:
        return Race(
            self.measure, lambda: self.asked >= self.limit, total=self.total, depth=depth, by=by
        )

    def trials(self) -> list[Trial]:
        return [
            Trial(plan=SearchPlan(kind="dense", oversampling=n + 1), bytes_read=100 * (n + 1))
            for n in range(len(self.recalls))
        ]


def number(trial: Trial) -> int:
    return int(trial.plan.oversampling) - 1


def test_the_cheapest_that_reaches_the_target_wins():
    made = Made([0.5, 0.9, 0.97, 0.999, 1.0, 1.0], [1, 2, 3, 4, 8, 16])
    trials = made.trials()
    found = made.race().cheapest_that_reaches(trials, 0.99)
    assert number(found) == 3
    assert len(found.values) == 300


def test_hopeless_and_clearly_dearer_plans_answer_few_queries():
    made = Made([0.3] * 20 + [1.0] + [1.0] * 20, [1.0] * 20 + [2.0] + [9.0] * 20)
    trials = made.trials()
    found = made.race().cheapest_that_reaches(trials, 0.95)
    assert number(found) == 20
    assert made.asked < 0.2 * 41 * 300
    assert all(len(one.values) <= 40 for one in trials if one is not found)


def test_a_target_that_nobody_reaches_has_no_winner():
    made = Made([0.5, 0.8, 0.9], [1, 2, 3])
    trials = made.trials()
    assert made.race().cheapest_that_reaches(trials, 0.99) is None
    assert len(trials[2].values) > 0


def test_the_mean_is_not_enough():
    """Recall of exactly the target is not shown to reach it by as many queries as there are."""
    made = Made([0.99], [1.0], total=200)
    made.values[0][:] = 0.99
    trials = made.trials()
    assert made.race().cheapest_that_reaches(trials, 0.99) is None


def test_whoever_left_for_a_cheaper_plan_comes_back_if_that_one_fails():
    made = Made([1.0, 1.0], [1.0, 5.0])
    made.values[0][110:] = 0.5  # perfect for as long as few queries are asked
    trials = made.trials()
    assert number(made.race().cheapest_that_reaches(trials, 0.99)) == 1


def test_of_equal_times_the_one_that_reads_least_wins_and_bytes_may_decide_alone():
    made = Made([1.0, 1.0, 1.0], [1.02, 1.0, 3.0])
    assert number(made.race().cheapest_that_reaches(made.trials(), 0.95)) == 0
    made = Made([1.0, 1.0], [9.0, 1.0])
    assert number(made.race(by="bytes").cheapest_that_reaches(made.trials(), 0.95)) == 0


def test_when_the_time_is_up_it_stops_and_says_so():
    made = Made([1.0] * 10, list(range(1, 11)))
    made.limit = 100
    race, trials = made.race(), made.trials()
    found = race.cheapest_that_reaches(trials, 0.9)
    assert made.asked == 100
    assert race.cut_short
    assert number(found) == 0


def test_no_time_at_all_is_no_winner():
    made = Made([1.0], [1.0])
    made.limit = 0
    race, trials = made.race(), made.trials()
    assert race.cheapest_that_reaches(trials, 0.9) is None
    assert race.best(trials) is None
    assert race.front(trials) == []


def test_the_front_is_what_no_other_beats():
    made = Made([0.5, 0.4, 0.9, 0.9, 1.0], [1, 2, 3, 4, 5])
    race, trials = made.race(), made.trials()
    for one in trials:
        race.extend(one, 100)
    found = race.front(trials)
    for one in trials:
        beaten = any(
            other.mean >= one.mean and other.cost("time") <= one.cost("time")
            and (other.mean, -other.cost("time")) != (one.mean, -one.cost("time"))
            for other in trials
        )  # fmt: skip
        assert (one in found) != beaten


def test_with_judgements_the_cheapest_of_the_best_wins():
    made = Made([0.6, 0.8, 0.8, 0.3], [1, 3, 2, 1])
    made.values[1][:] = 0.8
    made.values[2][:] = 0.797  # within half a percent, and cheaper
    found = made.race(depth=None).best(made.trials())
    assert number(found) == 2


def test_rounds_grow_to_all_queries():
    assert Made([1.0], [1], total=500).race().rungs() == [62, 166, 500]
    assert Made([1.0], [1], total=40).race().rungs() == [24, 40]
    assert Made([1.0], [1], total=10).race().rungs() == [10]


@pytest.mark.parametrize("total", [39, 100, 334])
def test_the_same_queries_are_asked_in_the_same_order(total):
    seen = []
    race = Race(
        lambda plan, n: (seen.append((plan.oversampling, n)) or 1.0, 0.001),
        lambda: False, total=total, depth=10, by="time",
    )  # fmt: skip
    trial = Trial(plan=SearchPlan(kind="dense", oversampling=2))
    race.cheapest_that_reaches([trial], 0.9)
    assert [n for _, n in seen] == list(range(total))
