"""Errors of names that nothing has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qdrant_static.errors.base import UsageError, listed
from qdrant_static.suggestions import other_delimiter, question, suggestion


class NotFoundError(UsageError):
    """What was named does not exist."""


@dataclass(eq=False)
class AliasNotFoundError(NotFoundError):
    """No alias of that name."""

    template: ClassVar[str] = "no alias {alias!r}; there are: {aliases}{near}"

    alias: str
    aliases: tuple[str, ...]

    @property
    def near(self) -> str:
        return suggestion(self.alias, self.aliases)


@dataclass(eq=False)
class CollectionNotFoundError(NotFoundError):
    """No collection of that name."""

    collection: str
    where: str
    collections: tuple[str, ...]

    @property
    def message(self) -> str:
        if not self.collections:
            return f"no collection {self.collection!r} in {self.where}, which has no collections"
        return (
            f"no collection {self.collection!r} in {self.where}; there are: "
            f"{listed(self.collections)}{suggestion(self.collection, self.collections)}"
        )


@dataclass(eq=False)
class ColumnNotFoundError(NotFoundError):
    """A column that is not in the input."""

    template: ClassVar[str] = (
        "no column {column!r} in {source}; its columns are: {columns}{near}{delimiter}"
    )

    column: str
    columns: tuple[str, ...]
    source: str

    @property
    def near(self) -> str:
        return suggestion(self.column, self.columns)

    @property
    def delimiter(self) -> str:
        return other_delimiter(self.columns)


@dataclass(eq=False)
class EncoderNotFoundError(NotFoundError):
    """No encoder of that name, or no model at that path."""

    name: str
    problem: str
    known: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        known = f"one of: {listed(self.known)}" if self.known else "'wordllama'"
        return (
            f"no encoder {self.name!r}: {self.problem}. Give a model2vec folder, a hub name such "
            f"as 'minishlab/potion-base-8M', onnx:FOLDER, fastembed:NAME, or {known}"
            f"{suggestion(self.name, self.known)}"
        )


@dataclass(eq=False)
class FieldNotFoundError(NotFoundError):
    """No point of the collection has this payload field."""

    template: ClassVar[str] = (
        "no point of collection {collection!r} has a field {field!r}: "
        "{question}Its fields are: {fields}"
    )

    field: str
    collection: str
    fields: tuple[str, ...]
    near: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        return question(self.near)


@dataclass(eq=False)
class LedgerNotFoundError(NotFoundError):
    """No ledger in the folder that is meant to hold the state of a collection's jobs."""

    template: ClassVar[str] = (
        "there is no ledger {path}: no job of this collection has run with this state folder. "
        "Check the collection's name, and the location (--db, --state)"
    )

    path: str


@dataclass(eq=False)
class MigrationNotFoundError(NotFoundError):
    """No migration of this alias is running."""

    template: ClassVar[str] = (
        "no migration of {alias!r} is running in {where}: begin one with "
        "`qdrant-static migrate start {alias}`"
    )

    alias: str
    where: str


@dataclass(eq=False)
class PointNotFoundError(NotFoundError):
    """A query names a point that is not stored, or that lacks the vector ``vector``."""

    point: int | str
    collection: str
    vector: str | None = None

    @property
    def message(self) -> str:
        if self.vector is None:
            return f"no point {self.point!r} in collection {self.collection!r}"
        return (
            f"point {self.point!r} of collection {self.collection!r} has no vector {self.vector!r}"
        )


@dataclass(eq=False)
class SourceNotFoundError(NotFoundError):
    """A path, folder or glob that gives no input file."""

    template: ClassVar[str] = "no input at {path!r}: {problem}"

    path: str
    problem: str
