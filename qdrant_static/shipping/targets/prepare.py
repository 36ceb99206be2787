"""Before a shard is sent: checks, the target, and operation numbers beyond the built ones."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.clients.connect import address, server_version
from qdrant_static.clients.retry import FIRST_CONTACT, RetryPolicy, call_with_retries
from qdrant_static.errors import CannotShipError, EngineError
from qdrant_static.routing import shard_of
from qdrant_static.shipping.packing.segments import BuiltShard, same_settings, unknown_versions
from qdrant_static.shipping.targets.target import Target
from qdrant_static.shipping.targets.targetconfig import TIERS_SINCE, creation, schema_of

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.edge.client import EdgeClient

#: Versions of servers, major and minor, to which shipments were proved.
PROVED = frozenset({(1, 18)})
#: Deletions in one request: each is an operation, and takes half a millisecond.
_AT_ONCE = 500
#: Operations that a shard is ahead by, for what else counts as one.
_AHEAD = 8
_LARGEST_ID = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is shipped, as it is told while it is open.

    Attributes:
        collection: The local collection.
        info: What `EdgeClient.get_collection` says of it.
        counts: Points of each shard.
        absent: For each shard an id that would belong to it, and is no point's.
    """

    collection: str
    info: models.CollectionInfo
    counts: tuple[int, ...]
    absent: tuple[int, ...]

    @classmethod
    def of(cls, local: EdgeClient, collection: str) -> Source:
        """Look at a local collection; whatever of it has no index yet gets it now.

        Raises:
            CollectionNotFoundError: If there is none of that name.
        """
        local.optimize(collection)
        counts = tuple(local.shard_counts(collection))
        return cls(
            collection=collection,
            info=local.get_collection(collection),
            counts=counts,
            absent=_absent(local, collection, len(counts)),
        )


def check_server(server: QdrantClient, source: Source, *, untested: bool) -> bool:
    """Refuse a server that no shipment was proved to.

    Returns:
        Whether the server says with tiers where data lies.

    Raises:
        CannotShipError: If there are no points, or the server's version is another.
        ServerUnavailableError: If nobody answers.
    """
    if not sum(source.counts):
        raise CannotShipError(
            collection=source.collection, where=address(server), problem="it holds no points"
        )
    return check_server_version(server, source.collection, untested=untested)


def check_server_version(server: QdrantClient, collection: str, *, untested: bool) -> bool:
    """Refuse a server of a version that no shipment was proved to.

    Returns:
        Whether it says with tiers where data lies.

    Raises:
        CannotShipError: If it is one.
        ServerUnavailableError: If nobody answers.
    """
    version = call_with_retries(
        server,
        collection,
        "asking for the version",
        lambda: server_version(server),
        retry=FIRST_CONTACT,
    )
    if (version is None or version[:2] not in PROVED) and not untested:
        told = "an unknown version" if version is None else f"version {_shown(version)}"
        proved = ", ".join(_shown(one) for one in sorted(PROVED))
        raise CannotShipError(
            collection=collection,
            where=address(server),
            problem=f"it runs {told}, and shipments were proved with {proved} only. "
            "untested=True (--untested) tries it all the same: nothing goes live without its "
            "proofs",
        )
    return version is not None and version >= TIERS_SINCE


def check_versions(source: Source, where: str, shards: Sequence[BuiltShard]) -> None:
    """Refuse segments of a version that no server was seen to read.

    Raises:
        CannotShipError: If there are any.
    """
    if unknown := unknown_versions(shards):
        raise CannotShipError(
            collection=source.collection,
            where=where,
            problem=f"its segments are of version {', '.join(unknown)}, which no server was seen "
            "to read. untested=True (--untested) tries it all the same",
        )


