"""Specs, diffs, collections of others and `quantize` on the embedded engine."""

from __future__ import annotations

from qdrant_client import models

from qdrant_static.collection.backfill import fill_terms
from qdrant_static.collection.fields import Fields
from qdrant_static.collection.spec import SparseSpec
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
