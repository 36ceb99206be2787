"""What a collection is made of: vectors, quantization, HNSW, optimizers, where things lie."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.modeltables import (
    Table,
    as_it_is,
    carry,
    one_of,
    require_only,
    to_engine,
)

#: What the engine uses where a collection does not say; it wants every field.
HNSW_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}
)

_memory = to_engine(models.Memory)
_PLACED = {"always_ram": as_it_is, "memory": _memory}


def hnsw_config(
    config: models.HnswConfigDiff | models.HnswConfig | None,
    over: models.HnswConfigDiff | None = None,
) -> edge.HnswIndexConfig:
    """HNSW settings.

    Args:
        config: What is said about this vector, or about the whole collection.
        over: What the collection says, under what the vector says; what neither says is the
            engine's default.
    """
    arguments = dict(HNSW_DEFAULTS)
    for diff in (over, config):
        if diff is not None:
            arguments |= carry(diff, _HNSW)
    return edge.HnswIndexConfig(**arguments)


def quantization_config(config: models.QuantizationConfig | None) -> Any:
    """Quantization of one vector, or of all."""
    if config is None:
        return None
    ((_, inner),) = config.__dict__.items()
    require_only(config, *type(config).model_fields)
    return one_of(inner, _QUANTIZATIONS, "a quantization")


def vector_params(
    params: models.VectorParams, *, hnsw: models.HnswConfigDiff | None = None
) -> edge.EdgeVectorParams:
    """The layout of one dense vector, or of a multi-vector.

    Args:
        params: The client's description.
        hnsw: The collection's own HNSW settings, which the vector's go over.
    """
    fields = {**_VECTOR, "hnsw_config": lambda config: hnsw_config(config, hnsw)}
    built: edge.EdgeVectorParams = carry(params, Table(make=edge.EdgeVectorParams, fields=fields))
    return built


def sparse_vector_params(params: models.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    """The layout of one sparse vector."""
    require_only(params, "index", "modifier")
    index = params.index or models.SparseIndexParams()
    modifier = None if params.modifier is None else to_engine(models.Modifier)(params.modifier)
    built: edge.EdgeSparseVectorParams = carry(index, _SPARSE, modifier=modifier)
    return built


def optimizers_config(
    config: models.OptimizersConfigDiff | None,
) -> edge.EdgeOptimizersConfig | None:
    """When segments are merged, cleaned and indexed, at ``optimize()``."""
    return None if config is None else carry(config, _OPTIMIZERS)


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
    """A whole collection as the engine wants it, for ``create`` and for ``load``.

    Args:
        vectors: Dense vectors by name; the unnamed one is ``""``.
        sparse: Sparse vectors by name.
        hnsw: HNSW settings of all vectors that do not say otherwise.
        quantization: Quantization of all vectors that do not say otherwise.
        optimizers: When segments are merged, cleaned and indexed.
        on_disk_payload: Where payloads lie; ``payload.memory`` goes before it.
        payload: Where payloads lie.
        id_tracker: Where the ids of indexed segments lie.
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
        payload_memory=None if payload is None else carry(payload, _PLACE)["memory"],
        id_tracker_memory=None if id_tracker is None else carry(id_tracker, _PLACE)["memory"],
        **engine,
    )


def create_vector_name(name: str, config: models.VectorNameConfig) -> edge.UpdateOperation:
    """The operation that adds a named vector to a collection that holds points."""
    if isinstance(config, models.DenseVectorNameConfig):
        operation: edge.UpdateOperation = carry(config.dense, _NEW_DENSE, vector_name=name)
    else:
        operation = carry(config.sparse, _NEW_SPARSE, vector_name=name)
    return operation


_HNSW = Table(
    make=dict,
    fields={
        "m": as_it_is,
        "ef_construct": as_it_is,
        "full_scan_threshold": as_it_is,
        "max_indexing_threads": as_it_is,
        "on_disk": as_it_is,
        "memory": _memory,
        "payload_m": as_it_is,
        "inline_storage": as_it_is,
    },
)
_QUANTIZATIONS: Mapping[type, Table] = {
    models.ScalarQuantizationConfig: Table(
        make=edge.ScalarQuantizationConfig,
        fields={**_PLACED, "type": to_engine(models.ScalarType), "quantile": as_it_is},
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
    "size": as_it_is,
    "distance": to_engine(models.Distance),
    "multivector_config": lambda config: carry(config, _MULTIVECTOR),
}
_VECTOR = {
    **_SPACE,
    "datatype": to_engine(models.Datatype),
    "quantization_config": quantization_config,
    "on_disk": as_it_is,
    "memory": _memory,
}
_SPARSE = Table(
    make=edge.EdgeSparseVectorParams,
    fields={
        "full_scan_threshold": as_it_is,
        "on_disk": as_it_is,
        "memory": _memory,
        "datatype": to_engine(models.Datatype),
    },
)
_OPTIMIZERS = Table(
    make=edge.EdgeOptimizersConfig,
    fields={
        "deleted_threshold": as_it_is,
        "vacuum_min_vector_number": as_it_is,
        "default_segment_number": as_it_is,
        "max_segment_size": as_it_is,
        "indexing_threshold": as_it_is,
        "prevent_unoptimized": as_it_is,
    },
)
_PLACE = Table(make=dict, fields={"memory": _memory}, needed={"memory": None})
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
