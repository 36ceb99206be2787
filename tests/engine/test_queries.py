"""What one query finds on the real engine, against brute force in numpy."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static.edge import pointreads
from qdrant_static.errors import (
    ArgumentError,
    CollectionNotFoundError,
    NotSupportedByEdgeError,
    PointNotFoundError,
)
from tests.brute_force import COUNT, ask, best, identity, mapped, rows, same

# --- nearest ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cos", "dot", "euclid", "manhattan"])
def test_nearest_is_brute_force_for_every_distance(opened, data, name):
    expected = best(data.scores(name, data.query), smallest=name in ("euclid", "manhattan"))
    given = [data.query, data.query.astype(np.float64), data.query.tolist()]
    for query in (*given, models.NearestQuery(nearest=data.query.tolist())):
        same(ask(opened, query, using=name), expected)


def test_sparse_vectors(opened, data):
    query = {1: 1.0, 5: 0.5, 30: 2.0, 7: 0.25}
    scores = np.array(
        [
            -1 if row == 9 else sum(value * stored.get(index, 0) for index, value in query.items())
            for row, stored in enumerate(data.sparse)
        ]
    )
    vector = models.SparseVector(indices=list(query), values=list(query.values()))
    same(ask(opened, vector, using="sparse"), best(scores))


def test_multi_vectors(opened, data):
    query = np.random.default_rng(3).normal(size=(2, 4)).astype(np.float32)
    scores = np.array([(query @ stored.T).max(axis=1).sum() for stored in data.multi])
    for value in (query, query.tolist()):
        same(ask(opened, value, using="multi"), best(scores))


def test_filter_threshold_limit_and_offset(opened, data):
    scores = data.scores("cos", data.query)
    condition = models.Filter(
        must=[models.FieldCondition(key="even", match=models.MatchValue(value=True))],
        must_not=[models.FieldCondition(key="n", range=models.Range(gte=150))],
    )
    without = [row for row in range(COUNT) if row % 2 or row >= 150]
    same(
        ask(opened, data.query, using="cos", condition=condition, limit=5, offset=3),
        tuple(part[3:] for part in best(scores, 8, without=without)),
    )
    found = ask(opened, data.query, using="cos", score_threshold=0.3, limit=COUNT)
    assert set(rows(found)) == {row for row in range(COUNT) if scores[row] >= 0.3}


def test_a_bool_is_no_number(opened):
    for value in (True, False):
        condition = models.Filter(
            must=[models.FieldCondition(key="even", match=models.MatchValue(value=value))]
        )
        assert pointreads.count(opened, condition, exact=True) == COUNT // 2


def test_payload_and_vectors_come_as_they_were_stored(opened, data):
    hit = ask(opened, data.query, using="cos", limit=1, payload=True, vectors=True)[0]
    row = rows([hit])[0]
    assert hit.payload == data.payload[row]
    assert hit.vector["dot"] == pytest.approx(data.dense["dot"][row])
    assert hit.vector["cos"] == pytest.approx(mapped(data.dense["cos"][row]), abs=1e-6)
    stored = hit.vector["sparse"]
    assert dict(zip(stored.indices, stored.values, strict=True)) == pytest.approx(data.sparse[row])
    hit = ask(opened, data.query, using="cos", limit=1, payload=["n"], vectors=["dot"])[0]
    assert (hit.payload, list(hit.vector)) == ({"n": row}, ["dot"])
    selector = models.PayloadSelectorExclude(exclude=["n", "half", "even"])
    hit = ask(opened, data.query, using="cos", limit=1, payload=selector)[0]
    assert (set(hit.payload), hit.vector) == ({"group", "tags"}, None)


# --- points named by their ids -----------------------------------------------------------------


@pytest.mark.parametrize("row", [3, 4])
def test_a_point_as_the_query_is_its_vector_and_is_not_found(opened, data, row):
    scores = data.scores("cos", data.dense["cos"][row])
    same(ask(opened, identity(row), using="cos"), best(scores, without=[row]))


def test_ids_are_one_in_any_spelling(opened):
    plain = identity(4)
    for spelling in (UUID(plain), plain.upper(), "{" + plain + "}", plain.replace("-", "")):
        assert rows(ask(opened, spelling, using="cos")) == rows(ask(opened, plain, using="cos"))


def test_points_of_another_collection_are_looked_up_and_hide_nothing(opened, data):
    expected = best(data.scores("cos", data.query))
    there = models.LookupLocation(collection="other", vector="vector")
    for point in (1000, 3):  # point 3 is in both collections
        same(ask(opened, point, using="cos", lookup_from=there), expected)
    here = models.LookupLocation(collection="main", vector="dot")
    scores = data.scores("cos", data.dense["dot"][3])
    same(ask(opened, 3, using="cos", lookup_from=here), best(scores, without=[3]))


def test_points_that_stages_name_are_in_no_result(opened, data):
    stage = models.Prefetch(query=identity(4), using="dot", limit=COUNT)
    scores = data.scores("cos", data.query)
    same(ask(opened, data.query, using="cos", prefetch=stage), best(scores, without=[4]))


def test_a_point_that_is_missing_or_lacks_the_vector_is_named(opened):
    with pytest.raises(PointNotFoundError, match="no point 7777 in collection 'main'"):
        ask(opened, 7777, using="cos")
    with pytest.raises(PointNotFoundError, match=r"point 9 .* no vector 'sparse'"):
        ask(opened, 9, using="sparse")
    recommended = models.RecommendInput(positive=[9, 11], strategy="best_score")
    assert ask(opened, models.RecommendQuery(recommend=recommended), using="sparse")
    with pytest.raises(ArgumentError, match="point id: 'abc'"):
        ask(opened, "abc", using="cos")
    there = models.LookupLocation(collection="nowhere")
    with pytest.raises(CollectionNotFoundError, match="nowhere"):
        ask(opened, 3, using="cos", lookup_from=there)
    with pytest.raises(NotSupportedByEdgeError, match="lookup_from 'nowhere'"):
        ask(opened, 3, using="cos", lookup_from=there, look_up=False)


# --- recommend, discover, context, feedback ------------------------------------------------------


def recommend(opened, name, strategy=None, **given):
    value = models.RecommendQuery(recommend=models.RecommendInput(strategy=strategy, **given))
    return ask(opened, value, using=name)


def test_average_vector(opened, data):
    stored = data.dense["dot"]
    wanted = 2 * (stored[1] + data.query) / 2 - stored[3]
    scores = data.scores("dot", wanted)
    found = recommend(opened, "dot", positive=[1, data.query.tolist()], negative=[3])
    same(found, best(scores, without=[1, 3]))
    with pytest.raises(ArgumentError, match="positive"):
        recommend(opened, "dot", negative=[3])


def test_average_vector_of_sparse_and_multi_vectors(opened, data):
    query = {index: 2 * value / 2 for index, value in data.sparse[1].items()}
    for index, value in data.sparse[2].items():
        query[index] = query.get(index, 0) + value
    for index, value in data.sparse[3].items():
        query[index] = query.get(index, 0) - value
    scores = np.array([
        -9 if row == 9 or not set(query) & set(stored)
        else sum(value * stored.get(index, 0) for index, value in query.items())
        for row, stored in enumerate(data.sparse)
    ])  # fmt: skip
    found = recommend(opened, "sparse", positive=[1, identity(2)], negative=[3])
    same(found, best(scores, without=[1, 2, 3]))
    joined = np.concatenate([data.multi[1], data.multi[2], -data.multi[3]])
    scores = np.array([(joined @ stored.T).max(axis=1).sum() for stored in data.multi])
    found = recommend(opened, "multi", positive=[1, identity(2)], negative=[3])
    same(found, best(scores, without=[1, 2, 3]))


def sigmoid(score):
    """Scores without a bound made comparable, as Qdrant does it."""
    return 0.5 * (score / (1 + np.abs(score)) + 1)


def test_best_score(opened, data):
    stored = data.dense["dot"]
    positive = np.max([data.scores("dot", stored[row]) for row in (1, 2)], axis=0)
    negative = data.scores("dot", stored[3])
    scores = np.where(positive > negative, sigmoid(positive), -sigmoid(negative))
    found = recommend(opened, "dot", "best_score", positive=[1, identity(2)], negative=[3])
    same(found, best(scores, without=[1, 2, 3]))
    assert recommend(opened, "dot", "best_score", negative=[3])
    with pytest.raises(ArgumentError, match="no example"):
        recommend(opened, "dot", "best_score")


def test_sum_scores(opened, data):
    stored = data.dense["dot"]
    scores = sum(data.scores("dot", stored[row]) for row in (1, 2)) - data.scores("dot", stored[3])
    found = recommend(opened, "dot", "sum_scores", positive=[1, identity(2)], negative=[3])
    same(found, best(scores, without=[1, 2, 3]))


def pair(positive, negative):
    return models.ContextPair(positive=positive, negative=negative)


def test_discover(opened, data):
    stored = data.dense["dot"]
    ranks = sum(
        np.where(data.scores("dot", stored[p]) > data.scores("dot", stored[n]), 1.0, -1.0)
        for p, n in ((1, 3), (5, 7))
    )
    scores = ranks + sigmoid(data.scores("dot", data.query))
    value = models.DiscoverInput(target=data.query.tolist(), context=[pair(1, 3), pair(5, 7)])
    found = ask(opened, models.DiscoverQuery(discover=value), using="dot")
    same(found, best(scores, without=[1, 3, 5, 7]))


def test_context(opened, data):
    stored = data.dense["dot"]
    scores = np.zeros(COUNT)
    for positive, negative in ((1, 3), (5, 7)):
        near, far = data.scores("dot", stored[positive]), data.scores("dot", stored[negative])
        loss = np.minimum(near - far - np.finfo(np.float32).eps, 0)
        scores += loss / (1 + np.abs(loss))
    value = models.ContextQuery(context=[pair(1, 3), pair(5, 7)])
    found = ask(opened, value, using="dot", limit=COUNT)
    expected = dict(enumerate(scores))
    assert sorted(rows(found)) == [row for row in range(COUNT) if row not in (1, 3, 5, 7)]
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    assert [hit.score for hit in found] == pytest.approx(
        [expected[row] for row in rows(found)], abs=1e-5
    )
