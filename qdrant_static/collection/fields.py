"""Fields: where the payload of a collection holds key and text, and how the text was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import Any, Self

from qdrant_static import plaindata
from qdrant_static.errors import ArgumentError


def value_at(record: Mapping[str, Any], path: str, missing: Any = None) -> Any:
    """Return the value at a dotted path; a field of exactly that name comes first.

    Args:
        record: An object, with objects in it.
        path: ``"title"`` or ``"meta.title"``.
        missing: Returned where there is no value.
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
class Template:
    """Columns between fixed pieces.

    Attributes:
        pieces: n + 1 fixed pieces: before, between and after the columns.
        columns: n columns, in the order of the text; one may come twice.
    """

    pieces: tuple[str, ...]
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.pieces) != len(self.columns) + 1:
            raise ArgumentError(
                field="pieces",
                problem=f"{len(self.pieces)} do not stand around {len(self.columns)} columns",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template; ``{{`` and ``}}`` stand for braces.

        Raises:
            ArgumentError: If it names no column, or cannot be read.
        """
        pieces, columns = [""], []
        try:
            for fixed, column, form, conversion in Formatter().parse(text):
                pieces[-1] += fixed
                if column is None:
                    continue
                if form or conversion:
                    raise ValueError(f"{column!r} has a format; only {{column}} is known")
                if not column:
                    raise ValueError("{} names no column")
                columns.append(column)
                pieces.append("")
        except ValueError as error:
            raise ArgumentError(field="template", problem=f"{text!r}: {error}") from error
        if not columns:
            raise ArgumentError(
                field="template", problem=f"{text!r} names no column; write it as {{title}}"
            )
        return cls(pieces=tuple(pieces), columns=tuple(columns))

    def fill(self, parts: Sequence[str]) -> str:
        """Return the text of n parts; a missing one is given as an empty string."""
        woven = [self.pieces[0]]
        for part, piece in zip(parts, self.pieces[1:], strict=True):
            woven += (part, piece)
        return "".join(woven)

    def __str__(self) -> str:
        fixed = [piece.replace("{", "{{").replace("}", "}}") for piece in self.pieces]
        return self._woven(fixed)

    def _woven(self, fixed: Sequence[str]) -> str:
        names = (f"{{{name}}}" for name in self.columns)
        return fixed[0] + "".join(n + f for n, f in zip(names, fixed[1:], strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Which payload fields hold a record's key and its text, and how the text is made of them.

    A name may be a path: ``meta.title`` is the field ``title`` of the object ``meta``.

    Attributes:
        key: The field of the key, or several; None if the key is a digest of the text.
        text: The fields that hold the text, in its order: joined by one space, unless there is a
            template.
        template: How the text is made; its columns are called as in the input.
        columns: All columns of the text as the input calls them, in its order, where that is not
            what `text` says: some have other names in the payload, or are not stored.
        unstored: Those of the columns that the payload does not hold. Where there are any, the
            text cannot be made again from the payload.
        ready_vectors: Whether vectors were given with the rows, in place of the encoder's.
        mixed: Whether jobs of different templates have stored points: which point has which
            text is not known.
        is_complete: False where an earlier version wrote this, which kept key and `text` only.
    """

    key: str | tuple[str, ...] | None = None
    text: tuple[str, ...] = ()
    template: Template | None = None
    columns: tuple[str, ...] = ()
    unstored: tuple[str, ...] = ()
    ready_vectors: bool = False
    mixed: bool = False
    is_complete: bool = field(default=True, compare=False)

    def __post_init__(self) -> None:
        if self.columns == self.text:
            object.__setattr__(self, "columns", ())

    @property
    def all_columns(self) -> tuple[str, ...]:
        """The columns of the text as the input calls them, stored or not."""
        return self.columns or self.text

    def key_of(self, payload: Mapping[str, Any]) -> Any:
        """Return the key in a payload: a value, a tuple of several, or None."""
        if isinstance(self.key, tuple):
            parts = tuple(value_at(payload, name) for name in self.key)
            return None if None in parts else parts
        return None if self.key is None else value_at(payload, self.key)

    def text_of(self, payload: Mapping[str, Any]) -> str:
        """Return the text in a payload, as far as it is stored."""
        parts = {}
        for column, name in self._stored().items():
            part = value_at(payload, name)
            if isinstance(part, str) and part.strip():
                parts[column] = part
        if self.template is None or not parts:
            return " ".join(parts.values())
        return self.template.fill([parts.get(column, "") for column in self.template.columns])

    def require_text(self, collection: str, purpose: str) -> None:
        """Refuse to remake texts where the payload does not hold all of their columns.

        Args:
            collection: The collection, for the error.
            purpose: What cannot be done, and what to do instead.

        Raises:
            ArgumentError: If some columns of the text are not stored; it names them.
        """
        if self.mixed:
            raise ArgumentError(
                field="fields.template",
                problem=f"the texts of {collection!r} were made by different templates, by jobs "
                f"of a part of its rows: {purpose}, or ingest all rows by one template",
            )
        if self.unstored:
            is_are = "is" if len(self.unstored) == 1 else "are"
            raise ArgumentError(
                field="fields.text",
                problem=f"the texts of {collection!r} are made of {', '.join(self.all_columns)}, "
                f"and {', '.join(self.unstored)} {is_are} not stored in its payload: {purpose}",
            )

    def agrees(self, other: Fields) -> bool:
        """Return whether both have the same key and columns of text; templates may differ.

        A column may have another name in another input, if it is stored under the same; and it
        may be stored by one and not by the other, if it has the same name in both inputs.
        """
        if self.key != other.key:
            return False
        if not (self.is_complete and other.is_complete):
            return self.text == other.text
        if self.all_columns != other.all_columns:
            return (self.text, self.unstored) == (other.text, other.unstored)
        mine, theirs = self._stored(), other._stored()
        return all(mine[one] == theirs[one] for one in mine.keys() & theirs.keys())

    def same_text(self, other: Fields) -> bool:
        """Return whether both make the same text from the same columns, as far as both say how."""
        if not self.agrees(other) or not (self.is_complete and other.is_complete):
            return self.agrees(other)
        if self.mixed or other.mixed:
            return False
        named_alike = self.all_columns == other.all_columns
        mine, theirs = (one.template if named_alike else one.in_payload for one in (self, other))
        return mine == theirs

    def same_payload(self, other: Fields) -> bool:
        """Return whether both read the same key and text from the same payload fields."""
        stored = (self.text, self.unstored) == (other.text, other.unstored)
        return stored and self.same_text(other)

    def with_points_of(self, other: Fields) -> Fields:
        """Return the fields that hold for all points where some come from another, agreeing job.

        A column that one of them does not store is in no text that is made again from payloads.
        """
        ready = self.ready_vectors or other.ready_vectors
        if not (self.is_complete and other.is_complete):
            return replace(self, ready_vectors=ready)
        mixed = not self.same_text(other)
        if self.all_columns != other.all_columns:
            return replace(self, ready_vectors=ready, mixed=mixed)
        missing = {*self.unstored, *other.unstored}
        stored = self._stored()
        return replace(
            self,
            text=tuple(name for one, name in stored.items() if one not in missing),
            columns=self.all_columns,
            unstored=tuple(one for one in self.all_columns if one in missing),
            ready_vectors=ready,
            mixed=mixed,
        )

    @property
    def in_payload(self) -> Template | None:
        """The template with the names of the payload in the place of the input's."""
        if self.template is None:
            return None
        names = self._stored()
        columns = tuple(names.get(one, one) for one in self.template.columns)
        return replace(self.template, columns=columns)

    @property
    def key_label(self) -> str | None:
        """The key's field or fields, for display."""
        return " + ".join(self.key) if isinstance(self.key, tuple) else self.key

    @property
    def text_label(self) -> str:
        """The text's columns or its template, for display."""
        if not self.all_columns:
            return "not in the payload"
        text = " + ".join(self.all_columns) if self.template is None else repr(str(self.template))
        return f"{text} ({', '.join(self.unstored)} not stored)" if self.unstored else text

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-like data."""
        key = list(self.key) if isinstance(self.key, tuple) else self.key
        found: dict[str, Any] = {"key": key, "text": list(self.text)}
        if self.is_complete:
            found["unstored"] = list(self.unstored)
        if self.columns:
            found["columns"] = list(self.columns)
        if self.template is not None:
            found["template"] = {
                "pieces": list(self.template.pieces), "columns": list(self.template.columns),
            }  # fmt: skip
        if self.ready_vectors:
            found["ready_vectors"] = True
        if self.mixed:
            found["mixed"] = True
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "fields") -> Self:
        """Read what `to_dict` gave, in an earlier version too.

        Raises:
            ArgumentError: If a name is unknown or a value is of another type.
        """
        for name in ("key", "text"):
            if isinstance(data, Mapping) and name not in data:
                raise ArgumentError(field=f"{where}.{name}", problem="is missing")
        found = plaindata.build(cls, data, where)
        return replace(found, is_complete="unstored" in data)

    def _stored(self) -> dict[str, str]:
        """Column of the text, as the input calls it -> the payload field that holds it."""
        stored = [one for one in self.all_columns if one not in self.unstored]
        return dict(zip(stored, self.text, strict=False))
