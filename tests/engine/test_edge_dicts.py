"""Dictionaries in the place of the client's models, which the client takes over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.errors import ArgumentError, PointError

LATER = {"must": [{"key": "n", "range": {"gte": 1}}]}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[EdgeClient]:
    with EdgeClient(tmp_path / "db") as client:
        client.create_collection(
            "c",
            {"d": models.VectorParams(size=2, distance=models.Distance.EUCLID)},
            {"s": models.SparseVectorParams()},
        )
        client.upsert(
            "c",
            [
                models.PointStruct(
                    id=number,
                    vector={
                        "d": [1.0, float(number)],
                        "s": models.SparseVector(indices=[1], values=[number + 1.0]),
                    },
                    payload={"n": number},
                )
                for number in range(4)
            ],
        )
        yield client


def test_filters(client: EdgeClient) -> None:
    assert client.count("c", LATER).count == 3
    assert [point.id for point in client.scroll("c", LATER)[0]] == [1, 2, 3]
    assert len(client.search_matrix_offsets("c", LATER, using="d").ids) == 3
    groups = client.query_points_groups("c", "n", using="d", query=[1.0, 0.0], query_filter=LATER)
    assert [group.id for group in groups.groups] == [1, 2, 3]


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ({"query": {"nearest": [1.0, 3.0]}, "using": "d"}, 3),
        ({"query": {"nearest": 3}, "using": "d", "query_filter": LATER}, 2),
        ({"query": {"indices": [1], "values": [1.0]}, "using": "s"}, 3),
        (
            {
                "query": {"recommend": {"positive": [3]}},
                "using": "d",
                "lookup_from": {"collection": "c"},
            },
            2,
        ),
        (
            {
                "query": {"fusion": "rrf"},
                "prefetch": [{"query": [1.0, 0.0], "using": "d", "filter": LATER}],
            },
            1,
        ),
        ({"query": [1.0, 3.0], "using": "d", "search_params": {"exact": True}}, 3),
    ],
)
def test_queries(client: EdgeClient, asked, first: int) -> None:
    assert client.query_points("c", **asked).points[0].id == first


def test_selectors(client: EdgeClient) -> None:
    client.set_payload("c", {"late": True}, LATER)
    assert client.count("c", {"must": {"key": "late", "match": {"value": True}}}).count == 3
    client.delete("c", {"points": [1]})
    client.delete("c", {"filter": {"must": [{"key": "n", "match": {"value": 2}}]}})
    assert [point.id for point in client.scroll("c")[0]] == [0, 3]


def test_points(client: EdgeClient) -> None:
    sparse = {"indices": [1], "values": [9.0]}
    client.upsert(
        "c",
        [
            {"id": 10, "vector": {"d": [1.0, 2.0], "s": sparse}, "payload": {"n": 10}},
            models.PointStruct(id=11, vector={}, payload={"n": 11}),
        ],
    )
    client.upsert("c", {"points": [{"id": 12, "vector": {"d": [0, 1]}}]})
    client.upsert("c", {"ids": [13], "vectors": {"d": [[0.0, 2.0]]}, "payloads": [{"n": 13}]})
    client.upload_points("c", iter([{"id": 14, "vector": {"s": sparse}}]))
    client.upload_collection("c", [{"s": sparse}], ids=[15])
    client.update_vectors("c", [{"id": 12, "vector": {"d": [0.0, 5.0]}}])
    found = client.retrieve("c", range(10, 16), with_vectors=True)
    assert [point.vector.get("d") for point in found] == [
        [1.0, 2.0], None, [0.0, 5.0], [0.0, 2.0], None, None,
    ]  # fmt: skip
    with_sparse = [point.id for point in found if "s" in point.vector]
    assert with_sparse == [10, 14, 15]
    assert [point.payload for point in found] == [{"n": 10}, {"n": 11}, {}, {"n": 13}, {}, {}]


def test_an_empty_vector_of_an_upload_is_none(client: EdgeClient) -> None:
    client.upload_points("c", [models.PointStruct(id=10, vector=[], payload={"n": 10})])
    client.upload_collection("c", [None, {"d": [1.0, 1.0]}], ids=[11, 12])
    found = client.retrieve("c", [10, 11, 12], with_vectors=True)
    assert [point.vector for point in found] == [{}, {}, {"d": [1.0, 1.0]}]
    assert found[0].payload == {"n": 10}
    with pytest.raises(PointError, match="point 13"):
        client.upsert("c", [models.PointStruct(id=13, vector=[])])


def test_operations_and_aliases(client: EdgeClient) -> None:
    client.batch_update_points(
        "c",
        [
            {"delete": {"points": [0]}},
            {"set_payload": {"payload": {"late": True}, "filter": LATER}},
            models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[1])),
            {"upsert": {"points": [{"id": 7, "vector": {}}]}},
        ],
    )
    assert [(point.id, point.payload) for point in client.scroll("c")[0]] == [
        (1, {}),
        (2, {"n": 2, "late": True}),
        (3, {"n": 3, "late": True}),
        (7, {}),
    ]
    client.update_collection_aliases(
        [{"create_alias": {"collection_name": "c", "alias_name": "also"}}]
    )
    assert client.count("also").count == 4


def test_settings(client: EdgeClient) -> None:
    client.create_collection("unnamed", {"size": 2, "distance": "Dot"})
    client.create_collection(
        "named",
        {"size": {"size": 2, "distance": "Dot"}},  # a name like any other
        {"s": {"modifier": "idf"}},
        hnsw_config={"m": 8},
        quantization_config={"scalar": {"type": "int8"}},
    )
    unnamed = client.get_collection("unnamed").config.params.vectors
    assert unnamed == models.VectorParams(size=2, distance=models.Distance.DOT)
    client.create_vector_name("named", "new", {"dense": {"size": 3, "distance": "Cosine"}})
    client.update_collection(
        "named",
        {"indexing_threshold": 100},
        vectors_config={"size": {"hnsw_config": {"m": 9}}},
        quantization_config="Disabled",
    )
    config = client.get_collection("named").config
    assert {name: one.size for name, one in config.params.vectors.items()} == {"size": 2, "new": 3}
    assert config.params.sparse_vectors["s"].modifier is models.Modifier.IDF
    assert config.params.vectors["size"].hnsw_config.m == 9
    assert (config.hnsw_config.m, config.optimizer_config.indexing_threshold) == (8, 100)
    assert config.quantization_config is None


def test_what_comes_back(client: EdgeClient) -> None:
    client.create_payload_index("c", "n", {"type": "integer", "range": True, "lookup": True})
    client.set_payload("c", {"other": 1}, [3])
    last, *_ = client.scroll("c", order_by={"key": "n", "direction": "desc"})[0]
    assert last.payload == {"n": 3, "other": 1}
    for selector in ({"include": ["n"]}, {"exclude": ["other"]}):
        assert client.retrieve("c", [3], with_payload=selector)[0].payload == {"n": 3}
    first, second = client.query_batch_points(
        "c",
        [
            {"query": [1.0, 3.0], "using": "d", "limit": 1},
            {"query": {"order_by": {"key": "n"}}, "with_payload": {"include": ["n"]}},
        ],
    )
    assert [point.id for point in first.points] == [3]
    assert [point.payload["n"] for point in second.points] == [0, 1, 2, 3]
    groups = client.query_points_groups(
        "c", "n", query=[1.0, 0.0], using="d", with_lookup={"collection": "c"}
    )
    assert [group.lookup.id for group in groups.groups] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda client: client.upsert("c", [{"id": 1, "vectr": {}}]), "points[0]: "),
        (lambda client: client.upsert("c", {"ids": [1]}), "points: "),
        (lambda client: client.batch_update_points("c", [{"erase": {}}]), "update_operations[0]: "),
        (
            lambda client: client.create_collection("e", {"d": {"size": 2, "distanc": "Dot"}}),
            "vectors_config: field required at 'd.distance'",
        ),
        (
            lambda client: client.create_collection("e", None, {"s": {"modifer": "idf"}}),
            "sparse_vectors_config: ",
        ),
        (lambda client: client.update_collection("c", {"flush": 1}), "optimizers_config: "),
        (lambda client: client.update_collection("c", quantization_config="off"), "quantization_"),
        (lambda client: client.retrieve("c", [1], with_payload={"incl": ["n"]}), "with_payload: "),
        (lambda client: client.scroll("c", order_by={"by": "n"}), "order_by: "),
        (lambda client: client.create_payload_index("c", "n", {"type": "int"}), "field_schema: "),
        (lambda client: client.query_batch_points("c", [{"queri": 1}]), "requests: "),
        (lambda client: client.query_points("c", {"text": [1.0, 2.0]}), "query: "),
        (lambda client: client.count("c", {"musst": []}), "filter: "),
        (lambda client: client.count("c", {"must": [{"keyy": "n"}]}), "filter: "),
        (lambda client: client.delete("c", {"filters": LATER}), "points: "),
        (
            lambda client: client.query_points("c", [1.0, 0.0], search_params={"hnsw_ef": "many"}),
            "search_params: ",
        ),
        (
            lambda client: client.query_points("c", {"fusion": "rrf"}, prefetch=[{"limitt": 1}]),
            "prefetch[0]: ",
        ),
    ],
)
def test_what_is_no_model_is_refused_with_its_place(client: EdgeClient, call, told: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call(client)
    assert str(caught.value).startswith(told)
    assert client.count("c").count == 4
