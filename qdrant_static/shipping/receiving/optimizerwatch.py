"""Whether a server's optimizer left a shard alone while its snapshot was begun.

While segments are rewritten, what is changed in them lies elsewhere: changed points in new
segments, beside the old ones, and deletions in memory alone. A snapshot of that moment has points
twice, old and new, and has points that were deleted, and no log says so. (Measured on 1.18.3: under
steady writes nearly every snapshot was so.) A server that restores one sorts the first out; here
such a snapshot is not taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from qdrant_static.errors import ServerUnavailableError
from qdrant_static.shipping.nodes.node import Node, collection_path

#: How often the optimizer is looked at, in seconds.
_LOOK_S = 0.2
#: How long a pause of it is waited for, in seconds. Where it always works it may yet be at other
#: shards.
_PAUSE_S = 30.0
#: A collection's colors while nothing is rewritten: grey is what waits for the next write.
_CALM = ("green", "grey")


@dataclass(slots=True, kw_only=True)
class Watch:
    """An eye on a node's optimizer around the beginning of a snapshot.

    No rewriting begins or ends in a shard whose snapshot is being written. So what rewrites its
    segments at the beginning was there before, or is running, or has just ended, when the first
    bytes have come.

    Attributes:
        node: The node that gives the snapshot.
        collection: Whose.
        wait: How to wait, in seconds.
    """

    node: Node
    collection: str
    wait: Callable[[float], object] = time.sleep
    _before: set[str] = field(default_factory=set)
    _rewritten: dict[str, set[str] | None] = field(default_factory=dict)

    def begin(self) -> None:
        """Wait for a pause; call it before the snapshot is asked for."""
        until = time.monotonic() + _PAUSE_S
        while True:
            said = self._said()
            if not said.get("running") or time.monotonic() >= until:
                break
            self.wait(_LOOK_S)
        self._before = {one["uuid"] for one in said.get("completed") or ()}
        self._rewritten = {}

    def look(self) -> None:
        """See what is rewritten; call it when the first bytes of the snapshot have come."""
        said = self._said()
        for one in [*(said.get("running") or ()), *(said.get("completed") or ())]:
            if one["uuid"] not in self._before:
                segments = one["segments"]
                self._rewritten[one["uuid"]] = (
                    None if segments is None else {segment["uuid"] for segment in segments}
                )

    def disturbed(self, segments: Collection[str]) -> bool:
        """Whether one of these segments was being rewritten, or may have been."""
        return any(
            rewritten is None or not rewritten.isdisjoint(segments)
            for rewritten in self._rewritten.values()
        )

    def _said(self) -> dict[str, Any]:
        path = collection_path(self.collection)
        try:
            said = self.node.get_or_none(f"{path}/optimizations", **{"with": "completed"})
        except ServerUnavailableError:
            # A cluster answers only if all of its nodes do; the color it tells without them.
            calm = self.node.get(path)["status"] in _CALM
            said = {} if calm else {"running": [{"uuid": "", "segments": None}]}
        return said if isinstance(said, dict) else {}  # an older server does not tell