def prepare(
    source: Source,
    shards: Sequence[BuiltShard],
    server: QdrantClient,
    target: Target,
    *,
    tiers: bool,
    replicas: int | None,
    retry: RetryPolicy,
) -> dict[str, dict[str, Any]]:
    """Make the target what the shards need: settings, payload indexes, operation numbers.

    Args:
        source: What is shipped.
        shards: Its shards.
        server: Where it goes.
        target: What `Target.look` has allowed.
        tiers: Whether the server says with tiers where data lies.
        replicas: Copies of each shard in a target that is created.
        retry: How long a server that is away is waited for.

    Returns:
        The segments' states in the target's words, by name.

    Raises:
        CannotShipError: If the target's settings differ from the build's; it names the fields.
    """
    schema = schema_of(source.info)
    if target.before is not None:
        _require_same(target, target.before, schema, shards)
    body = creation(source.info, shards, tiers=tiers, replicas=replicas)
    config = target.make(body, schema)
    states, differences = same_settings(config, shards)
    if differences:
        raise target.refused(f"it would differ there: {'; '.join(differences)}")
    move_numbers(server, target.name, shards, source.absent, retry=retry)
    return states


def move_numbers(
    server: QdrantClient,
    target: str,
    shards: Sequence[BuiltShard],
    absent: Sequence[int],
    *,
    retry: RetryPolicy,
) -> None:
    """Move every shard's operation numbers beyond those of the points that it will hold.

    A server acknowledges an operation whose number is not above its point's, and ignores it. So
    the target counts up before: by deletions of points that nobody has, of each shard its own,
    because each counts for itself.

    Args:
        server: Where the target is.
        target: It.
        shards: What it will hold.
        absent: For each shard an id that belongs to it and is no point's: the deletions stay in
            its log, and are carried out again when the shard is opened.
        retry: How long a server that is away is waited for.

    Raises:
        EngineError: If the numbers do not grow.
    """
    for shard, point in zip(shards, absent, strict=True):
        reached, wanted = -1, shard.newest + _AHEAD
        missing = 1
        while missing > 0:
            deletions = [
                models.DeleteOperation(delete=models.PointIdsList(points=[point]))
                for _ in range(min(missing, _AT_ONCE))
            ]
            results = call_with_retries(
                server,
                target,
                "moving operation numbers",
                lambda deletions=deletions: server.batch_update_points(  # type: ignore[misc]
                    target, deletions, wait=True
                ),
                retry=retry,
            )
            numbers = [one.operation_id for one in results if one.operation_id is not None]
            before, reached = reached, max(numbers, default=-1)
            if reached <= before:
                raise EngineError(
                    operation=f"moving operation numbers of {target!r}",
                    problem=f"shard {shard.number} stays at {reached}, and the built points carry "
                    f"numbers up to {shard.newest}",
                )
            missing = wanted - reached


def _require_same(
    target: Target,
    before: Mapping[str, Any],
    schema: Mapping[str, Mapping[str, Any]],
    shards: Sequence[BuiltShard],
) -> None:
    """Refuse a target that was there and is another; nothing of it is changed yet."""
    _, differences = same_settings(before["config"], shards)
    found = list(differences)
    number = before["config"]["params"].get("shard_number")
    if number != len(shards):
        found.append(f"shard_number: built {len(shards)}, target {number}")
    for field, index in before.get("payload_schema", {}).items():
        built = schema.get(field, {}).get("data_type", "none")
        if index["data_type"] != built:
            found.append(f"payload index {field}: built {built}, target {index['data_type']}")
    if found:
        raise target.refused(f"{target.name!r} there differs: {'; '.join(found)}")


def _absent(local: EdgeClient, collection: str, shards: int) -> tuple[int, ...]:
    chosen: dict[int, int] = {}
    while len(chosen) < shards:
        drawn = [secrets.randbelow(_LARGEST_ID) for _ in range(16 * shards)]
        taken = {record.id for record in local.retrieve(collection, drawn, with_payload=False)}
        for point, shard in zip(drawn, shard_of(drawn, shards).tolist(), strict=True):
            if point not in taken:
                chosen.setdefault(shard, point)
    return tuple(chosen[shard] for shard in range(shards))


def _shown(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
