"""What a server's validation refuses is refused here, with the field and the bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.edge import convert
from qdrant_static.edge.convert.bounds import check_vectors
from qdrant_static.errors import ArgumentError

TOO_LARGE = 2**64
CONDITION = models.FieldCondition(key="a", match=models.MatchValue(value=1))


def refusal(convert_it: Callable[[], Any]) -> str:
    with pytest.raises(ArgumentError) as caught:
        convert_it()
    return str(caught.value)


def on_field(**condition: Any) -> Any:
    field = models.FieldCondition.model_construct(key="a", **condition)
    return convert.filter_(models.Filter.model_construct(must=[field]))


def ring(*corners: tuple[float, float]) -> models.GeoLineString:
    return models.GeoLineString(points=[models.GeoPoint(lon=x, lat=y) for x, y in corners])


SQUARE = ring((0, 0), (0, 1), (1, 1), (0, 0))


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "MinShould.min_count: must be at least 1"),
        (-1, "MinShould.min_count: must be at least 1"),
        (TOO_LARGE, "at most 2**64 - 1"),
        (1.5, "MinShould.min_count: must be an integer, not 1.5"),
        ("1", "MinShould.min_count: must be an integer, not '1'"),
    ],
)
def test_min_should_needs_at_least_one_condition(count: Any, told: str) -> None:
    should = models.MinShould.model_construct(conditions=[CONDITION], min_count=count)
    asked = models.Filter.model_construct(min_should=should)
    assert told in refusal(lambda: convert.filter_(asked))


def test_min_should_is_refused_at_any_depth() -> None:
    inner = models.Filter.model_construct(
        min_should=models.MinShould.model_construct(conditions=[CONDITION], min_count=0)
    )
    nested = models.NestedCondition.model_construct(
        nested=models.Nested.model_construct(key="a", filter=inner)
    )
    for place in (inner, nested):
        for clause in ("must", "should", "must_not"):
            outer = models.Filter.model_construct(**{clause: [place]})
            assert "MinShould.min_count" in refusal(lambda outer=outer: convert.filter_(outer))


@pytest.mark.parametrize(
    ("told", "condition"),
    [
        ("Range.gte: it is not a number", {"range": models.Range(gte=math.nan)}),
        ("Range.gte: must be a number", {"range": models.Range.model_construct(gte="x")}),
        ("DatetimeRange", {"range": models.DatetimeRange.model_construct(gte="yesterday")}),
        ("ValuesCount.lt", {"values_count": models.ValuesCount.model_construct(lt=TOO_LARGE)}),
        ("MatchValue: must be one of", {"match": models.MatchValue.model_construct(value=1.5)}),
        ("MatchValue: must be one of", {"match": models.MatchValue(value=2**70)}),
        ("MatchAny: must be one of", {"match": models.MatchAny.model_construct(any=[1, "a"])}),
        (
            "GeoPoint.lon: must be at least -180 and at most 180, not 200",
            {"geo_radius": models.GeoRadius(center=models.GeoPoint(lon=200, lat=0), radius=1)},
        ),
        (
            "GeoPoint.lat: must be at least -90 and at most 90, not -91",
            {
                "geo_bounding_box": models.GeoBoundingBox(
                    top_left=models.GeoPoint(lon=0, lat=1),
                    bottom_right=models.GeoPoint(lon=1, lat=-91),
                )
            },
        ),
        (
            "GeoPolygon.exterior: must have at least 4 points, not 3",
            {"geo_polygon": models.GeoPolygon(exterior=ring((0, 0), (0, 1), (0, 0)))},
        ),
        (
            "GeoPolygon.exterior: must end at the point where it begins",
            {"geo_polygon": models.GeoPolygon(exterior=ring((0, 0), (0, 1), (1, 1), (1, 0)))},
        ),
        (
            "GeoPolygon.interiors: must have at least 4 points, not 2",
            {"geo_polygon": models.GeoPolygon(exterior=SQUARE, interiors=[ring((0, 0), (0, 1))])},
        ),
    ],
)
def test_conditions(told: str, condition: dict[str, Any]) -> None:
    assert told in refusal(lambda: on_field(**condition))


def test_a_proper_polygon_is_taken() -> None:
    on_field(geo_polygon=models.GeoPolygon(exterior=SQUARE, interiors=[SQUARE]))


def formula(expression: Any, defaults: dict[str, Any] | None = None) -> Any:
    return convert.query(models.FormulaQuery(formula=expression, defaults=defaults or {}))


def decay(kind: type[Any], field: str, **params: Any) -> Any:
    return formula(kind(**{field: models.DecayParamsExpression(x="a", **params)}))


@pytest.mark.parametrize(
    ("told", "query"),
    [
        ("midpoint", lambda: decay(models.LinDecayExpression, "lin_decay", midpoint=1.5)),
        ("midpoint", lambda: decay(models.ExpDecayExpression, "exp_decay", midpoint=1.0)),
        ("scale", lambda: decay(models.GaussDecayExpression, "gauss_decay", scale=0.0)),
        ("$unknown", lambda: formula("a", {"$unknown": 1.0})),
        ("FormulaQuery.defaults.$score: must be a number", lambda: formula("a", {"$score": "x"})),
        ("$score[1]: must be a number", lambda: formula("a", {"$score[1]": True})),
        ("yesterday", lambda: formula(models.DatetimeExpression(datetime="yesterday"))),
        (
            "Rrf.k: must be at least 1",
            lambda: convert.query(models.RrfQuery(rrf=models.Rrf.model_construct(k=0))),
        ),
        (
            "SparseVector.indices: must be at least 0",
            lambda: convert.query(
                models.SparseVector.model_construct(indices=[-1], values=[1.0]), "s"
            ),
        ),
    ],
)
def test_queries(told: str, query: Callable[[], Any]) -> None:
    assert told in refusal(query)


@pytest.mark.parametrize(
    ("told", "fields"),
    [
        ("QueryRequest.limit: must be at least 1", {"limit": 0}),
        ("QueryRequest.limit: must be at least 1", {"limit": TOO_LARGE}),
        ("QueryRequest.limit: must be an integer", {"limit": 1.5}),
        ("QueryRequest.offset: must be at least 0", {"offset": -1}),
        ("QueryRequest.offset: must be at least 0", {"offset": TOO_LARGE}),
        ("QueryRequest.score_threshold: it is not a number", {"score_threshold": math.nan}),
        ("QueryRequest.score_threshold: must be a number", {"score_threshold": "x"}),
        (
            "Prefetch.limit: must be at least 1",
            {"prefetch": [models.Prefetch.model_construct(query=[1.0], limit=0)]},
        ),
        (
            "SearchParams.hnsw_ef: must be at least 0",
            {"params": models.SearchParams.model_construct(hnsw_ef=10**20)},
        ),
    ],
)
def test_requests(told: str, fields: dict[str, Any]) -> None:
    values = {"query": [1.0], **fields}
    request = models.QueryRequest.model_construct(**values)
    assert told in refusal(lambda: convert.query_request(request))


@pytest.mark.parametrize(
    ("told", "dense", "sparse"),
    [
        ("'a/b'", ["a/b"], []),
        ("more than 200 bytes", ["x" * 201], []),
        ("more than 200 bytes", [], ["é" * 101]),
        ("'..\\\\b'", [], ["..\\b"]),
        ("a sparse vector needs a name", ["a"], [""]),
        ("a dense and a sparse vector have this name", ["a"], ["a"]),
    ],
)
def test_names_of_vectors(told: str, dense: list[str], sparse: list[str]) -> None:
    params = models.VectorParams(size=2, distance=models.Distance.DOT)
    assert told in refusal(
        lambda: check_vectors(
            dict.fromkeys(dense, params), dict.fromkeys(sparse, models.SparseVectorParams())
        )
    )


def test_a_sparse_vector_of_turbo4_is_refused() -> None:
    index = models.SparseIndexParams.model_construct(datatype="turbo4")
    sparse = {"s": models.SparseVectorParams.model_construct(index=index)}
    assert "turbo4" in refusal(lambda: check_vectors({}, sparse))


def test_an_integer_index_for_nothing_is_refused() -> None:
    schema = models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=False, range=False
    )
    assert "`lookup` and `range`" in refusal(lambda: convert.payload_schema(schema))


def test_the_largest_values_are_taken() -> None:
    convert.check_number("limit", TOO_LARGE - 1)
    check_vectors(
        {"": models.VectorParams(size=65_536, distance=models.Distance.DOT)},
        {"x" * 200: models.SparseVectorParams()},
    )


def test_a_range_of_dates_without_a_bound_is_no_condition_that_all_dates_fulfil(tmp_path) -> None:
    """A server takes it for a range of numbers: a deletion by it must not delete more here."""
    with EdgeClient(tmp_path) as client:
        client.create_collection("c", models.VectorParams(size=1, distance="Dot"))
        dated = models.PointStruct(id=1, vector=[1.0], payload={"a": "2024-01-01T00:00:00Z"})
        client.upsert("c", [dated])
        condition = models.FieldCondition(key="a", range=models.DatetimeRange())
        client.delete("c", models.Filter(must=[condition]))
        assert client.count("c").count == 1
