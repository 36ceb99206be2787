"""Finds the payload fields of a collection's points and their types."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.clients.scroll import page
from qdrant_static.collection.create import info_of
from qdrant_static.collection.fieldpaths import (
    Path,
    candidates,
    key_of,
    names_in,
    parse_key,
    values_at,
)
from qdrant_static.errors import FieldNotFoundError
from qdrant_static.querying.filters.literals import looks_like_time
from qdrant_static.suggestions import question

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: Number of points that are sampled for the type of a field without an index.
_SAMPLE = 100
#: Number of points that are sampled for the names of fields, for an error.
_NAMED = 20
#: Maximum number of fields that an error lists.
_LISTED = 30
#: The type of the values by the type of the index.
_INDEXED = {
    "keyword": "string", "text": "string", "integer": "integer", "float": "float", "bool": "bool",
    "datetime": "datetime", "uuid": "uuid", "geo": "geo",
}  # fmt: skip
#: By the type of values: the index that fits, and their name in messages.
_FITTING = {
    "string": ("keyword", "texts"), "integer": ("integer", "integers"), "geo": ("geo", "places"),
    "float": ("float", "numbers"), "datetime": ("datetime", "dates"), "bool": ("bool", "booleans"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredField:
    """A payload field.

    Attributes:
        key: Qdrant's key of the field.
        kinds: The types of its values: ``string``, ``integer``, ``float``, ``bool``, ``datetime``,
            ``uuid``, ``geo``, ``object``; empty where no point has a value.
        index: Type of its index; None without one.
    """

    key: str
    kinds: frozenset[str]
    index: str | None = None


class StoredFields:
    """The payload fields of a collection; each is looked up once.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        info: The collection's info if it was read already.
    """

    def __init__(
        self, client: Client, collection: str, info: models.CollectionInfo | None = None
    ) -> None:
        self._client = client
        self._collection = collection
        # The info of an empty collection is read again, since the collection may be filled now.
        self._info = info if info is not None and info.points_count else None
        self._known: dict[str, StoredField] = {}

    def find(self, name: str) -> StoredField:
        """Return the field of that name.

        Raises:
            CollectionNotFoundError: If there is no such collection.
            FieldNotFoundError: If no point has such a field; it names fields of similar names.
        """
        if name not in self._known:
            self._known[name] = self._found(name)
        return self._known[name]

    def stored(self, path: Path) -> frozenset[str]:
        """Return the types of the values that some points have at a path; empty if none has one."""
        has_value = models.IsEmptyCondition(is_empty=models.PayloadField(key=key_of(path)))
        points = self._scroll(models.Filter(must_not=[has_value]), _SAMPLE, [key_of(path)])
        return kinds_of(value for point in points for value in values_at(point.payload, path))

    def names(self) -> tuple[str, ...]:
        """Return Qdrant's keys of the fields of some points, and of those with an index."""
        keys = {key_of(path) for point in self._scroll(None, _NAMED, True)
                 for path in names_in(point.payload or {})}  # fmt: skip
        keys |= {key for key, index in self._schema().items() if index.points}
        return tuple(sorted(keys))

    def _found(self, name: str) -> StoredField:
        paths = candidates(name)
        empty = not self._read().points_count
        for path in paths:
            key, index = self._index(path)
            if index is not None and (index.points or empty):
                kind = _INDEXED[index.data_type.value]
                return StoredField(key=key, kinds=frozenset((kind,)), index=index.data_type.value)
        for path in paths:
            if kinds := self.stored(path):
                return StoredField(key=key_of(path), kinds=kinds)
        if empty and paths:
            return StoredField(key=key_of(paths[-1]), kinds=frozenset())
        for path in paths:
            null = models.IsNullCondition(is_null=models.PayloadField(key=key_of(path)))
            if self._scroll(models.Filter(must=[null]), 1, False):
                return StoredField(key=key_of(path), kinds=frozenset())
        names = self.names()
        raise FieldNotFoundError(
            field=name, collection=self._collection, fields=names[:_LISTED], near=near(name, names)
        )

    def _index(self, path: Path) -> tuple[str, models.PayloadIndexInfo | None]:
        for key, index in self._schema().items():
            if parse_key(key) == path:
                return key, index
        return key_of(path), None

    def _schema(self) -> dict[str, models.PayloadIndexInfo]:
        return dict(self._read().payload_schema or {})

    def _read(self) -> models.CollectionInfo:
        if self._info is None:
            self._info = info_of(self._client, self._collection)
        return self._info

    def _scroll(self, condition: models.Filter | None, limit: int, payload: Any) -> list[Any]:
        points, _ = page(
            self._client, self._collection, where=condition, limit=limit, with_payload=payload
        )
        return points


