"""Defines `Fields`: which payload fields hold key and text, and how the text was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import Any, Self

from qdrant_static import plaindata
from qdrant_static.errors import ArgumentError


def value_at(record: Mapping[str, Any], path: str, missing: Any = None) -> Any:
    """Return the value at a dotted path; a field of exactly that name takes precedence.

    Args:
        record: A mapping, possibly nested.
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
    """Makes a text of columns, with fixed pieces of text between them.

    Attributes:
        pieces: n + 1 fixed pieces: before, between and after the columns.
        columns: n columns, in the order of the text; a column may occur twice.
    """

    pieces: tuple[str, ...]
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.pieces) != len(self.columns) + 1:
            raise ArgumentError(
                field="pieces",
                problem=f"{len(self.columns)} columns need {len(self.columns) + 1} pieces, "
                f"not {len(self.pieces)}",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a template; ``{{`` and ``}}`` stand for braces.

        Raises:
            ArgumentError: If it names no column, or is not a template.
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
        """Return the text of n parts, in the columns' order; a missing part is an empty string."""
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
        template: How the text is made; its columns have the names of the input.
        columns: All columns of the text, with the names of the input and in its order, where
            these differ from `text`: some are renamed in the payload, or are not stored.
        unstored: Those of the columns that the payload does not hold. Where there are any, the
            text cannot be made again from the payload.
        ready_vectors: Whether the rows came with vectors, which the encoder then did not make.
        mixed: Whether jobs of different templates have stored points: which point has which
            text is not known.
        is_complete: False if an earlier version wrote this, which stored `key` and `text` only.
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
        """All columns of the text, with the names of the input, stored or not."""
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
        """Raise an error where texts cannot be made again from the payload.

        Args:
            collection: The collection, for the error.
            purpose: What therefore cannot be done, and what to do instead.

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
        return all(mine[column] == theirs[column] for column in mine.keys() & theirs.keys())

    def same_text(self, other: Fields) -> bool:
        """Return whether both make the same text of the same columns, as far as that is known."""
        if not self.agrees(other) or not (self.is_complete and other.is_complete):
            return self.agrees(other)
        if self.mixed or other.mixed:
            return False
        named_alike = self.all_columns == other.all_columns
        mine, theirs = (
            fields.template if named_alike else fields.in_payload for fields in (self, other)
        )
        return mine == theirs

    def same_payload(self, other: Fields) -> bool:
        """Return whether both read the same key and text from the same payload fields."""
        stored = (self.text, self.unstored) == (other.text, other.unstored)
        return stored and self.same_text(other)

    def with_points_of(self, other: Fields) -> Fields:
        """Return the fields of a collection whose points come from two jobs that agree.

        A column that one of the jobs does not store is not used when texts are made again.
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
            text=tuple(name for column, name in stored.items() if column not in missing),
            columns=self.all_columns,
            unstored=tuple(column for column in self.all_columns if column in missing),
            ready_vectors=ready,
            mixed=mixed,
        )

    @property
    def in_payload(self) -> Template | None:
        """The template with the payload's names of the columns instead of the input's."""
        if self.template is None:
            return None
        names = self._stored()
        columns = tuple(names.get(column, column) for column in self.template.columns)
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
        data: dict[str, Any] = {"key": key, "text": list(self.text)}
        if self.is_complete:
            data["unstored"] = list(self.unstored)
        if self.columns:
            data["columns"] = list(self.columns)
        if self.template is not None:
            data["template"] = {
                "pieces": list(self.template.pieces), "columns": list(self.template.columns),
            }  # fmt: skip
        if self.ready_vectors:
            data["ready_vectors"] = True
        if self.mixed:
            data["mixed"] = True
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "fields") -> Self:
        """Read what `to_dict` returned, also that of an earlier version.

        Raises:
            ArgumentError: If a name is unknown or a value is of another type.
        """
        for name in ("key", "text"):
            if isinstance(data, Mapping) and name not in data:
                raise ArgumentError(field=f"{where}.{name}", problem="is missing")
        fields = plaindata.build(cls, data, where)
        return replace(fields, is_complete="unstored" in data)

    def _stored(self) -> dict[str, str]:
        """Return the payload field of each stored column, by the input's name of the column."""
        stored = [column for column in self.all_columns if column not in self.unstored]
        return dict(zip(stored, self.text, strict=False))
