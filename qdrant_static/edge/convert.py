"""qdrant_client.models <-> qdrant_edge, both ways, pure.

A field that the engine cannot express is an error that names it; nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client import models

from qdrant_static.errors import NotSupportedByEdgeError

#: What the engine uses where a collection does not say; it wants every field.
HNSW_DEFAULTS: dict[str, Any] = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}

DenseValues: TypeAlias = "list[float] | np.ndarray[Any, Any]"

_DISTANCES = {
    models.Distance.COSINE: edge.Distance.Cosine,
    models.Distance.DOT: edge.Distance.Dot,
    models.Distance.EUCLID: edge.Distance.Euclid,
    models.Distance.MANHATTAN: edge.Distance.Manhattan,
}
_BINARY_ENCODINGS = {
    models.BinaryQuantizationEncoding.ONE_BIT: edge.BinaryQuantizationEncoding.OneBit,
    models.BinaryQuantizationEncoding.TWO_BITS: edge.BinaryQuantizationEncoding.TwoBits,
    models.BinaryQuantizationEncoding.ONE_AND_HALF_BITS: (
        edge.BinaryQuantizationEncoding.OneAndHalfBits
    ),
}
_BINARY_QUERIES = {
    models.BinaryQuantizationQueryEncoding.DEFAULT: edge.BinaryQuantizationQueryEncoding.Default,
    models.BinaryQuantizationQueryEncoding.BINARY: edge.BinaryQuantizationQueryEncoding.Binary,
    models.BinaryQuantizationQueryEncoding.SCALAR4BITS: (
        edge.BinaryQuantizationQueryEncoding.Scalar4Bits
    ),
    models.BinaryQuantizationQueryEncoding.SCALAR8BITS: (
        edge.BinaryQuantizationQueryEncoding.Scalar8Bits
    ),
}
_MEMORY = {
    models.Memory.COLD: edge.Memory.Cold,
    models.Memory.CACHED: edge.Memory.Cached,
    models.Memory.PINNED: edge.Memory.Pinned,
}
_SCHEMAS = {
    models.PayloadSchemaType.KEYWORD: edge.PayloadSchemaType.Keyword,
    models.PayloadSchemaType.INTEGER: edge.PayloadSchemaType.Integer,
    models.PayloadSchemaType.FLOAT: edge.PayloadSchemaType.Float,
    models.PayloadSchemaType.GEO: edge.PayloadSchemaType.Geo,
    models.PayloadSchemaType.TEXT: edge.PayloadSchemaType.Text,
    models.PayloadSchemaType.BOOL: edge.PayloadSchemaType.Bool,
    models.PayloadSchemaType.DATETIME: edge.PayloadSchemaType.Datetime,
    models.PayloadSchemaType.UUID: edge.PayloadSchemaType.Uuid,
}
_SCHEMAS_BACK = {str(value): key for key, value in _SCHEMAS.items()}


def _only(model: BaseModel, *known: str) -> None:
    """Refuse a model with a field set that the caller does not carry over."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name, None)
        if name not in known and value is not None and value != field.default:
            raise NotSupportedByEdgeError(
                what=f"{type(model).__name__}.{name}", why="the engine has no such setting"
            )


def _unsupported(value: Any, where: str) -> NotSupportedByEdgeError:
    return NotSupportedByEdgeError(
        what=f"{type(value).__name__} as {where}", why="the embedded client cannot express it yet"
    )


# --- collections -----------------------------------------------------------------------------


def vector_params(params: models.VectorParams) -> edge.EdgeVectorParams:
    """The layout of one dense vector."""
    _only(params, "size", "distance", "hnsw_config", "quantization_config", "on_disk", "memory")
    return edge.EdgeVectorParams(
        size=params.size,
        distance=_DISTANCES[params.distance],
        hnsw_config=None if params.hnsw_config is None else hnsw_config(params.hnsw_config),
        quantization_config=quantization_config(params.quantization_config),
        on_disk=params.on_disk,
        memory=_memory(params.memory),
    )


