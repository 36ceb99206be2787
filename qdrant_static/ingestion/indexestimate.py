"""How long an index takes to build, as an estimate, and how far a server is with one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qdrant_static.encoders.threads import core_count

if TYPE_CHECKING:
    from qdrant_static.clients.indexing import IndexProgress
    from qdrant_static.collection.spec import CollectionSpec

#: The ledger's note of the last build that was watched: points and seconds.
NOTE = "last_index"
#: Seconds of one core for one point of a graph, for each dimension and each doubling of the points.
#: Measured: 60,000 points of 256 dimensions, 4-bit codes, m 16, ef_construct 100.
_CORE_S = 1e-7
#: Estimates below that are not worth a word, in seconds.
_LEAST_S = 1.0


def expected_seconds(
    spec: CollectionSpec, points: int, last: Mapping[str, float] | None
) -> float | None:
    """How long an embedded collection's index takes to build; None if too little to mention.

    The last build of the same collection is the best estimate; without one, a measured cost is.
    Building a graph of n points takes n log n steps.

    Args:
        spec: The collection's.
        points: Points that it has now.
        last: Points and seconds of its last build.
    """
    work = points * math.log2(max(2, points))
    if last is not None and last["points"] > 0:
        before = last["points"] * math.log2(max(2, last["points"]))
        seconds = last["seconds"] * work / before
    else:
        graphs = [one for one in spec.vectors if one.hnsw is not None]
        seconds = _CORE_S * work * sum(one.size for one in graphs) / core_count()
    return seconds if seconds >= _LEAST_S else None


def indexed_part(seen: IndexProgress, points: int) -> float | None:
    """Which part of a server's points is indexed, 0 to 1; None if the server does not report it."""
    if not points or seen.queued_points is None or seen.running_points is None:
        return None
    waiting = seen.queued_points + seen.running_points * (1 - (seen.fraction or 0.0))
    return min(1.0, max(0.0, 1 - waiting / points))
