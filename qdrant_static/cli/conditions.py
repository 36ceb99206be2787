"""Parses the values of ``--plan``, ``--vector`` and ``--text``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qdrant_static.cli.options import listed
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder


def plan_of(text: str) -> str | Mapping[str, Any]:
    """A plan's name, its JSON, or a TOML inline table.

    Raises:
        ArgumentError: If it begins like a table and is none.
    """
    if not text.lstrip().startswith("{"):
        return text
    try:
        found: Mapping[str, Any] = json.loads(text)
    except ValueError:
        try:
            found = tomllib.loads(f"plan = {text}")["plan"]
        except tomllib.TOMLDecodeError as error:
            raise ArgumentError(
                field="plan", problem=f"is neither JSON nor a TOML table: {error}"
            ) from error
    return found


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
