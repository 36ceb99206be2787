"""The description of a collection: in ``collection.json``, for the engine, as client models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

import qdrant_edge as edge
from pydantic import TypeAdapter
from qdrant_client import models

from qdrant_static.edge import convert

VectorsConfig: TypeAlias = models.VectorParams | Mapping[str, models.VectorParams] | None

#: The engine's defaults of ``optimize()``.
_OPTIMIZER_DEFAULTS: Mapping[str, Any] = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "indexing_threshold": 10_000,
    # Nothing runs in the background.
    "flush_interval_sec": 0,
}

_TYPES: Mapping[str, TypeAdapter[Any]] = {
    "vectors": TypeAdapter(dict[str, models.VectorParams]),
    "sparse_vectors": TypeAdapter(dict[str, models.SparseVectorParams]),
    "hnsw_config": TypeAdapter(models.HnswConfigDiff | None),
    "quantization_config": TypeAdapter(models.QuantizationConfig | None),
    "optimizers_config": TypeAdapter(models.OptimizersConfigDiff | None),
    "on_disk_payload": TypeAdapter(bool | None),
    "payload": TypeAdapter(models.PayloadStorageParams | None),
    "id_tracker": TypeAdapter(models.IdTrackerParams | None),
    "wal": TypeAdapter(bool),
    "shard_number": TypeAdapter(int),
    "pending": TypeAdapter(str | None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A collection's settings.

    Attributes:
        vectors: Dense vectors by name; the unnamed one is ``""``.
        sparse_vectors: Sparse vectors by name.
        hnsw_config: HNSW settings of all vectors, which a vector's own override.
        quantization_config: Quantization of all dense vectors, which a vector's own overrides.
        optimizers_config: When ``optimize()`` merges, vacuums and indexes segments.
        on_disk_payload: Whether payloads are on disk.
        payload: Where payloads are stored; the newer form of ``on_disk_payload``.
        id_tracker: Where the ids of indexed segments are stored.
        metadata: The user's metadata.
        wal: Whether writes go through a write-ahead log; fixed at creation.
        shard_number: How many shards hold the points; fixed at creation.
        pending: A change that is not complete: ``"settings"``, or ``"vector <name>"`` for a vector
            that this description adds or deletes. The next opening applies it.
    """

    vectors: Mapping[str, models.VectorParams]
    sparse_vectors: Mapping[str, models.SparseVectorParams]
    hnsw_config: models.HnswConfigDiff | None = None
    quantization_config: models.QuantizationConfig | None = None
    optimizers_config: models.OptimizersConfigDiff | None = None
    on_disk_payload: bool | None = None
    payload: models.PayloadStorageParams | None = None
    id_tracker: models.IdTrackerParams | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    wal: bool = True
    shard_number: int = 1
    pending: str | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read the content of ``collection.json``.

        Raises:
            ValueError: If it does not describe a collection.
        """
        values = {
            name: adapter.validate_python(content[name])
            for name, adapter in _TYPES.items()
            if name in content
        }
        return cls(metadata=dict(content["metadata"]), **values)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``collection.json``, without fields that are not set."""
        values = {
            name: adapter.dump_python(getattr(self, name), mode="json", exclude_none=True)
            for name, adapter in _TYPES.items()
        }
        given = {name: value for name, value in values.items() if value is not None}
        return {**given, "metadata": dict(self.metadata)}

    def edge_config(self) -> edge.EdgeConfig:
        """Return the settings for the engine."""
        return convert.edge_config(
            vectors=self.vectors,
            sparse=self.sparse_vectors,
            hnsw=self.hnsw_config,
            quantization=self.quantization_config,
            optimizers=self.optimizers_config,
            on_disk_payload=self.on_disk_payload,
            payload=self.payload,
            id_tracker=self.id_tracker,
            wal_enabled=self.wal,
        )

    def config(self) -> models.CollectionConfig:
        """Return the settings as client models, defaults included."""
        unnamed = set(self.vectors) == {""}
        return models.CollectionConfig(
            params=models.CollectionParams(
                vectors=self.vectors[""] if unnamed else dict(self.vectors),
                sparse_vectors=dict(self.sparse_vectors) or None,
                shard_number=self.shard_number,
                replication_factor=1,
                write_consistency_factor=1,
                on_disk_payload=True if self.on_disk_payload is None else self.on_disk_payload,
                payload=self.payload,
                id_tracker=self.id_tracker,
            ),
            hnsw_config=models.HnswConfig(
                **{
                    **convert.HNSW_DEFAULTS,
                    "max_indexing_threads": 0,
                    "on_disk": False,
                    **_set_fields(self.hnsw_config),
                }
            ),
            optimizer_config=models.OptimizersConfig(
                **{**_OPTIMIZER_DEFAULTS, **_set_fields(self.optimizers_config)}
            ),
            quantization_config=self.quantization_config,
            metadata=dict(self.metadata) or None,
        )

    def changed(self, **values: Any) -> Self:
        """Return a copy with other values."""
        return replace(self, **values)


def by_name(vectors: VectorsConfig) -> dict[str, models.VectorParams]:
    """Return dense vectors by name; the unnamed one is ``""``."""
    if vectors is None:
        return {}
    return {"": vectors} if isinstance(vectors, models.VectorParams) else dict(vectors)


def merged(old: Any, new: Any) -> Any:
    """Return a model with the set fields of a newer one over those of an older one."""
    if old is None or new is None:
        return old if new is None else new
    return type(new)(**{**_set_fields(old), **_set_fields(new)})


def _set_fields(model: Any) -> dict[str, Any]:
    """Return the fields of a model that are set."""
    if model is None:
        return {}
    return {
        name: value
        for name in type(model).model_fields
        if (value := getattr(model, name)) is not None
    }
