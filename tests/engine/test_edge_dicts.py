"""Dictionaries in the place of the client's models, which the client takes over REST."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.errors import SpecError

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
        ({"query": {"nearest": 2}, "using": "d", "query_filter": LATER}, 1),
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


@pytest.mark.parametrize(
    ("call", "told"),
    [
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
    with pytest.raises(SpecError) as caught:
        call(client)
    assert str(caught.value).startswith(told)
    assert client.count("c").count == 4
