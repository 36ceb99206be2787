"""Where a real server puts points, by their ids."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
import qdrant_edge as edge
from qdrant_client import QdrantClient, models

from qdrant_static.routing import shard_of
from tests.routed import INTEGERS, PLACED, UUIDS, summed

pytestmark = pytest.mark.server


@pytest.mark.parametrize("shards", sorted(PLACED))
def test_a_server_puts_points_where_we_say(shards: int, tmp_path: Path) -> None:
    name = f"routed_{shards}"
    ids = [*INTEGERS, *UUIDS]
    client = QdrantClient(os.environ["QDRANT_URL"], check_compatibility=False, timeout=60)
    try:
        client.delete_collection(name)
        client.create_collection(
            name,
            models.VectorParams(size=1, distance=models.Distance.DOT),
            shard_number=shards,
        )
        for start in range(0, len(ids), 2_000):
            chunk = ids[start : start + 2_000]
            client.upsert(name, models.Batch(ids=chunk, vectors=[[1.0]] * len(chunk)), wait=True)
        found = {
            point: shard for shard in range(shards) for point in _ids_in(name, shard, tmp_path)
        }
    finally:
        client.delete_collection(name)
        client.close()
    places = [found[point] for point in ids]
    assert shard_of(ids, shards).tolist() == places
    assert (summed(places[: len(INTEGERS)]), summed(places[len(INTEGERS) :])) == PLACED[shards]


def _ids_in(name: str, shard: int, folder: Path) -> list[int | str]:
    """The ids of all points in one shard, from its snapshot."""
    snapshot, unpacked = folder / f"{shard}.snapshot", folder / str(shard)
    url = f"{os.environ['QDRANT_URL']}/collections/{name}/shards/{shard}/snapshot"
    snapshot.write_bytes(httpx.get(url, timeout=60).raise_for_status().content)
    edge.EdgeShard.unpack_snapshot(str(snapshot), str(unpacked))
    opened = edge.EdgeShard.load(str(unpacked))
    try:
        request = edge.ScrollRequest(limit=100_000, with_payload=False, with_vector=False)
        records, _ = opened.scroll(request)
    finally:
        opened.close()
    return [one.id if isinstance(one.id, int) else str(one.id) for one in records]
