"""Metrics by hand, against their definitions, and (where it is installed) against ranx."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest

from qdrant_static.errors import ArgumentError
from qdrant_static.measuring.metrics import ndcg, neighbor_recall, recall, reciprocal_rank

RANKING = ["a", "b", "c", "d", "e"]
JUDGED = {"b": 2.0, "d": 1.0, "x": 1.0, "y": 0.0}


def test_ndcg_by_hand():
    gained = 2 / math.log2(3) + 1 / math.log2(5)
    best = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert ndcg(RANKING, JUDGED, 5) == pytest.approx(gained / best)
    assert ndcg(RANKING, JUDGED, 5) == pytest.approx(0.5406, abs=5e-5)


def test_ndcg_of_the_best_ranking_is_one_and_of_none_of_it_zero():
    assert ndcg(["b", "x", "d"], JUDGED, 10) == pytest.approx(1)
    assert ndcg(["a", "c"], JUDGED, 10) == 0
    assert ndcg([], JUDGED, 10) == 0


def test_ndcg_is_cut_at_its_depth_on_both_sides():
    assert ndcg(["b"], JUDGED, 1) == 1
    assert ndcg(["a", "b"], JUDGED, 1) == 0


def test_a_judgement_below_zero_gains_nothing():
    assert ndcg(["z", "b"], {"b": 1.0, "z": -1.0}) == pytest.approx(1 / math.log2(3))


def test_recall_by_hand():
    assert recall(RANKING, JUDGED, 5) == pytest.approx(2 / 3)
    assert recall(RANKING, JUDGED, 2) == pytest.approx(1 / 3)
    assert recall(["y"], JUDGED, 2) == 0  # judged, and not relevant


def test_reciprocal_rank_by_hand():
    assert reciprocal_rank(RANKING, JUDGED) == 1 / 2
    assert reciprocal_rank(["d"], JUDGED) == 1
    assert reciprocal_rank(RANKING, {"e": 1.0}, 4) == 0


@pytest.mark.parametrize("metric", [ndcg, recall, reciprocal_rank])
def test_what_has_no_quality_is_an_error(metric):
    with pytest.raises(ArgumentError, match="relevant: no document is relevant"):
        metric(RANKING, {"a": 0.0})
    with pytest.raises(ArgumentError, match="occurs twice"):
        metric(["a", "a"], JUDGED)
    for k in (0, -1, 1.5, True):
        with pytest.raises(ArgumentError, match="is not an integer of at least 1"):
            metric(RANKING, JUDGED, k)


def test_neighbor_recall_by_hand():
    truth = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}
    assert neighbor_recall(["b", "a", "c"], truth, 3) == 1
    assert neighbor_recall(["a", "d", "c"], truth, 3) == pytest.approx(2 / 3)
    assert neighbor_recall([], truth, 3) == 0


def test_whoever_is_as_near_as_the_last_counts():
    truth = {"a": 0.9, "b": 0.8, "c": 0.8, "d": 0.8, "e": 0.1}
    for found in (["a", "b"], ["a", "c"], ["a", "d"], ["c", "d"]):
        assert neighbor_recall(found, truth, 2) == 1
    assert neighbor_recall(["a", "e"], truth, 2) == 0.5


def test_a_collection_with_fewer_points_than_wanted_has_them_all():
    assert neighbor_recall(["a", "b"], {"a": 0.9, "b": 0.8}, 10) == 1
    with pytest.raises(ArgumentError, match="found nothing"):
        neighbor_recall(["a"], {}, 10)


# ranx's kernels cast hashes; that is its own affair.
@pytest.mark.filterwarnings("ignore:.*unsafe cast from uint64 to int64")
@pytest.mark.skipif(find_spec("ranx") is None, reason='pip install "qdrant-static[eval]"')
def test_the_same_numbers_as_ranx():
    from ranx import Qrels, Run, evaluate

    generator = np.random.default_rng(3)
    names = [f"d{n}" for n in range(40)]
    judged, runs, ours = {}, {}, {"ndcg@10": [], "recall@10": [], "mrr@10": []}
    for query in range(30):
        relevant = {n: int(g) for n, g in zip(names, generator.integers(0, 3, 40), strict=True)}
        relevant = {n: g for n, g in relevant.items() if g}
        order = [str(n) for n in generator.permutation(names)[:20]]
        judged[str(query)] = relevant
        runs[str(query)] = {n: 20.0 - rank for rank, n in enumerate(order)}
        ours["ndcg@10"].append(ndcg(order, relevant))
        ours["recall@10"].append(recall(order, relevant))
        ours["mrr@10"].append(reciprocal_rank(order, relevant))
    theirs = evaluate(Qrels(judged), Run(runs), list(ours))
    for name, values in ours.items():
        assert np.mean(values) == pytest.approx(theirs[name]), name
