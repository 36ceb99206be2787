"""A server's settings, in the words of an embedded_description collection."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import models

from qdrant_static.collection.spec import METADATA_KEY
from qdrant_static.collection.updates import FILLING_KEY
from qdrant_static.shipping.embeddedconfig import embedded_description, payload_indexes

HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "on_disk": False}
HNSW |= {"max_indexing_threads": 0}
OPTIMIZERS: dict[str, Any] = {
    "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
    "indexing_threshold": 10_000, "flush_interval_sec": 5, "max_optimization_threads": None,
}  # fmt: skip


def config(**changes: Any) -> models.CollectionConfig:
    values: dict[str, Any] = {
        "params": {"vectors": {"size": 4, "distance": "Cosine"}, "shard_number": 3},
        "hnsw_config": HNSW,
        "optimizer_config": OPTIMIZERS,
        "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
    }
    return models.CollectionConfig.model_validate(values | changes)


def test_what_a_server_says_is_taken_over_and_nothing_filled_in():
    params = {
        "vectors": {
            "a": {"size": 4, "distance": "Dot", "on_disk": True, "hnsw_config": {"m": 8}},
            "b": {"size": 2, "distance": "Euclid", "datatype": "float16"},
        },
        "sparse_vectors": {"bm25": {"modifier": "idf"}},
        "on_disk_payload": False,
    }
    codes = {"scalar": {"type": "int8", "always_ram": True}}
    given = config(params=params, quantization_config=codes)
    description, left = embedded_description(given, segments=2)
    assert left == []
    assert description.vectors == given.params.vectors
    assert description.sparse_vectors == given.params.sparse_vectors
    assert description.quantization_config == given.quantization_config
    assert description.on_disk_payload is False
    assert description.hnsw_config == models.HnswConfigDiff(**HNSW)
    assert description.optimizers_config == models.OptimizersConfigDiff(
        deleted_threshold=0.2,
        vacuum_min_vector_number=1000,
        default_segment_number=0,
        indexing_threshold=10_000,
    )


def test_an_unnamed_vector_stays_unnamed():
    assert list(embedded_description(config(), segments=1)[0].vectors) == [""]


@pytest.mark.parametrize(
    ("said", "segments", "wanted"), [(0, 2, 0), (0, 3, 3), (4, 3, 4), (4, 9, 9), (1, 1, 1)]
)
def test_segments_that_are_there_are_not_merged(said, segments, wanted):
    given = config(optimizer_config=OPTIMIZERS | {"default_segment_number": said})
    description, _ = embedded_description(given, segments=segments)
    assert description.optimizers_config is not None
    assert description.optimizers_config.default_segment_number == wanted


def test_what_a_folder_has_no_words_for_is_told():
    given = config(
        optimizer_config=OPTIMIZERS | {"memmap_threshold": 20_000},
        strict_mode_config={"enabled": True, "max_query_limit": 10},
        metadata={
            METADATA_KEY: {"version": 1}, FILLING_KEY: "b", "owner": "somebody",
            "qdrant_static_shipment": {"id": "1"}, "qdrant_static_migration": {"phase": "building"},
        },
    )  # fmt: skip
    description, left = embedded_description(given, segments=1)
    assert set(description.metadata) == {METADATA_KEY, FILLING_KEY, "owner"}
    assert left == [
        "metadata 'qdrant_static_shipment'",
        "metadata 'qdrant_static_migration'",
        "strict_mode_config",
        "optimizer_config.memmap_threshold",
    ]


def test_payload_indexes_keep_their_parameters():
    schema = {
        "n": {"data_type": "integer", "points": 3},
        "kw": {
            "data_type": "keyword", "points": 3, "params": {"type": "keyword", "is_tenant": True},
        },
    }  # fmt: skip
    info = models.CollectionInfo.model_validate(
        {
            "status": "green", "optimizer_status": "ok", "segments_count": 1,
            "config": config().model_dump(), "payload_schema": schema,
        }
    )  # fmt: skip
    assert payload_indexes(info) == {
        "n": models.PayloadSchemaType.INTEGER,
        "kw": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    }
