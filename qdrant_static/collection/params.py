"""Converts a spec to the client's models, the arguments of ``create_collection``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdrant_client import models

from qdrant_static.collection.quantization import Binary, Product, Quantization, Scalar, Turbo
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.vectorspec import Hnsw, LateSpec, Placement, SparseSpec, VectorSpec

DISTANCES: Mapping[str, models.Distance] = {
    "cosine": models.Distance.COSINE,
    "dot": models.Distance.DOT,
    "euclid": models.Distance.EUCLID,
    "manhattan": models.Distance.MANHATTAN,
}
ENCODINGS: Mapping[float, models.BinaryQuantizationEncoding] = {
    1: models.BinaryQuantizationEncoding.ONE_BIT,
    1.5: models.BinaryQuantizationEncoding.ONE_AND_HALF_BITS,
    2: models.BinaryQuantizationEncoding.TWO_BITS,
}
QUERY_ENCODINGS: Mapping[int, models.BinaryQuantizationQueryEncoding] = {
    1: models.BinaryQuantizationQueryEncoding.BINARY,
    4: models.BinaryQuantizationQueryEncoding.SCALAR4BITS,
    8: models.BinaryQuantizationQueryEncoding.SCALAR8BITS,
}
TIERS: Mapping[Placement, models.Memory] = {
    "ram": models.Memory.PINNED,
    "cached": models.Memory.CACHED,
    "disk": models.Memory.COLD,
}


def vector_params(vector: VectorSpec, *, tiers: bool) -> models.VectorParams:
    """Return the model of a dense vector.

    Args:
        vector: The vector's spec.
        tiers: Whether the engine distinguishes the placements (`models.Memory`: a server from 1.19
            on, and Edge); an older server only knows whether data is on disk.
    """
    return models.VectorParams(
        size=vector.size,
        distance=DISTANCES[vector.distance],
        datatype=None if vector.datatype == "float32" else models.Datatype(vector.datatype),
        hnsw_config=hnsw_config(vector.hnsw, tiers=tiers),
        quantization_config=quantization_config(vector.quantization, vector.codes, tiers=tiers),
        **_place(vector.placement, tiers=tiers),
    )


def hnsw_config(hnsw: Hnsw | None, *, tiers: bool) -> models.HnswConfigDiff:
    """Return the model of a graph; no graph is one without links (``m=0``)."""
    if hnsw is None:
        return models.HnswConfigDiff(m=0)
    return models.HnswConfigDiff(
        m=hnsw.m, ef_construct=hnsw.ef_construct, **_place(hnsw.placement, tiers=tiers)
    )


def quantization_config(quantization: Quantization | None, codes: Placement, *, tiers: bool) -> Any:
    """Return the model of a quantization, with the placement of its codes."""
    place: dict[str, Any] = {"memory": TIERS[codes]} if tiers else {"always_ram": codes != "disk"}
    match quantization:
        case None:
            return None
        case Binary(bits=bits, query_bits=query_bits):
            return models.BinaryQuantization(
                binary=models.BinaryQuantizationConfig(
                    encoding=ENCODINGS[bits],
                    query_encoding=QUERY_ENCODINGS[query_bits],
                    **place,
                )
            )
        case Scalar(quantile=quantile):
            return models.ScalarQuantization(
                scalar=models.ScalarQuantizationConfig(
                    type=models.ScalarType.INT8, quantile=quantile, **place
                )
            )
        case Product(compression=compression):
            return models.ProductQuantization(
                product=models.ProductQuantizationConfig(
                    compression=models.CompressionRatio(f"x{compression}"), **place
                )
            )
        case Turbo(bits=bits):
            size = models.TurboQuantBitSize(f"bits{bits:g}".replace(".", "_"))
            return models.TurboQuantization(
                turbo=models.TurboQuantQuantizationConfig(bits=size, **place)
            )


def sparse_params(sparse: SparseSpec, *, tiers: bool) -> models.SparseVectorParams:
    """Return the model of the BM25 vector; the engine applies the IDF."""
    index = None
    if sparse.placement != "ram":
        index = models.SparseIndexParams(**_place(sparse.placement, tiers=tiers))
    return models.SparseVectorParams(modifier=models.Modifier.IDF, index=index)


def late_params(late: LateSpec, *, tiers: bool) -> models.VectorParams:
    """Return the model of the late-interaction vector: MaxSim, no graph."""
    return models.VectorParams(
        size=late.size,
        distance=models.Distance.COSINE,
        datatype=None if late.datatype == "float32" else models.Datatype(late.datatype),
        hnsw_config=models.HnswConfigDiff(m=0),
        multivector_config=models.MultiVectorConfig(
            comparator=models.MultiVectorComparator.MAX_SIM
        ),
        **_place(late.placement, tiers=tiers),
    )


def server_arguments(spec: CollectionSpec) -> dict[str, Any]:
    """Return the arguments of ``create_collection`` that only a server takes."""
    server = spec.server
    settings = {
        "shard_number": server.shards,
        "replication_factor": server.replicas,
        "write_consistency_factor": server.write_consistency,
        "on_disk_payload": server.on_disk_payload,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _place(placement: Placement, *, tiers: bool) -> dict[str, Any]:
    if tiers:
        return {"memory": TIERS[placement]}
    return {"on_disk": placement == "disk"}
