"""Specs, diffs, collections of others and `quantize` on the embedded engine."""

from __future__ import annotations

import grpc
import httpx
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from qdrant_static.collection.create import info_of
from qdrant_static.collection.fields import Fields
from qdrant_static.collection.spec import SparseSpec
from qdrant_static.collection.updates import fill_terms
from qdrant_static.errors import CollectionNotFoundError
from tests.collection_suite import CollectionSuite


class TestEdge(CollectionSuite):
    embedded = True


def test_new_bm25_is_filled_from_nested_texts_too(client):
    """A field of text may be a path, as an ingest takes it."""
    client.create_collection(
        "nested",
        {"v": models.VectorParams(size=2, distance=models.Distance.DOT)},
        sparse_vectors_config={"bm25": models.SparseVectorParams()},
    )
    payload = {"meta": {"title": "red fish"}, "note": "sea"}
    client.upsert("nested", [models.PointStruct(id=1, vector={"v": [1, 0]}, payload=payload)])
    settled = fill_terms(client, "nested", SparseSpec(), Fields(text=("meta.title", "note")))
    assert settled.mean_length == 3
    (point,) = client.retrieve("nested", [1], with_vectors=["bm25"])
    assert len(point.vector["bm25"].indices) == 3


@pytest.mark.parametrize("place", ["edge", "local"])
def test_a_missing_collection_is_told_by_one_request_of_its_own(client, place):
    asked = client if place == "edge" else QdrantClient(":memory:")
    asked.create_collection("there", {"v": models.VectorParams(size=2, distance="Cosine")})
    with pytest.raises(CollectionNotFoundError) as raised:
        info_of(asked, "nowhere")
    assert raised.value.collections == ("there",)
    assert info_of(asked, "there").config.params.vectors["v"].size == 2


def test_what_a_server_says_of_a_missing_collection_is_understood():
    def refusing(error):
        class Refusing:
            def get_collection(self, _):
                raise error

            def get_collections(self):
                return models.CollectionsResponse(collections=[])

        return Refusing()

    def response(status):
        return UnexpectedResponse(status, "", b"", httpx.Headers())

    class NotFound(grpc.RpcError, grpc.Call):
        def code(self):
            return grpc.StatusCode.NOT_FOUND

    NotFound.__abstractmethods__ = frozenset()
    for error in (response(404), NotFound()):
        with pytest.raises(CollectionNotFoundError):
            info_of(refusing(error), "c")
    with pytest.raises(UnexpectedResponse):
        info_of(refusing(response(403)), "c")