def sparse_vector_params(params: models.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    """The layout of one sparse vector."""
    _only(params, "index", "modifier")
    index = params.index or models.SparseIndexParams()
    _only(index, "full_scan_threshold", "on_disk", "memory")
    return edge.EdgeSparseVectorParams(
        full_scan_threshold=index.full_scan_threshold,
        on_disk=index.on_disk,
        memory=_memory(index.memory),
        modifier=edge.Modifier.Idf if params.modifier is models.Modifier.IDF else None,
    )


def hnsw_config(config: models.HnswConfigDiff) -> edge.HnswIndexConfig:
    """HNSW settings; what is not set takes the engine's defaults."""
    values = {**HNSW_DEFAULTS, **config.model_dump(exclude_none=True, exclude={"memory"})}
    return edge.HnswIndexConfig(memory=_memory(config.memory), **values)


def quantization_config(
    config: models.QuantizationConfig | None,
) -> edge.BinaryQuantizationConfig | edge.ScalarQuantizationConfig | None:
    """Quantization of one vector, or of all."""
    if config is None:
        return None
    if isinstance(config, models.BinaryQuantization):
        binary = config.binary
        return edge.BinaryQuantizationConfig(
            always_ram=binary.always_ram,
            memory=_memory(binary.memory),
            encoding=None if binary.encoding is None else _BINARY_ENCODINGS[binary.encoding],
            query_encoding=(
                None if binary.query_encoding is None else _BINARY_QUERIES[binary.query_encoding]
            ),
        )
    if isinstance(config, models.ScalarQuantization):
        scalar = config.scalar
        return edge.ScalarQuantizationConfig(
            type=edge.ScalarType.Int8,
            quantile=scalar.quantile,
            always_ram=scalar.always_ram,
            memory=_memory(scalar.memory),
        )
    raise _unsupported(config, "a quantization")


def payload_schema(schema: models.PayloadSchemaType | str) -> edge.PayloadSchemaType:
    """The type of a payload index."""
    return _SCHEMAS[models.PayloadSchemaType(schema)]


def payload_schema_back(schema: edge.PayloadSchemaType) -> models.PayloadSchemaType:
    """The type of a payload index, as the client's models name it."""
    return _SCHEMAS_BACK[str(schema)]


def _memory(memory: models.Memory | None) -> edge.Memory | None:
    return None if memory is None else _MEMORY[memory]


# --- points ----------------------------------------------------------------------------------


def named_vector(
    vector: Any,
) -> list[float] | list[list[float]] | edge.SparseVector:
    """One vector of a point or a query: numbers, a numpy row, or a sparse vector."""
    if isinstance(vector, np.ndarray):
        values: list[float] = vector.tolist()
        return values
    if isinstance(vector, models.SparseVector):
        return edge.SparseVector(vector.indices, vector.values)
    if isinstance(vector, list):
        return vector
    raise _unsupported(vector, "a vector")


def point(struct: models.PointStruct) -> edge.Point:
    """A point to store; numpy rows are welcome where the model was not validated."""
    vector = struct.vector
    named = vector if isinstance(vector, Mapping) else {"": vector}
    return edge.Point(
        struct.id, {name: named_vector(value) for name, value in named.items()}, struct.payload
    )


def vectors_back(vector: Any) -> Any:
    """The vectors of a stored point, as the client's models give them."""
    if isinstance(vector, Mapping):
        named = {name: vectors_back(value) for name, value in vector.items()}
        return named[""] if set(named) == {""} else named
    if isinstance(vector, edge.SparseVector):
        return models.SparseVector.model_construct(indices=vector.indices, values=vector.values)
    return vector


def record_back(record: edge.Record) -> models.Record:
    """A stored point."""
    return models.Record.model_construct(
        id=_id_back(record.id), payload=record.payload, vector=vectors_back(record.vector)
    )


def scored_point_back(hit: edge.ScoredPoint) -> models.ScoredPoint:
    """A point that a query found."""
    return models.ScoredPoint.model_construct(
        id=_id_back(hit.id),
        version=hit.version,
        score=hit.score,
        payload=hit.payload,
        vector=vectors_back(hit.vector),
    )


def _id_back(point_id: Any) -> int | str:
    return point_id if isinstance(point_id, int) else str(point_id)


# --- requests --------------------------------------------------------------------------------


def with_payload(
    selector: bool | Sequence[str] | models.PayloadSelector | None,
) -> bool | list[str] | edge.PayloadSelector:
    """Which part of the payload comes back."""
    if isinstance(selector, models.PayloadSelectorInclude):
        return edge.PayloadSelector.Include(selector.include)
    if isinstance(selector, models.PayloadSelectorExclude):
        return edge.PayloadSelector.Exclude(selector.exclude)
    return bool(selector) if isinstance(selector, bool | None) else list(selector)


def with_vectors(selector: bool | Sequence[str] | None) -> bool | list[str]:
    """Which vectors come back."""
    return bool(selector) if isinstance(selector, bool | None) else list(selector)


def search_params(params: models.SearchParams | None) -> edge.SearchParams | None:
    """How a vector is searched."""
    if params is None:
        return None
    _only(params, "hnsw_ef", "exact", "quantization", "indexed_only")
    quantization = params.quantization
    return edge.SearchParams(
        hnsw_ef=params.hnsw_ef,
        exact=bool(params.exact),
        indexed_only=bool(params.indexed_only),
        quantization=None
        if quantization is None
        else edge.QuantizationSearchParams(
            ignore=bool(quantization.ignore),
            rescore=quantization.rescore,
            oversampling=quantization.oversampling,
        ),
    )


def query(value: Any, using: str | None) -> Any:  # the stub takes no Fusion for what it is
    """What is asked: the nearest to a vector, a fusion of the prefetches, or nothing."""
    if value is None:
        return None
    if isinstance(value, models.NearestQuery):
        _only(value, "nearest")
        return query(value.nearest, using)
    if isinstance(value, models.FusionQuery):
        value = value.fusion
    if value is models.Fusion.RRF:
        return edge.Fusion.Rrf(k=2)  # the server's constant where none is given
    if value is models.Fusion.DBSF:
        return edge.Fusion.Dbsf()
    if isinstance(value, list | np.ndarray | models.SparseVector):
        return edge.Query.Nearest(named_vector(value), using=using)
    raise _unsupported(value, "a query")


def prefetches(
    value: models.Prefetch | Iterable[models.Prefetch] | None,
) -> list[edge.Prefetch] | None:
    """The stages before the last, to any depth."""
    if value is None:
        return None
    stages = [value] if isinstance(value, models.Prefetch) else list(value)
    return [_prefetch(stage) for stage in stages]


def _prefetch(stage: models.Prefetch) -> edge.Prefetch:
    _only(stage, "prefetch", "query", "using", "filter", "params", "score_threshold", "limit")
    return edge.Prefetch(
        limit=10 if stage.limit is None else stage.limit,
        query=query(stage.query, stage.using),
        prefetches=prefetches(stage.prefetch),
        params=search_params(stage.params),
        filter=optional_filter(stage.filter),
        score_threshold=stage.score_threshold,
    )


# --- filters ---------------------------------------------------------------------------------


def optional_filter(value: models.Filter | None) -> edge.Filter | None:
    """A condition on points, or none."""
    return None if value is None else filter_(value)


def filter_(value: models.Filter) -> edge.Filter:
    """A condition on points, to any depth."""
    _only(value, "must", "should", "must_not", "min_should")
    return edge.Filter(
        must=_conditions(value.must),
        should=_conditions(value.should),
        must_not=_conditions(value.must_not),
        min_should=None
        if value.min_should is None
        else edge.MinShould(
            conditions=_conditions(value.min_should.conditions) or [],
            min_count=value.min_should.min_count,
        ),
    )


def _conditions(value: Any) -> list[Any] | None:
    if value is None:
        return None
    return [_condition(one) for one in (value if isinstance(value, list) else [value])]


def _condition(value: Any) -> Any:
    if isinstance(value, models.Filter):
        return filter_(value)
    convert = _CONDITIONS.get(type(value))
    if convert is None:
        raise _unsupported(value, "a filter's condition")
    return convert(value)


def _field_condition(value: models.FieldCondition) -> edge.FieldCondition:
    _only(value, "key", "match", "range", "is_empty", "is_null")
    return edge.FieldCondition(
        value.key,
        match=None if value.match is None else _match(value.match),
        range=None if value.range is None else _range(value.range),
        is_empty=value.is_empty,
        is_null=value.is_null,
    )


def _match(value: Any) -> Any:
    convert = _MATCHES.get(type(value))
    if convert is None:
        raise _unsupported(value, "a match")
    return convert(value)


def _range(value: models.Range | models.DatetimeRange) -> edge.RangeFloat | edge.RangeDateTime:
    bounds = {side: getattr(value, side) for side in ("gte", "gt", "lte", "lt")}
    if isinstance(value, models.Range):
        return edge.RangeFloat(**bounds)
    return edge.RangeDateTime(
        **{side: None if bound is None else bound.isoformat() for side, bound in bounds.items()}
    )


_CONDITIONS: dict[type, Callable[[Any], Any]] = {
    models.FieldCondition: _field_condition,
    models.HasIdCondition: lambda value: edge.HasIdCondition(set(value.has_id)),
    models.HasVectorCondition: lambda value: edge.HasVectorCondition(value.has_vector),
    models.IsEmptyCondition: lambda value: edge.IsEmptyCondition(value.is_empty.key),
    models.IsNullCondition: lambda value: edge.IsNullCondition(value.is_null.key),
    models.NestedCondition: lambda value: edge.NestedCondition(
        value.nested.key, filter_(value.nested.filter)
    ),
}
_MATCHES: dict[type, Callable[[Any], Any]] = {
    models.MatchValue: lambda value: edge.MatchValue(value.value),
    models.MatchText: lambda value: edge.MatchText(value.text),
    models.MatchTextAny: lambda value: edge.MatchTextAny(value.text_any),
    models.MatchPhrase: lambda value: edge.MatchPhrase(value.phrase),
    models.MatchAny: lambda value: edge.MatchAny(list(value.any)),
    models.MatchExcept: lambda value: edge.MatchExcept(list(value.except_)),
}
