"""What a pull says: how far it is, and what it has brought."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """How far a pull is.

    Attributes:
        phase: ``"receiving"`` snapshots, or ``"opening"`` what has arrived.
        sent_bytes: What has been received.
        total_bytes: 0: nobody knows before it is all there.
        shards_done: Shards that have arrived and are unpacked.
        shards: Of how many.
    """

    phase: Literal["receiving", "opening"]
    sent_bytes: int
    total_bytes: int
    shards_done: int
    shards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A server's collection that is here now.

    Attributes:
        collection: Its name here.
        source: Its name there; the target's, where an alias was asked for.
        where: The server.
        points: How many points there are here, exactly.
        shards: The shards that it was made of.
        shards_there: How many shards the collection has on the server.
        segments: How many segments they are, each with its own graphs.
        bytes: What was received.
        seconds: What it took, from the first question to the open collection.
        left_out: What an embedded collection has no words for: settings of a server, and what its
            jobs have noted in the metadata.
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
        """Whether all shards are here."""
        return len(self.shards) == self.shards_there

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**asdict(self), "complete": self.complete}

    def __str__(self) -> str:
        told = (
            f"{self.collection}: {self.points:,} points of {self.source} at {self.where}, with "
            f"their index; {self.bytes / 1e6:,.0f} MB in {self.seconds:.1f} s"
        )
        if not self.complete:
            shards = ", ".join(map(str, self.shards))
            told += f". Not the whole collection: shard {shards} of {self.shards_there}"
        if self.left_out:
            told += f". Left out: {', '.join(self.left_out)}"
        return told
