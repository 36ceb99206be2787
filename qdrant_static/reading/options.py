"""SourceOptions: how an input is read, as an argument, a command line or a job file says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

from qdrant_static import plaindata, rules
from qdrant_static.errors import ArgumentError

Format = Literal["parquet", "jsonl", "csv", "tsv", "arrow"]
CellType = Literal["string", "integer", "float", "boolean"]
FORMATS: tuple[Format, ...] = get_args(Format)
CELL_TYPES: tuple[CellType, ...] = get_args(CellType)

#: A longer text is rejected. Encoders read its first few thousand characters anyway.
MAX_TEXT_BYTES = 16 * 2**20
#: A larger payload is rejected: a server refuses requests over 32 MB.
MAX_PAYLOAD_BYTES = 16 * 2**20


#: Other ways to write a tab.
_TAB = ("tab", "\\t")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """Which columns of an input are taken for what, and how its files are read.

    A column's name may be a path into a struct or an object: ``meta.title``.

    Attributes:
        key: The key's column, or several; empty takes ``id`` or ``_id`` if there is one, else
            the key is a digest of the text.
        text: The text's columns, joined by one space; empty takes ``title`` and ``text``.
        template: The text, made of columns: ``"{title}. {abstract}"``; instead of ``text``.
        payload: The columns to store; None takes all. The key is always stored.
        exclude: Columns not to store.
        rename: Column -> the name under which it is stored.
        vectors: A column of ready vectors, which take the encoder's place.
        format: Of files whose ending does not tell, and of standard input (default: jsonl).
        delimiter: Between the cells of CSV; None: a comma, for TSV a tab.
        types: CSV column -> type of its values; all others are strings. In JSON Lines: of strings.
        max_text_bytes: Longer texts are rejected, in bytes of UTF-8.
        max_payload_bytes: Larger payloads are rejected, in bytes, as far as that is known without
            writing them out: of the line, or of the Arrow columns.
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
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        for name in ("rename", "types"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        self._check_values()
        self._check_names()

    def _check_values(self) -> None:
        if self.text and self.template is not None:
            raise ArgumentError(field="template", problem="give columns of the text or a template")
        if self.format is not None and self.format not in FORMATS:
            raise ArgumentError.of_choice("format", self.format, ", ".join(FORMATS))
        if self.delimiter in _TAB:  # as a shell or a single-quoted string of TOML hands it over
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
            data: A table of them; one column may stand for a list of one.
            where: What errors call the table.

        Raises:
            ArgumentError: If one is unknown or wrong; it names the field.
        """
        names = ("key", "text", "payload", "exclude")
        given = {
            name: [value] if name in names and isinstance(value, str) else value
            for name, value in data.items()
        }
        return plaindata.build(cls, given, where)

    def with_columns(
        self,
        *,
        key: Sequence[str] | str | None = None,
        text: Sequence[str] | str | None = None,
        payload: Sequence[str] | None = None,
    ) -> Self:
        """The same options with other columns, where they are given."""
        named = {"key": key, "text": text, "payload": payload}
        own: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        return type(self)(**own | {name: one for name, one in named.items() if one is not None})
