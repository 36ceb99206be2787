"""Converts the settings of a collection: vectors, quantization, HNSW, optimizers, storage."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.modeltables import (
    Table,
    convert_model,
    convert_one_of,
    require_only,
    to_engine,
    unchanged,
)

#: The defaults of the engine, which needs every field.
HNSW_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}
)

_memory = to_engine(models.Memory)
_PLACED = {"always_ram": unchanged, "memory": _memory}


def hnsw_config(
    config: models.HnswConfigDiff | models.HnswConfig | None,
    over: models.HnswConfigDiff | None = None,
) -> edge.HnswIndexConfig:
    """Convert HNSW settings.

    Args:
        config: The settings of the vector, or of the collection.
        over: The settings of the collection, which those of the vector override; the engine's
            defaults apply to the rest.
    """
    arguments = dict(HNSW_DEFAULTS)
    for diff in (over, config):
        if diff is not None:
            arguments |= convert_model(diff, _HNSW)
    return edge.HnswIndexConfig(**arguments)


def quantization_config(config: models.QuantizationConfig | None) -> Any:
    """Convert the quantization of one vector, or of all."""
    if config is None:
        return None
    ((_, inner),) = config.__dict__.items()
    require_only(config, *type(config).model_fields)
    return convert_one_of(inner, _QUANTIZATIONS, "a quantization")


def vector_params(
    params: models.VectorParams, *, hnsw: models.HnswConfigDiff | None = None
) -> edge.EdgeVectorParams:
    """Convert the settings of a dense vector or a multi-vector.

    Args:
        params: The settings.
        hnsw: The HNSW settings of the collection, which those of the vector override.
    """
    fields = {**_VECTOR, "hnsw_config": lambda config: hnsw_config(config, hnsw)}
    built: edge.EdgeVectorParams = convert_model(
        params, Table(make=edge.EdgeVectorParams, fields=fields)
    )
    return built


def sparse_vector_params(params: models.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    """Convert the settings of a sparse vector."""
    require_only(params, "index", "modifier")
    index = params.index or models.SparseIndexParams()
    modifier = None if params.modifier is None else to_engine(models.Modifier)(params.modifier)
    built: edge.EdgeSparseVectorParams = convert_model(index, _SPARSE, modifier=modifier)
    return built


def optimizers_config(
    config: models.OptimizersConfigDiff | None,
) -> edge.EdgeOptimizersConfig | None:
    """Convert the settings by which ``optimize()`` merges, vacuums and indexes segments."""
    return None if config is None else convert_model(config, _OPTIMIZERS)


def edge_config(
    *,
    vectors: Mapping[str, models.VectorParams],
    sparse: Mapping[str, models.SparseVectorParams] | None = None,
    hnsw: models.HnswConfigDiff | None = None,
    quantization: models.QuantizationConfig | None = None,
    optimizers: models.OptimizersConfigDiff | None = None,
    on_disk_payload: bool | None = None,
    payload: models.PayloadStorageParams | None = None,
    id_tracker: models.IdTrackerParams | None = None,
    **engine: Any,
) -> edge.EdgeConfig:
    """Convert all settings of a collection, for ``create`` and for ``load``.

    Args:
        vectors: Dense vectors by name; the unnamed one is ``""``.
        sparse: Sparse vectors by name.
        hnsw: HNSW settings of all vectors; a vector's own override them.
        quantization: Quantization of all vectors; a vector's own overrides it.
        optimizers: When segments are merged, vacuumed and indexed.
        on_disk_payload: Whether payloads are on disk; ``payload.memory`` overrides it.
        payload: Where payloads are stored.
        id_tracker: Where the ids of indexed segments are stored.
        engine: Settings that only the engine has (``wal_enabled``, ``max_search_threads``).
    """
    return edge.EdgeConfig(
        vectors={name: vector_params(params, hnsw=hnsw) for name, params in vectors.items()},
        sparse_vectors={
            name: sparse_vector_params(params) for name, params in (sparse or {}).items()
        },
        hnsw_config=None if hnsw is None else hnsw_config(hnsw),
        quantization_config=quantization_config(quantization),
        optimizers=optimizers_config(optimizers),
        on_disk_payload=on_disk_payload,
        payload_memory=None if payload is None else convert_model(payload, _PLACE)["memory"],
        id_tracker_memory=None
        if id_tracker is None
        else convert_model(id_tracker, _PLACE)["memory"],
        **engine,
    )


def create_vector_name(name: str, config: models.VectorNameConfig) -> edge.UpdateOperation:
    """Return the operation that adds a named vector to a collection with points."""
    if isinstance(config, models.DenseVectorNameConfig):
        operation: edge.UpdateOperation = convert_model(config.dense, _NEW_DENSE, vector_name=name)
    else:
        operation = convert_model(config.sparse, _NEW_SPARSE, vector_name=name)
    return operation


_HNSW = Table(
    make=dict,
    fields={
        "m": unchanged,
        "ef_construct": unchanged,
        "full_scan_threshold": unchanged,
        "max_indexing_threads": unchanged,
        "on_disk": unchanged,
        "memory": _memory,
        "payload_m": unchanged,
        "inline_storage": unchanged,
    },
)
_QUANTIZATIONS: Mapping[type, Table] = {
    models.ScalarQuantizationConfig: Table(
        make=edge.ScalarQuantizationConfig,
        fields={**_PLACED, "type": to_engine(models.ScalarType), "quantile": unchanged},
    ),
    models.ProductQuantizationConfig: Table(
        make=edge.ProductQuantizationConfig,
        fields={**_PLACED, "compression": to_engine(models.CompressionRatio)},
    ),
    models.BinaryQuantizationConfig: Table(
        make=edge.BinaryQuantizationConfig,
        fields={
            **_PLACED,
            "encoding": to_engine(models.BinaryQuantizationEncoding),
            "query_encoding": to_engine(models.BinaryQuantizationQueryEncoding),
        },
    ),
    models.TurboQuantQuantizationConfig: Table(
        make=edge.TurboQuantQuantizationConfig,
        fields={**_PLACED, "bits": to_engine(models.TurboQuantBitSize)},
    ),
}
_MULTIVECTOR = Table(
    make=edge.MultiVectorConfig, fields={"comparator": to_engine(models.MultiVectorComparator)}
)
_SPACE = {
    "size": unchanged,
    "distance": to_engine(models.Distance),
    "multivector_config": lambda config: convert_model(config, _MULTIVECTOR),
}
_VECTOR = {
    **_SPACE,
    "datatype": to_engine(models.Datatype),
    "quantization_config": quantization_config,
    "on_disk": unchanged,
    "memory": _memory,
}
_SPARSE = Table(
    make=edge.EdgeSparseVectorParams,
    fields={
        "full_scan_threshold": unchanged,
        "on_disk": unchanged,
        "memory": _memory,
        "datatype": to_engine(models.Datatype),
    },
)
_OPTIMIZERS = Table(
    make=edge.EdgeOptimizersConfig,
    fields={
        "deleted_threshold": unchanged,
        "vacuum_min_vector_number": unchanged,
        "default_segment_number": unchanged,
        "max_segment_size": unchanged,
        "indexing_threshold": unchanged,
        "prevent_unoptimized": unchanged,
    },
)
_PLACE = Table(make=dict, fields={"memory": _memory}, required={"memory": None})
_NEW_DENSE = Table(
    make=edge.UpdateOperation.create_dense_vector,
    fields={**_SPACE, "datatype": to_engine(models.VectorStorageDatatype)},
)
_NEW_SPARSE = Table(
    make=edge.UpdateOperation.create_sparse_vector,
    fields={
        "modifier": to_engine(models.Modifier),
        "datatype": to_engine(models.VectorStorageDatatype),
    },
)
