"""One loop that takes a model's fields to the arguments of the engine's type.

What goes where is data: a `Table` per model. A field that is set and stands in no table is an
error that names it, so nothing can be dropped, also when a later client adds a field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeVar

import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client import models

from qdrant_static.edge.convert.bounds import check_number
from qdrant_static.errors import ArgumentError, NotSupportedByEdgeError

_TRIED = re.compile(r"failed to extract enum \w+ \('(.+)'\)")

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
        ArgumentError: If a number lies outside of what a server takes, or a value is of a wrong
            type.
    """
    arguments = {**table.needed, **given}
    for name, value in fields_set(model):
        convert = table.fields.get(name)
        if convert is None:
            raise not_expressible(model, name)
        check_number(f"{type(model).__name__}.{name}", value)
        arguments[table.names.get(name, name)] = convert(value)
    try:
        return table.make(**arguments)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(field=type(model).__name__, problem=reason(error)) from error


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


def reason(error: BaseException) -> str:
    """What the binding says, in one line: it lists every type that it tried, one a line."""
    first = str(error).partition("\n")[0]
    tried = _TRIED.match(first)
    return first if tried is None else f"must be one of: {tried[1].replace(' | ', ', ')}"


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


Name = TypeVar("Name", bound=Enum)


def _named(kind: type[Enum], engine: Any, **different: str) -> Mapping[Any, Any]:
    """Pair the names; they differ in case and underscores alone, or are given."""
    there = {
        name.replace("_", "").lower(): name for name in dir(engine) if not name.startswith("__")
    }
    pairs = {}
    for member in kind:
        folded = str(member.value).replace("_", "").lower()
        name = different.get(member.name) or there.get(folded)
        if name is not None:
            pairs[member] = getattr(engine, name)
    return MappingProxyType(pairs)


#: Pairs of every enumeration. A member of a later client that the engine lacks has no pair.
PAIRS: Mapping[type[Enum], Mapping[Any, Any]] = MappingProxyType(
    {
        kind: _named(kind, engine)
        for kind, engine in (
            (models.Distance, edge.Distance),
            (models.Datatype, edge.VectorStorageDatatype),
            (models.VectorStorageDatatype, edge.VectorStorageDatatype),
            (models.MultiVectorComparator, edge.MultiVectorComparator),
            (models.ScalarType, edge.ScalarType),
            (models.CompressionRatio, edge.CompressionRatio),
            (models.BinaryQuantizationEncoding, edge.BinaryQuantizationEncoding),
            (models.BinaryQuantizationQueryEncoding, edge.BinaryQuantizationQueryEncoding),
            (models.TurboQuantBitSize, edge.TurboQuantBitSize),
            (models.Modifier, edge.Modifier),
            (models.Memory, edge.Memory),
            (models.PayloadSchemaType, edge.PayloadSchemaType),
            (models.TokenizerType, edge.TokenizerType),
            (models.Language, edge.Language),
            (models.SnowballLanguage, edge.SnowballLanguage),
            (models.TextScoringType, edge.TextScoringType),
            (models.Direction, edge.Direction),
            (models.UpdateMode, edge.UpdateMode),
            (models.Sample, edge.Sample),
        )
    }
)
_BACK: Mapping[type[Enum], Mapping[str, Any]] = MappingProxyType(
    {kind: {str(there): here for here, there in pairs.items()} for kind, pairs in PAIRS.items()}
)


def to_engine(kind: type[Enum]) -> Callable[[Any], Any]:
    """What takes a member of the client's enumeration, or its value, to the engine's."""
    pairs = PAIRS[kind]

    def convert(value: Any) -> Any:
        found = pairs.get(kind(value))
        if found is None:
            raise unsupported(value, kind.__name__)
        return found

    return convert


def from_engine(kind: type[Name], value: Any) -> Name:
    """The client's name of the engine's."""
    found: Name = _BACK[kind][str(value)]
    return found
