"""Prepares a target for a shipment: checks, settings and operation numbers."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.clients.connect import address
from qdrant_static.clients.retry import RetryPolicy, call_with_retries, first_version
from qdrant_static.errors import CannotShipError, EngineError
from qdrant_static.routing import shard_of
from qdrant_static.shipping.packing.segments import BuiltShard, translated_states, unknown_versions
from qdrant_static.shipping.targets.target import Target
from qdrant_static.shipping.targets.targetconfig import TIERS_SINCE, create_body, schema_of

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.edge.client import EdgeClient

#: Versions of servers, major and minor, that shipments were tested with.
TESTED = frozenset({(1, 18)})
#: Deletions in one request: each is an operation, and takes half a millisecond.
_DELETIONS = 500
#: How far a shard's operation numbers are moved beyond the built ones.
_MARGIN = 8
_LARGEST_ID = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltCollection:
    """What is read of the local collection before its files are sent.

    Attributes:
        collection: The local collection.
        info: Its description by `EdgeClient.get_collection`.
        counts: The number of points of each shard.
        absent: For each shard an id that belongs to it and that no point has.
    """

    collection: str
    info: models.CollectionInfo
    counts: tuple[int, ...]
    absent: tuple[int, ...]

    @classmethod
    def of(cls, local: EdgeClient, collection: str) -> BuiltCollection:
        """Read a local collection; builds the indexes that it still lacks.

        Raises:
            CollectionNotFoundError: If the collection does not exist.
        """
        local.optimize(collection)
        counts = tuple(local.shard_counts(collection))
        return cls(
            collection=collection,
            info=local.get_collection(collection),
            counts=counts,
            absent=_absent(local, collection, len(counts)),
        )


def check_server(server: QdrantClient, source: BuiltCollection, *, untested: bool) -> bool:
    """Refuse an empty collection, and a server of a version that was not tested.

    Returns:
        Whether the server configures the placement of data with memory tiers.

    Raises:
        CannotShipError: If there are no points, or the server's version was not tested.
        ServerUnavailableError: If the server does not answer.
    """
    if not sum(source.counts):
        raise CannotShipError(
            collection=source.collection, where=address(server), problem="it holds no points"
        )
    return check_server_version(server, source.collection, untested=untested)


def check_server_version(server: QdrantClient, collection: str, *, untested: bool) -> bool:
    """Refuse a server of a version that shipments were not tested with.

    Returns:
        Whether the server configures the placement of data with memory tiers.

    Raises:
        CannotShipError: If its version was not tested.
        ServerUnavailableError: If the server does not answer.
    """
    version = first_version(server, collection)
    if (version is None or version[:2] not in TESTED) and not untested:
        shown = "an unknown version" if version is None else f"version {_shown(version)}"
        tested = ", ".join(_shown(one) for one in sorted(TESTED))
        raise CannotShipError(
            collection=collection,
            where=address(server),
            problem=f"it runs {shown}, and shipments were tested with {tested} only. To try: "
            "untested=True (--untested); nothing goes live without its proofs",
        )
    return version is not None and version >= TIERS_SINCE


def check_versions(source: BuiltCollection, where: str, shards: Sequence[BuiltShard]) -> None:
    """Refuse segments of a format version that was not tested with any server.

    Raises:
        CannotShipError: If there are any.
    """
    if unknown := unknown_versions(shards):
        raise CannotShipError(
            collection=source.collection,
            where=where,
            problem=f"its segments are of version {', '.join(unknown)}, which was not tested with "
            "any server. To try: untested=True (--untested)",
        )


def prepare(
    source: BuiltCollection,
    shards: Sequence[BuiltShard],
    server: QdrantClient,
    target: Target,
    *,
    tiers: bool,
    replicas: int | None,
    retry: RetryPolicy,
) -> dict[str, dict[str, Any]]:
    """Prepare the target: settings, payload indexes and operation numbers.

    Args:
        source: The local collection.
        shards: Its shards.
        server: The client of the server.
        target: The target, which `Target.check` has accepted.
        tiers: Whether the server configures the placement of data with memory tiers.
        replicas: Copies of each shard in a target that is created.
        retry: How long to keep retrying an unreachable server.

    Returns:
        The segments' states, translated to the target's configuration, by name.

    Raises:
        CannotShipError: If the target's settings differ from the build's; it names the fields.
    """
    schema = schema_of(source.info)
    if target.before is not None:
        _require_same(target, target.before, schema, shards)
    body = create_body(source.info, shards, tiers=tiers, replicas=replicas)
    config = target.create(body, schema)
    states, differences = translated_states(config, shards)
    if differences:
        raise target.refused(f"its settings would differ: {'; '.join(differences)}")
    advance_operation_numbers(server, target.name, shards, source.absent, retry=retry)
    return states


def advance_operation_numbers(
    server: QdrantClient,
    target: str,
    shards: Sequence[BuiltShard],
    absent: Sequence[int],
    *,
    retry: RetryPolicy,
) -> None:
    """Advance every shard's operation numbers beyond those of the points that it will hold.

    A server acknowledges an operation whose number is not above its point's, and ignores it. So
    the target's numbers are advanced first, by deletions of ids that no point has, for each shard
    separately, because each shard has its own numbers.

    Args:
        server: The client of the server.
        target: The collection on the server.
        shards: The built shards.
        absent: For each shard an id that belongs to it and that no point has: the deletions stay
            in the shard's log, and are executed again when it is opened.
        retry: How long to keep retrying an unreachable server.

    Raises:
        EngineError: If the numbers do not grow.
    """
    for shard, point in zip(shards, absent, strict=True):
        reached, wanted = -1, shard.newest + _MARGIN
        missing = 1
        while missing > 0:
            deletions = [
                models.DeleteOperation(delete=models.PointIdsList(points=[point]))
                for _ in range(min(missing, _DELETIONS))
            ]
            results = call_with_retries(
                server,
                target,
                "advancing operation numbers",
                lambda deletions=deletions: server.batch_update_points(  # type: ignore[misc]
                    target, deletions, wait=True
                ),
                retry=retry,
            )
            numbers = [one.operation_id for one in results if one.operation_id is not None]
            before, reached = reached, max(numbers, default=-1)
            if reached <= before:
                raise EngineError(
                    operation=f"advancing the operation numbers of {target!r}",
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
    """Refuse an existing target with other settings; nothing of it has been changed yet."""
    _, differences = translated_states(before["config"], shards)
    found = list(differences)
    number = before["config"]["params"].get("shard_number")
    if number != len(shards):
        found.append(f"shard_number: built {len(shards)}, target {number}")
    for field, index in before.get("payload_schema", {}).items():
        built = schema.get(field, {}).get("data_type", "none")
        if index["data_type"] != built:
            found.append(f"payload index {field}: built {built}, target {index['data_type']}")
    if found:
        raise target.refused(f"{target.name!r} on the server differs: {'; '.join(found)}")


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
