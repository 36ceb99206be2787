"""What a shipment tells: while it is under way, and at its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from qdrant_static.shipping.proofs.shipped import Proof

Phase = Literal["preparing", "sending", "copying", "proving", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipProgress:
    """How far a shipment is.

    Attributes:
        phase: ``preparing`` the target, ``sending`` shards, ``copying`` (the cluster copies them
            to their replicas), ``proving``, ``done``.
        sent_bytes: Bytes on the wire; a shard that is sent again counts once.
        total_bytes: Of how many; 0 while that is not known.
        shards_done: Shards that the server has taken.
        shards: Of how many.
    """

    phase: Phase
    sent_bytes: int
    total_bytes: int
    shards_done: int
    shards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """A collection that a server serves as it was built.

    Attributes:
        id: What the build is known by; the same build has the same.
        collection: The local collection.
        where: The server's address.
        target: The collection there.
        alias: The alias that points at it now, if one was asked for.
        points: How many points.
        shards: How many shards.
        sent_bytes: Bytes that were sent; 0 if it was there already and was only proved again.
        prepare_s: Seconds until the first byte was sent.
        send_s: Seconds of sending, the server's work with it included.
        copy_s: Seconds until all replicas were active.
        prove_s: Seconds of proving.
        proofs: What was proved.
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
        """Whether it was there already, and was only proved again."""
        return self.sent_bytes == 0

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        alias = "" if self.alias is None else f", which {self.alias!r} stands for now"
        shards = f"{self.shards} shard{'' if self.shards == 1 else 's'}"
        took = self.prepare_s + self.send_s + self.copy_s + self.prove_s
        done = (
            "was there already and is proved again"
            if self.already
            else f"is live: {shards}, {self.sent_bytes / 1e6:,.1f} MB in {took:.1f} s "
            f"(prepared {self.prepare_s:.1f}, sent {self.send_s:.1f}, copied {self.copy_s:.1f}, "
            f"proved {self.prove_s:.1f})"
        )
        head = f"{self.target!r} at {self.where} {done}: {self.points:,} points{alias}"
        return "\n".join((head, *(f"  {proof}" for proof in self.proofs)))
