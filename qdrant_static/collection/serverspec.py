"""Defines `ServerSpec`: the settings of a collection that only a server has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qdrant_static import rules
from qdrant_static.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """Settings of a collection on a server; an embedded collection has one shard and none of these.

    Attributes:
        shards: Number of shards; None leaves it to the server.
        replicas: Copies of each shard.
        write_consistency: Replicas that must apply a write before it is acknowledged.
        on_disk_payload: Whether payloads stay on disk.
    """

    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None
    on_disk_payload: bool | None = None

    def __post_init__(self) -> None:
        for name in ("shards", "replicas", "write_consistency"):
            rules.check_integer(f"server.{name}", getattr(self, name), optional=True)
        if self.write_consistency is not None and self.write_consistency > (self.replicas or 1):
            raise ArgumentError(
                field="server.write_consistency",
                problem=f"{self.write_consistency} is above the {self.replicas or 1} replicas",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that are set, as JSON-like data."""
        return {
            name: value for name in self.__slots__ if (value := getattr(self, name)) is not None
        }
