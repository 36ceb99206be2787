"""What targets are created with: every default written out, in the words of the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from qdrant_static import CollectionSpec
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.spec import METADATA_KEY
from qdrant_static.edge.description import Description
from qdrant_static.shipping.packing.segments import BuiltSegment, BuiltShard
from qdrant_static.shipping.targets.targetconfig import (
    create_body,
    index_body,
    recreate_body,
    schema_of,
)
from tests.fakes import FakeEncoder

MEMORY = models.Memory
BINARY = models.BinaryQuantization(binary=models.BinaryQuantizationConfig(memory=MEMORY.PINNED))


def info(**description: Any) -> models.CollectionInfo:
    """What an embedded collection says of itself."""
    description = {
        "vectors": {"v": models.VectorParams(size=4, distance="Dot")},
        "sparse_vectors": {},
        **description,
    }
    return models.CollectionInfo(
        status="green",
        optimizer_status=models.OptimizersStatusOneOf.OK,
        segments_count=2,
        payload_schema={},
        config=Description(**description).config(),
    )


def shards(*segments: int) -> list[BuiltShard]:
    one = BuiltSegment(name="u", folder=Path(), state={}, version="0.6.0")
    return [
        BuiltShard(number=number, folder=Path(), segments=(one,) * count, newest=0)
        for number, count in enumerate(segments)
    ]


def body(*, tiers: bool = False, segments: tuple[int, ...] = (2,), **description: Any) -> dict:
    made = create_body(info(**description), shards(*segments), tiers=tiers)
    assert json.loads(json.dumps(made)) == made, "it goes as JSON"
    models.CreateCollection.model_validate(made)
    return made


def test_every_default_is_written_out():
    assert body(segments=(2, 2)) == {
        "vectors": {"v": {"size": 4, "distance": "Dot", "on_disk": False}},
        "shard_number": 2,
        "hnsw_config": {
            "m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "on_disk": False,
        },
        "optimizers_config": {
            "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000,
            "default_segment_number": 0, "indexing_threshold": 10000,
        },
        "on_disk_payload": True,
    }  # fmt: skip


def test_one_vector_without_a_name_stays_so():
    unnamed = {"": models.VectorParams(size=4, distance="Dot", on_disk=True)}
    assert body(vectors=unnamed)["vectors"] == {"size": 4, "distance": "Dot", "on_disk": True}


@pytest.mark.parametrize(
    ("memory", "on_disk"), [(MEMORY.PINNED, False), (MEMORY.CACHED, False), (MEMORY.COLD, True)]
)
def test_tiers_become_flags_where_the_server_knows_none(memory, on_disk):
    said = {
        "vectors": {
            "v": models.VectorParams(
                size=4,
                distance="Dot",
                memory=memory,
                hnsw_config=models.HnswConfigDiff(m=8, memory=memory),
                quantization_config=models.ScalarQuantization(
                    scalar=models.ScalarQuantizationConfig(type="int8", memory=memory)
                ),
            )
        },
        "sparse_vectors": {
            "s": models.SparseVectorParams(index=models.SparseIndexParams(memory=memory))
        },
        "hnsw_config": models.HnswConfigDiff(memory=memory, payload_m=4),
        "quantization_config": BINARY.model_copy(
            update={"binary": models.BinaryQuantizationConfig(memory=memory)}
        ),
        "payload": models.PayloadStorageParams(memory=memory),
    }
    made = body(**said)
    assert made["vectors"]["v"] == {
        "size": 4, "distance": "Dot", "on_disk": on_disk,
        "hnsw_config": {"m": 8, "on_disk": on_disk},
        "quantization_config": {"scalar": {"type": "int8", "always_ram": not on_disk}},
    }  # fmt: skip
    assert made["sparse_vectors"] == {"s": {"index": {"on_disk": on_disk}}}
    assert made["hnsw_config"]["on_disk"] is on_disk
    assert made["hnsw_config"]["payload_m"] == 4
    assert made["quantization_config"] == {"binary": {"always_ram": not on_disk}}
    assert made["on_disk_payload"] is on_disk
    newer = body(tiers=True, **said)
    word = memory.value
    assert newer["vectors"]["v"]["memory"] == word
    assert newer["vectors"]["v"]["quantization_config"] == {
        "scalar": {"type": "int8", "memory": word}
    }
    assert newer["hnsw_config"]["memory"] == word
    assert newer["payload"] == {"memory": word}
    assert "on_disk" not in json.dumps(newer)


def test_a_server_that_would_merge_the_built_segments_is_told_to_keep_them():
    def kept(*segments: int, **description: Any) -> int:
        return body(segments=segments, **description)["optimizers_config"]["default_segment_number"]

    assert kept(1, 2) == 0
    assert kept(2, 5, 3) == 5
    four = models.OptimizersConfigDiff(default_segment_number=4)
    assert kept(3, optimizers_config=four) == 4
    assert kept(6, optimizers_config=four) == 6


def test_the_specs_own_wishes_for_a_server_are_heard():
    spec = CollectionSpec.for_encoder(FakeEncoder(), sparse=None)
    server = ServerSpec(replicas=3, write_consistency=2, on_disk_payload=False)
    metadata = {METADATA_KEY: {**spec.to_dict(), "server": server_dict(server)}, "mine": 1}
    made = create_body(info(metadata=metadata), shards(2), tiers=False)
    assert (made["replication_factor"], made["write_consistency_factor"]) == (3, 2)
    assert made["on_disk_payload"] is False
    assert made["metadata"] == metadata
    asked = create_body(info(metadata=metadata), shards(2), tiers=False, replicas=2)
    assert asked["replication_factor"] == 2


def server_dict(server: ServerSpec) -> dict[str, Any]:
    return {name: getattr(server, name) for name in server.__slots__}


def test_a_servers_own_description_makes_it_anew():
    config = {
        "params": {
            "vectors": {"v": {"size": 4, "distance": "Dot"}}, "shard_number": 3,
            "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True,
            "sparse_vectors": {"s": {}}, "read_fan_out_factor": None,
        },
        "hnsw_config": {"m": 16, "on_disk": False, "payload_m": None},
        "optimizer_config": {"indexing_threshold": 7, "max_segment_size": None},
        "wal_config": {"wal_capacity_mb": 32},
        "quantization_config": None,
        "metadata": {"mine": 1},
    }  # fmt: skip
    made = recreate_body(config)
    assert made == {
        "vectors": {"v": {"size": 4, "distance": "Dot"}},
        "sparse_vectors": {"s": {}},
        "shard_number": 3, "replication_factor": 1, "write_consistency_factor": 1,
        "on_disk_payload": True,
        "hnsw_config": {"m": 16, "on_disk": False},
        "optimizers_config": {"indexing_threshold": 7},
        "wal_config": {"wal_capacity_mb": 32},
        "metadata": {"mine": 1},
    }  # fmt: skip
    models.CreateCollection.model_validate(made)


def test_payload_indexes_keep_their_parameters():
    assert index_body("n", {"data_type": "integer", "points": 5}, tiers=False) == {
        "field_name": "n", "field_schema": "integer",
    }  # fmt: skip
    text = models.TextIndexParams(type="text", tokenizer="word", lowercase=True)
    there = info()
    there.payload_schema = {"t": models.PayloadIndexInfo(data_type="text", params=text, points=0)}
    assert index_body("t", schema_of(there)["t"], tiers=False) == {
        "field_name": "t",
        "field_schema": {"type": "text", "tokenizer": "word", "lowercase": True},
    }
    cold = {"data_type": "keyword", "params": {"type": "keyword", "memory": "cold"}}
    assert index_body("k", cold, tiers=False)["field_schema"] == {
        "type": "keyword", "on_disk": True,
    }  # fmt: skip
    assert index_body("k", cold, tiers=True)["field_schema"] == {
        "type": "keyword", "memory": "cold",
    }  # fmt: skip
