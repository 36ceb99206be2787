"""Stages, fusion, formulas, order, groups, facets and pages, against plain Python."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from qdrant_static.edge import grouping, pointreads
from qdrant_static.errors import ArgumentError, EngineError, NotSupportedByEdgeError
from tests.brute_force import COUNT, ask, best, identity, rows, same


def stage(vector, name, limit=30, **given):
    return models.Prefetch(query=vector.tolist(), using=name, limit=limit, params=EXACT, **given)


EXACT = models.SearchParams(exact=True)
EVEN = models.Filter(must=[models.FieldCondition(key="even", match=models.MatchValue(value=True))])


def test_candidates_of_nested_stages_are_rescored(opened, data):
    inner = stage(data.query, "dot", 60)
    middle = models.Prefetch(
        query=data.query.tolist(), using="euclid", limit=30, prefetch=inner, params=EXACT
    )
    first, _ = best(data.scores("dot", data.query), 60)
    outside = set(range(COUNT)) - set(first)
    second, _ = best(data.scores("euclid", data.query), 30, without=outside, smallest=True)
    outside = set(range(COUNT)) - set(second)
    found = ask(opened, data.query, using="cos", prefetch=[middle])
    same(found, best(data.scores("cos", data.query), without=outside))


def test_a_filter_holds_in_every_stage(opened, data):
    found = ask(opened, data.query, using="cos", prefetch=stage(data.query, "dot"), condition=EVEN)
    candidates, _ = best(data.scores("dot", data.query), 30, without=range(1, COUNT, 2))
    outside = set(range(COUNT)) - set(candidates)
    same(found, best(data.scores("cos", data.query), without=outside))


@pytest.mark.parametrize(("k", "weights"), [(None, None), (60, None), (10, [1.0, 3.0])])
def test_reciprocal_rank_fusion(opened, data, k, weights):
    lists = [
        best(data.scores("dot", data.query), 30)[0],
        best(data.scores("euclid", data.query), 30, smallest=True)[0],
    ]
    expected = Counter()
    for rank, weight in zip(lists, weights or [1, 1], strict=True):
        for position, row in enumerate(rank):
            # A weight divides the rank's distance from the top, as on a server.
            expected[row] += 1 / ((position + 1) / weight + (2 if k is None else k) - 1)
    stages = [stage(data.query, "dot"), stage(data.query, "euclid")]
    found = ask(
        opened, models.RrfQuery(rrf=models.Rrf(k=k, weights=weights)), prefetch=stages, limit=60
    )
    assert {row: hit.score for row, hit in zip(rows(found), found, strict=True)} == pytest.approx(
        dict(expected), rel=1e-4
    )


def test_distribution_based_fusion(opened, data):
    expected = Counter()
    for name in ("dot", "cos"):
        found, scores = best(data.scores(name, data.query), 30)
        mean, spread = np.mean(scores), 3 * np.std(scores, ddof=1)
        for row, score in zip(found, scores, strict=True):
            expected[row] += (score - (mean - spread)) / (2 * spread)
    stages = [stage(data.query, "dot"), stage(data.query, "cos")]
    query = models.FusionQuery(fusion=models.Fusion.DBSF)
    found = ask(opened, query, prefetch=stages, limit=60)
    assert {row: hit.score for row, hit in zip(rows(found), found, strict=True)} == pytest.approx(
        dict(expected), rel=1e-4
    )
    same(
        ask(opened, query, prefetch=stages, limit=5, offset=2),
        (rows(found)[2:7], [hit.score for hit in found[2:7]]),
    )


def test_mmr(opened, data):
    def asked(diversity):
        mmr = models.Mmr(diversity=diversity, candidates_limit=40)
        return models.NearestQuery(nearest=data.query.tolist(), mmr=mmr)

    stored = data.dense["cos"] / np.linalg.norm(data.dense["cos"], axis=1, keepdims=True)
    nearness = data.scores("cos", data.query)
    candidates, _ = best(nearness, 40)
    chosen = [candidates.pop(0)]
    while len(chosen) < 8:
        gains = [
            0.5 * nearness[row] - 0.5 * max(stored[row] @ stored[one] for one in chosen)
            for row in candidates
        ]
        chosen.append(candidates.pop(int(np.argmax(gains))))
    assert rows(ask(opened, asked(0.5), using="cos", limit=8)) == chosen
    assert rows(ask(opened, asked(0.0), using="cos")) == best(nearness)[0]
    mmr = models.NearestQuery(
        nearest=models.SparseVector(indices=[1], values=[1.0]), mmr=models.Mmr()
    )
    with pytest.raises(NotSupportedByEdgeError, match="sparse"):
        ask(opened, mmr, using="sparse")


def test_order_sample_and_no_query(opened):
    order = models.OrderBy(key="n", direction=models.Direction.DESC, start_from=100)
    found = ask(opened, models.OrderByQuery(order_by=order), limit=3, offset=1)
    assert [(row, hit.order_value) for row, hit in zip(rows(found), found, strict=True)] == [
        (99, 99), (98, 98), (97, 97),
    ]  # fmt: skip
    sample = ask(opened, models.SampleQuery(sample=models.Sample.RANDOM), limit=50)
    assert len(set(rows(sample))) == 50
    # Integers come before UUIDs.
    assert rows(ask(opened, limit=4, offset=98)) == [197, 199, 0, 2]
    with pytest.raises(EngineError, match="No range index"):
        ask(opened, models.OrderByQuery(order_by="tags"))


NUMBERS = st.floats(-4, 4, width=16)
LEAVES = st.one_of(NUMBERS, st.sampled_from(["half", "$score", "missing"]))


def _two(kind, field):
    return lambda inner: st.lists(inner, min_size=1, max_size=2).map(
        lambda values: kind(**{field: values})
    )


def _one(kind, field):
    return lambda inner: inner.map(lambda value: kind(**{field: value}))


OPERATIONS = [
    _two(models.SumExpression, "sum"),
    _two(models.MultExpression, "mult"),
    _two(models.MaxExpression, "max"),
    _two(models.MinExpression, "min"),
    _one(models.NegExpression, "neg"),
    _one(models.AbsExpression, "abs"),
    _one(models.ExpExpression, "exp"),
    lambda inner: inner.map(
        lambda value: models.SqrtExpression(sqrt=models.AbsExpression(abs=value))
    ),
    lambda inner: inner.map(
        lambda value: models.LnExpression(
            ln=models.SumExpression(sum=[1.0, models.AbsExpression(abs=value)])
        )
    ),
    lambda inner: st.tuples(inner, inner).map(
        lambda pair: models.DivExpression(
            div=models.DivParams(left=pair[0], right=pair[1], by_zero_default=7.0)
        )
    ),
    lambda inner: inner.map(
        lambda value: models.PowExpression(pow=models.PowParams(base=value, exponent=2.0))
    ),
    lambda inner: inner.map(
        lambda value: models.GaussDecayExpression(
            gauss_decay=models.DecayParamsExpression(x=value, target=1.0, scale=5.0, midpoint=0.25)
        )
    ),
]
FORMULAS = st.recursive(
    LEAVES, lambda inner: st.one_of([operation(inner) for operation in OPERATIONS]), max_leaves=5
)


def computed(value, names):
    """What a formula gives, in plain Python."""
    if isinstance(value, float):
        return value
    if isinstance(value, str):
        return names[value]
    ((field, inner),) = value.__dict__.items()
    if field in ("sum", "mult", "max", "min"):
        combine = {"sum": sum, "mult": math.prod, "max": max, "min": min}[field]
        return combine([computed(one, names) for one in inner])
    if field == "div":
        left, right = computed(inner.left, names), computed(inner.right, names)
        if left == 0:  # also 0 / 0
            return 0.0
        return left / right if right else inner.by_zero_default
    if field == "pow":
        return computed(inner.base, names) ** computed(inner.exponent, names)
    if field == "gauss_decay":
        distance = computed(inner.x, names) - inner.target
        return math.exp(math.log(inner.midpoint) / inner.scale**2 * distance**2)
    number = computed(inner, names)
    return {
        "neg": lambda: -number, "abs": lambda: abs(number), "exp": lambda: math.exp(number),
        "sqrt": lambda: math.sqrt(number), "ln": lambda: math.log(number),
    }[field]()  # fmt: skip


@given(FORMULAS)
def test_formulas_give_what_python_computes(opened, data, formula):
    scores = data.scores("dot", data.query)
    candidates, _ = best(scores, 5)
    try:
        expected = {
            row: computed(formula, {"half": row / 2, "$score": scores[row], "missing": 2.5})
            for row in candidates
        }
    except OverflowError:
        return
    if not all(abs(value) < 1e30 for value in expected.values()):
        return
    query = models.FormulaQuery(formula=formula, defaults={"missing": 2.5})
    found = ask(opened, query, prefetch=stage(data.query, "dot", 5))
    assert {row: hit.score for row, hit in zip(rows(found), found, strict=True)} == pytest.approx(
        expected, rel=1e-2, abs=1e-3
    )


def test_conditions_in_formulas_and_formulas_that_fail(opened, data):
    formula = models.SumExpression(
        sum=["$score", models.MultExpression(mult=[100.0, EVEN.must[0]])]
    )
    prefetch = stage(data.query, "dot", 20)
    found = ask(opened, models.FormulaQuery(formula=formula), prefetch=prefetch, limit=20)
    assert all(
        (hit.score > 50) == (row % 2 == 0) for row, hit in zip(rows(found), found, strict=True)
    )
    with pytest.raises(ArgumentError, match="missing or no number"):
        ask(opened, models.FormulaQuery(formula="group"), prefetch=prefetch)


def test_a_batch_answers_in_its_order(opened, data):
    requests = [
        models.QueryRequest(query=data.query.tolist(), using="cos", limit=3, params=EXACT),
        models.QueryRequest(query=identity(4), using="dot", limit=2, offset=1, params=EXACT),
    ]
    first, second = pointreads.query_batch_points(opened, requests)
    same(first, best(data.scores("cos", data.query), 3))
    expected = best(data.scores("dot", data.dense["dot"][4]), 3, without=[4])
    same(second, tuple(part[1:] for part in expected))
    assert pointreads.query_batch_points(opened, []) == []


def groups(opened, query, **given):
    arguments = {
        "limit": 3, "group_size": 4, "using": None, "prefetch": None, "condition": None,
        "params": EXACT, "payload": True, "vectors": False, "score_threshold": None, **given,
    }  # fmt: skip
    return grouping.query_points_groups(
        opened, query, look_up=opened.others.__getitem__, **arguments
    ).groups


@pytest.mark.parametrize("name", ["cos", "euclid"])
def test_groups(opened, data, name):
    scores = data.scores(name, data.query)
    order, _ = best(scores, COUNT, smallest=name == "euclid")
    for field in ("group", "tags"):
        expected: dict[str, list[int]] = {}
        for row in order:
            value = data.payload[row][field]
            for key in value if isinstance(value, list) else [value]:
                expected.setdefault(key, []).append(row)
        found = groups(opened, data.query, group_by=field, using=name)
        assert {group.id: rows(group.hits) for group in found} == {
            key: members[:4] for key, members in list(expected.items())[:3]
        }
        for group in found:
            assert [hit.payload for hit in group.hits] == [
                data.payload[row] for row in rows(group.hits)
            ]


def test_groups_with_the_points_that_their_keys_name(opened, data):
    condition = models.Filter(must=[models.FieldCondition(key="n", range=models.Range(lte=3))])
    found = groups(
        opened, data.query, using="cos", group_by="n", limit=4, condition=condition,
        with_lookup="other",
    )  # fmt: skip
    lookups = {group.id: group.lookup and group.lookup.payload for group in found}
    assert lookups == {0: None, 1: None, 2: None, 3: {"a": 3}}
    assert groups(opened, data.query, using="cos", group_by="half") == []
    with pytest.raises(ArgumentError, match="group_by"):
        groups(opened, data.query, using="cos", group_by="a[")


def test_facets_and_counts(opened, data):
    wanted = Counter(payload["group"] for payload in data.payload)
    found = pointreads.facet(opened, "group", condition=None, limit=10, exact=True)
    assert {hit.value: hit.count for hit in found.hits} == dict(wanted)
    assert [hit.count for hit in found.hits] == sorted(wanted.values(), reverse=True)
    found = pointreads.facet(opened, "even", condition=EVEN, limit=10, exact=True)
    assert [(hit.value, hit.count) for hit in found.hits] == [(True, COUNT // 2)]
    assert pointreads.count(opened, None, exact=True) == COUNT
    with pytest.raises(EngineError, match="No appropriate index"):
        pointreads.facet(opened, "nothing", condition=None, limit=10, exact=True)
    with pytest.raises(ArgumentError, match="limit"):
        pointreads.facet(opened, "group", condition=None, limit=0, exact=True)


def test_pages_hold_every_point_once(opened):
    seen, offset = [], None
    while True:
        page, offset = pointreads.scroll(
            opened, None, limit=37, offset=offset, payload=False, vectors=False
        )
        seen += rows(page)
        if offset is None:
            break
    assert seen == [*range(1, COUNT, 2), *range(0, COUNT, 2)]
    page, offset = pointreads.scroll(
        opened, EVEN, limit=3, offset=None, payload=["n"], vectors=False,
        order_by=models.OrderBy(key="n", start_from=51),
    )  # fmt: skip
    assert [(record.payload, record.order_value) for record in page] == [
        ({"n": row}, row) for row in (52, 54, 56)
    ]
    assert offset is None
    for given_ in ({"limit": 0, "offset": None}, {"limit": 1, "offset": 3, "order_by": "n"}):
        with pytest.raises(ArgumentError):
            pointreads.scroll(opened, None, payload=False, vectors=False, **given_)


def test_points_by_id(opened, data):
    found = pointreads.retrieve(opened, [3, identity(4), 3, 7777], payload=True, vectors=["dot"])
    assert [(record.id, record.payload) for record in found] == [
        (3, data.payload[3]), (identity(4), data.payload[4]),
    ]  # fmt: skip
    assert found[0].vector["dot"] == pytest.approx(data.dense["dot"][3])
    with pytest.raises(ArgumentError, match="point id"):
        pointreads.retrieve(opened, ["abc"], payload=True, vectors=False)
