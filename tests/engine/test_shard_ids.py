"""All ids of a collection, shard by shard."""

from __future__ import annotations

from uuid import UUID

import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.routing import shard_of

IDS = [number if number % 3 else str(UUID(int=number)) for number in range(50)]


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("page", [1, 7, 1000])
def test_every_id_comes_once_with_the_shard_that_holds_it(tmp_path, shards, page) -> None:
    with EdgeClient(tmp_path) as client:
        client.create_collection(
            "c",
            shard_number=shards,
            vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT),
        )
        client.upsert("c", [models.PointStruct(id=one, vector=[1.0, 0.0]) for one in IDS])
        pages = list(client.shard_ids("c", page=page))
    assert all(len(ids) <= page for _, ids in pages)
    assert sorted(str(one) for _, ids in pages for one in ids) == sorted(map(str, IDS))
    for number, ids in pages:
        assert (shard_of(ids, shards) == number).all()


def test_a_collection_without_points_has_no_ids(tmp_path) -> None:
    with EdgeClient(tmp_path) as client:
        client.create_collection(
            "c", vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT)
        )
        assert list(client.shard_ids("c")) == [(0, [])]
