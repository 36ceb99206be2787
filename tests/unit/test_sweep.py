"""Which plans are tried: all can be served, none comes twice, the base's kind is kept."""

from __future__ import annotations

import pytest

from qdrant_static import CollectionSpec, SearchPlan
from qdrant_static.collection.passes import check_plan
from qdrant_static.collection.vectorspec import LateSpec
from qdrant_static.measuring.tuning.sweep import (
    approximations,
    describe,
    kinds,
    reference,
    refinements,
)
from qdrant_static.querying.explain import explain
from tests.fakes import FakeEncoder

SPECS = {
    "plain": {"quantization": None, "sparse": None},
    "codes": {"quantization": "binary"},
    "cascade": {"matryoshka": (32, 16), "quantization": "binary", "sparse": None},
    "graphs": {"matryoshka": (32,), "graph": ("full", "mrl_32")},
    "no graph": {"matryoshka": (16,), "graph": (), "quantization": None},
    "late": {"late": LateSpec(encoder="some/colbert", size=8)},
}


def spec(name: str) -> CollectionSpec:
    return CollectionSpec.for_encoder(FakeEncoder(dimension=64), **SPECS[name])


def bases(made: CollectionSpec) -> list[SearchPlan]:
    plans = [SearchPlan(kind="dense"), SearchPlan(kind="exact")]
    plans += [SearchPlan(kind="cascade")] if len(made.vectors) > 1 else []
    if made.sparse is not None:
        plans += [SearchPlan(kind="hybrid", sparse_weight=3, feedback=0.5)]
    plans += [SearchPlan(kind="late")] if made.late is not None else []
    return plans


@pytest.mark.parametrize("name", SPECS)
def test_every_plan_can_be_served_and_none_comes_twice(name):
    made = spec(name)
    for base in bases(made):
        plans = approximations(made, base, 10, 50_000)
        assert len(plans) == len(set(plans)) <= 120
        for plan in [*plans, reference(made, base)]:
            check_plan(plan, made)
            assert explain(plan, made, rows=1000, limit=10).bytes_read is not None
            assert len(describe(plan, made)) < 64
        words = [describe(plan, made) for plan in plans]
        assert len(set(words)) == len(words)


@pytest.mark.parametrize("name", SPECS)
def test_the_kind_and_all_that_is_no_matter_of_recall_is_kept(name):
    made = spec(name)
    for base in bases(made):
        for plan in [*approximations(made, base, 10, 50_000), reference(made, base)]:
            if base.kind in ("hybrid", "late"):
                assert plan.kind == base.kind
            else:
                assert plan.kind in ("exact", "dense", "cascade")
            assert plan.sparse_weight == base.sparse_weight
            assert plan.feedback == base.feedback


def test_the_base_is_among_them():
    made = spec("cascade")
    base = SearchPlan(kind="dense", oversampling=7)
    assert approximations(made, base, 10, 50_000)[0] == base
    assert SearchPlan(kind="exact") not in approximations(
        made, SearchPlan(kind="exact"), 10, 50_000
    )


def test_cascades_of_two_and_of_three_stages_are_tried():
    plans = approximations(spec("cascade"), SearchPlan(kind="dense"), 10, 50_000)
    ways = {tuple(stage.vector for stage in plan.stages) for plan in plans}
    assert {("mrl_16", "full"), ("mrl_32", "full"), ("mrl_16", "mrl_32", "full")} <= ways


def test_a_stage_that_passes_on_most_of_the_points_is_not_tried():
    for plan in approximations(spec("cascade"), SearchPlan(kind="dense"), 10, 300):
        assert all(stage.limit <= 150 for stage in plan.stages if stage.limit is not None)


def test_a_hybrid_needs_its_candidates_from_its_dense_side():
    base = SearchPlan(kind="hybrid", candidates=200)
    made = CollectionSpec.for_encoder(FakeEncoder(dimension=64), matryoshka=(16,))
    for plan in approximations(made, base, 10, 50_000):
        assert all(stage.limit >= 200 for stage in plan.stages if stage.limit is not None)


def test_the_yardstick_compares_every_original():
    made = spec("codes")
    assert reference(made, SearchPlan(kind="dense")) == SearchPlan(kind="exact", vector="full")
    fused = reference(made, SearchPlan(kind="hybrid", sparse_weight=3))
    (stage,) = fused.stages
    assert (stage.vector, stage.exact, fused.sparse_weight) == ("full", True, 3)


@pytest.mark.parametrize("name", SPECS)
def test_with_judgements_all_kinds_that_can_be_served_are_tried(name):
    made = spec(name)
    base = SearchPlan(kind="dense")
    plans = kinds(made, base)
    assert plans[0] == base
    assert {plan.kind for plan in plans} == {
        "exact", "dense", *(("bm25", "hybrid") if made.sparse else ()),
        *(("late",) if made.late else ()),
    }  # fmt: skip
    for plan in plans:
        for refined in refinements(made, plan):
            check_plan(refined, made)


def test_plans_are_told_in_a_few_words():
    made = spec("cascade")
    cascade = {"kind": "cascade", "stages": [{"vector": "mrl_16", "limit": 50}, {"vector": "full"}]}
    assert describe(SearchPlan.of(cascade), made) == "mrl_16 x50->full"
    dense = SearchPlan(kind="dense", vector="full", oversampling=4, ef=64)
    assert describe(dense, made) == "full 4x ef 64"
    assert describe(SearchPlan(kind="exact"), made) == "exact full"
    hybrid = SearchPlan(kind="hybrid", candidates=100, repeated_terms="one", feedback=0.3)
    words = "hybrid 1:2 @100 one: preset, feedback 0.3"
    assert describe(hybrid, spec("codes")) == words
