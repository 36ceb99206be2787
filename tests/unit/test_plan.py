"""SearchPlan: pure data -> the arguments of one request."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from qdrant_static.collection.spec import PLAN_KINDS, CollectionSpec
from qdrant_static.encoders.sparsevectors import SparseQuery
from qdrant_static.errors import SpecError
from qdrant_static.search.plan import SearchPlan, default_plan
from qdrant_static.vectors import truncate
from tests.fakes import FakeEncoder

DENSE = np.linspace(0.1, 1.0, 8, dtype=np.float32)
TERMS = SparseQuery(indices=np.array([3, 9], np.uint32), values=np.array([1.0, 1.5], np.float32))
SPARSE = models.SparseVector(indices=[3, 9], values=[1.0, 1.5])
ORIGINALS = models.SearchParams(quantization=models.QuantizationSearchParams(ignore=True))


def compiled(plan: SearchPlan, *, size: int = 8, limit: int = 5) -> dict:
    return plan.request(dense=DENSE, sparse=TERMS, size=size, limit=limit)


def test_exact_ignores_codes_and_graph():
    assert compiled(SearchPlan(kind="exact")) == {
        "query": DENSE.tolist(),
        "using": "full",
        "limit": 5,
        "search_params": models.SearchParams(
            exact=True, quantization=models.QuantizationSearchParams(ignore=True)
        ),
    }


def test_dense_oversamples_and_rescores():
    assert compiled(SearchPlan(kind="dense", oversampling=3)) == {
        "query": DENSE.tolist(),
        "using": "full",
        "limit": 5,
        "search_params": models.SearchParams(
            quantization=models.QuantizationSearchParams(rescore=True, oversampling=3)
        ),
    }


def test_dense_without_rescoring_does_not_oversample():
    params = compiled(SearchPlan(kind="dense", rescore=False))["search_params"]
    assert params.quantization == models.QuantizationSearchParams(rescore=False)


def test_bm25_asks_for_terms_alone():
    assert compiled(SearchPlan(kind="bm25")) == {"query": SPARSE, "using": "bm25", "limit": 5}


def test_a_smaller_vector_is_the_renormalized_prefix():
    request = compiled(SearchPlan(kind="exact", vector="mrl_4"), size=4)
    assert request["using"] == "mrl_4"
    assert request["query"] == truncate(DENSE[None], 4)[0].tolist()


def test_hybrid_has_both_scorers_judge_the_candidates_of_both():
    request = compiled(SearchPlan(kind="hybrid", candidates=50, dense_weight=1, sparse_weight=2))
    assert request["query"] == models.FusionQuery(fusion=models.Fusion.DBSF)
    assert request["limit"] == 5
    both = [
        models.Prefetch(
            query=DENSE.tolist(),
            using="full",
            limit=50,
            params=models.SearchParams(
                quantization=models.QuantizationSearchParams(rescore=True, oversampling=4)
            ),
        ),
        models.Prefetch(query=SPARSE, using="bm25", limit=50),
    ]
    dense = models.Prefetch(
        prefetch=both, query=DENSE.tolist(), using="full", limit=100, params=ORIGINALS
    )
    sparse = models.Prefetch(prefetch=both, query=SPARSE, using="bm25", limit=100)
    assert request["prefetch"] == [dense, sparse, sparse]


def test_hybrid_weights_are_how_often_a_stage_is_listed():
    request = compiled(SearchPlan(kind="hybrid", dense_weight=3, sparse_weight=1))
    assert [stage.using for stage in request["prefetch"]] == ["full"] * 3 + ["bm25"]


def test_hybrid_never_has_fewer_candidates_than_wanted_hits():
    request = compiled(SearchPlan(kind="hybrid", candidates=10), limit=300)
    for stage in request["prefetch"]:
        assert stage.limit == 600
        assert [inner.limit for inner in stage.prefetch] == [300, 300]


def test_a_plan_comes_from_its_name_its_dictionary_or_itself():
    plan = SearchPlan(kind="hybrid", candidates=30, repeated_terms="one")
    assert SearchPlan.of("dense") == SearchPlan(kind="dense")
    assert SearchPlan.of(json.loads(json.dumps(plan.to_dict()))) == plan
    assert SearchPlan.of(plan) is plan
    assert SearchPlan.of({"kind": "exact"}) == SearchPlan(kind="exact")


@given(
    st.builds(
        SearchPlan,
        kind=st.sampled_from(PLAN_KINDS),
        vector=st.sampled_from(["full", "mrl_4"]),
        oversampling=st.floats(1, 100),
        rescore=st.booleans(),
        candidates=st.integers(1, 1000),
        dense_weight=st.integers(1, 5),
        sparse_weight=st.integers(1, 5),
        repeated_terms=st.sampled_from(["sqrt", "one"]),
    )
)
def test_every_plan_survives_its_dictionary_and_compiles(plan):
    assert SearchPlan.of(json.loads(json.dumps(plan.to_dict()))) == plan
    assert compiled(plan)["limit"] == 5


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
        ({"kind": "hybrid", "candidates": 0}, "plan.candidates"),
        ({"kind": "hybrid", "candidates": "many"}, "plan.candidates"),
        ({"kind": "hybrid", "dense_weight": 0}, "plan.dense_weight"),
        ({"kind": "hybrid", "dense_weight": 1.5}, "plan.dense_weight"),
        ({"kind": "hybrid", "sparse_weight": -1}, "plan.sparse_weight"),
        ({"kind": "bm25", "repeated_terms": "log"}, "plan.repeated_terms"),
    ],
)
def test_a_plan_that_cannot_work_is_an_error_that_names_the_field(plan, field):
    with pytest.raises(SpecError) as caught:
        SearchPlan.of(plan)
    assert caught.value.field == field


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(SpecError, match="known: exact, dense, bm25, hybrid"):
        SearchPlan.of("fast")


def test_a_plan_is_refused_where_the_collection_lacks_what_it_needs():
    spec = CollectionSpec.for_encoder(FakeEncoder(), sparse=None)
    for kind in ("bm25", "hybrid"):
        with pytest.raises(SpecError, match=f"'{kind}' needs BM25"):
            SearchPlan(kind=kind).check(spec)
    with pytest.raises(SpecError, match="mrl_8"):
        SearchPlan(kind="dense", vector="mrl_8").check(spec)
    SearchPlan(kind="dense").check(spec)


def test_a_bm25_plan_does_not_look_at_the_dense_vector():
    spec = CollectionSpec.for_encoder(FakeEncoder())
    SearchPlan(kind="bm25", vector="mrl_8").check(spec)


@pytest.mark.parametrize("kind", ["exact", "dense", "hybrid"])
def test_a_request_without_its_vector_is_an_error(kind):
    with pytest.raises(SpecError, match="dense vector"):
        SearchPlan(kind=kind).request(dense=None, sparse=TERMS, size=None, limit=1)


@pytest.mark.parametrize("kind", ["bm25", "hybrid"])
def test_a_request_without_its_terms_is_an_error(kind):
    with pytest.raises(SpecError, match="BM25 terms"):
        SearchPlan(kind=kind).request(dense=DENSE, sparse=None, size=8, limit=1)


def test_the_default_is_hybrid_where_there_is_bm25_else_dense_else_what_the_spec_says():
    def spec(**options):
        return CollectionSpec.for_encoder(FakeEncoder(), **options)

    assert default_plan(spec()).kind == "hybrid"
    assert default_plan(spec(sparse=None)).kind == "dense"
    assert default_plan(spec(plan="exact")).kind == "exact"
    assert default_plan(spec(plan={"kind": "dense", "oversampling": 9})).oversampling == 9


def test_needs_say_what_must_be_encoded():
    needs = {
        k: (SearchPlan(kind=k).needs_dense, SearchPlan(kind=k).needs_sparse) for k in PLAN_KINDS
    }
    assert needs == {
        "exact": (True, False), "dense": (True, False), "bm25": (False, True),
        "hybrid": (True, True),
    }  # fmt: skip
