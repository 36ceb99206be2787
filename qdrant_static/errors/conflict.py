"""Errors of requests that contradict what exists, or the state that it is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qdrant_static.errors.base import UsageError


class ConflictError(UsageError):
    """The request contradicts what exists, or the state that it is in."""


@dataclass(eq=False)
class AliasExistsError(ConflictError):
    """A name that would be both an alias and a collection.

    ``collection`` is what the alias points at; None where the name is that of a collection.
    """

    alias: str
    collection: str | None = None

    @property
    def message(self) -> str:
        if self.collection is None:
            return f"{self.alias!r} is a collection, so it cannot be an alias; nothing was changed"
        return (
            f"{self.alias!r} is an alias of {self.collection!r}, so it cannot be a collection; "
            "nothing was changed"
        )


@dataclass(eq=False)
class AliasMovedError(ConflictError):
    """Another client re-pointed the alias during a migration or a shipment.

    ``shipped`` is the collection that a shipment made; None for a migration.
    """

    alias: str
    expected: str
    found: str
    shipped: str | None = None

    @property
    def message(self) -> str:
        if self.shipped is not None:
            return (
                f"the alias {self.alias!r} points at {self.found!r}, but pointed at "
                f"{self.expected!r} when the shipment began: somebody else re-pointed it, so it "
                f"was not changed. {self.shipped!r} is complete and verified: repeat the command "
                "if the alias should point at it"
            )
        return (
            f"the alias {self.alias!r} points at {self.found!r}, but this migration left it at "
            f"{self.expected!r}: somebody else re-pointed it. Nothing was changed: find out who, "
            f"then point it back at {self.expected!r}, or end this migration with `migrate abort`"
        )


@dataclass(eq=False)
class CollectionExistsError(ConflictError):
    """A collection of that name exists."""

    template: ClassVar[str] = "collection {collection!r} exists in {where}; nothing was changed"

    collection: str
    where: str


@dataclass(eq=False)
class CollectionInUseError(ConflictError):
    """A collection that an alias, a job or a migration needs; it was not deleted."""

    template: ClassVar[str] = "{collection!r} is not deleted: {problem}. Nothing was changed"

    collection: str
    problem: str


@dataclass(eq=False)
class EncoderMismatchError(ConflictError):
    """The encoder is not the one that the collection was made with, or is searched with.

    ``side`` is ``"queries"`` where the collection has an encoder of its own for queries, and that
    is the one that was expected.
    """

    collection: str
    expected: str
    expected_fingerprint: str
    given: str
    given_fingerprint: str
    side: str = "documents"

    @property
    def message(self) -> str:
        pair = (
            f"the encoder {self.expected!r} ({self.expected_fingerprint}), not with "
            f"{self.given!r} ({self.given_fingerprint})"
        )
        if self.side == "queries":
            return (
                f"collection {self.collection!r} is searched with {pair}: its documents and its "
                f"{self.side} have an encoder each. Leave the encoder out, which loads the right "
                "one; or make another the encoder of its queries (`apply` of a spec with that)"
            )
        return (
            f"collection {self.collection!r} was made with {pair}. Vectors of two "
            "encoders cannot be compared: use the collection's encoder, or another collection"
        )


@dataclass(eq=False)
class EncoderPairError(ConflictError):
    """An encoder of queries that was not fitted to the encoder of the documents.

    ``fitted_to`` are the fingerprints of the encoders that it was fitted to.
    """

    documents: str
    documents_fingerprint: str
    queries: str
    fitted_to: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        known = (
            "does not say what it was fitted to (its folder has no card.json that names a teacher)"
            if not self.fitted_to
            else f"was fitted to the encoder {' or '.join(self.fitted_to)}"
        )
        return (
            f"the encoder of queries {self.queries!r} {known}, and the documents are encoded by "
            f"{self.documents!r} ({self.documents_fingerprint}): their vectors cannot be compared. "
            f"Fit a model to {self.documents!r} (`qdrant-static train adapt`), or encode the "
            "documents by the encoder that this one was fitted to: for a model of `train adapt`, "
            "head: and its folder"
        )


@dataclass(eq=False)
class MigrationStepError(ConflictError):
    """A step of a migration that its phase does not allow; nothing was changed."""

    template: ClassVar[str] = (
        "{step} of {alias!r} is refused in phase {phase!r}: {problem}. Nothing was changed"
    )

    alias: str
    step: str
    phase: str
    problem: str


@dataclass(eq=False)
class ModelInUseError(ConflictError):
    """A version of a model that is in use; it was not removed."""

    template: ClassVar[str] = "{model!r} is not removed: {problem}. Nothing was changed"

    model: str
    problem: str


@dataclass(eq=False)
class SpecMismatchError(ConflictError):
    """The collection exists and differs from the spec."""

    template: ClassVar[str] = (
        "collection {collection!r} differs from the spec ({differing}). Nothing was changed: "
        "use another collection name, or a spec that matches the collection"
    )

    collection: str
    differences: tuple[str, ...]

    @property
    def differing(self) -> str:
        return "; ".join(self.differences)
