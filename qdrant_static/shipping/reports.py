"""Defines what `ship` and `pull` return."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from qdrant_static.shipping.proofs.shipped import Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """A collection that a server serves as it was built.

    Attributes:
        id: The fingerprint of the build; the same build has the same one.
        collection: The local collection.
        where: The server's address.
        target: The collection on the server.
        alias: The alias that points at it now, if one was asked for.
        points: The number of points.
        shards: The number of shards.
        sent_bytes: Bytes that were sent; 0 if the build was on the server already and was only
            proved again.
        prepare_s: Seconds until the first byte was sent.
        send_s: Seconds of sending, including the server's own work with what it received.
        copy_s: Seconds until all replicas were active.
        prove_s: Seconds of proving.
        proofs: The proofs that held.
    """

    id: str
    collection: str
    where: str
    target: str
    alias: str | None
    points: int
    shards: int
    sent_bytes: int
    prepare_s: float
    send_s: float
    copy_s: float
    prove_s: float
    proofs: tuple[Proof, ...]

    @property
    def already(self) -> bool:
        """Whether the build was on the server already, and was only proved again."""
        return self.sent_bytes == 0

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        alias = "" if self.alias is None else f", and {self.alias!r} points at it now"
        shards = f"{self.shards} shard{'' if self.shards == 1 else 's'}"
        total_s = self.prepare_s + self.send_s + self.copy_s + self.prove_s
        done = (
            "was there already and is proved again"
            if self.already
            else f"is live: {shards}, {self.sent_bytes / 1e6:,.1f} MB in {total_s:.1f} s "
            f"(prepared {self.prepare_s:.1f}, sent {self.send_s:.1f}, copied {self.copy_s:.1f}, "
            f"proved {self.prove_s:.1f})"
        )
        head = f"{self.target!r} at {self.where} {done}: {self.points:,} points{alias}"
        return "\n".join((head, *(f"  {proof}" for proof in self.proofs)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """An embedded collection that was pulled from a server.

    Attributes:
        collection: Its name in the folder.
        source: Its name on the server; an alias is resolved.
        where: The server's address.
        points: The exact number of points in the folder.
        shards: The shards that it was made of.
        shards_there: How many shards the collection has on the server.
        segments: The number of segments, each with its own graphs.
        bytes: The bytes received.
        seconds: Seconds from the first request until the collection could be opened.
        left_out: What an embedded collection cannot hold: settings of a server, and what its jobs
            have noted in the metadata.
    """

    collection: str
    source: str
    where: str
    points: int
    shards: tuple[int, ...]
    shards_there: int
    segments: int
    bytes: int
    seconds: float
    left_out: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether all shards of the collection were pulled."""
        return len(self.shards) == self.shards_there

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {**asdict(self), "complete": self.complete}

    def __str__(self) -> str:
        line = (
            f"{self.collection}: {self.points:,} points of {self.source} at {self.where}, with "
            f"their index; {self.bytes / 1e6:,.0f} MB in {self.seconds:.1f} s"
        )
        if not self.complete:
            shards = ", ".join(map(str, self.shards))
            line += f". Not the whole collection: shard {shards} of {self.shards_there}"
        if self.left_out:
            line += f". Left out: {', '.join(self.left_out)}"
        return line
