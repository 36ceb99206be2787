"""Converts the client's models to specs; the reverse of `params`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qdrant_client import models

from qdrant_static.collection import params
from qdrant_static.collection.quantization import Binary, Product, Quantization, Scalar, Turbo
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.vectorspec import BM25, LATE, Hnsw, LateSpec, Placement, VectorSpec
from qdrant_static.errors import ArgumentError


def dense_params(info: models.CollectionInfo) -> dict[str, models.VectorParams]:
    """Return the dense vectors by name, multi-vectors included; the unnamed one is ``""``."""
    vectors = info.config.params.vectors
    if vectors is None:
        return {}
    return {"": vectors} if isinstance(vectors, models.VectorParams) else dict(vectors)


def sparse_names(info: models.CollectionInfo) -> tuple[str, ...]:
    """Return the names of the sparse vectors."""
    return tuple(info.config.params.sparse_vectors or {})


def vector_spec(
    name: str, info: models.CollectionInfo, *, scale: float | None = None
) -> VectorSpec:
    """Return the spec of a dense vector in the engine, with what it inherits from the collection.

    Args:
        name: The vector's name.
        info: What `get_collection` returned.
        scale: The scale of a uint8 vector, which the engine does not know.

    Raises:
        ArgumentError: If a `VectorSpec` cannot express it.
    """
    vector = dense_params(info)[name]
    place = _placement(vector.memory, vector.on_disk, default="cached")
    codes = vector.quantization_config or info.config.quantization_config
    return VectorSpec(
        name=name,
        size=vector.size,
        distance=_key(params.DISTANCES, vector.distance),
        datatype="float32" if vector.datatype is None else vector.datatype.value,
        scale=scale,
        placement=place,
        hnsw=_graph(vector.hnsw_config, info.config.hnsw_config),
        quantization=quantization(codes),
        codes=_codes_place(codes, place),
    )


def quantization(model: Any) -> Quantization | None:
    """Return the spec of a quantization, with the engine's defaults where the model has none.

    Raises:
        ArgumentError: If its kind is unknown.
    """
    match model:
        case None | models.Disabled():
            return None
        case models.BinaryQuantization(binary=binary):
            query = binary.query_encoding
            bits = _key(params.ENCODINGS, binary.encoding) if binary.encoding else 1
            if query in (None, models.BinaryQuantizationQueryEncoding.DEFAULT):
                return Binary(bits=bits, query_bits=1)
            return Binary(bits=bits, query_bits=_key(params.QUERY_ENCODINGS, query))
        case models.ScalarQuantization(scalar=scalar):
            # gRPC carries 32 bits: 0.99 comes back as 0.9900000095.
            return Scalar(quantile=None if scalar.quantile is None else round(scalar.quantile, 6))
        case models.ProductQuantization(product=product):
            return Product(compression=int(product.compression.value.removeprefix("x")))
        case models.TurboQuantization(turbo=turbo):
            bits = 4.0 if turbo.bits is None else float(turbo.bits.value[4:].replace("_", "."))
            return Turbo(bits=bits)
    raise ArgumentError(
        field="quantization", problem=f"{type(model).__name__} is unknown to this version"
    )


def actual(stored: CollectionSpec, info: models.CollectionInfo, *, server: bool) -> CollectionSpec:
    """Return the stored spec with the engine's values instead of the stored ones.

    Args:
        stored: The spec in the metadata. Its encoder, scale and language are kept: the engine does
            not know them.
        info: What `get_collection` returned.
        server: Whether the collection is on a server.

    Raises:
        ArgumentError: If its first vector was dropped, or a vector was replaced by another kind.
    """
    dense = dense_params(info)
    first = stored.vectors[0].name
    if first not in dense:
        raise ArgumentError(
            field=f"vectors.{first}",
            problem="is in the metadata, but the collection lacks it: it was dropped. "
            "Create the collection again",
        )
    vectors = tuple(
        vector_spec(vector.name, info, scale=vector.scale)
        for vector in stored.vectors
        if vector.name in dense
    )
    sparse, late = stored.sparse, stored.late
    bm25 = (info.config.params.sparse_vectors or {}).get(BM25)
    if sparse is not None and bm25 is not None:
        index = bm25.index
        place = (index.memory, index.on_disk) if index else (None, None)
        sparse = replace(sparse, placement=_placement(*place, default="ram"))
    if late is not None and LATE in dense:
        late = _late(late, dense[LATE])
    config = info.config.params
    settings = ServerSpec(
        shards=config.shard_number,
        replicas=config.replication_factor,
        # A server accepts a factor above the number of replicas, a spec does not.
        write_consistency=min(config.write_consistency_factor or 1, config.replication_factor or 1),
        on_disk_payload=config.on_disk_payload,
    )
    return replace(
        stored,
        vectors=vectors,
        sparse=sparse if bm25 is not None else None,
        late=late if LATE in dense else None,
        payload_indexes=payload_indexes(info),
        server=settings if server else stored.server,
    )


def payload_indexes(info: models.CollectionInfo) -> dict[str, str]:
    """Return the type of the index of each payload field."""
    return {name: index.data_type.value for name, index in (info.payload_schema or {}).items()}


def _late(late: LateSpec, vector: models.VectorParams) -> LateSpec:
    return replace(
        late,
        size=vector.size,
        datatype="float32" if vector.datatype is None else vector.datatype.value,
        placement=_placement(vector.memory, vector.on_disk, default="cached"),
    )


def _graph(own: models.HnswConfigDiff | None, inherited: models.HnswConfig) -> Hnsw | None:
    def of(name: str) -> Any:
        value = None if own is None else getattr(own, name)
        return getattr(inherited, name, None) if value is None else value

    if of("m") == 0:
        return None
    return Hnsw(
        m=of("m"),
        ef_construct=of("ef_construct"),
        placement=_placement(of("memory"), of("on_disk"), default="ram"),
    )


def _codes_place(codes: Any, originals: Placement) -> Placement:
    inner = next(iter(vars(codes).values()), None) if codes is not None else None
    memory = getattr(inner, "memory", None)
    if memory is not None:
        return _placement(memory, None, default="ram")
    always_ram = getattr(inner, "always_ram", None)
    if inner is None or always_ram:
        return "ram"
    return originals if always_ram is None else "disk"


def _placement(
    memory: models.Memory | None, on_disk: bool | None, *, default: Placement
) -> Placement:
    if memory is not None:
        place: Placement = _key(params.TIERS, memory)
        return place
    return "disk" if on_disk else default


def _key(table: Mapping[Any, Any], value: Any) -> Any:
    return next(key for key, known in table.items() if known == value)
