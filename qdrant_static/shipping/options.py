"""Defines the options of a collection that is built on this machine and shipped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qdrant_static import rules
from qdrant_static.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """Holds how a collection is built on this machine and shipped; see `BuildHere`.

    Attributes:
        folder: Where it is built; None: ``build`` in the job's state folder.
        shards: Shards of the collection; None takes the spec's, or what the server has.
        workers: Processes that build at most, each a shard at a time; None: as many as there are
            processors; one where there are few rows.
        peers: Peer id, or the URI that a cluster's list shows -> REST URL, for nodes that cannot be
            reached under the address that the cluster tells.
        alias: The alias that is to point at the collection once it is proved.
        replicas: Copies of each shard; None takes the spec's, or the server's default.
        max_mb_s: Megabytes a second that are sent at most; 0: as fast as it goes.
        keep: Whether the built folder stays when the server has proved the collection.
        untested: Ship to a server of a version that was never tried.
        discard_unfinished: Remove a shipment that another process began and did not end.

    Raises:
        ArgumentError: If one of them is out of range; it names it.
    """

    folder: str | os.PathLike[str] | None = None
    shards: int | None = None
    workers: int | None = None
    peers: Mapping[str, str] | None = None
    alias: str | None = None
    replicas: int | None = None
    max_mb_s: float = 0.0
    keep: bool = False
    untested: bool = False
    discard_unfinished: bool = False

    def __post_init__(self) -> None:
        for name in ("shards", "workers", "replicas"):
            rules.check_integer(f"build.{name}", getattr(self, name), optional=True)
        if not 0 <= self.max_mb_s < float("inf"):
            raise ArgumentError(
                field="build.max_mb_s", problem=f"{self.max_mb_s!r} is no number from 0 on"
            )
        if self.folder is not None and not os.fspath(self.folder).strip():
            raise ArgumentError(field="build.folder", problem="is empty; name a place")
        if self.alias is not None and not self.alias:
            raise ArgumentError(field="build.alias", problem="an alias has a name")
        for peer, url in (self.peers or {}).items():
            if not url.startswith(("http://", "https://")):
                raise ArgumentError(
                    field=f"build.peers.{peer}",
                    problem="that is no REST URL; write http://host:6333",
                )

    def folder_in(self, state: Path) -> Path:
        """The folder in which it is built.

        Args:
            state: The job's state folder.
        """
        return state / "build" if self.folder is None else Path(self.folder).expanduser()
