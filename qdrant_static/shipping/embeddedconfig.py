"""Translates the settings of a server's collection to those of an embedded one."""

from __future__ import annotations

from collections.abc import Mapping

from qdrant_client import models

from qdrant_static.collection.spec import METADATA_KEY
from qdrant_static.collection.updates import FILLING_KEY
from qdrant_static.edge.description import Description, by_name

#: Settings that `optimize()` of an embedded collection uses; the others concern a server only.
_OPTIMIZERS = (
    "deleted_threshold", "vacuum_min_vector_number", "default_segment_number", "max_segment_size",
    "indexing_threshold", "prevent_unoptimized",
)  # fmt: skip
#: The number of segments that the engine merges down to by default.
_ENGINE_SEGMENTS = 2
#: Metadata keys of this package start so; except for these two, they are about jobs on the server.
_OURS, _KEPT = "qdrant_static", (METADATA_KEY, FILLING_KEY)


def embedded_description(
    config: models.CollectionConfig, *, segments: int
) -> tuple[Description, list[str]]:
    """Describe an embedded collection whose engine leaves the server's segments as they are.

    A server reports its settings with all defaults, and its segments hold the same JSON. The
    engine rebuilds a segment whose settings differ literally from the collection's; so they are
    copied, and no default is filled in. Only the number of segments that are not merged is raised
    to the number that exists.

    Args:
        config: The settings that the server reports.
        segments: The number of segments.

    Returns:
        The description, and what was left out: settings of a server, and what its jobs have noted
        in the metadata.
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
        hnsw_config=_hnsw_diff(config.hnsw_config),
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


def payload_indexes(info: models.CollectionInfo) -> Mapping[str, models.PayloadFieldSchema]:
    """Return the payload indexes of a collection, with their parameters."""
    return {
        field: index.data_type if index.params is None else index.params
        for field, index in info.payload_schema.items()
    }


def _hnsw_diff(config: models.HnswConfig) -> models.HnswConfigDiff:
    known = models.HnswConfigDiff.model_fields
    fields = {name: value for name, value in config if value is not None and name in known}
    return models.HnswConfigDiff(**fields)