def kinds_of(values: Iterable[Any]) -> frozenset[str]:
    """Return the types of values; texts are ``datetime`` if all are dates or times."""
    kinds: set[str] = set()
    texts = []
    for value in values:
        if isinstance(value, bool):
            kinds.add("bool")
        elif isinstance(value, int | float):
            kinds.add("integer" if isinstance(value, int) else "float")
        elif isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            kinds.add("geo" if {"lat", "lon"} <= set(value) else "object")
    if texts:
        kinds.add("datetime" if all(map(looks_like_time, texts)) else "string")
    return frozenset(kinds)


def near(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return up to three known names of similar spelling, the most similar first."""
    by_form = {known_name.casefold().replace('"', ""): known_name for known_name in known}
    for form, known_name in list(by_form.items()):
        by_form.setdefault(form.replace("[]", ""), known_name)
        # Users also type only the last name of a path.
        by_form.setdefault(form.rpartition(".")[2], known_name)
    close = get_close_matches(name.casefold().replace('"', ""), by_form, n=3, cutoff=0.65)
    return tuple(dict.fromkeys(by_form[known_name] for known_name in close))


def index_warnings(client: Client, collection: str) -> list[str]:
    """Return a warning for each payload index that lacks points with a value in its field.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
    """
    fields = StoredFields(client, collection)
    info = info_of(client, collection)
    points = info.points_count or 0
    warnings = []
    for key, index in sorted((info.payload_schema or {}).items()):
        if index.points >= points:
            continue
        kind = index.data_type.value
        if index.points:
            warnings += _partly(client, collection, key, kind, index.points)
            continue
        start = f"the index on {key!r} ({kind}) holds 0 of {points:,} points: "
        warnings.append(start + _reason(fields, key, kind))
    return warnings


def _partly(client: Client, collection: str, key: str, kind: str, indexed: int) -> list[str]:
    """Return a warning if fewer points are in an index than have a value in its field."""
    empty = models.IsEmptyCondition(is_empty=models.PayloadField(key=key))
    valued = client.count(collection, models.Filter(must_not=[empty]), exact=True).count
    if valued <= indexed:
        return []
    return [
        f"the index on {key!r} ({kind}) holds {indexed:,} of the {valued:,} points that have a "
        f"value there: the values of the other {valued - indexed:,} are not of that type, and "
        "filters on the field do not find them"
    ]


def _reason(fields: StoredFields, key: str, kind: str) -> str:
    """Return why an index holds no point, and what to do."""
    path = parse_key(key) or (key,)
    kinds = fields.stored(path)
    if kinds:
        if kinds == {"datetime"} and kind not in ("datetime", "keyword"):
            kinds = frozenset(("string",))
        values = " and ".join(_FITTING.get(one, ("", "objects"))[1] for one in sorted(kinds))
        fitting = {_FITTING[one][0] for one in kinds if one in _FITTING}
        advice = f"index it as {key}:{' or '.join(sorted(fitting))}" if fitting else ""
        if "string" in kinds and kind in ("integer", "float", "bool"):
            cell = "boolean" if kind == "bool" else kind
            column = f"{'.'.join(path)}:{cell}"
            advice += f", or read the column of a CSV file with --types {shlex.quote(column)}"
        return f"the values are {values}" + (f"; {advice}" if advice else "")
    if len(path) > 1 and fields.stored((".".join(path),)):
        return f"""the name has a dot in it, so quote it: '"{".".join(path)}"'"""
    names = [one for one in fields.names() if one != key]
    listed = ", ".join(names[:_LISTED]) or "none"
    return f"no point has a value there; {question(near(key, names))}The fields are: {listed}"
