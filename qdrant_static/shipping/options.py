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
        folder: Folder to build in; None takes ``build`` in the job's state folder.
        shards: Number of shards; None takes the spec's, or what the server has.
        workers: Maximum number of processes that build at the same time, one shard each; None takes
            as many as there are processors, and one if there are few rows.
        peers: Peer id, or address in the cluster's list -> REST URL of that node, where it cannot
            be reached at the address in the list.
        alias: Alias to point at the collection once the server has proved it.
        replicas: Copies of each shard; None takes the spec's, or the server's default.
        max_mb_s: Maximum transfer rate, in megabytes per second; 0 is no limit.
        keep: Keep the built folder after the server has proved the collection.
        untested: Allow a server of a version that was not tested.
        discard_unfinished: Remove an unfinished shipment of another process.

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
                field="build.max_mb_s", problem=f"{self.max_mb_s!r} is not a number of at least 0"
            )
        if self.folder is not None and not os.fspath(self.folder).strip():
            raise ArgumentError(field="build.folder", problem="is empty; name a folder")
        if self.alias is not None and not self.alias:
            raise ArgumentError(field="build.alias", problem="is empty; name the alias")
        for peer, url in (self.peers or {}).items():
            if not url.startswith(("http://", "https://")):
                raise ArgumentError(
                    field=f"build.peers.{peer}",
                    problem="is not a REST URL; write http://host:6333",
                )

    def folder_in(self, state: Path) -> Path:
        """The folder in which it is built.

        Args:
            state: The job's state folder.
        """
        return state / "build" if self.folder is None else Path(self.folder).expanduser()
