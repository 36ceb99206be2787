"""Names of the client's enumerations and the engine's, both ways.

The engine's enumerations can be compared, but not all can be keys: the way back goes by text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, TypeVar

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.carry import unsupported

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
