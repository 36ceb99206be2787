"""Collections to be shipped, and a stand-in for a server's empty shard."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from qdrant_client import models

from qdrant_static import EdgeClient

SIZE = 32
PINNED = models.Memory.PINNED
#: A graph for what was built, in KB: tests are small. Not for the few points that a proof edits.
INDEXED = models.OptimizersConfigDiff(indexing_threshold=5)


def vectors(count: int, size: int = SIZE) -> np.ndarray:
    """Directions near some of a few centers, always the same."""
    drawn = np.random.default_rng(0)
    centers = drawn.standard_normal((20, size))
    rows = centers[drawn.integers(0, 20, count)] + 0.5 * drawn.standard_normal((count, size))
    return rows.astype(np.float32)


def point_id(number: int) -> int | str:
    """Integers and UUIDs in turn."""
    return number if number % 2 else str(uuid5(NAMESPACE_URL, str(number)))


def points(count: int, first: int = 0) -> list[models.PointStruct]:
    """Points with a dense, a short and a sparse vector and two fields of payload."""
    rows = vectors(first + count)
    return [
        models.PointStruct(
            id=point_id(number),
            vector={
                "full": rows[number].tolist(),
                "short": rows[number, :8].tolist(),
                "bm25": models.SparseVector(indices=[number % 50, 100], values=[1.0, 0.5]),
            },
            payload={"n": number, "kind": "even" if number % 2 == 0 else "odd"},
        )
        for number in range(first, first + count)
    ]


def build(client: EdgeClient, collection: str, count: int = 300, **settings: Any) -> None:
    """A collection as `CollectionSpec` makes them: tiers, codes, a vector without links, BM25."""
    codes = models.BinaryQuantization(binary=models.BinaryQuantizationConfig(memory=PINNED))
    client.create_collection(
        collection,
        vectors_config={
            "full": models.VectorParams(
                size=SIZE,
                distance=models.Distance.COSINE,
                memory=models.Memory.CACHED,
                hnsw_config=models.HnswConfigDiff(memory=PINNED),
                quantization_config=codes,
            ),
            "short": models.VectorParams(
                size=8,
                distance=models.Distance.COSINE,
                memory=models.Memory.CACHED,
                hnsw_config=models.HnswConfigDiff(m=0),
            ),
        },
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        optimizers_config=INDEXED,
        **settings,
    )
    client.create_payload_index(collection, "n", models.PayloadSchemaType.INTEGER)
    client.create_payload_index(collection, "kind", models.PayloadSchemaType.KEYWORD)
    for first in range(0, count, 100):
        client.upsert(collection, points(min(100, count - first), first))
    client.optimize(collection)


def target_config(info: models.CollectionInfo) -> dict[str, Any]:
    """What a server of version 1.18 would say of a collection that was made after a local one."""
    config = json.loads(info.config.model_dump_json(exclude_none=True))
    for vector in config["params"]["vectors"].values():
        vector.pop("memory", None)
        vector.get("hnsw_config", {}).pop("memory", None)
        for codes in vector.get("quantization_config", {}).values():
            if codes.pop("memory", None) is not None:
                codes["always_ram"] = True
    return config


def empty_frame(path: Path, *, segments: int = 2) -> Path:
    """A snapshot of a shard without points, with what a server's has."""
    files = {
        **{
            f"segments/0aaf2b3e-0000-4000-8000-00000000000{number}/files/version.info": b"0.6.0"
            for number in range(1, segments + 1)
        },
        "wal/closed-12": b"numbers",
        "newest_clocks.json": b"{}",
        "replica_state.json": b'{"is_local":true}',
        "shard_config.json": b'{"type":"ReplicaSet"}',
    }
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path
