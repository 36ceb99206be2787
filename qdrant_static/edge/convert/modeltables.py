"""Converts models and enumerations of the client by tables.

A `Table` per model lists its fields. A field that is set, but not in the table, raises an error
that names it, so that no field is dropped, also when a later client adds one.
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

#: Fields that the engine lacks, each with its reason; the documentation lists them.
NOT_EXPRESSIBLE: Mapping[str, str] = MappingProxyType(
    {
        "OptimizersConfigDiff.memmap_threshold": "set `memory` of the vectors",
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


def unchanged(value: Any) -> Any:
    """Return the value; the engine accepts the client's."""
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How one model is converted.

    Attributes:
        make: The engine's constructor.
        fields: The fields of the model, each with the converter of its value.
        names: Arguments of the constructor by fields that have another name.
        required: Arguments that the constructor needs although the model may omit them.
    """

    make: Callable[..., Any]
    fields: Mapping[str, Callable[[Any], Any]]
    names: Mapping[str, str] = field(default_factory=dict)
    required: Mapping[str, Any] = field(default_factory=dict)


def convert_model(model: BaseModel, table: Table, **given: Any) -> Any:
    """Convert a model.

    Args:
        model: A model of the client, validated or made by ``model_construct``.
        table: Its table.
        given: Further arguments of the constructor, from the context of the model.

    Raises:
        NotSupportedByEdgeError: If a field is set that is not in the table.
        ArgumentError: If a number is out of the bounds of a server, or a value has a wrong type.
    """
    arguments = {**table.required, **given}
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


def convert_one_of(value: Any, tables: Mapping[type, Table], where: str) -> Any:
    """Convert a value that is one of several models.

    Raises:
        NotSupportedByEdgeError: If it is none of them.
    """
    table = tables.get(type(value))
    if table is None:
        raise unsupported(value, where)
    return convert_model(value, table)


def fields_set(model: BaseModel) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a model that are set to anything but None and the default."""
    for name, info in type(model).model_fields.items():
        value = getattr(model, name, None)
        if value is None or value is info.default:
            continue
        if isinstance(info.default, bool | dict) and value == info.default:
            continue
        yield name, value


def require_only(model: BaseModel, *known: str) -> None:
    """Raise an error if a model has other fields set than these."""
    for name, _ in fields_set(model):
        if name not in known:
            raise not_expressible(model, name)


def reason(error: BaseException) -> str:
    """Return the message of the binding in one line; it lists the types that it tried in lines."""
    first = str(error).partition("\n")[0]
    tried = _TRIED.match(first)
    return first if tried is None else f"must be one of: {tried[1].replace(' | ', ', ')}"


def not_expressible(model: BaseModel, name: str) -> NotSupportedByEdgeError:
    """Return the error of a field that the engine lacks."""
    what = f"{type(model).__name__}.{name}"
    why = NOT_EXPRESSIBLE.get(what) or NOT_EXPRESSIBLE.get(name)
    return NotSupportedByEdgeError(what=what, why=why or "the engine has no such setting")


def unsupported(value: Any, where: str) -> NotSupportedByEdgeError:
    """Return the error of a value of a type that the engine lacks."""
    kind = type(value).__name__
    return NotSupportedByEdgeError(
        what=f"{kind} as {where}", why=NOT_EXPRESSIBLE.get(kind, "the engine has no such thing")
    )


Name = TypeVar("Name", bound=Enum)


def _named(kind: type[Enum], engine: Any, **different: str) -> Mapping[Any, Any]:
    """Pair members by name; names differ in case and underscores only, or are given."""
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


#: The members of the client and of the engine, by enumeration of the client. A member of a later
#: client that the engine lacks has no pair.
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
# Not all of the engine's members are hashable: the way back is by their names.
_BACK: Mapping[type[Enum], Mapping[str, Any]] = MappingProxyType(
    {kind: {str(there): here for here, there in pairs.items()} for kind, pairs in PAIRS.items()}
)


def to_engine(kind: type[Enum]) -> Callable[[Any], Any]:
    """Return the converter of an enumeration's members, or their values, to the engine's."""
    pairs = PAIRS[kind]

    def convert(value: Any) -> Any:
        found = pairs.get(kind(value))
        if found is None:
            raise unsupported(value, kind.__name__)
        return found

    return convert


def from_engine(kind: type[Name], value: Any) -> Name:
    """Return the client's member for a member of the engine's enumeration."""
    found: Name = _BACK[kind][str(value)]
    return found
