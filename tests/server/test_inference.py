"""Documents on a real server: static models are encoded here, BM25 there, as EdgeClient does it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from qdrant_static import EdgeClient, install, load_encoder, uninstall
from qdrant_static.vectors import truncate
from tests.engine.test_inference import BM25_OPTIONS, BM25_TEXTS, QUERY, TEXTS
from tests.fakes import DIMENSION

pytestmark = pytest.mark.server
QUERIES = ("foxes running running", "maisons", "Häuser", "naive café 3.14", "quick lower")


@pytest.fixture(params=["rest", "grpc"])
def server(request: pytest.FixtureRequest) -> Iterator[QdrantClient]:
    url = os.environ["QDRANT_URL"]
    client = QdrantClient(
        url=url,
        grpc_port=(urlsplit(url).port or 6333) + 1,
        prefer_grpc=request.param == "grpc",
        check_compatibility=False,
    )
    yield client
    client.close()


@pytest.fixture
def collection(server: QdrantClient, client: EdgeClient) -> Iterator[str]:
    name = f"inference-{uuid4()}"
    for one in (server, client):
        one.create_collection(
            name,
            vectors_config={
                "full": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE),
                "mrl_8": models.VectorParams(size=8, distance=models.Distance.COSINE),
            },
            sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
    yield name
    server.delete_collection(name)


def _ids_and_scores(client: Any, name: str, query: models.Document, using: str) -> dict[Any, float]:
    hits = client.query_points(name, query=query, using=using, limit=20).points
    return {hit.id: hit.score for hit in hits}


def test_static_models_are_the_same_on_both(server, client, collection, model_folder: Path):
    model = str(model_folder)
    install(names=[model])
    try:
        for one in (server, client):
            one.upsert(
                collection,
                [
                    models.PointStruct(
                        id=number,
                        vector={
                            "full": models.Document(text=text, model=model),
                            "mrl_8": models.Document(
                                text=text, model=model, options={"dimensions": 8}
                            ),
                        },
                    )
                    for number, text in enumerate(TEXTS)
                ],
                wait=True,
            )
        expected = load_encoder(model).encode(TEXTS)
        for record in server.retrieve(collection, list(range(len(TEXTS))), with_vectors=True):
            row = expected[record.id : record.id + 1]
            assert np.allclose(record.vector["full"], row[0], atol=1e-6)
            assert np.allclose(record.vector["mrl_8"], truncate(row, 8)[0], atol=1e-6)
        for using, options in (("full", None), ("mrl_8", {"dimensions": 8})):
            query = models.Document(text=QUERY, model=model, options=options)
            assert _ids_and_scores(server, collection, query, using) == pytest.approx(
                _ids_and_scores(client, collection, query, using), abs=1e-6
            )
    finally:
        uninstall()


@pytest.mark.parametrize("options", [options for options, _ in BM25_OPTIONS], ids=str)
def test_bm25_is_the_servers(server, client, collection, options):
    points = [
        models.PointStruct(
            id=number,
            vector={"bm25": models.Document(text=text, model="qdrant/bm25", options=options)},
        )
        for number, text in enumerate(BM25_TEXTS)
    ]
    stored = []
    for one in (server, client):
        try:
            one.upsert(collection, points, wait=True)
        except Exception as error:  # of HTTP and of gRPC
            if one is server and "StemmingAlgorithm" in str(error):
                pytest.skip("servers up to 1.18 know no disabled stemmer")
            raise
        records = one.retrieve(collection, list(range(len(points))), with_vectors=["bm25"])
        stored.append({record.id: _weights(record.vector.get("bm25")) for record in records})
    assert stored[0].keys() == stored[1].keys()
    for number, weights in stored[0].items():
        assert weights == pytest.approx(stored[1][number], rel=1e-6), BM25_TEXTS[number]
    for text in QUERIES:
        query = models.Document(text=text, model="qdrant/bm25", options=options)
        assert _ids_and_scores(server, collection, query, "bm25") == pytest.approx(
            _ids_and_scores(client, collection, query, "bm25"), rel=1e-5
        ), text


def _weights(vector: models.SparseVector | None) -> dict[int, float]:
    return {} if vector is None else dict(zip(vector.indices, vector.values, strict=True))
