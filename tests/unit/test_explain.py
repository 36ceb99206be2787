"""explain(): the stages, what each compares and reads, in words and as the request."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.spec import CollectionSpec, LateSpec
from qdrant_static.errors import ArgumentError
from qdrant_static.querying.explain import explain
from tests.fakes import FakeEncoder
from tests.unit.test_plan import plans
from tests.unit.test_plan_requests import spec_of


def spec(**options) -> CollectionSpec:
    encoder = FakeEncoder(dimension=64)
    return CollectionSpec.for_encoder(encoder, **options)


def explained(plan, spec, **given):
    return explain(SearchPlan.of(plan), spec, **given)


def test_an_exact_search_reads_every_original():
    (stage,) = explained("exact", spec(), rows=1000).stages
    assert (stage.compared, stage.passed_on, stage.bytes_read) == (1000, 10, 1000 * 64 * 4)


def test_a_search_without_a_graph_reads_every_code_and_some_originals():
    codes, originals = explained("dense", spec(graph=(), quantization="binary"), rows=1000).stages
    assert (codes.compared, codes.passed_on, codes.bytes_read) == (1000, 40, 1000 * 16)
    assert (originals.compared, originals.passed_on) == (40, 10)
    assert originals.bytes_read == 40 * 64 * 4


def test_a_graph_compares_few_and_never_more_than_there_are():
    many = explained("dense", spec(), rows=1_000_000)
    assert many.stages[0].compared < 10_000
    assert explained("dense", spec(), rows=7).stages[0].compared == 7
    wide = explained({"kind": "dense", "ef": 500}, spec(), rows=1_000_000)
    assert wide.bytes_read > many.bytes_read


def test_without_rows_a_stage_over_all_of_them_has_no_cost():
    found = explained("exact", spec())
    assert found.stages[0].bytes_read is None
    assert found.bytes_read is None
    assert "reads" not in str(found)


def test_feedback_is_two_requests_and_costs_twice():
    once = explained("exact", spec(), rows=100)
    twice = explained({"kind": "exact", "feedback": 0.6}, spec(), rows=100)
    assert (once.requests, twice.requests) == (1, 2)
    assert twice.bytes_read == 2 * once.bytes_read
    assert "second request" in str(twice)


def test_a_cross_encoder_and_late_interaction_are_told():
    late = LateSpec(encoder="l", size=4)
    found = explained("late", spec(late=late), rows=1000)
    assert [stage.vector for stage in found.stages] == ["full", "full", "bm25", "late"]
    from dataclasses import replace

    from qdrant_static.collection.spec import Fields

    read = replace(spec(), fields=Fields(text=("text",)))
    last = explained({"kind": "bm25", "rerank": "reader"}, read).stages[-1]
    assert "reader reads" in last.what
    assert (last.compared, last.passed_on) == (50, 10)


def test_the_request_is_told_with_words_for_numbers():
    request = explained("dense", spec_of(graph="mrl_8"), limit=5).request
    assert request["query"] == "32 numbers"
    assert request["prefetch"][0]["query"] == "8 numbers"
    assert request["prefetch"][0]["limit"] >= 20
    assert explained("bm25", spec()).request["query"] == "the query's terms"


def test_a_plan_that_the_collection_cannot_serve_is_not_explained():
    with pytest.raises(ArgumentError, match="needs BM25"):
        explained("hybrid", spec(sparse=None))


@given(plans())
def test_every_plan_is_explained_in_words_and_as_json(plan):
    from dataclasses import replace

    found = explain(replace(plan, rerank=None), spec_of(), rows=10_000)
    assert str(found).count("\n") == len(found.stages)
    assert json.loads(json.dumps(found.to_dict()))["requests"] == found.requests
