"""Computes the number of machines and shards that a collection needs on servers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qdrant_static import rules
from qdrant_static.collection import capacityfigures as figures
from qdrant_static.collection.capacity import Footprint
from qdrant_static.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine of the cluster.

    Attributes:
        memory: Bytes of RAM.
        disk: Bytes of disk; None: no limit.
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
        return int(self.memory * figures.USABLE_MEMORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The machines and shards that a server needs.

    Attributes:
        machines: Number of machines.
        shards: Number of shards, replicas not counted; a multiple of the machines, so that their
            load is even.
        replicas: Copies of each shard.
        ram: Bytes held in memory on each machine.
        disk: Bytes of disk that each machine must have, with room to rewrite segments.
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
    """Return the machines and shards for a collection.

    Args:
        taken: Footprint of one copy.
        machine: Memory and disk of a machine.
        replicas: Copies of each shard, each on another machine.

    Raises:
        ArgumentError: If ``replicas`` is below 1.
    """
    rules.check_integer("replicas", replicas)
    machines = max(replicas, math.ceil(taken.ram * replicas / machine.usable))
    if machine.disk is not None:
        machines = max(
            machines, math.ceil(taken.disk * replicas * figures.DISK_FACTOR / machine.disk)
        )
    shards = machines
    if taken.rows >= figures.MIN_ROWS_TO_SHARD:
        least = max(
            figures.SHARDS_PER_MACHINE * machines,
            math.ceil(taken.rows / figures.MAX_ROWS_PER_SHARD),
        )
        shards = machines * math.ceil(least / machines)
    elif machines == replicas:
        shards = 1  # every machine has all of it
    return Cluster(
        machines=machines,
        shards=shards,
        replicas=replicas,
        ram=math.ceil(taken.ram * replicas / machines),
        disk=math.ceil(taken.disk * replicas * figures.DISK_FACTOR / machines),
    )
