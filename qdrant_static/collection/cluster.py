"""How many machines and shards of a server a footprint needs: rules, each with its source."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qdrant_static import rules
from qdrant_static.collection.capacity import Footprint
from qdrant_static.errors import ArgumentError

#: Share of a machine's memory that the data may hold. Qdrant calls resident memory above 80% of
#: the RAM a sign of a problem (its guide to memory usage); indexing needs some of the rest too.
USABLE_MEMORY = 0.75
#: While segments are rewritten the old ones stay until the new ones are there.
DISK_FACTOR = 2.0
#: Qdrant advises two to four shards a machine (its guide to horizontal scaling): two leave room
#: to double the machines without sharding anew.
SHARDS_PER_MACHINE = 2
#: The same guide finds a machine good for about 100 million vectors, so for half in a shard.
MAX_ROWS_PER_SHARD = 50_000_000
#: Fewer rows than this gain nothing from a second shard.
MIN_ROWS_TO_SHARD = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine of the cluster.

    Attributes:
        memory: Bytes of RAM.
        disk: Bytes of disk; None: as much as is needed.
    """

    memory: int = 64 * 1000**3
    disk: int | None = None

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise ArgumentError(field="machine_memory", problem=f"{self.memory} is below 1 byte")
        if self.disk is not None and self.disk < 1:
            raise ArgumentError(field="machine_disk", problem=f"{self.disk} is below 1 byte")

    @property
    def usable(self) -> int:
        """Bytes of RAM that data may hold."""
        return int(self.memory * USABLE_MEMORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What a server needs.

    Attributes:
        machines: How many.
        shards: How many, replicas not counted; a multiple of the machines, so that all work alike.
        replicas: Copies of each shard.
        ram: Bytes that are held on each machine.
        disk: Bytes of disk that each machine must have, room to rewrite included.
    """

    machines: int
    shards: int
    replicas: int
    ram: int
    disk: int

    def __str__(self) -> str:
        parts = [(self.machines, "machine"), (self.shards, "shard"), (self.replicas, "replica")]
        return ", ".join(f"{n} {name}{'' if n == 1 else 's'}" for n, name in parts)


def cluster(taken: Footprint, *, machine: Machine, replicas: int = 1) -> Cluster:
    """Machines and shards for a collection.

    Args:
        taken: What one copy takes.
        machine: What a machine has.
        replicas: Copies of each shard, each on another machine.

    Raises:
        ArgumentError: If ``replicas`` is below 1.
    """
    rules.check_integer("replicas", replicas)
    machines = max(replicas, math.ceil(taken.ram * replicas / machine.usable))
    if machine.disk is not None:
        machines = max(machines, math.ceil(taken.disk * replicas * DISK_FACTOR / machine.disk))
    shards = machines
    if taken.rows >= MIN_ROWS_TO_SHARD:
        least = max(SHARDS_PER_MACHINE * machines, math.ceil(taken.rows / MAX_ROWS_PER_SHARD))
        shards = machines * math.ceil(least / machines)
    elif machines == replicas:
        shards = 1  # every machine has all of it
    return Cluster(
        machines=machines,
        shards=shards,
        replicas=replicas,
        ram=math.ceil(taken.ram * replicas / machines),
        disk=math.ceil(taken.disk * replicas * DISK_FACTOR / machines),
    )
