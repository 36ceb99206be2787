"""SearchPlan: pure data, its rules, and what a collection must have for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.collection.passes import check_plan, default_plan, uses_sparse
from qdrant_static.collection.plan import FUSIONS, PLAN_KINDS, SearchPlan, Stage
from qdrant_static.collection.spec import CollectionSpec, Fields, LateSpec
from qdrant_static.collection.specfile import dumps
from qdrant_static.errors import ArgumentError
from tests.fakes import FakeEncoder

CASCADE = {"kind": "cascade", "stages": [{"vector": "mrl_8", "limit": 50}, {"vector": "full"}]}


def spec_of(**options) -> CollectionSpec:
    return CollectionSpec.for_encoder(FakeEncoder(), **options)


def test_a_plan_comes_from_its_name_its_dictionary_or_itself():
    plan = SearchPlan(kind="hybrid", candidates=30, repeated_terms="one")
    assert SearchPlan.of("dense") == SearchPlan(kind="dense")
    assert SearchPlan.of(json.loads(json.dumps(plan.to_dict()))) == plan
    assert SearchPlan.of(plan) is plan
    assert SearchPlan.of({"kind": "exact"}) == SearchPlan(kind="exact")


def test_stages_come_from_dictionaries_and_are_hashable():
    plan = SearchPlan.of(CASCADE)
    assert plan.stages == (Stage(vector="mrl_8", limit=50), Stage(vector="full"))
    assert len({plan, SearchPlan.of(CASCADE)}) == 1


def stages(names: tuple[str, ...], draw) -> tuple[Stage, ...]:
    limit = 1000
    found = []
    for name in names[:-1]:
        limit = draw(st.integers(1, limit))
        found.append(draw(stage(name, limit)))
    return (*found, draw(stage(names[-1], None)))


def stage(name: str, limit: int | None) -> st.SearchStrategy[Stage]:
    return st.builds(
        Stage,
        vector=st.just(name),
        limit=st.just(limit),
        oversampling=st.none() | st.floats(1, 100),
        rescore=st.booleans(),
        ef=st.none() | st.integers(1, 1000),
        exact=st.booleans(),
    )


@st.composite
def plans(draw) -> SearchPlan:
    kind = draw(st.sampled_from(PLAN_KINDS))
    names = draw(
        st.sampled_from([("mrl_4", "full"), ("mrl_4", "mrl_8"), ("mrl_4", "mrl_8", "full")])
    )
    staged = kind == "cascade" or (kind in ("hybrid", "late") and draw(st.booleans()))
    return SearchPlan(
        kind=kind,
        vector=None if staged else draw(st.sampled_from([None, "full", "mrl_4"])),
        stages=stages(names, draw) if staged else (),
        oversampling=draw(st.none() | st.floats(1, 100)),
        rescore=draw(st.booleans()),
        ef=draw(st.none() | st.integers(1, 1000)),
        candidates=draw(st.integers(1, 1000)),
        fusion=draw(st.sampled_from(FUSIONS)),
        dense_weight=draw(st.integers(1, 5)),
        sparse_weight=draw(st.integers(1, 5)),
        repeated_terms=draw(st.sampled_from(["sqrt", "one", "count"])),
        feedback=0.0 if kind == "bm25" else draw(st.floats(0, 2)),
        feedback_hits=draw(st.integers(1, 10)),
        late_candidates=draw(st.integers(1, 100)),
        rerank=draw(st.none() | st.just("reader")),
        rerank_candidates=draw(st.integers(1, 100)),
    )


@given(plans())
def test_every_plan_survives_its_dictionary_and_toml(plan):
    import tomllib

    assert SearchPlan.of(json.loads(json.dumps(plan.to_dict()))) == plan
    assert SearchPlan.of(tomllib.loads(dumps(plan.to_dict()))) == plan


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        ("hybird", "plan"),
        ("", "plan"),
        ({"kind": "dense", "oversample": 2}, "plan.oversample"),
        ({}, "plan"),
        (5, "plan"),
        ({"kind": "dense", "oversampling": 0.5}, "plan.oversampling"),
        ({"kind": "dense", "oversampling": float("nan")}, "plan.oversampling"),
        ({"kind": "dense", "oversampling": True}, "plan.oversampling"),
        ({"kind": "dense", "rescore": "no"}, "plan.rescore"),
        ({"kind": "dense", "ef": 0}, "plan.ef"),
        ({"kind": "dense", "vector": 256}, "plan.vector"),
        ({"kind": "hybrid", "candidates": 0}, "plan.candidates"),
        ({"kind": "hybrid", "candidates": "many"}, "plan.candidates"),
        ({"kind": "hybrid", "candidates": None}, "plan.candidates"),
        ({"kind": "hybrid", "dense_weight": 0}, "plan.dense_weight"),
        ({"kind": "hybrid", "dense_weight": 1.5}, "plan.dense_weight"),
        ({"kind": "hybrid", "sparse_weight": -1}, "plan.sparse_weight"),
        ({"kind": "hybrid", "fusion": "sum"}, "plan.fusion"),
        ({"kind": "bm25", "repeated_terms": "log"}, "plan.repeated_terms"),
        ({"kind": "bm25", "feedback": 0.6}, "plan.feedback"),
        ({"kind": "dense", "feedback": -1}, "plan.feedback"),
        ({"kind": "dense", "feedback_hits": 0}, "plan.feedback_hits"),
        ({"kind": "late", "late_candidates": 0}, "plan.late_candidates"),
        ({"kind": "dense", "rerank_candidates": 0}, "plan.rerank_candidates"),
        ({"kind": "dense", "rerank": True}, "plan.rerank"),
        ({"kind": "dense", "stages": [{"vector": "full"}]}, "plan.stages"),
        ({"kind": "cascade", "stages": [{"vector": "full"}]}, "plan.stages"),
        ({"kind": "cascade", "stages": "mrl_8"}, "plan.stages"),
        ({"kind": "cascade", "stages": ["mrl_8", "full"]}, "plan.stages"),
        ({"kind": "cascade", "vector": "full"}, "plan.vector"),
        ({**CASCADE, "vector": "full"}, "plan.vector"),
        (
            {"kind": "cascade", "stages": [{"vector": "mrl_8"}, {"vector": "full"}]},
            "plan.stages[0].limit",
        ),
        (
            {"kind": "hybrid", "stages": [{"vector": "full", "limit": 5}]},
            "plan.stages[0].limit",
        ),
        (
            {"kind": "cascade", "stages": [{"vector": "full", "limit": 9}, {"vector": "mrl_8"}]},
            "plan.stages.vector",
        ),
        (
            {"kind": "cascade", "stages": [{"vector": "mrl_8", "limit": 9}, {"vector": "mrl_8"}]},
            "plan.stages.vector",
        ),
        (
            {
                "kind": "cascade",
                "stages": [
                    {"vector": "mrl_4", "limit": 9},
                    {"vector": "mrl_8", "limit": 10},
                    {"vector": "full"},
                ],
            },
            "plan.stages.limit",
        ),
        (
            {"kind": "hybrid", "stages": [{"vector": "full", "oversampling": 0}]},
            "plan.stages.oversampling",
        ),
        ({"kind": "hybrid", "stages": [{"vector": "full", "size": 8}]}, "plan.stages.size"),
    ],
)
def test_a_plan_that_cannot_work_is_an_error_that_names_the_field(plan, field):
    with pytest.raises(ArgumentError) as caught:
        SearchPlan.of(plan)
    assert caught.value.field == field


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ArgumentError, match="known: exact, dense, cascade, bm25, hybrid, late"):
        SearchPlan.of("fast")


@pytest.mark.parametrize(
    ("plan", "options", "message"),
    [
        ("bm25", {"sparse": None}, "'bm25' needs BM25"),
        ("hybrid", {"sparse": None}, "'hybrid' needs BM25"),
        ("late", {}, "late-interaction vector"),
        ({"kind": "dense", "vector": "mrl_8"}, {}, "'mrl_8' is not in the collection"),
        (CASCADE, {}, "'mrl_8' is not in the collection"),
        ("cascade", {}, "a cascade needs two vectors"),
    ],
)
def test_a_plan_is_refused_where_the_collection_lacks_what_it_needs(plan, options, message):
    with pytest.raises(ArgumentError, match=message):
        check_plan(SearchPlan.of(plan), spec_of(**options))


def test_a_plan_is_taken_where_the_collection_has_what_it_needs():
    from dataclasses import replace

    spec = spec_of(matryoshka=(8,), late=LateSpec(encoder="l", size=4))
    spec = replace(spec, fields=Fields(key=None, text=("text",)))
    for kind in PLAN_KINDS:
        check_plan(SearchPlan(kind=kind, rerank="reader"), spec)
    check_plan(SearchPlan.of(CASCADE), spec)


def test_a_bm25_plan_does_not_look_at_the_dense_vector():
    check_plan(SearchPlan(kind="bm25", vector="mrl_8"), spec_of())


def test_the_default_is_hybrid_where_there_is_bm25_else_dense_else_what_the_spec_says():
    assert default_plan(spec_of()).kind == "hybrid"
    assert default_plan(spec_of(sparse=None)).kind == "dense"
    assert default_plan(spec_of(plan="exact")).kind == "exact"
    assert default_plan(spec_of(plan={"kind": "dense", "oversampling": 9})).oversampling == 9


def test_needs_say_what_must_be_encoded():
    with_terms, without = spec_of(), spec_of(sparse=None)
    needs = {
        plan.kind: (
            plan.needs_dense, uses_sparse(plan, with_terms), uses_sparse(plan, without),
            plan.needs_late,
        )
        for plan in map(SearchPlan.of, PLAN_KINDS)
    }  # fmt: skip
    assert needs == {
        "exact": (True, False, False, False),
        "dense": (True, False, False, False),
        "cascade": (True, False, False, False),
        "bm25": (False, True, True, False),
        "hybrid": (True, True, True, False),
        "late": (True, True, False, True),
    }
