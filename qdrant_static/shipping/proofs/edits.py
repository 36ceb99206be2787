"""A proof by doing: edits of shipped points take, and are undone.

Every stored point carries the number of the operation that wrote it, and a server ignores
operations with a lower number, while it acknowledges them. A shard that was built by more
operations than its target has seen would lose every edit in silence until its number is reached.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from qdrant_static.errors import PointError
from qdrant_static.ids import plain_id
from qdrant_static.shipping.proofs.shipped import Proof, Shipped

#: The payload field that is set and removed again.
PROBE = "qdrant_static_probe"
#: Points of each shard that are edited. One shows the operation numbers; several show that the
#: server looks for the points in this shard.
MOST_EDITED = 4


def edits(shipped: Shipped, samples: Sequence[Sequence[Any]]) -> Proof:
    """Edits of the sampled points with the highest operation numbers take, and are undone.

    Args:
        shipped: What arrived.
        samples: Built points of each shard, with their versions.

    Raises:
        ShipmentRefusedError: If an edit is not seen, its number is not above all built ones, or
            it cannot be undone.
    """
    edited = 0
    for shard, points in zip(shipped.built, samples, strict=True):
        if points:
            newest = sorted(points, key=lambda point: point.version, reverse=True)[:MOST_EDITED]
            _edit(shipped, shard.number, shard.newest, [plain_id(point.id) for point in newest])
            edited += len(newest)
    return Proof(
        name="edits",
        figure=edited,
        told=f"edits of {edited:,} points took, those with the highest operation numbers among "
        "the sampled, and were undone",
    )


def _edit(shipped: Shipped, shard: int, newest: int, points: list[Any]) -> None:
    server, target = shipped.server, shipped.target
    value = secrets.token_hex(8)
    try:
        done = shipped.asked(
            "editing points",
            lambda: server.set_payload(target, {PROBE: value}, points=points, wait=True),
        )
    except PointError as error:
        raise shipped.refused(
            "edits",
            f"the server does not look for point {error.point!r} in shard {shard}, where it is: "
            "an edit by its id finds nothing",
        ) from error
    try:
        _require(shipped, shard, newest, points, number=done.operation_id, value=value)
    finally:
        shipped.asked(
            "undoing the edit of points",
            lambda: server.delete_payload(target, [PROBE], points=points, wait=True),
        )
    for point, record in shipped.found(points, payload=[PROBE]).items():
        if PROBE in (record.payload or {}):
            raise shipped.refused(
                "edits", f"the edit of point {point!r} of shard {shard} could not be undone"
            )


def _require(
    shipped: Shipped,
    shard: int,
    newest: int,
    points: list[Any],
    *,
    number: int | None,
    value: str,
) -> None:
    found = shipped.found(points, payload=[PROBE])
    shown = "without a number" if number is None else f"as operation {number:,}"
    for point in points:
        payload = (found[point].payload or {}) if point in found else {}
        if payload.get(PROBE) != value:
            raise shipped.refused(
                "edits",
                f"an edit of point {point!r} of shard {shard} was acknowledged {shown} and "
                f"changed nothing; the built points carry numbers up to {newest:,}, and a server "
                "ignores what is older than the point",
            )
    if number is not None and number <= newest:
        raise shipped.refused(
            "edits",
            f"the built points of shard {shard} carry operation numbers up to {newest:,}, and the "
            f"server is at {number:,}: it would acknowledge and ignore edits of some of them",
        )
