"""Errors of an engine, a server, a disk or a point, which belong to no family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from qdrant_static.errors.base import QdrantStaticError


@dataclass(eq=False)
class EngineError(QdrantStaticError):
    """The engine refused a request or failed."""

    template: ClassVar[str] = "{operation}: {problem}"

    operation: str
    problem: str


@dataclass(eq=False)
class EveryPointRefusedError(QdrantStaticError):
    """The server refuses all points of a batch, which have nothing in common, for one reason."""

    template: ClassVar[str] = (
        "the server refuses every point for collection {collection!r}: {problem}. Was the "
        "collection changed while the job ran, or is it full? What was acknowledged is stored"
    )

    collection: str
    problem: str


@dataclass(eq=False)
class JobStoppedError(QdrantStaticError):
    """A job was stopped while it waited for its input; what was stored stays."""

    exit_code: ClassVar[int] = 130
    template: ClassVar[str] = (
        "stopped while waiting for rows from {waited_for}; what was stored stays"
    )

    waited_for: str


@dataclass(eq=False)
class PointError(QdrantStaticError):
    """A point that cannot be stored or changed; nothing of its request was."""

    template: ClassVar[str] = "point {point!r}: {problem}"

    point: int | str | UUID
    problem: str


@dataclass(eq=False)
class StorageError(QdrantStaticError):
    """A file could not be read or written."""

    retryable: ClassVar[bool] = True
    template: ClassVar[str] = "{path}: {problem}"

    path: str
    problem: str


@dataclass(eq=False)
class VerificationError(QdrantStaticError):
    """What is stored is not what was sent."""

    template: ClassVar[str] = "collection {collection!r}: {problem}"

    collection: str
    problem: str


@dataclass(eq=False)
class TeacherFailedError(QdrantStaticError):
    """An encoder failed while it encoded the texts of a training; what it encoded before stays."""

    retryable: ClassVar[bool] = True
    template: ClassVar[str] = "the teacher {teacher!r} failed: {problem}; {kept}"

    teacher: str
    problem: str
    kept: str
