"""How an input is read: `SourceOptions`, and `Passages` for long texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

from qdrant_static import plaindata, rules
from qdrant_static.collection.fields import Fields
from qdrant_static.errors import ArgumentError

Format = Literal["parquet", "jsonl", "csv", "tsv", "arrow"]
CellType = Literal["string", "integer", "float", "boolean"]
FORMATS: tuple[Format, ...] = get_args(Format)
CELL_TYPES: tuple[CellType, ...] = get_args(CellType)

#: A longer text is rejected. Encoders read only its first few thousand characters.
MAX_TEXT_BYTES = 16 * 2**20
#: A larger payload is rejected: a server refuses requests over 32 MB.
MAX_PAYLOAD_BYTES = 16 * 2**20


#: Other ways to write a tab.
_TAB = ("tab", "\\t")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How an input is read: which columns are the key, the text and the payload, and its format.

    A column's name may be a path into a struct or an object: ``meta.title``. The table ``[source]``
    of a job file and the options of ``qdrant-static ingest`` have the same names.

    Attributes:
        key: Column of the key, or several; empty takes ``id`` or ``_id`` if there is one, else a
            digest of the text.
        text: Columns of the text, joined by one space; empty takes "title" and "text", as far as
            they exist.
        template: Text made of columns, instead of ``text``: ``"{title}. {abstract}"``.
        payload: Columns to store; None takes all. The key is always stored.
        exclude: Columns not to store.
        rename: Column -> the name under which it is stored.
        vectors: Column of ready vectors, which are stored instead of the encoder's.
        format: Format of standard input and of files with another ending: parquet, jsonl, csv, tsv
            or arrow; None takes jsonl for standard input.
        delimiter: Character between the cells of CSV; None takes a comma, or a tab for TSV.
        types: CSV column -> type of its values: string, integer, float or boolean; empty takes
            strings. In JSON Lines it is the type of strings.
        max_text_bytes: Longer texts are rejected, in bytes of UTF-8.
        max_payload_bytes: Larger payloads are rejected, in bytes of the line or of the Arrow
            columns, because the size of the payload itself is not known before it is written.
    """

    key: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    template: str | None = None
    payload: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    vectors: str | None = None
    format: Format | None = None
    delimiter: str | None = None
    types: Mapping[str, CellType] = field(default_factory=dict)
    max_text_bytes: int = MAX_TEXT_BYTES
    max_payload_bytes: int = MAX_PAYLOAD_BYTES

    def __post_init__(self) -> None:
        for name in ("key", "text", "payload", "exclude"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        for name in ("rename", "types"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        self._check_values()
        self._check_names()

    def _check_values(self) -> None:
        if self.text and self.template is not None:
            raise ArgumentError(
                field="template", problem="name columns of the text or a template, not both"
            )
        if self.format is not None and self.format not in FORMATS:
            raise ArgumentError.of_choice("format", self.format, ", ".join(FORMATS))
        if self.delimiter in _TAB:  # as from a shell, or from a single-quoted string of TOML
            object.__setattr__(self, "delimiter", "\t")
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n'
        ):
            raise ArgumentError(
                field="delimiter",
                problem=f"{self.delimiter!r} is not a single ASCII character; for a tab write tab "
                "or \\t",
            )
        for column, kind in self.types.items():
            if kind not in CELL_TYPES:
                raise ArgumentError.of_choice(f"types.{column}", kind, ", ".join(CELL_TYPES))
        for name in ("max_text_bytes", "max_payload_bytes"):
            rules.check_integer(name, getattr(self, name), greatest=rules.GREATEST_BYTES)

    def _check_names(self) -> None:
        new = list(self.rename.values())
        for name in new:
            if new.count(name) > 1:
                raise ArgumentError(field="rename", problem=f"two columns would be called {name!r}")
        for name in self.key:
            if self.key.count(name) > 1:
                raise ArgumentError(field="key", problem=f"{name!r} is named twice")
            if name in self.exclude:
                raise ArgumentError(field="exclude", problem=f"the key {name!r} is always stored")
        for name in self.exclude:
            if name in self.rename or name in (self.payload or ()):
                raise ArgumentError(field="exclude", problem=f"{name!r} is also named to be stored")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "source") -> Self:
        """Read options from a job file.

        Args:
            data: The table; a single column may replace a list of one.
            where: The name of the table in errors.

        Raises:
            ArgumentError: If one is unknown or wrong; it names the field.
        """
        names = ("key", "text", "payload", "exclude")
        values = {
            name: [value] if name in names and isinstance(value, str) else value
            for name, value in data.items()
        }
        return plaindata.build(cls, values, where)

    def with_columns(
        self,
        *,
        key: Sequence[str] | str | None = None,
        text: Sequence[str] | str | None = None,
        payload: Sequence[str] | None = None,
    ) -> Self:
        """Return the same options with other columns, for those that are not None."""
        named = {"key": key, "text": text, "payload": payload}
        own: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        return type(self)(**own | {name: one for name, one in named.items() if one is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    """How texts are cut into passages.

    Attributes:
        tokens: The most tokens of a passage, as the encoder counts them when it encodes it. Only a
            single character with more tokens is a longer passage.
        overlap: Tokens at the end of a passage that the next passage repeats.
        parent: The payload field of the row's key.
        number: The payload field of the passage's number in its row, from 0.
        text: The payload field of the passage's text, instead of the row's text columns.
        characters: The most characters of a passage; None: as many as the encoder reads.
    """

    tokens: int = 256
    overlap: int = 0
    parent: str = "parent"
    number: str = "passage"
    text: str = "text"
    characters: int | None = None

    def __post_init__(self) -> None:
        rules.check_integer("passages.tokens", self.tokens)
        rules.check_integer("passages.characters", self.characters, optional=True)
        if not 0 <= self.overlap < self.tokens:
            raise ArgumentError(
                field="passages.overlap",
                problem=f"{self.overlap} is not from 0 to {self.tokens - 1}, below passages.tokens",
            )
        if len({self.parent, self.number, self.text}) < 3:
            raise ArgumentError(
                field="passages", problem="its three payload fields need different names"
            )

    @property
    def fields(self) -> Fields:
        """Names of the payload fields that hold key and text of a passage."""
        return Fields(key=(self.parent, self.number), text=(self.text,))
