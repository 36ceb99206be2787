"""Records that an application writes, and the changes of points that they become."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from qdrant_client import models

from qdrant_static.collection.fields import value_at
from qdrant_static.errors import ArgumentError, KeyTypeError, PointError, TextInputError
from qdrant_static.ids import Key, PointId, point_id

if TYPE_CHECKING:
    from qdrant_static.collection.fields import Fields

#: ``upsert`` and ``overwrite_payload`` have one payload per id, ``set_payload`` one for all ids.
#: There is no change by filter: applied later, the filter would find other points.
Op = Literal["upsert", "set_payload", "overwrite_payload", "delete_payload", "delete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of some points.

    Attributes:
        op: The operation.
        ids: n ids, each once.
        payloads: n payloads, or one for all ids (see `Op`). Whole payloads hold key and text too.
        names: Payload fields to delete, for ``delete_payload``.
    """

    op: Op
    ids: tuple[PointId, ...]
    payloads: tuple[Mapping[str, Any], ...] = ()
    names: tuple[str, ...] = ()

    def without(self, ids: set[PointId]) -> Change | None:
        """Return the change without some points; None if none is left."""
        kept = [row for row, point in enumerate(self.ids) if point not in ids]
        if not kept:
            return None
        each = self.op in ("upsert", "overwrite_payload")
        return Change(
            op=self.op,
            ids=tuple(self.ids[row] for row in kept),
            payloads=tuple(self.payloads[row] for row in kept) if each else self.payloads,
            names=self.names,
        )

    def edited(self, row: int, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return a payload as the engine leaves it after this edit.

        Args:
            row: The point's place in `ids`.
            payload: The point's payload before.
        """
        if self.op == "overwrite_payload":
            return dict(self.payloads[row])
        if self.op == "delete_payload":
            return {name: value for name, value in payload.items() if name not in self.names}
        return {**payload, **self.payloads[0]}


def touches(name: str, fields: Iterable[str]) -> bool:
    """Return whether a payload field is one of some fields, or contains one."""
    return any(name == one or one.startswith(f"{name}.") for one in fields)


def merged(
    changes: Iterable[Change],
) -> Iterator[tuple[str, dict[PointId, Mapping[str, Any]], Change | None]]:
    """Merge neighboring upserts, and neighboring deletions, so that they need fewer requests.

    Yields:
        ``(op, payloads by id, None)`` for merged changes, each point once, in its last state;
        ``(op, {}, change)`` for every edit of payloads.
    """
    op, gathered = "", dict[Any, Mapping[str, Any]]()
    for change in changes:
        if gathered and change.op != op:
            yield op, gathered, None
            gathered = {}
        op = change.op
        if op == "upsert":
            gathered.update(zip(change.ids, change.payloads, strict=True))
        elif op == "delete":
            gathered.update((point, {}) for point in change.ids)
        else:
            yield op, {}, change
    if gathered:
        yield op, gathered, None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What an application stores under a key. It has no vectors: each collection encodes its own.

    Attributes:
        key: An integer, a string, a UUID, or a tuple of them; the point id is computed from it.
        text: What is encoded. A string where the collection's text is one payload field; a
            mapping from field to string where it is several; None where ``payload`` has them.
        payload: What else is stored: JSON values.
    """

    key: Key
    text: str | Mapping[str, str] | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)

    def stored(self, fields: Fields) -> tuple[PointId, dict[str, Any]]:
        """Return the point id and the whole payload, key and text included.

        Args:
            fields: The collection's payload fields of key and text.

        Raises:
            KeyTypeError: If the key is of another type.
            TextInputError: If there is no text, or it is not valid Unicode.
            PointError: If the payload is not JSON, or contains another key.
            ArgumentError: If the text is several fields and one string is given.
        """
        point = point_id(self.key)
        payload = {**json_payload(point, self.payload), **self._texts(fields)}
        for name, part in self._key_parts(fields).items():
            value = value_at(payload, name)
            if value is None:
                payload[name] = part
            elif value != part:
                raise PointError(
                    point=point, problem=f"its key is {part!r}, and its payload says {value!r}"
                )
        if not fields.text_of(payload):
            wanted = ", ".join(fields.text)
            raise TextInputError(problem=f"record {self.key!r} has no text ({wanted})")
        return point, payload

    def _texts(self, fields: Fields) -> dict[str, str]:
        names = fields.text
        if self.text is None:
            return {}
        if not isinstance(self.text, str | Mapping):
            raise TextInputError(
                problem=f"the text of record {self.key!r} is a {type(self.text).__name__}, "
                "not a string"
            )
        texts = {names[0]: self.text} if isinstance(self.text, str) else dict(self.text)
        if isinstance(self.text, str) and len(names) > 1:
            raise ArgumentError(
                field="text",
                problem=f"the collection's text is {', '.join(names)}: give a mapping of them, or "
                "have them in the payload",
            )
        for name, text in texts.items():
            if not isinstance(text, str):
                raise TextInputError(problem=f"{name} of record {self.key!r} is not a string")
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise TextInputError(
                    problem=f"{name} of record {self.key!r} is not Unicode: {error.reason}"
                ) from error
        return texts

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


def json_payload(point: PointId, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a payload after a round trip through JSON, so that every copy of it is the same.

    Raises:
        PointError: If it is not a JSON object.
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
    """Return the ids of keys, each once, in order.

    Args:
        keys: One key, or several. A key of several parts must be in a list.

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
