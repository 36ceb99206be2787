"""Fields: where the payload of a collection holds key and text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from qdrant_static import plaindata
from qdrant_static.errors import SpecError


def value_at(record: Mapping[str, Any], path: str, missing: Any = None) -> Any:
    """The value at a dotted path; a name with dots is a name before it is a path.

    Args:
        record: An object, with objects in it.
        path: ``"title"`` or ``"meta.title"``.
        missing: What stands for a value that is not there.
    """
    if path in record:
        return record[path]
    head, dot, _ = path.rpartition(".")
    while dot:
        inner = record.get(head)
        if isinstance(inner, Mapping):
            return value_at(inner, path[len(head) + 1 :], missing)
        head, dot, _ = head.rpartition(".")
    return missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Which payload fields hold a record's key and its text.

    A name may be a path: ``meta.title`` is the field ``title`` of the object ``meta``.

    Attributes:
        key: The field of the key, or several; None if the key is a digest of the text.
        text: The fields whose values, joined by one space, were encoded.
    """

    key: str | tuple[str, ...] | None = None
    text: tuple[str, ...] = ()

    def key_of(self, payload: Mapping[str, Any]) -> Any:
        """The key that a payload holds: a value, a tuple of several, or None."""
        if isinstance(self.key, tuple):
            parts = tuple(value_at(payload, name) for name in self.key)
            return None if None in parts else parts
        return None if self.key is None else value_at(payload, self.key)

    def text_of(self, payload: Mapping[str, Any]) -> str:
        """The text that a payload holds, as far as it does."""
        parts = (value_at(payload, name) for name in self.text)
        return " ".join(part for part in parts if isinstance(part, str) and part.strip())

    @property
    def key_told(self) -> str | None:
        """The key's field or fields, for a person."""
        return " + ".join(self.key) if isinstance(self.key, tuple) else self.key

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-like data."""
        key = list(self.key) if isinstance(self.key, tuple) else self.key
        return {"key": key, "text": list(self.text)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "fields") -> Self:
        """Read what `to_dict` gave.

        Raises:
            SpecError: If a name is unknown or a value is of another type.
        """
        for name in ("key", "text"):
            if isinstance(data, Mapping) and name not in data:
                raise SpecError(field=f"{where}.{name}", problem="is missing")
        return plaindata.build(cls, data, where)
