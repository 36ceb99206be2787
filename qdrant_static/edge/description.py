"""What a collection is, as ``collection.json`` holds it and as the client's models tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

import qdrant_edge as edge
from pydantic import TypeAdapter
from qdrant_client import models

from qdrant_static.edge import convert

VectorsConfig: TypeAlias = models.VectorParams | Mapping[str, models.VectorParams] | None

#: The engine's own settings of ``optimize()``, where a collection does not say.
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
        hnsw_config: What all vectors' graphs inherit.
        quantization_config: What all dense vectors inherit.
        optimizers_config: When ``optimize()`` merges, cleans and indexes.
        on_disk_payload: Where payloads lie.
        payload: Where payloads lie, in the newer words.
        id_tracker: Where the ids of indexed segments lie.
        metadata: The user's own.
        wal: Whether writes go through a write-ahead log; fixed at creation.
        shard_number: How many shards hold the points; fixed at creation.
        pending: A change that was begun: ``"settings"``, or ``"vector <name>"`` for a vector
            that this description adds or drops. The next opening carries it out.
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
        """The content of ``collection.json``: what is said, not what is default."""
        values = {
            name: adapter.dump_python(getattr(self, name), mode="json", exclude_none=True)
            for name, adapter in _TYPES.items()
        }
        said = {name: value for name, value in values.items() if value is not None}
        return {**said, "metadata": dict(self.metadata)}

    def edge_config(self) -> edge.EdgeConfig:
        """The whole collection as the engine wants it."""
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
        """The settings as the client's models tell them, defaults included."""
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
                    **_said(self.hnsw_config),
                }
            ),
            optimizer_config=models.OptimizersConfig(
                **{**_OPTIMIZER_DEFAULTS, **_said(self.optimizers_config)}
            ),
            quantization_config=self.quantization_config,
            metadata=dict(self.metadata) or None,
        )

    def changed(self, **values: Any) -> Self:
        """A copy with other values."""
        return replace(self, **values)


def by_name(vectors: VectorsConfig) -> dict[str, models.VectorParams]:
    """Dense vectors by name; the unnamed one is ``""``."""
    if vectors is None:
        return {}
    return {"": vectors} if isinstance(vectors, models.VectorParams) else dict(vectors)


def merged(old: Any, new: Any) -> Any:
    """A model with the fields that a newer one of its type says, over those it had."""
    if old is None or new is None:
        return old if new is None else new
    return type(new)(**{**_said(old), **_said(new)})


def _said(model: Any) -> dict[str, Any]:
    """The fields of a model that are set."""
    if model is None:
        return {}
    return {
        name: value
        for name in type(model).model_fields
        if (value := getattr(model, name)) is not None
    }
