"""Which columns are the key, the text, the vectors and the payload of a record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from qdrant_static.collection.fields import Template
from qdrant_static.collection.spec import Fields
from qdrant_static.errors import ArgumentError, ColumnNotFoundError
from qdrant_static.reading.options import MAX_PAYLOAD_BYTES, MAX_TEXT_BYTES, Passages, SourceOptions
from qdrant_static.suggestions import other_delimiter

#: The key where none is named: the first of these that exists.
KEY_COLUMNS = ("id", "_id")
#: The text where none is named: those of these that exist.
TEXT_COLUMNS = ("title", "text")

#: Options of files; a row that was read no longer has a format.
_OF_FILES = ("format", "delimiter")
_PASSAGES = "passages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which columns a job reads, and as what.

    Attributes:
        key: The key's column, or several; None: the key is a digest of the text.
        text: The text's columns, joined by one space unless there is a template.
        payload: The payload's columns; None: all.
        exclude: Columns that the payload does not have.
        rename: Column -> its name in the payload.
        template: Makes the text of its columns; None: they are joined.
        vectors: The column of ready vectors.
        dimension: Dimension of the ready vectors; None where it is not known yet.
        flat: Columns that have a dot in their name; such a name is not a path.
        overlooked: Columns that would be key or text if the first records had them; a note is
            shown when a later record has one.
        max_text_bytes: Longer texts are rejected.
        max_payload_bytes: Larger payloads are rejected.
    """

    key: str | tuple[str, ...] | None
    text: tuple[str, ...]
    payload: tuple[str, ...] | None
    exclude: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    template: Template | None = None
    vectors: str | None = None
    dimension: int | None = None
    flat: frozenset[str] = frozenset()
    overlooked: frozenset[str] = field(default=frozenset(), compare=False)
    max_text_bytes: int = MAX_TEXT_BYTES
    max_payload_bytes: int = MAX_PAYLOAD_BYTES

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns of the key: none, one or several."""
        if self.key is None:
            return ()
        return (self.key,) if isinstance(self.key, str) else self.key

    @property
    def fields(self) -> Fields:
        """Names of the payload fields that hold key and text, and how the text is made."""
        keys = tuple(self.stored_as(name) or name for name in self.keys)
        names = {name: self.stored_as(name) for name in self.text}
        return Fields(
            key=keys[0] if isinstance(self.key, str) else keys or None,
            text=tuple(name for name in names.values() if name is not None),
            template=self.template,
            columns=tuple(names),
            unstored=tuple(name for name, stored in names.items() if stored is None),
            ready_vectors=self.vectors is not None,
        )

    def stored_as(self, column: str) -> str | None:
        """Return the name of a column in the payload, a path if it lies in a struct.

        The fields of a struct that is renamed move with it. None: the column is not stored.
        """
        head, rest = column, ""
        while head:
            if head in self.rename:
                return self.rename[head] + rest
            head, dot, tail = head.rpartition(".")
            rest = f"{dot}{tail}{rest}"
        return column if self.keeps(column) else None

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that must exist."""
        vectors = () if self.vectors is None else (self.vectors,)
        named = (*self.keys, *self.text, *vectors, *(self.payload or ()), *self.exclude)
        return tuple(dict.fromkeys((*named, *self.rename)))

    @property
    def wanted(self) -> tuple[str, ...]:
        """The paths that are stored where not all is; the key is, to identify hits."""
        return (*self.keys, *(self.payload or ()), *self.rename)

    @property
    def unwanted(self) -> tuple[str, ...]:
        """The paths that are not stored unless they are named."""
        named = () if self.vectors is None or self.vectors in self.wanted else (self.vectors,)
        return (*self.exclude, *named)

    def keeps(self, column: str) -> bool:
        """Return whether the payload has a column, whole or in part; the key always stays."""
        if self._is_within(column, self.keys):
            return True
        if self._is_within(column, self.unwanted):
            return False
        if self.payload is None or self._is_within(column, self.wanted):
            return True
        return any(self._is_within(one, (column,)) for one in self.wanted)

    def note_on(self, column: str, place: str) -> str:
        """Return a note about what happens with a column that was overlooked.

        Args:
            column: The column.
            place: The file, or the line, that has it first.
        """
        first = f"{place} has {column!r}, which the first records lack"
        if column in KEY_COLUMNS:
            taken = " + ".join(self.keys) or "a digest of the text"
            return f"{first}: the key stays {taken}; name the key's column to take another"
        taken = " + ".join(self.text) or "nothing"
        return f"{first}: the text stays {taken}; name the text's columns to take more"

    def takes(self, column: str) -> bool:
        """Return whether a column's values are used for anything."""
        return self.keeps(column) or column in (*self.text, self.vectors)

    def _is_within(self, path: str, wholes: Sequence[str]) -> bool:
        """Return whether a path is one of these, or lies inside one."""
        inside = () if path in self.flat else tuple(f"{one}." for one in wholes)
        return path in wholes or path.startswith(inside)


