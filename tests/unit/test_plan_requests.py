"""Plan + query -> the arguments of one request."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from qdrant_client import models

from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.presets import passed_on
from qdrant_static.collection.spec import CollectionSpec, Hnsw, LateSpec, VectorSpec
from qdrant_static.encoders.sparsevectors import SparseQuery
from qdrant_static.errors import ArgumentError
from qdrant_static.querying.query import Query
from qdrant_static.querying.request import compile_request
from qdrant_static.vectors import truncate
from tests.fakes import FakeEncoder
from tests.unit.test_plan import plans

DENSE = np.linspace(0.1, 1.0, 32, dtype=np.float32)
TERMS = SparseQuery(indices=np.array([3, 9], np.uint32), values=np.array([1.0, 1.5], np.float32))
LATE = np.ones((2, 4), np.float32)
QUERY = Query(text="moon", dense=DENSE, sparse=TERMS, late=LATE)
FULL = DENSE.tolist()
SPARSE = models.SparseVector(indices=[3, 9], values=[1.0, 1.5])
EXACT = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))
CONDITION = models.Filter(must=[models.HasIdCondition(has_id=[1])])


def spec_of(**options) -> CollectionSpec:
    given = {"matryoshka": (8, 4), "quantization": "binary", "graph": "full", **options}
    return CollectionSpec.for_encoder(FakeEncoder(), late=LateSpec(encoder="l", size=4), **given)


SPEC = spec_of()


def compiled(plan, *, spec: CollectionSpec = SPEC, query: Query = QUERY, limit: int = 5, **given):
    return compile_request(SearchPlan.of(plan), query, spec, limit=limit, **given)


def part(size: int) -> list[float]:
    return truncate(DENSE[None], size)[0].tolist()


def codes(*, rescore: bool, oversampling: float | None = None, ef: int | None = None):
    return models.SearchParams(
        hnsw_ef=ef,
        quantization=models.QuantizationSearchParams(rescore=rescore, oversampling=oversampling),
    )


def test_exact_ignores_codes_and_graph():
    assert compiled("exact") == {
        "query": FULL, "using": "full", "limit": 5, "search_params": EXACT,
    }  # fmt: skip


def test_a_smaller_vector_is_the_renormalized_prefix():
    request = compiled({"kind": "exact", "vector": "mrl_4"})
    assert (request["using"], request["query"]) == ("mrl_4", part(4))


def test_dense_oversamples_and_rescores_as_told_or_as_its_codes_want():
    assert compiled({"kind": "dense", "oversampling": 3, "ef": 77}) == {
        "query": FULL, "using": "full", "limit": 5,
        "search_params": codes(rescore=True, oversampling=3, ef=77),
    }  # fmt: skip
    for name, wanted in (("binary", 4), ("turbo2", 3), ("turbo4", 2), ("int8", 1.5)):
        found = compiled("dense", spec=spec_of(quantization=name))
        assert found["search_params"] == codes(rescore=True, oversampling=wanted)


def test_dense_without_rescoring_does_not_oversample():
    request = compiled({"kind": "dense", "rescore": False, "oversampling": 3})
    assert request["search_params"] == codes(rescore=False)


def test_dense_without_codes_says_nothing_of_them():
    spec = spec_of(quantization=None)
    assert "search_params" not in compiled("dense", spec=spec)
    assert compiled({"kind": "dense", "ef": 9}, spec=spec)["search_params"].quantization is None


def test_where_a_smaller_vector_has_the_graph_it_is_searched_and_the_full_one_rescores():
    found = compiled("dense", spec=spec_of(graph="mrl_8"))
    assert found == {
        "prefetch": [
            models.Prefetch(query=part(8), using="mrl_8", limit=400, params=codes(rescore=False))
        ],
        "query": FULL, "using": "full", "limit": 5, "search_params": EXACT,
    }  # fmt: skip
    wide = compiled("dense", spec=spec_of(graph="mrl_8"), limit=40)
    assert wide["prefetch"][0].limit == 640
    told = compiled({"kind": "dense", "oversampling": 3}, spec=spec_of(graph="mrl_8"), limit=40)
    assert told["prefetch"][0].limit == 120


@pytest.mark.parametrize(("size", "hits", "expected"), [
    (64, 10, 400), (64, 50, 800), (128, 10, 200), (255, 50, 400), (256, 10, 100), (256, 50, 200),
])  # fmt: skip
def test_a_shorter_vector_passes_on_more(size, hits, expected):
    assert passed_on(size, hits) == expected


def test_a_named_vector_is_searched_alone():
    found = compiled({"kind": "dense", "vector": "full"}, spec=spec_of(graph="mrl_8"))
    assert (found["using"], "prefetch" in found) == ("full", False)


def test_with_graphs_on_both_or_on_none_the_full_vector_is_searched():
    for graph in (("full", "mrl_8"), ()):
        found = compiled("dense", spec=spec_of(graph=graph))
        assert (found["using"], "prefetch" in found) == ("full", False)


def test_a_cascade_is_a_chain_of_prefetches_each_with_its_own_vector():
    found = compiled({
        "kind": "cascade",
        "stages": [
            {"vector": "mrl_4", "limit": 90, "oversampling": 2},
            {"vector": "mrl_8", "limit": 30, "rescore": False},
            {"vector": "full"},
        ],
    })  # fmt: skip
    first = models.Prefetch(
        query=part(4), using="mrl_4", limit=90, params=codes(rescore=True, oversampling=2)
    )
    second = models.Prefetch(
        prefetch=[first], query=part(8), using="mrl_8", limit=30, params=codes(rescore=False)
    )
    assert found == {
        "prefetch": [second], "query": FULL, "using": "full", "limit": 5, "search_params": EXACT,
    }  # fmt: skip


def test_a_cascade_that_names_nothing_takes_all_vectors_ascending():
    found = compiled("cascade")
    (second,) = found["prefetch"]
    (first,) = second.prefetch
    assert [found["using"], second.using, first.using] == ["full", "mrl_8", "mrl_4"]
    assert first.limit >= second.limit >= 100


def test_no_stage_passes_on_fewer_points_than_are_wanted():
    plan = {"kind": "cascade", "stages": [{"vector": "mrl_4", "limit": 9}, {"vector": "full"}]}
    assert compiled(plan, limit=50)["prefetch"][0].limit == 50


def test_bm25_asks_for_terms_alone():
    assert compiled("bm25") == {"query": SPARSE, "using": "bm25", "limit": 5}


def test_hybrid_has_both_scorers_judge_the_candidates_of_both():
    request = compiled({"kind": "hybrid", "candidates": 50})
    both = [
        models.Prefetch(
            query=FULL, using="full", limit=50, params=codes(rescore=True, oversampling=4)
        ),
        models.Prefetch(query=SPARSE, using="bm25", limit=50),
    ]
    dense = models.Prefetch(prefetch=both, query=FULL, using="full", limit=100, params=EXACT)
    sparse = models.Prefetch(prefetch=both, query=SPARSE, using="bm25", limit=100)
    assert request == {
        "prefetch": [dense, sparse, sparse],
        "query": models.FusionQuery(fusion=models.Fusion.DBSF),
        "limit": 5,
    }


@pytest.mark.parametrize(
    ("fusion", "engines"), [("dbsf", models.Fusion.DBSF), ("rrf", models.Fusion.RRF)]
)
def test_plain_fusion_has_each_scorer_judge_its_own_candidates(fusion, engines):
    request = compiled({"kind": "hybrid", "fusion": fusion, "sparse_weight": 1})
    assert request["query"] == models.FusionQuery(fusion=engines)
    assert [(one.using, one.prefetch) for one in request["prefetch"]] == [
        ("full", None), ("bm25", None),
    ]  # fmt: skip


def test_hybrid_weights_are_how_often_a_stage_is_listed():
    request = compiled({"kind": "hybrid", "dense_weight": 3, "sparse_weight": 1})
    assert [stage.using for stage in request["prefetch"]] == ["full"] * 3 + ["bm25"]


def test_hybrid_never_has_fewer_candidates_than_wanted_hits():
    request = compiled({"kind": "hybrid", "candidates": 10}, limit=300)
    for stage in request["prefetch"]:
        assert stage.limit == 600
        assert [inner.limit for inner in stage.prefetch] == [300, 300]


def test_the_dense_side_of_a_hybrid_may_be_a_cascade():
    request = compiled({
        "kind": "hybrid", "stages": [{"vector": "mrl_4", "limit": 200}, {"vector": "full"}]
    })  # fmt: skip
    side = request["prefetch"][0].prefetch[0]
    assert (side.using, side.limit) == ("full", 50)
    assert [(one.using, one.limit) for one in side.prefetch] == [("mrl_4", 200)]


def small_is_near(distance: str) -> CollectionSpec:
    vectors = (VectorSpec(name="full", size=32, distance=distance, hnsw=Hnsw()),)
    return replace(SPEC, vectors=vectors)


@pytest.mark.parametrize("distance", ["euclid", "manhattan"])
@pytest.mark.parametrize("fusion", ["complete", "dbsf"])
def test_distances_are_negated_before_normalized_scores_are_added(distance, fusion):
    request = compiled({"kind": "hybrid", "fusion": fusion}, spec=small_is_near(distance))
    turned, *terms = request["prefetch"]
    assert turned.query == models.FormulaQuery(formula=models.NegExpression(neg="$score"))
    assert [one.using for one in turned.prefetch] == ["full"]
    assert [one.using for one in terms] == ["bm25", "bm25"]


def test_ranks_need_no_negation():
    request = compiled({"kind": "hybrid", "fusion": "rrf"}, spec=small_is_near("euclid"))
    assert request["prefetch"][0].using == "full"


def test_a_uint8_vector_is_asked_with_scaled_and_shifted_numbers():
    vector = VectorSpec(name="full", size=32, distance="euclid", datatype="uint8", scale=100.0)
    request = compiled("exact", spec=replace(SPEC, vectors=(vector,)))
    assert request["query"] == np.rint(DENSE * np.float32(100) + 128).tolist()


def test_an_unnamed_vector_is_not_named():
    request = compiled({"kind": "dense", "vector": ""}, spec=unnamed())
    assert "using" not in request
    assert "using" not in compiled("exact", spec=unnamed())


class _Foreign:
    """As much of a spec as a plan looks at, of a collection that others made."""

    vectors = (VectorSpec(name="", size=32),)
    sparse = late = None

    def candidates_factor(self, side: str) -> float:
        return 1.0

    def vector(self, name: str) -> VectorSpec:
        return self.vectors[0]


def unnamed():
    return _Foreign()


def test_late_interaction_reorders_the_candidates_of_both_sides():
    request = compiled({"kind": "late", "late_candidates": 20})
    assert (request["query"], request["using"]) == (LATE.tolist(), "late")
    assert [(one.using, one.limit) for one in request["prefetch"]] == [("full", 20), ("bm25", 20)]
    alone = compiled("late", spec=spec_of(sparse=None))
    assert [one.using for one in alone["prefetch"]] == ["full"]


def test_a_cross_encoder_gets_more_to_read_than_is_wanted():
    plan = {"kind": "dense", "rerank": "reader", "rerank_candidates": 40}
    assert compiled(plan)["limit"] == 40
    assert compiled(plan, limit=60)["limit"] == 60


def leaves(stage) -> list:
    inner = stage.prefetch or []
    return [leaf for one in inner for leaf in leaves(one)] if inner else [stage]


@given(plans())
def test_every_plan_is_one_request_with_the_filter_on_its_innermost_stages(plan):
    request = compiled(plan, query_filter=CONDITION)
    assert request["limit"] == (5 if plan.rerank is None else max(5, plan.rerank_candidates))
    innermost = [leaf for one in request.get("prefetch", []) for leaf in leaves(one)]
    if innermost:
        assert "query_filter" not in request
        assert all(leaf.filter == CONDITION for leaf in innermost)
    else:
        assert request["query_filter"] == CONDITION
    models.QueryRequest(
        query=request["query"], prefetch=request.get("prefetch"), using=request.get("using"),
        params=request.get("search_params"), limit=request["limit"],
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["exact", "dense", "cascade", "hybrid"])
def test_a_request_without_its_vector_is_an_error(kind):
    with pytest.raises(ArgumentError, match="dense vector"):
        compiled(kind, query=Query(sparse=TERMS))


@pytest.mark.parametrize("kind", ["bm25", "hybrid"])
def test_a_request_without_its_terms_is_an_error(kind):
    with pytest.raises(ArgumentError, match="BM25 terms"):
        compiled(kind, query=Query(dense=DENSE))


def test_late_interaction_without_rows_or_candidates_is_an_error():
    with pytest.raises(ArgumentError, match="late-interaction rows"):
        compiled("late", query=Query(dense=DENSE))
    with pytest.raises(ArgumentError, match="dense vector or BM25 terms"):
        compiled("late", query=Query(late=LATE))
