"""qdrant_client.models -> qdrant_edge: what is carried over, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.convert.modeltables import PAIRS
from qdrant_static.edge.convert.updates import batch_points
from qdrant_static.errors import ArgumentError, NotSupportedByEdgeError


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


def test_vector_settings_go_over_those_of_the_collection():
    built = convert.edge_config(
        vectors={
            "a": models.VectorParams(
                size=4, distance=models.Distance.DOT, hnsw_config=models.HnswConfigDiff(m=8)
            ),
            "b": models.VectorParams(size=4, distance=models.Distance.DOT),
        },
        hnsw=models.HnswConfigDiff(m=4, ef_construct=50),
        payload=models.PayloadStorageParams(memory=models.Memory.CACHED),
        wal_enabled=False,
    )
    own = built.vectors["a"].hnsw_config
    assert (own.m, own.ef_construct, own.full_scan_threshold) == (8, 50, 10_000)
    assert built.vectors["b"].hnsw_config is None
    assert (built.hnsw_config.m, built.wal_enabled) == (4, False)
    assert (built.payload_memory, built.id_tracker_memory) == (edge.Memory.Cached, None)


@pytest.mark.parametrize("kind", PAIRS, ids=lambda kind: kind.__name__)
def test_every_name_has_one_of_the_engine(kind):
    assert set(PAIRS[kind]) == set(kind)
    assert len(set(map(str, PAIRS[kind].values()))) == len(kind)


def test_numbers_outside_of_what_a_server_takes_are_refused():
    for value in (
        models.SearchParams(quantization=models.QuantizationSearchParams(oversampling=0.5)),
        models.SearchParams(acorn=models.AcornSearchParams(enable=True, max_selectivity=2)),
    ):
        with pytest.raises(ArgumentError, match=r"QuantizationSearchParams|AcornSearchParams"):
            convert.search_params(value)
    for value in (
        models.RrfQuery(rrf=models.Rrf(k=0)),
        models.NearestQuery(nearest=[1.0], mmr=models.Mmr(diversity=1.5)),
        [1.0, float("nan")],
        [[1.0], [float("inf")]],
        np.array([1.0, np.nan]),
        models.SparseVector(indices=[1, 1], values=[1.0, 2.0]),
        models.SparseVector(indices=[1], values=[1.0, 2.0]),
        models.SparseVector(indices=[1], values=[float("nan")]),
    ):
        with pytest.raises(ArgumentError):
            convert.query(value, "a")
    with pytest.raises(ArgumentError, match="no condition"):
        convert.filter_(models.Filter(must=models.FieldCondition(key="a")))
    range_ = models.Range(gte=float("nan"))
    with pytest.raises(ArgumentError, match=r"Range\.gte.*NaN"):
        convert.filter_(models.Filter(must=models.FieldCondition(key="a", range=range_)))


def test_a_field_that_no_table_knows_is_refused_by_name():
    class Later(models.SearchParams):
        later: int | None = None

    with pytest.raises(NotSupportedByEdgeError, match=r"Later\.later"):
        convert.search_params(Later(later=3))
    request = models.QueryRequest(query=[1.0], shard_key="a")
    with pytest.raises(NotSupportedByEdgeError, match=r"QueryRequest\.shard_key.*no keys of"):
        convert.query_request(request)


def test_what_a_server_refuses_is_refused():
    near = models.Prefetch(query=[1.0])
    fusion = models.FusionQuery(fusion=models.Fusion.RRF)
    for request, field in (
        (models.QueryRequest(prefetch=near), "prefetch"),
        (models.QueryRequest(score_threshold=1), "score_threshold"),
        (models.QueryRequest(query=fusion, using="a", prefetch=near), "using"),
        (models.QueryRequest(query=[1.0], limit=0), "limit"),
        (models.QueryRequest(query=[1.0], offset=-1), "offset"),
        (models.QueryRequest(query=fusion, prefetch=models.Prefetch(prefetch=near)), "prefetch"),
    ):
        with pytest.raises(ArgumentError, match=rf"(QueryRequest|Prefetch)\.{field}"):
            convert.query_request(request)


def test_updates_become_the_engines_operations():
    condition = models.Filter(must=models.HasIdCondition(has_id=[1]))
    both = {"points": [1], "filter": condition}
    point = models.PointStruct(id=1, vector=[1.0])
    batch = models.Batch(ids=[1, 2], vectors={"a": [[1.0], [2.0]]}, payloads=[{}, {"x": 1}])
    for operation, count in (
        (models.UpsertOperation(upsert=models.PointsList(points=[point])), 1),
        (models.UpsertOperation(upsert=models.PointsBatch(batch=batch)), 1),
        (models.DeleteOperation(delete=models.PointIdsList(points=[1])), 1),
        (models.DeleteOperation(delete=models.FilterSelector(filter=condition)), 1),
        (models.SetPayloadOperation(set_payload=models.SetPayload(payload={}, **both)), 2),
        (models.OverwritePayloadOperation(
            overwrite_payload=models.SetPayload(payload={}, points=[1])), 1),
        (models.DeletePayloadOperation(
            delete_payload=models.DeletePayload(keys=["a"], **both)), 2),
        (models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[1])), 1),
        (models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(
            points=[models.PointVectors(id=1, vector=[1.0])])), 1),
        (models.DeleteVectorsOperation(
            delete_vectors=models.DeleteVectors(vector=["a"], **both)), 2),
    ):  # fmt: skip
        operations = convert.update_operation(operation)
        assert [type(one) for one in operations] == [edge.UpdateOperation] * count
    rows = list(batch_points(batch))
    assert [(row.id, row.vector, row.payload) for row in rows] == [
        (1, {"a": [1.0]}, {}),
        (2, {"a": [2.0]}, {"x": 1}),
    ]
    with pytest.raises(ArgumentError, match="2 ids, but 1 of 'a'"):
        list(batch_points(models.Batch(ids=[1, 2], vectors={"a": [[1.0]]})))
    with pytest.raises(ArgumentError, match="SetPayload"):
        convert.update_operation(
            models.SetPayloadOperation(set_payload=models.SetPayload(payload={}))
        )
    refused = models.PointIdsList(points=[1], shard_key="a")
    with pytest.raises(NotSupportedByEdgeError, match=r"PointIdsList\.shard_key"):
        convert.update_operation(models.DeleteOperation(delete=refused))


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


@pytest.mark.parametrize("value", [7, "0" * 32, models.RecommendQuery(
    recommend=models.RecommendInput(positive=[1]))])  # fmt: skip
def test_points_in_a_query_want_somebody_who_knows_their_vectors(value):
    with pytest.raises(NotSupportedByEdgeError, match=r"the point .* in a query"):
        convert.query(value, "full")


@pytest.mark.parametrize("value", [{"a": 1}, models.Document(text="a", model="b"), 1.5, True])
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
