"""Errors after which the same call may succeed later: something is busy, or is unreachable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qdrant_static.errors.base import QdrantStaticError


class BusyError(QdrantStaticError):
    """Another process holds what the call needs; retry when it is done."""

    retryable: ClassVar[bool] = True


class UnreachableError(QdrantStaticError):
    """A server or a model hub does not answer; retry when it does."""

    retryable: ClassVar[bool] = True


@dataclass(eq=False)
class CollectionLockedError(BusyError):
    """Another process, or another client of this one, has the collection open."""

    template: ClassVar[str] = (
        "collection {collection!r} in {where} is open in {owner}: only one client at a time can "
        "open an embedded collection. Close it there, or run a server"
    )

    collection: str
    where: str
    owner: str


@dataclass(eq=False)
class JobRunningError(BusyError):
    """Another job of the same collection is running."""

    template: ClassVar[str] = (
        "a job of collection {collection!r} is running in {owner}, which has locked {state}: "
        "wait for it, or stop it"
    )

    collection: str
    state: str
    owner: str


@dataclass(eq=False)
class MigrationRunningError(BusyError):
    """Another migration of the same alias is running, or another process runs this one."""

    template: ClassVar[str] = (
        "a migration of {alias!r} to {green!r} is running (phase {phase}), owned by {owner}: "
        "wait for it, continue it, or end it with `migrate abort`"
    )

    alias: str
    green: str
    phase: str
    owner: str


@dataclass(eq=False)
class MigrationWritesError(BusyError):
    """A write to a collection in a migration that would not reach both generations."""

    template: ClassVar[str] = (
        "{collection!r} is part of the migration of {alias!r} ({blue} -> {green}, phase {phase}): "
        "{problem}"
    )

    collection: str
    alias: str
    blue: str
    green: str
    phase: str
    problem: str


@dataclass(eq=False)
class EncoderUnavailableError(UnreachableError):
    """A model that exists, or may exist, could not be fetched."""

    template: ClassVar[str] = (
        "cannot fetch the model {name!r}: {problem}. Check the name and the network; or give the "
        'path of a folder that holds it; or work without a network: pip install "'
        'qdrant-static[offline]" and use the encoder "wordllama"'
    )

    name: str
    problem: str


@dataclass(eq=False)
class ModelLockedError(BusyError):
    """Another process adds or removes versions of the same model."""

    template: ClassVar[str] = (
        "the versions of the model {model!r} are being changed by {owner}: wait for it, or stop it"
    )

    model: str
    owner: str


@dataclass(eq=False)
class ServerUnavailableError(UnreachableError):
    """The server did not accept a request within the retry time of the job."""

    template: ClassVar[str] = (
        "{where} did not accept a request, tried {tried} times within {waited_s:.1f} s "
        "({problem}). What it acknowledged is stored; repeat the job for the rest when the "
        "server is back"
    )

    where: str
    problem: str
    tried: int
    waited_s: float
