"""Calls of a server, with retries."""

from __future__ import annotations

import json

import httpx
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from qdrant_static import EdgeClient
from qdrant_static.clients.connect import address
from qdrant_static.clients.retry import RetryPolicy, call_with_retries
from qdrant_static.clients.scroll import pages
from qdrant_static.errors import (
    CollectionNotFoundError,
    EngineError,
    PointError,
    ServerUnavailableError,
)

QUICK = RetryPolicy(first_s=0.01, longest_s=0.02, budget_s=5.0)


@pytest.fixture
def client(wire) -> QdrantClient:
    made = wire.client()
    made.create_collection(
        "c", vectors_config={"full": models.VectorParams(size=4, distance=models.Distance.DOT)}
    )
    return made


def test_a_server_that_was_away_is_asked_again(wire, client):
    wire.deaf = 3
    waits: list[float] = []
    counted = call_with_retries(
        client, "c", "counting points", lambda: client.count("c", exact=True).count,
        retry=QUICK, wait=waits.append,
    )  # fmt: skip
    assert counted == 0
    assert len(waits) == 3


def test_retries_end_with_the_budget(wire, client):
    wire.deaf = 10_000
    policy = RetryPolicy(first_s=0.01, longest_s=0.02, budget_s=0.1)
    with pytest.raises(ServerUnavailableError, match="Socket closed") as caught:
        call_with_retries(client, "c", "counting points", lambda: client.count("c"), retry=policy)
    assert caught.value.tried > 1
    wire.deaf = 0


def test_a_collection_that_is_not_there_is_said_at_once(client):
    with pytest.raises(CollectionNotFoundError, match=r"no collection 'gone' in .*there are: c"):
        call_with_retries(
            client, "gone", "counting points", lambda: client.count("gone"), retry=QUICK
        )


def test_what_the_server_refuses_is_said_at_once(client):
    def index() -> object:
        return client.upsert("c", [models.PointStruct(id=1, vector={"full": [1.0]})])

    with pytest.raises(
        EngineError, match=r"storing a point in 'c' at http://127\.0\.0\.1:.*dimension"
    ):
        call_with_retries(client, "c", "storing a point", index, retry=QUICK)


@pytest.mark.parametrize("said", ["7", "5f3f2b2e-0d3c-4b8e-9c1a-2f1e3d4c5b6a"])
def test_a_point_that_is_not_there_is_named_as_edge_names_it(client, said):
    def refuse() -> None:
        raise UnexpectedResponse(
            404,
            "Not Found",
            json.dumps({"status": {"error": f"Not found: No point with id {said} found"}}).encode(),
            httpx.Headers(),
        )

    with pytest.raises(PointError, match="it is not there") as caught:
        call_with_retries(client, "c", "updating payloads", refuse)
    assert caught.value.point == (7 if said == "7" else said)


def test_an_embedded_collection_is_called_once(tmp_path):
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise PointError(point=1, problem="bad")

    with EdgeClient(tmp_path) as edge, pytest.raises(PointError):
        call_with_retries(edge, "c", "storing", fail)
    assert calls == [1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "https://user:secret@db.example:6333/prefix"}, "https://db.example:6333"),
        ({"url": "http://db"}, "http://db:6333"),
        ({"host": "db", "port": 7000}, "http://db:7000"),
        ({}, "http://localhost:6333"),
    ],
)
def test_an_address_holds_no_secret(options, said):
    client = QdrantClient(**options, check_compatibility=False)
    assert address(client) == said
    client.close()


def test_pages_are_all_points_and_each_page_is_retried(wire, client):
    points = [models.PointStruct(id=n, vector={"full": [1.0] * 4}) for n in range(7)]
    client.upsert("c", points, wait=True)
    found = []
    for page in pages(client, "c", limit=3, retry=QUICK):
        wire.deaf = 1
        found.append([point.id for point in page])
    wire.deaf = 0
    assert found == [[0, 1, 2], [3, 4, 5], [6]]
    nothing = models.Filter(must=[models.HasIdCondition(has_id=[99])])
    assert list(pages(client, "c", where=nothing)) == []
