"""Any model of the client: every field that is set reaches the engine, or is an error by name.

What the engine's objects say is read back from them without the tables that made them.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import qdrant_edge as edge
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.errors import NotSupportedByEdgeError
from tests.modelled import model, read, said

#: The engine has no place for these; a test of their own shows that they are refused.
_REFUSED = (
    "OptimizersConfigDiff.memmap_threshold",
    "OptimizersConfigDiff.flush_interval_sec",
    "OptimizersConfigDiff.max_optimization_threads",
)
_QUANTIZATIONS = [
    models.ScalarQuantization,
    models.ProductQuantization,
    models.BinaryQuantization,
    models.TurboQuantization,
]
_INDEXES = [
    models.KeywordIndexParams,
    models.IntegerIndexParams,
    models.FloatIndexParams,
    models.GeoIndexParams,
    models.TextIndexParams,
    models.BoolIndexParams,
    models.DatetimeIndexParams,
    models.UuidIndexParams,
]


@given(model(models.Filter, 3))
def test_filters(value):
    _skip_empty_conditions(value)
    assert read(convert.filter_(value)) == said(value)


@given(model(models.SearchParams, 3))
def test_search_parameters(value):
    idf = value.idf
    if isinstance(idf, models.IdfCorpusParams):
        _skip_empty_conditions(idf.corpus)
    assert read(convert.search_params(value)) == said(value)


@given(model(models.VectorParams, 3))
def test_dense_vectors(value):
    words = said(value)
    if "hnsw_config" in words:  # what is not said is the engine's default
        words["hnsw_config"] = {
            **convert.HNSW_DEFAULTS,
            "max_indexing_threads": 0,
            **words["hnsw_config"],
        }
    assert read(convert.vector_params(value)) == words


@given(model(models.SparseVectorParams, 2))
def test_sparse_vectors(value):
    words = said(value)
    assert read(convert.sparse_vector_params(value)) == words.pop("index", {}) | words


@pytest.mark.parametrize("kind", _QUANTIZATIONS)
@given(data=st.data())
def test_quantizations(kind, data):
    value = data.draw(model(kind, 2))
    assert read(convert.quantization_config(value)) == said(value)


@given(model(models.OptimizersConfigDiff, 2, *_REFUSED))
def test_optimizers(value):
    assert read(convert.optimizers_config(value)) == said(value)


@pytest.mark.parametrize("kind", _INDEXES)
@given(data=st.data())
def test_payload_indexes_there_and_back(kind, data):
    value = data.draw(model(kind, 3))
    params = convert.payload_schema(value)
    info = SimpleNamespace(
        data_type=convert.payload_schema(value.type.value), params=params, points=7
    )
    back = convert.payload_index_back(info)
    assert back.points == 7
    words = _sorted(_scored(said(value)))
    if kind is models.TextIndexParams:
        words.setdefault("tokenizer", "word")  # the engine's default
    assert _sorted(said(back.params)) == words


@given(
    model(
        models.Prefetch,
        2,
        "TextQuery",
        "Prefetch.lookup_from",
        "Prefetch.prefetch",
        "Prefetch.query",
    )
)
def test_stages_carry_what_is_beside_their_query(value):
    value.query = None
    value.score_threshold = None
    if value.filter is not None:
        _skip_empty_conditions(value.filter)
    if value.params is not None and isinstance(value.params.idf, models.IdfCorpusParams):
        _skip_empty_conditions(value.params.idf.corpus)
    (stage,) = convert.prefetches(value)
    words = said(value)
    words.pop("using", None)  # it is in the query
    words.setdefault("limit", 10)
    assert read(stage) == {"prefetches": [], **words} or read(stage) == words


_DENSE = st.lists(st.floats(-9, 9, width=16), min_size=2, max_size=3)
_SPARSE = st.dictionaries(
    st.integers(0, 99), st.floats(-9, 9, width=16), min_size=1, max_size=3
).map(lambda pairs: models.SparseVector(indices=list(pairs), values=list(pairs.values())))
_VECTORS = st.one_of(
    _DENSE,
    _SPARSE,
    st.lists(st.lists(st.floats(-9, 9, width=16), min_size=2, max_size=2), min_size=1, max_size=2),
)
_PAIRS = st.lists(st.builds(models.ContextPair, positive=_VECTORS, negative=_VECTORS), max_size=2)
_USING = st.sampled_from([None, "a"])


@given(_VECTORS, _USING)
def test_nearest(vector, using):
    for value in (vector, models.NearestQuery(nearest=vector)):
        query = convert.query(value, using)
        assert isinstance(query, edge.Query.Nearest)
        assert (read(query.query), query.using) == (said(vector), using)


@given(_VECTORS, st.floats(0, 1, width=16), st.integers(0, 999))
def test_mmr(vector, diversity, candidates):
    asked = models.Mmr(diversity=diversity, candidates_limit=candidates)
    value = models.NearestQuery(nearest=vector, mmr=asked)
    if isinstance(vector, models.SparseVector):
        with pytest.raises(NotSupportedByEdgeError, match="mmr of a sparse vector"):
            convert.query(value, "a")
        return
    query = convert.query(value, "a")
    assert (read(query.vector), query.using) == (said(vector), "a")
    assert query.lambda_ == pytest.approx(1 - diversity, abs=1e-6)
    assert query.candidates_limit == candidates


@given(
    st.lists(_VECTORS, min_size=1, max_size=2),
    st.lists(_VECTORS, max_size=2),
    st.sampled_from(["best_score", "sum_scores"]),
)
def test_recommend(positive, negative, strategy):
    given_ = models.RecommendInput(positive=positive, negative=negative, strategy=strategy)
    query = convert.query(models.RecommendQuery(recommend=given_), "a")
    kinds = {
        "best_score": edge.Query.RecommendBestScore,
        "sum_scores": edge.Query.RecommendSumScores,
    }
    assert isinstance(query, kinds[strategy])
    assert query.using == "a"
    assert read(query.query) == {"positives": said(positive), "negatives": said(negative)}


@given(_VECTORS, _PAIRS)
def test_discover_and_context(target, pairs):
    asked = models.DiscoverQuery(discover=models.DiscoverInput(target=target, context=pairs))
    query = convert.query(asked, "a")
    assert isinstance(query, edge.Query.Discover)
    assert read(query.query) == {"target": said(target), "pairs": said(pairs)}
    query = convert.query(models.ContextQuery(context=pairs), "a")
    assert isinstance(query, edge.Query.Context)
    assert read(query.query) == {"pairs": said(pairs)}


@given(_VECTORS, st.lists(st.tuples(_VECTORS, st.floats(0, 1, width=16)), min_size=1, max_size=2))
def test_feedback(target, items):
    strategy = models.NaiveFeedbackStrategyParams(a=1.5, b=2.0, c=0.5)
    asked = models.RelevanceFeedbackInput(
        target=target,
        feedback=[models.FeedbackItem(example=vector, score=score) for vector, score in items],
        strategy=models.NaiveFeedbackStrategy(naive=strategy),
    )
    query = convert.query(models.RelevanceFeedbackQuery(relevance_feedback=asked), "a")
    assert isinstance(query, edge.Query.FeedbackNaive)
    assert read(query.query.target) == said(target)
    assert [(read(item.vector), item.score) for item in query.query.feedback] == [
        (said(vector), score) for vector, score in items
    ]
    assert read(query.query.coefficients) == said(strategy)


@given(st.none() | st.integers(1, 100), st.none() | st.lists(st.floats(0, 9, width=16), min_size=1))
def test_fusion(k, weights):
    query = convert.query(models.RrfQuery(rrf=models.Rrf(k=k, weights=weights)))
    assert isinstance(query, edge.Fusion.Rrf)
    assert (query.k, query.weights) == (2 if k is None else k, weights)
    for value in (models.Fusion.RRF, models.FusionQuery(fusion=models.Fusion.RRF)):
        assert (convert.query(value).k, convert.query(value).weights) == (2, None)
    for value in (models.Fusion.DBSF, models.FusionQuery(fusion=models.Fusion.DBSF)):
        assert isinstance(convert.query(value), edge.Fusion.Dbsf)


@given(model(models.OrderBy, 2))
def test_order(value):
    order = convert.query(models.OrderByQuery(order_by=value))
    assert (order.key, read(order.direction)) == (value.key, said(value.direction))
    if isinstance(value.start_from, int | float):
        assert order.start_from == value.start_from
    elif value.start_from is not None:
        assert read(
            edge.RangeDateTime(gte=str(order.start_from).replace(" UTC", "Z").replace(" ", "T"))
        ) == {"gte": said(value.start_from)}
    assert convert.query(models.OrderByQuery(order_by=value.key)).key == value.key


@given(
    st.integers(0, 2**64 - 1) | st.uuids().map(str),
    st.dictionaries(st.sampled_from(["", "a", "b"]), _VECTORS, max_size=3),
    st.none()
    | st.dictionaries(
        st.text(max_size=3), st.none() | st.booleans() | st.integers(-9, 9) | st.text()
    ),
)
def test_points_there_and_back(identity, vectors, payload):
    built = convert.point(models.PointStruct(id=identity, vector=vectors, payload=payload))
    for back in (convert.record_back, convert.scored_point_back):
        stored = SimpleNamespace(
            id=built.id, vector=built.vector, payload=built.payload,
            order_value=3, version=1, score=0.5,
        )  # fmt: skip
        point = back(stored)
        assert (point.id, point.payload, point.order_value) == (identity, payload, 3)
        wanted = vectors[""] if set(vectors) == {""} else vectors
        assert said(point.vector) == said(wanted)


@pytest.mark.parametrize("field", _REFUSED)
def test_what_cannot_be_expressed_is_refused_by_name(field):
    value = models.OptimizersConfigDiff(**{field.partition(".")[2]: 1})
    with pytest.raises(NotSupportedByEdgeError, match=re.escape(field)):
        convert.optimizers_config(value)


def _skip_empty_conditions(value):
    """Field conditions without a condition are errors, and drawn too: give them one."""
    for conditions in (value.must, value.should, value.must_not, value.min_should):
        listed = conditions.conditions if isinstance(conditions, models.MinShould) else conditions
        for one in listed if isinstance(listed, list) else [listed]:
            if isinstance(one, models.Filter):
                _skip_empty_conditions(one)
            elif isinstance(one, models.NestedCondition):
                _skip_empty_conditions(one.nested.filter)
            elif isinstance(one, models.FieldCondition) and set(said(one)) == {"key"}:
                one.is_null = True


def _scored(words):
    """``scoring: true`` is BM25 with its defaults."""
    if words.get("scoring") is True:
        words["scoring"] = {"type": "bm25"}
    return words


def _sorted(words):
    return {
        name: {key: sorted(set(word)) for key, word in words[name].items()}
        if name == "stopwords" and isinstance(words[name], dict)
        else word
        for name, word in words.items()
    }
