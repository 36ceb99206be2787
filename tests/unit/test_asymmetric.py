"""Asymmetric search in a spec: documents by one encoder, queries by another that fits it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qdrant_static import CollectionSpec
from qdrant_static.collection.passes import default_plan
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.planevidence import layout_fingerprint
from qdrant_static.collection.specdiff import compare
from qdrant_static.collection.specfile import read_spec_file, spec_from_toml, spec_to_toml
from qdrant_static.errors import ArgumentError, EncoderPairError
from qdrant_static.ledger.runidentity import encoding_key, identity
from qdrant_static.querying.explain import explain
from tests.fakes import FakeEncoder, FittedEncoder, build_fitted_model, build_static_model

TEACHER = FakeEncoder("teacher", salt="teacher")
FITTED = FittedEncoder(TEACHER)
PLAIN = CollectionSpec.for_encoder(TEACHER)
PAIR = CollectionSpec.for_encoder(TEACHER, queries=FITTED)


def test_both_encoders_are_in_the_spec():
    assert PAIR.documents == PAIR.encoder == TEACHER.info
    assert PAIR.queries == PAIR.query_encoder == FITTED.info
    assert (PLAIN.queries, PLAIN.query_encoder) == (None, TEACHER.info)


def test_the_layout_is_that_of_the_encoder_of_documents():
    assert PAIR.vectors == PLAIN.vectors
    assert encoding_key(PAIR) == encoding_key(PLAIN)
    # A change of the encoder of queries is no reason to encode a point again.
    assert identity(PAIR, "f", {}) == identity(PLAIN, "f", {})


def test_the_spec_comes_back_from_data_and_from_toml():
    assert CollectionSpec.from_dict(PAIR.to_dict()) == PAIR
    assert CollectionSpec.from_dict(PAIR.to_dict()).queries.fitted_to == (TEACHER.info.fingerprint,)
    assert spec_from_toml(spec_to_toml(PAIR)) == PAIR


def test_a_spec_with_one_encoder_is_written_as_before():
    assert "queries" not in PLAIN.to_dict()
    assert "queries" not in spec_to_toml(PLAIN)


def test_the_same_encoder_for_both_is_no_pair():
    assert CollectionSpec.for_encoder(TEACHER, queries=TEACHER) == PLAIN
    assert CollectionSpec.for_encoder(TEACHER, queries=TEACHER).queries is None


def test_an_encoder_that_was_fitted_to_another_is_refused():
    other = FakeEncoder("another", salt="another")
    with pytest.raises(EncoderPairError) as caught:
        CollectionSpec.for_encoder(other, queries=FITTED)
    for part in ("fitted", "another", TEACHER.info.fingerprint, other.info.fingerprint, "train"):
        assert part in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_encoder_that_does_not_say_what_it_was_fitted_to_is_refused():
    with pytest.raises(EncoderPairError, match=r"does not say .*card\.json"):
        CollectionSpec.for_encoder(TEACHER, queries=FakeEncoder("any", salt="any"))


def test_another_dimension_is_refused():
    small = replace(FITTED.info, dimension=16)
    with pytest.raises(ArgumentError, match=r"makes 16 dimensions, and .* makes 32") as caught:
        CollectionSpec.for_encoder(TEACHER, queries=small)
    assert caught.value.field == "queries"


def test_a_damaged_pair_in_metadata_is_refused():
    data = PAIR.to_dict()
    del data["queries"]["fitted_to"]
    with pytest.raises(EncoderPairError):
        CollectionSpec.from_dict(data)


def test_another_encoder_of_queries_is_changed_in_place():
    (difference,) = compare(PLAIN, PAIR)
    assert (difference.field, difference.remedy) == ("queries", "in place")
    assert str(difference).startswith("encoder of queries: is teacher (")
    again = replace(PAIR, queries=FittedEncoder(TEACHER, "again", noise=0.1).info)
    assert [one.field for one in compare(PAIR, again)] == ["queries"]
    assert not compare(PAIR, PAIR)


def test_recall_that_was_measured_with_other_queries_is_of_another_layout():
    plan = SearchPlan(kind="dense")
    again = replace(PAIR, queries=FittedEncoder(TEACHER, "again", noise=0.1).info)
    prints = {layout_fingerprint(plan, spec) for spec in (PLAIN, PAIR, again)}
    assert len(prints) == 3


def test_a_plan_is_explained_with_both_encoders():
    text = str(explain(SearchPlan(kind="hybrid"), PAIR))
    assert text.splitlines()[0] == "asymmetric: documents by teacher, queries by fitted"
    assert explain(SearchPlan(kind="hybrid"), PAIR).to_dict()["encoders"] in text
    for plan, spec in (("bm25", PAIR), ("hybrid", PLAIN)):
        explanation = explain(SearchPlan(kind=plan), spec)
        assert "asymmetric" not in str(explanation)
        assert "encoders" not in explanation.to_dict()


def test_a_spec_file_names_a_model_beside_it(tmp_path):
    teacher = build_static_model(tmp_path / "teacher")
    fitted = build_fitted_model(tmp_path / "models" / "fitted", teacher)
    file = tmp_path / "spec.toml"
    file.write_text('queries = "models/fitted"\nmatryoshka = [16]\n')
    spec = read_spec_file(file, encoder=str(teacher))
    assert spec.queries.name == str(fitted)
    assert [vector.size for vector in spec.vectors] == [32, 16]
    short = spec_to_toml(spec, short=True)
    assert spec_from_toml(short, encoder=str(teacher)) == spec


def test_the_short_form_takes_the_encoder_of_queries_that_is_given():
    assert spec_from_toml("", encoder=TEACHER, queries=FITTED) == PAIR


def test_a_fitted_model_has_the_weight_of_bm25_unless_a_plan_is_given():
    assert PAIR.plan is None
    for spec in (
        PAIR,
        CollectionSpec.for_encoder(FITTED),
        CollectionSpec.from_dict(PAIR.to_dict()),
    ):
        plan = default_plan(spec)
        assert (plan.kind, plan.dense_weight, plan.sparse_weight) == ("hybrid", 1, 1)
    assert default_plan(PLAIN).sparse_weight == 2
    assert default_plan(CollectionSpec.for_encoder(FITTED, plan="hybrid")).sparse_weight == 2
    assert default_plan(CollectionSpec.for_encoder(FITTED, sparse=None)).kind == "dense"
