"""A server's settings -> those of an embedded collection: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdrant_client import models

from qdrant_static.collection.spec import METADATA_KEY
from qdrant_static.collection.updates import FILLING_KEY
from qdrant_static.edge.description import Description, by_name

#: What `optimize()` of an embedded collection knows; the rest is about a server's background.
_OPTIMIZERS = (
    "deleted_threshold", "vacuum_min_vector_number", "default_segment_number", "max_segment_size",
    "indexing_threshold", "prevent_unoptimized",
)  # fmt: skip
#: The engine's least number of segments that it merges down to, where nobody says another.
_ENGINE_SEGMENTS = 2
#: Keys of ours in the metadata begin so; but for these they tell of jobs on the server.
_OURS, _KEPT = "qdrant_static", (METADATA_KEY, FILLING_KEY)


def embedded(config: models.CollectionConfig, *, segments: int) -> tuple[Description, list[str]]:
    """An embedded collection whose engine finds the server's segments as they should be.

    A server tells its settings with all defaults, and its segments carry the same words; the
    engine compares them word by word, so they are taken over and nothing is filled in. Only the
    number of segments that are not merged is raised to what is there.

    Args:
        config: What the server says.
        segments: How many segments there are.

    Returns:
        The description, and what could not be taken over: settings of a server, and what its jobs
        have noted in the metadata.
    """
    params = config.params
    optimizers = {
        name: value
        for name in _OPTIMIZERS
        if (value := getattr(config.optimizer_config, name, None)) is not None
    }
    if segments > (optimizers.get("default_segment_number") or _ENGINE_SEGMENTS):
        optimizers["default_segment_number"] = segments
    metadata = dict(config.metadata or {})
    left = [f"metadata {key!r}" for key in metadata if key.startswith(_OURS) and key not in _KEPT]
    if config.strict_mode_config is not None and config.strict_mode_config.enabled:
        left.append("strict_mode_config")
    if config.optimizer_config.memmap_threshold:
        left.append("optimizer_config.memmap_threshold")
    description = Description(
        vectors=by_name(params.vectors),
        sparse_vectors=dict(params.sparse_vectors or {}),
        hnsw_config=models.HnswConfigDiff(**_said(config.hnsw_config)),
        quantization_config=config.quantization_config,
        optimizers_config=models.OptimizersConfigDiff(**optimizers),
        on_disk_payload=params.on_disk_payload,
        payload=params.payload,
        id_tracker=params.id_tracker,
        metadata={
            key: value
            for key, value in metadata.items()
            if not key.startswith(_OURS) or key in _KEPT
        },
    )
    return description, left


def indexes(info: models.CollectionInfo) -> Mapping[str, models.PayloadFieldSchema]:
    """The payload indexes of a collection, with their parameters."""
    return {
        field: index.data_type if index.params is None else index.params
        for field, index in info.payload_schema.items()
    }


def _said(config: models.HnswConfig) -> dict[str, Any]:
    known = models.HnswConfigDiff.model_fields
    return {name: value for name, value in config if value is not None and name in known}
