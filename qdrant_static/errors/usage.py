"""Errors of wrong usage: arguments, names, input, models, packages, clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qdrant_static.errors.base import UsageError
from qdrant_static.suggestions import suggestion

#: How much of a filter a message shows, in characters.
_SHOWN_CHARACTERS = 200


@dataclass(eq=False)
class ArgumentError(UsageError):
    """An argument, an option, a spec or a plan that cannot work."""

    template: ClassVar[str] = "{field}: {problem}"

    field: str
    problem: str

    @classmethod
    def of_choice(cls, name: str, value: object, valid: str) -> ArgumentError:
        """Return the error of an argument that is none of the comma-separated valid values."""
        near = suggestion(value, valid.split(", "))
        return cls(field=name, problem=f"{value!r} is not valid; valid: {valid}{near}")


@dataclass(eq=False)
class FilterError(UsageError):
    """A filter that cannot be parsed, or that does not fit the collection's fields.

    ``character`` is the place in the text, from 1; None where the whole filter is meant.
    """

    filter: str
    problem: str
    character: int | None = None

    @property
    def message(self) -> str:
        text = self.filter
        shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
        where = "" if self.character is None else f", at character {self.character}"
        return f"filter {shown!r}{where}: {self.problem}"


@dataclass(eq=False)
class CollectionNameError(UsageError):
    """A name that no collection or alias can have."""

    template: ClassVar[str] = (
        "{name!r} cannot name a collection or an alias: {problem}. Allowed are 1 to 255 bytes of "
        "UTF-8 that do not start with a dot or '_state' nor end with a dot or a space, without "
        'control characters and without any of / \\ < > : " | ? *'
    )

    name: str
    problem: str


@dataclass(eq=False)
class KeyTypeError(UsageError):
    """A record key that is neither an integer, a string nor a UUID."""

    template: ClassVar[str] = "a key must be an integer, a string or a UUID, not {given}"

    given: str


@dataclass(eq=False)
class TextInputError(UsageError):
    """Texts that cannot be encoded: not strings, or not Unicode; rows are counted from 0."""

    problem: str
    row: int | None = None

    @property
    def message(self) -> str:
        where = "" if self.row is None else f" row {self.row}"
        return f"cannot encode{where}: {self.problem}"


@dataclass(eq=False)
class ColumnTypeError(UsageError):
    """A column of a type that cannot be used for its purpose."""

    template: ClassVar[str] = "column {column!r} in {source} is of type {given}; needed: {wanted}"

    column: str
    given: str
    wanted: str
    source: str


@dataclass(eq=False)
class InvalidModelError(UsageError):
    """The files of a model cannot be read, or do not fit together."""

    template: ClassVar[str] = "model {model!r}: {problem}"

    model: str
    problem: str


@dataclass(eq=False)
class MissingExtraError(UsageError):
    """An optional package is not installed."""

    template: ClassVar[str] = (
        '{purpose} needs the package {package!r}: pip install "qdrant-static[{extra}]"'
    )

    package: str
    extra: str
    purpose: str


@dataclass(eq=False)
class IncompatiblePackageError(UsageError):
    """An installed package has a version that this one does not support."""

    template: ClassVar[str] = (
        "cannot work with {package} {version}: {problem}. "
        "Install another version of it, or a newer qdrant-static"
    )

    package: str
    version: str
    problem: str


@dataclass(eq=False)
class NotSupportedByEdgeError(UsageError):
    """A request that the embedded engine cannot answer."""

    template: ClassVar[str] = "{what} is not supported on an embedded collection: {why}"

    what: str
    why: str


@dataclass(eq=False)
class NotAPlannedCollectionError(UsageError):
    """A collection without the metadata that this package writes."""

    template: ClassVar[str] = (
        "collection {collection!r} was not made by qdrant-static: its metadata names no encoder. "
        "Name the encoder that filled it (encoder=, --encoder), or make a collection with ingest()"
    )

    collection: str


@dataclass(eq=False)
class CannotShipError(UsageError):
    """A built collection that this server cannot take; nothing was sent."""

    template: ClassVar[str] = (
        "{collection!r} cannot be shipped to {where}: {problem}. Nothing was sent. Ingest into "
        "the server instead: qdrant-static ingest --db URL, without --build here"
    )

    collection: str
    where: str
    problem: str


@dataclass(eq=False)
class CannotPullError(UsageError):
    """A server's collection that cannot become an embedded one; nothing was stored here."""

    template: ClassVar[str] = (
        "{collection!r} cannot be pulled from {where}: {problem}. Nothing was stored here, and "
        "nothing was changed there. Read its points one by one instead: ingest() of a "
        "CollectionSource"
    )

    collection: str
    where: str
    problem: str


@dataclass(eq=False)
class AccessDeniedError(UsageError):
    """The server refuses the API key, or lets it read only."""

    template: ClassVar[str] = (
        "{where} refuses access: {problem}. Give an API key that may write to the collection, "
        "for example in the environment variable QDRANT_API_KEY"
    )

    where: str
    problem: str


@dataclass(eq=False)
class ClientClosedError(UsageError):
    """The embedded client was closed; what it wrote is stored."""

    template: ClassVar[str] = (
        "this client of {where} was closed: make another, EdgeClient({where!r})"
    )

    where: str


@dataclass(eq=False)
class ClientForkedError(UsageError):
    """The embedded client was made in another process, of which this one is a fork."""

    template: ClassVar[str] = (
        "this client of {where} belongs to process {opener}, of which this one is a fork: the "
        "engine's threads do not exist here. Start the child with multiprocessing's "
        '"spawn" or "forkserver", or make an EdgeClient in the child (one client at a time can '
        "open a collection)"
    )

    where: str
    opener: int