def select(columns: Sequence[str], source: str, options: SourceOptions) -> Selection:
    """Choose the columns of a job, and check that they exist.

    Args:
        columns: The columns of the input; empty if it has no rows.
        source: The name of the input, for errors.
        options: The columns that are wanted.

    Raises:
        ColumnNotFoundError: If one does not exist; it lists those that do.
        ArgumentError: If no text column is named and none is found, one comes twice, or columns
            contradict each other.
    """
    template = None if options.template is None else Template.parse(options.template)
    found_key = tuple(name for name in KEY_COLUMNS if name in columns)[:1]
    keys = options.key or found_key
    if template is not None:
        text = tuple(dict.fromkeys(template.columns))
    else:
        text = options.text or tuple(name for name in TEXT_COLUMNS if name in columns)
    chosen = Selection(
        key=keys[0] if len(keys) == 1 else keys or None,
        text=text,
        payload=options.payload,
        exclude=options.exclude,
        rename=options.rename,
        template=template,
        vectors=options.vectors,
        flat=frozenset(name for name in columns if "." in name),
        overlooked=frozenset(_overlooked(options, keys, text)) if columns else frozenset(),
        max_text_bytes=options.max_text_bytes,
        max_payload_bytes=options.max_payload_bytes,
    )
    if not columns:
        return chosen
    check_names(source, columns, chosen)
    for name in chosen.needed:
        if not _is_among(name, columns):
            raise ColumnNotFoundError(column=name, columns=tuple(columns), source=source)
    if chosen.vectors is not None and not (chosen.text or chosen.keys):
        raise ArgumentError(
            field="key", problem=f"{source} has neither text nor key: name the key's column"
        )
    if not chosen.text and chosen.vectors is None:
        raise ArgumentError(
            field="text",
            problem=f"{source} has neither 'title' nor 'text'; name the text's columns, "
            f"of: {', '.join(columns)}{other_delimiter(columns)}",
        )
    for name, new in chosen.rename.items():
        if new in columns and new != name and new not in chosen.rename and chosen.keeps(new):
            raise ArgumentError(
                field=f"rename.{name}",
                problem=f"{source} has a column {new!r} already; rename or exclude that too",
            )
    return chosen


def check_names(source: str, columns: Sequence[str], selection: Selection) -> None:
    """Refuse a column that comes twice, unless it is not used.

    Raises:
        ArgumentError: It names the column.
    """
    for name in columns:
        if columns.count(name) > 1 and selection.takes(name):
            remedy = "rename one of the two in the file"
            if name not in (*selection.keys, *selection.text, selection.vectors):
                remedy = f"exclude it, or {remedy}"
            raise ArgumentError(
                field="exclude", problem=f"{source} has the column {name!r} twice: {remedy}"
            )


def _overlooked(options: SourceOptions, keys: Sequence[str], text: Sequence[str]) -> Iterator[str]:
    """Yield the default columns that do not exist, where defaults are used."""
    if not options.key:
        yield from KEY_COLUMNS[: KEY_COLUMNS.index(keys[0]) if keys else None]
    if not options.text and options.template is None:
        yield from (name for name in TEXT_COLUMNS if name not in text)


def _is_among(name: str, columns: Sequence[str]) -> bool:
    """Return whether a column exists, or one that may contain it."""
    head = name
    while head:
        if head in columns:
            return True
        head = head.rpartition(".")[0]
    return False


def row_options(
    selection: Selection, options: SourceOptions | None, passages: Passages | None
) -> dict[str, Any]:
    """Return the options by which a job reads its rows, as JSON-like data without defaults.

    They are written beside every rejected row, to read it again.

    Args:
        selection: The columns of the job; they are named even if they were chosen by default.
        options: The options of the source, where it has any.
        passages: How its texts are cut.
    """
    chosen = SourceOptions(
        key=selection.keys,
        text=() if selection.template is not None else selection.text,
        template=None if selection.template is None else str(selection.template),
        payload=selection.payload,
        exclude=tuple(one for one in selection.exclude if one not in selection.keys),
        rename=selection.rename,
        vectors=selection.vectors,
        types={} if options is None else options.types,
        max_text_bytes=selection.max_text_bytes,
        max_payload_bytes=selection.max_payload_bytes,
    )
    default = SourceOptions()
    changed = {
        field.name: value
        for field in fields(SourceOptions)
        if field.name not in _OF_FILES
        and (value := getattr(chosen, field.name)) != getattr(default, field.name)
    }
    plain = {name: list(one) if isinstance(one, tuple) else one for name, one in changed.items()}
    return plain | ({} if passages is None else {_PASSAGES: asdict(passages)})


def read_row_options(data: Mapping[str, Any]) -> tuple[SourceOptions, Passages | None]:
    """Convert what `row_options` returned back to options.

    Raises:
        ArgumentError: If it is damaged; it names the option.
    """
    own = {name: value for name, value in data.items() if name != _PASSAGES}
    passages = data.get(_PASSAGES)
    return SourceOptions.from_dict(own), None if passages is None else Passages(**passages)
