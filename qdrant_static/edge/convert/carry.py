"""One loop that takes a model's fields to the arguments of the engine's type.

What goes where is data: a `Table` per model. A field that is set and stands in no table is an
error that names it, so nothing can be dropped, also when a later client adds a field.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from qdrant_static.errors import NotSupportedByEdgeError, SpecError

#: Fields that cannot be expressed, each with its reason; the documentation lists them.
NOT_EXPRESSIBLE: Mapping[str, str] = MappingProxyType(
    {
        "OptimizersConfigDiff.memmap_threshold": "say where vectors lie with `memory`",
        "OptimizersConfigDiff.flush_interval_sec": "nothing runs in the background: the write-ahead"
        " log keeps every write, and flush() and close() write the rest",
        "OptimizersConfigDiff.max_optimization_threads": "nothing runs in the background: "
        "optimize() builds when it is called",
        "WalConfigDiff": "the engine chooses the size of its write-ahead log",
        "StrictModeConfig": "limits protect a server from its clients; here they are one process",
        "shard_key": "an embedded collection has no keys of shards",
        "Document": "the engine embeds nothing: encode the text first",
        "Image": "the engine embeds nothing: encode the image first",
        "InferenceObject": "the engine embeds nothing: encode the object first",
    }
)

#: Smallest and largest value of a field, as a server wants it; the engine does not look.
_LIMITS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "VectorParams.size": (1, 65_536),
        "DenseVectorConfig.size": (1, 65_536),
        "HnswConfigDiff.ef_construct": (4, math.inf),
        "HnswConfigDiff.full_scan_threshold": (10, math.inf),
        "HnswConfigDiff.m": (0, math.inf),
        "HnswConfigDiff.payload_m": (0, math.inf),
        "HnswConfigDiff.max_indexing_threads": (0, math.inf),
        "ScalarQuantizationConfig.quantile": (0.5, 1),
        "OptimizersConfigDiff.deleted_threshold": (0, 1),
        "OptimizersConfigDiff.vacuum_min_vector_number": (100, math.inf),
        "OptimizersConfigDiff.default_segment_number": (0, math.inf),
        "OptimizersConfigDiff.max_segment_size": (1, math.inf),
        "OptimizersConfigDiff.indexing_threshold": (0, math.inf),
        "SparseIndexParams.full_scan_threshold": (0, math.inf),
        "SearchParams.hnsw_ef": (0, math.inf),
        "QuantizationSearchParams.oversampling": (1, math.inf),
        "AcornSearchParams.max_selectivity": (0, 1),
        "Mmr.diversity": (0, 1),
        "Mmr.candidates_limit": (0, 16_384),
        "Rrf.k": (1, math.inf),
        "Prefetch.limit": (1, math.inf),
        "QueryRequest.limit": (1, math.inf),
        "QueryRequest.offset": (0, math.inf),
        "NaiveFeedbackStrategyParams.b": (0, math.inf),
        "MinShould.min_count": (0, math.inf),
        "ValuesCount.lt": (0, math.inf),
        "ValuesCount.gt": (0, math.inf),
        "ValuesCount.lte": (0, math.inf),
        "ValuesCount.gte": (0, math.inf),
    }
)


def as_it_is(value: Any) -> Any:
    """The engine takes the client's value."""
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How one model reaches the engine.

    Attributes:
        make: The engine's constructor.
        fields: The model's fields that are carried over, each with what its value becomes.
        names: The constructor's arguments that are not called like the model's fields.
        needed: Arguments that the constructor wants although the model may leave them out.
    """

    make: Callable[..., Any]
    fields: Mapping[str, Callable[[Any], Any]]
    names: Mapping[str, str] = field(default_factory=dict)
    needed: Mapping[str, Any] = field(default_factory=dict)


def carry(model: BaseModel, table: Table, **given: Any) -> Any:
    """The engine's counterpart of a model.

    Args:
        model: A model of the client, validated or made by ``model_construct``.
        table: What becomes of its fields.
        given: Further arguments of the constructor, from the context of the model.

    Raises:
        NotSupportedByEdgeError: If a field is set that the table does not know.
        SpecError: If a number lies outside of what a server takes.
    """
    arguments = {**table.needed, **given}
    for name, value in fields_set(model):
        convert = table.fields.get(name)
        if convert is None:
            raise not_expressible(model, name)
        check_number(f"{type(model).__name__}.{name}", value)
        arguments[table.names.get(name, name)] = convert(value)
    return table.make(**arguments)


def one_of(value: Any, tables: Mapping[type, Table], where: str) -> Any:
    """The engine's counterpart of one of several models.

    Raises:
        NotSupportedByEdgeError: If it is none of them.
    """
    table = tables.get(type(value))
    if table is None:
        raise unsupported(value, where)
    return carry(value, table)


def fields_set(model: BaseModel) -> Iterator[tuple[str, Any]]:
    """The fields of a model that say something: not missing, not None, not the default."""
    for name, info in type(model).model_fields.items():
        value = getattr(model, name, None)
        if value is None or value is info.default:
            continue
        if isinstance(info.default, bool | dict) and value == info.default:
            continue
        yield name, value


def require_only(model: BaseModel, *known: str) -> None:
    """Refuse a model with another field set than these."""
    for name, _ in fields_set(model):
        if name not in known:
            raise not_expressible(model, name)


def check_number(name: str, value: Any) -> None:
    """Refuse a number that is no number, or that a server would refuse.

    Raises:
        SpecError: It names the field, the value and the limits.
    """
    if isinstance(value, float) and math.isnan(value):
        raise SpecError(field=name, problem="it is not a number (NaN)")
    if name in _LIMITS:
        least, most = _LIMITS[name]
        if not least <= value <= most:
            upper = "" if math.isinf(most) else f" and at most {most}"
            raise SpecError(field=name, problem=f"must be at least {least}{upper}, not {value}")


def not_expressible(model: BaseModel, name: str) -> NotSupportedByEdgeError:
    """The error for a field that the engine has no place for."""
    what = f"{type(model).__name__}.{name}"
    why = NOT_EXPRESSIBLE.get(what) or NOT_EXPRESSIBLE.get(name)
    return NotSupportedByEdgeError(what=what, why=why or "the engine has no such setting")


def unsupported(value: Any, where: str) -> NotSupportedByEdgeError:
    """The error for a value of a type that the engine has no counterpart for."""
    kind = type(value).__name__
    return NotSupportedByEdgeError(
        what=f"{kind} as {where}", why=NOT_EXPRESSIBLE.get(kind, "the engine has no such thing")
    )
