"""Intervals hold the truth as often as they say; the paired test is what its definition says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qdrant_static.errors import ArgumentError
from qdrant_static.measuring.uncertainty import bootstrap_interval, paired_test, recall_interval


def test_wilson_by_hand():
    """95 of 100 with k = 1: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)."""
    found = recall_interval([1.0] * 95 + [0.0] * 5, 1)
    assert found.mean == pytest.approx(0.95)
    assert (found.low, found.high) == pytest.approx((0.8882, 0.9785), abs=5e-5)


def test_perfect_recall_is_no_certainty_and_more_queries_are_more_sure():
    few, many = recall_interval([1.0] * 50, 10), recall_interval([1.0] * 500, 10)
    assert few.low < many.low < 1
    assert few.high == many.high == 1
    assert few.low == pytest.approx(1 / (1 + 1.959964**2 / 500))  # 50 queries of 10 hits


def test_hits_that_fail_together_make_the_interval_wider():
    spread = recall_interval([0.9] * 50 + [1.0] * 50, 10)
    together = recall_interval([0.0] * 5 + [1.0] * 95, 10)
    assert spread.mean == pytest.approx(together.mean)
    assert together.high - together.low > 2 * (spread.high - spread.low)


@pytest.mark.parametrize(("recall", "correlated"), [(0.95, False), (0.95, True), (0.99, True)])
def test_the_interval_of_recall_holds_the_truth_nineteen_times_of_twenty(recall, correlated):
    generator = np.random.default_rng(5)
    k, n, held = 10, 200, 0
    for _ in range(400):
        # Beta-distributed query difficulty: hits of one query fail together.
        chances = (
            generator.beta(4 * recall, 4 * (1 - recall), n) if correlated else np.full(n, recall)
        )
        found = recall_interval(generator.binomial(k, chances) / k, k)
        held += found.low <= recall <= found.high
    assert 0.91 <= held / 400 <= 1.0


def test_the_bootstrap_holds_the_truth_nineteen_times_of_twenty():
    generator = np.random.default_rng(6)
    held = 0
    for seed in range(300):
        found = bootstrap_interval(generator.beta(2, 2, 80), rounds=500, seed=seed)
        held += found.low <= 0.5 <= found.high
    assert 0.90 <= held / 300 <= 0.99


def test_the_bootstrap_is_the_same_every_time_and_of_equal_values_a_point():
    values = np.random.default_rng(1).random(40)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    same = bootstrap_interval([0.5] * 10)
    assert (same.low, same.mean, same.high) == (0.5, 0.5, 0.5)


def test_the_bootstrap_is_near_the_normal_interval_where_that_holds():
    values = np.random.default_rng(2).random(2000)
    found = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(2000)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_the_paired_test_of_few_queries_goes_through_all_signs():
    ours, theirs = [0.9, 0.8, 0.7, 0.9, 0.6], [0.5, 0.7, 0.6, 0.4, 0.65]
    differences = np.subtract(ours, theirs)
    as_large = sum(
        abs(np.dot(signs, differences)) >= abs(differences.sum()) - 1e-12
        for signs in itertools.product((1, -1), repeat=5)
    )
    found = paired_test(ours, theirs)
    assert found.p_value == as_large / 32 == 4 / 32
    assert found.difference == pytest.approx(differences.mean())


def test_the_paired_test_of_many_queries_samples():
    generator = np.random.default_rng(3)
    base = generator.random(150)
    better = base + generator.normal(0.05, 0.1, 150)
    assert paired_test(better, base).p_value < 0.001
    assert paired_test(base, base).p_value == 1
    assert paired_test(better, base) == paired_test(better, base)
    assert paired_test(base, better).p_value == paired_test(better, base).p_value


def test_under_no_difference_small_p_values_are_as_rare_as_they_say():
    generator = np.random.default_rng(4)
    small = sum(
        paired_test(generator.random(30), generator.random(30), rounds=400).p_value <= 0.05
        for _ in range(400)
    )
    assert 0.02 <= small / 400 <= 0.08


def test_what_cannot_be_measured_is_an_error():
    for function in (lambda v: recall_interval(v, 10), bootstrap_interval):
        for values in ([], [float("nan")], [[0.1], [0.2]]):
            with pytest.raises(ArgumentError, match="finite numbers"):
                function(values)
    with pytest.raises(ArgumentError, match="has 1 values, and the first 2"):
        paired_test([0.1, 0.2], [0.1])
