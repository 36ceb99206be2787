"""Errors of limits, gates and proofs that refused; what was done before them stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qdrant_static.errors.base import QdrantStaticError


class RefusedError(QdrantStaticError):
    """A limit, a gate of a migration, or a proof of a shipment refused."""

    exit_code: ClassVar[int] = 4


@dataclass(eq=False)
class DeletionRefusedError(RefusedError):
    """A job would delete more points than allowed; it deleted none."""

    template: ClassVar[str] = (
        "{vanished:,} of the {points:,} points of collection {collection!r} are not in the input: "
        "{problem}. None was deleted, everything else is done; if the deletion is intended, "
        "repeat it with force=True"
    )

    collection: str
    vanished: int
    points: int
    problem: str


@dataclass(eq=False)
class GateRefusedError(RefusedError):
    """Gates refused the new collection of a migration; it stays, and so does the alias."""

    template: ClassVar[str] = (
        "{green!r} does not take over {alias!r}: refused by {gates} ({problem}). The alias was "
        "not changed, and {green!r} stays"
    )

    alias: str
    green: str
    gates: tuple[str, ...]
    problem: str


@dataclass(eq=False)
class ShipmentRefusedError(RefusedError):
    """A proof of a shipment failed; no alias points at what was shipped."""

    template: ClassVar[str] = (
        "the shipment of {collection!r} to {where} was refused by the proof {proof!r}: {problem}. "
        "{left}"
    )

    collection: str
    where: str
    proof: str
    problem: str
    left: str


@dataclass(eq=False)
class TooManyRejectsError(RefusedError):
    """More rows were rejected than the job allows; what was stored stays."""

    exit_code: ClassVar[int] = 3

    rejected: int
    read: int
    limit: str
    rejects: str
    unreadable: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        if self.unreadable:
            more = len(self.unreadable) - 1
            others = f" (and {more:,} more)" if more else ""
            return (
                f"{self.unreadable[0]}{others}: a file that cannot be read exceeds any limit of "
                f"rejects ({self.limit}); {self.rejected:,} of {self.read:,} rows were rejected: "
                f"see {self.rejects}. What was stored stays; repair the input, or leave out the "
                "limit to store what can be read"
            )
        return (
            f"{self.rejected:,} of {self.read:,} rows were rejected, and the limit is "
            f"{self.limit}: see {self.rejects}. What was stored stays; the same command with a "
            "higher limit continues from there"
        )
