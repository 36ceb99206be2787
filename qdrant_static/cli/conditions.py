"""What ``--plan``, ``--filter``, ``--vector`` and ``--text`` say, as data."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qdrant_static.cli.options import listed
from qdrant_static.errors import SpecError

if TYPE_CHECKING:
    from qdrant_client import models

    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.connect import Client
    from qdrant_static.encoders.base import Encoder


def plan_of(text: str) -> str | Mapping[str, Any]:
    """A plan's name, its JSON, or a TOML inline table.

    Raises:
        SpecError: If it begins like a table and is none.
    """
    if not text.lstrip().startswith("{"):
        return text
    try:
        found: Mapping[str, Any] = json.loads(text)
    except ValueError:
        try:
            found = tomllib.loads(f"plan = {text}")["plan"]
        except tomllib.TOMLDecodeError as error:
            raise SpecError(
                field="plan", problem=f"is neither JSON nor a TOML table: {error}"
            ) from error
    return found


def filter_of(conditions: list[str]) -> models.Filter | None:
    """Qdrant's filter from ``field=value`` conditions, all of which must hold, or from JSON.

    A value that reads as a number, ``true`` or ``false`` is one; quotes make it a string. A
    fraction matches by its range, since the engine matches whole values alone.

    Raises:
        SpecError: If a condition is neither.
    """
    from pydantic import ValidationError
    from qdrant_client import models

    if not conditions:
        return None
    must: list[Any] = []
    for one in conditions:
        if one.lstrip().startswith("{"):
            try:
                must.append(models.Filter.model_validate_json(one))
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                raise SpecError(
                    field="filter", problem=f"is no filter of Qdrant's: {where}: {first['msg']}"
                ) from error
            continue
        name, sign, text = one.partition("=")
        if not sign or not name.strip():
            raise SpecError(
                field="filter", problem=f"{one!r} is neither field=value nor a JSON filter"
            )
        must.append(_condition(name.strip(), _value(text.strip())))
    return models.Filter(must=must)


def named_spec(
    client: Client,
    collection: str,
    encoder: Encoder | None,
    *,
    vector: str | None,
    text: str | None,
) -> CollectionSpec | None:
    """What a collection that others made is, as the options name its parts; None if none does."""
    from qdrant_static.collection.foreign import foreign_spec

    if vector is None and text is None:
        return None
    return foreign_spec(client, collection, encoder=encoder, vector=vector, text=listed(text))


def _condition(name: str, value: Any) -> models.FieldCondition:
    from qdrant_client import models

    if isinstance(value, float):
        return models.FieldCondition(key=name, range=models.Range(gte=value, lte=value))
    return models.FieldCondition(key=name, match=models.MatchValue(value=value))


def _value(text: str) -> str | int | float | bool:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text
