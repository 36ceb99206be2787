"""Converts payload indexes to the engine's types and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.dicts import parsed
from qdrant_static.edge.convert.modeltables import (
    Table,
    convert_model,
    convert_one_of,
    from_engine,
    to_engine,
    unchanged,
    unsupported,
)
from qdrant_static.errors import ArgumentError


def payload_schema(schema: models.PayloadFieldSchema | str) -> Any:
    """Convert the type of a payload index, or its parameters."""
    schema = parsed(schema, models.PayloadSchemaParams, "field_schema")
    if isinstance(schema, str):
        return to_engine(models.PayloadSchemaType)(schema)
    if isinstance(schema, models.IntegerIndexParams) and (
        schema.lookup is False and schema.range is False
    ):
        raise ArgumentError(
            field="IntegerIndexParams", problem="`lookup` and `range` cannot both be False"
        )
    return convert_one_of(
        schema, {kind: table for kind, (_, table) in _INDEXES.items()}, "a payload index"
    )


def payload_schema_back(schema: edge.PayloadSchemaType) -> models.PayloadSchemaType:
    """Return the type of a payload index as a client model."""
    return from_engine(models.PayloadSchemaType, schema)


def payload_index_back(info: Any) -> models.PayloadIndexInfo:
    """Return a payload index of ``EdgeShard.info()`` as a client model."""
    return models.PayloadIndexInfo(
        data_type=payload_schema_back(info.data_type),
        params=None if info.params is None else _params_back(info.data_type, info.params),
        points=info.points,
    )


def _params_back(data_type: Any, params: Any) -> models.PayloadSchemaParams:
    kind = str(payload_schema_back(data_type).value)
    model, (_, table) = next(
        (model, entry) for model, entry in _INDEXES.items() if entry[0] == kind
    )
    values = {name: getattr(params, name) for name in table.fields if name != "type"}
    built: models.PayloadSchemaParams = model(
        type=kind,
        **{
            name: _BACK.get(name, unchanged)(value)
            for name, value in values.items()
            if value is not None
        },
    )
    return built


def stopwords(value: models.StopwordsInterface | str) -> Any:
    """Convert stop words: those of a language, or a set."""
    if isinstance(value, models.StopwordsSet):
        return convert_model(value, _STOPWORDS)
    return to_engine(models.Language)(value)


def _stopwords_back(value: Any) -> Any:
    if not isinstance(value, edge.StopwordsSet):
        return from_engine(models.Language, value)
    languages = [from_engine(models.Language, language) for language in value.languages or ()]
    return models.StopwordsSet(
        languages=sorted(languages, key=lambda language: language.value) or None,
        custom=sorted(value.custom or ()) or None,
    )


def stemmer(value: Any) -> Any:
    """Convert the stemmer of words."""
    if isinstance(value, models.SnowballParams):
        return edge.SnowballParams(to_engine(models.SnowballLanguage)(value.language))
    if isinstance(value, models.DisabledStemmerParams):
        return edge.DisabledStemmer()
    raise unsupported(value, "a stemmer")


def _stemmer_back(value: Any) -> Any:
    if isinstance(value, edge.SnowballParams):
        return models.SnowballParams(
            type=models.Snowball.SNOWBALL,
            language=from_engine(models.SnowballLanguage, value.language),
        )
    return models.DisabledStemmerParams(type=models.NoStemmer.NONE)


def _scoring(value: bool | models.TextScoringParams) -> Any:
    if isinstance(value, bool):
        return value
    return edge.TextScoringParams(to_engine(models.TextScoringType)(value.type))


def _scoring_back(value: Any) -> models.TextScoringParams:
    return models.TextScoringParams(type=from_engine(models.TextScoringType, value.type))


_STOPWORDS = Table(
    make=edge.StopwordsSet,
    fields={
        "languages": lambda names: {to_engine(models.Language)(name) for name in names},
        "custom": set,
    },
)
#: The fields of every index; the engine has a class for each ``type``.
_COMMON: Mapping[str, Callable[[Any], Any]] = {
    "type": unchanged,
    "on_disk": unchanged,
    "memory": to_engine(models.Memory),
    "enable_hnsw": unchanged,
    "nested": unchanged,
}
_BACK: Mapping[str, Callable[[Any], Any]] = {
    "memory": lambda value: from_engine(models.Memory, value),
    "tokenizer": lambda value: from_engine(models.TokenizerType, value),
    "stopwords": _stopwords_back,
    "stemmer": _stemmer_back,
    "scoring": _scoring_back,
}


def _index(make: Callable[..., Any], *plain: str, **converted: Callable[[Any], Any]) -> Table:
    def untyped(**arguments: Any) -> Any:
        arguments.pop("type", None)
        return make(**arguments)

    return Table(make=untyped, fields={**_COMMON, **dict.fromkeys(plain, unchanged), **converted})


_INDEXES: Mapping[type[Any], tuple[str, Table]] = {
    models.KeywordIndexParams: ("keyword", _index(edge.KeywordIndexParams, "is_tenant", "prefix")),
    models.IntegerIndexParams: (
        "integer",
        _index(edge.IntegerIndexParams, "lookup", "range", "is_principal"),
    ),
    models.FloatIndexParams: ("float", _index(edge.FloatIndexParams, "is_principal")),
    models.GeoIndexParams: ("geo", _index(edge.GeoIndexParams)),
    models.BoolIndexParams: ("bool", _index(edge.BoolIndexParams)),
    models.DatetimeIndexParams: ("datetime", _index(edge.DatetimeIndexParams, "is_principal")),
    models.UuidIndexParams: ("uuid", _index(edge.UuidIndexParams, "is_tenant")),
    models.TextIndexParams: (
        "text",
        _index(
            edge.TextIndexParams,
            "min_token_len",
            "max_token_len",
            "lowercase",
            "ascii_folding",
            "phrase_matching",
            tokenizer=to_engine(models.TokenizerType),
            stopwords=stopwords,
            stemmer=stemmer,
            scoring=_scoring,
        ),
    ),
}
