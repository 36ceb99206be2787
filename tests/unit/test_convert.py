"""qdrant_client.models -> qdrant_edge: what is carried over, and what is refused."""

from __future__ import annotations

import pytest
import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.errors import NotSupportedByEdgeError


@pytest.mark.parametrize("kind", models.PayloadSchemaType)
def test_every_payload_type_is_carried_over_and_back(kind):
    assert convert.payload_schema_back(convert.payload_schema(kind)) == kind
    assert convert.payload_schema_back(convert.payload_schema(kind.value)) == kind


@pytest.mark.parametrize("distance", models.Distance)
def test_every_distance_is_carried_over(distance):
    params = convert.vector_params(models.VectorParams(size=4, distance=distance))
    assert (params.size, str(params.distance).split(".")[-1].lower()) == (4, distance.value.lower())


@pytest.mark.parametrize("encoding", models.BinaryQuantizationEncoding)
@pytest.mark.parametrize("query", models.BinaryQuantizationQueryEncoding)
def test_every_binary_quantization_is_carried_over(encoding, query):
    config = models.BinaryQuantization(
        binary=models.BinaryQuantizationConfig(
            always_ram=True, encoding=encoding, query_encoding=query
        )
    )
    assert isinstance(convert.quantization_config(config), edge.BinaryQuantizationConfig)


def test_what_the_engine_has_no_setting_for_is_refused_by_name():
    params = models.VectorParams(
        size=4, distance=models.Distance.COSINE,
        multivector_config=models.MultiVectorConfig(comparator="max_sim"),
    )  # fmt: skip
    with pytest.raises(NotSupportedByEdgeError, match=r"VectorParams\.multivector_config"):
        convert.vector_params(params)
    product = models.ProductQuantization(
        product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X4)
    )
    with pytest.raises(NotSupportedByEdgeError, match="ProductQuantization as a quantization"):
        convert.quantization_config(product)


def test_search_parameters_are_carried_over():
    params = convert.search_params(
        models.SearchParams(
            exact=True, hnsw_ef=64,
            quantization=models.QuantizationSearchParams(rescore=False, oversampling=2.5),
        )
    )  # fmt: skip
    assert (params.exact, params.hnsw_ef) == (True, 64)
    assert (params.quantization.rescore, params.quantization.oversampling) == (False, 2.5)
    assert convert.search_params(None) is None


@pytest.mark.parametrize("value", [7, "0" * 32, {"a": 1}, models.RecommendQuery(
    recommend=models.RecommendInput(positive=[1]))])  # fmt: skip
def test_a_query_that_cannot_be_expressed_is_refused_by_its_type(value):
    with pytest.raises(NotSupportedByEdgeError, match=f"{type(value).__name__} as a query"):
        convert.query(value, "full")


@pytest.mark.parametrize(
    "condition",
    [
        models.FieldCondition(key="a", match=models.MatchValue(value="x")),
        models.FieldCondition(key="a", match=models.MatchAny(any=["x", "y"])),
        models.FieldCondition(key="a", match=models.MatchExcept(**{"except": [1]})),
        models.FieldCondition(key="a", match=models.MatchText(text="x")),
        models.FieldCondition(key="a", match=models.MatchPhrase(phrase="x y")),
        models.FieldCondition(key="a", range=models.Range(gte=1, lt=5)),
        models.FieldCondition(key="a", range=models.DatetimeRange(gt="2020-01-01T00:00:00Z")),
        models.FieldCondition(key="a", is_empty=True),
        models.IsNullCondition(is_null=models.PayloadField(key="a")),
        models.IsEmptyCondition(is_empty=models.PayloadField(key="a")),
        models.HasIdCondition(has_id=[1, "00000000-0000-0000-0000-000000000001"]),
        models.HasVectorCondition(has_vector="full"),
        models.NestedCondition(
            nested=models.Nested(key="a", filter=models.Filter(must=[
                models.FieldCondition(key="b", match=models.MatchValue(value=1))])),
        ),
        models.Filter(should=[models.FieldCondition(key="a", match=models.MatchValue(value=1))]),
    ],
    ids=lambda c: type(c).__name__,
)  # fmt: skip
def test_every_condition_is_carried_over(condition):
    for side in ("must", "should", "must_not"):
        assert convert.filter_(models.Filter(**{side: [condition]})) is not None
    minimum = models.MinShould(conditions=[condition], min_count=1)
    assert convert.filter_(models.Filter(min_should=minimum)) is not None


def test_a_condition_that_cannot_be_expressed_is_refused():
    geo = models.FieldCondition(
        key="a", geo_radius=models.GeoRadius(center=models.GeoPoint(lon=0, lat=0), radius=1)
    )
    with pytest.raises(NotSupportedByEdgeError, match=r"FieldCondition\.geo_radius"):
        convert.filter_(models.Filter(must=[geo]))
