"""A record as an application has it, and the payload that it becomes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.collection.fields import value_at
from qdrant_static.errors import ArgumentError, KeyTypeError, PointError, TextInputError
from qdrant_static.ids import Key, PointId, point_id

if TYPE_CHECKING:
    from qdrant_static.collection.fields import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is stored under a key: no vectors, so that any encoder can make its own.

    Attributes:
        key: An integer, a string, a UUID, or a tuple of them; the point's id is made of it.
        text: What is encoded. A string where the collection's text is one payload field; a
            mapping from field to string where it is several; None where ``payload`` has them.
        payload: What else is stored: JSON values.
    """

    key: Key
    text: str | Mapping[str, str] | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)

    def stored(self, fields: Fields) -> tuple[PointId, dict[str, Any]]:
        """The point's id, and its whole payload: key and text included.

        Args:
            fields: Where the collection has key and text.

        Raises:
            KeyTypeError: If the key is of another type.
            TextInputError: If there is no text, or it is not Unicode.
            PointError: If the payload is no JSON, or says another key.
            ArgumentError: If the text is several fields and one string is given, or the like.
        """
        one = point_id(self.key)
        whole = {**plain(one, self.payload), **self._texts(fields)}
        for name, part in self._key_parts(fields).items():
            there = value_at(whole, name)
            if there is None:
                whole[name] = part
            elif there != part:
                raise PointError(
                    point=one, problem=f"its key is {part!r}, and its payload says {there!r}"
                )
        if not fields.text_of(whole):
            wanted = ", ".join(fields.text)
            raise TextInputError(problem=f"record {self.key!r} has no text ({wanted})")
        return one, whole

    def _texts(self, fields: Fields) -> dict[str, str]:
        names = fields.text
        if self.text is None:
            return {}
        if not isinstance(self.text, str | Mapping):
            raise TextInputError(
                problem=f"the text of record {self.key!r} is a {type(self.text).__name__}, "
                "not a string"
            )
        given = {names[0]: self.text} if isinstance(self.text, str) else dict(self.text)
        if isinstance(self.text, str) and len(names) > 1:
            raise ArgumentError(
                field="text",
                problem=f"the collection's text is {', '.join(names)}: give a mapping of them, or "
                "have them in the payload",
            )
        for name, text in given.items():
            if not isinstance(text, str):
                raise TextInputError(problem=f"{name} of record {self.key!r} is not a string")
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise TextInputError(
                    problem=f"{name} of record {self.key!r} is not Unicode: {error.reason}"
                ) from error
        return given

    def _key_parts(self, fields: Fields) -> dict[str, Any]:
        if fields.key is None:
            return {}
        names = fields.key if isinstance(fields.key, tuple) else (fields.key,)
        parts = self.key if isinstance(self.key, tuple) else (self.key,)
        if len(parts) != len(names):
            raise KeyTypeError(
                given=f"{self.key!r}: the collection's key is {', '.join(names)}, "
                f"and this one has {len(parts)} parts"
            )
        plain_parts = [str(part) if isinstance(part, uuid.UUID) else part for part in parts]
        return dict(zip(names, plain_parts, strict=True))


def plain(point: PointId, payload: Mapping[str, Any]) -> dict[str, Any]:
    """A payload as JSON has it, so that all collections and the journal hold the same.

    Raises:
        PointError: If it is none.
    """
    if not isinstance(payload, Mapping) or not all(isinstance(name, str) for name in payload):
        raise PointError(point=point, problem="the payload is no object with names for its fields")
    try:
        text = json.dumps(dict(payload), ensure_ascii=False, allow_nan=False)
        text.encode()
        read: dict[str, Any] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise PointError(point=point, problem=f"the payload is no JSON: {error}") from error
    return read


Keys = Iterable[Key] | int | str | uuid.UUID


def ids_of(keys: Keys) -> list[PointId]:
    """The ids of keys, each once, in order.

    Args:
        keys: One key, or several. A key of several parts must stand in a list.

    Raises:
        ArgumentError: If it is a bare tuple, which could be either, or a filter.
        KeyTypeError: If a key is of another type.
    """
    if isinstance(keys, int | str | uuid.UUID):
        keys = [keys]
    if isinstance(keys, tuple | models.Filter) or not isinstance(keys, Iterable):
        raise ArgumentError(
            field="keys", problem=f"a {type(keys).__name__}: give a key, or a list of keys"
        )
    return list(dict.fromkeys(point_id(key) for key in keys))
