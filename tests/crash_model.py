"""Operations that a child process carries out until it is killed, and what must then be there.

The operations follow from a seed, so that the parent knows what the child did: it only has to hear
which of them were acknowledged. ``python -m tests.crash_model ROOT SEED START`` is the child; it
prints the number of an operation as soon as it is acknowledged.
"""

from __future__ import annotations

import random
import sys
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from qdrant_client import models

from qdrant_static import EdgeClient

SIZE = 32
MAIN, OTHER, ALIAS = "main", "other", "current"


@dataclass
class State:
    """What is in the directory.

    Attributes:
        points: Payloads of the main collection by id.
        other: Whether the other collection is there.
        alias: What the alias stands for.
        metadata: Of the main collection.
        vectors: Names of the main collection's vectors.
    """

    points: dict[int, dict[str, int]] = field(default_factory=dict)
    other: bool = False
    alias: str | None = None
    metadata: dict[str, int] = field(default_factory=dict)
    vectors: frozenset[str] = frozenset({"v"})


def vector(point: int, version: int) -> list[float]:
    """The vector of a version of a point: exact in float32, and told apart."""
    return [float(point), float(version), *([1.0] * (SIZE - 2))]


def operation(seed: int, number: int) -> tuple[str, Any]:
    """The operation of a number."""
    dice = random.Random(seed * 1_000_003 + number)  # noqa: S311
    kinds = ["upsert"] * 10 + ["delete", "payload", "optimize", "settings", "alias", "other"]
    kinds += ["vector", "flush"]
    kind = dice.choice(kinds)
    ids = dice.sample(range(3000), dice.choice([1, 50, 400]))
    return kind, sorted(ids)


def expected(before: State, seed: int, number: int) -> State:  # noqa: C901
    """The state after an operation."""
    after = deepcopy(before)
    kind, ids = operation(seed, number)
    if kind == "upsert":
        after.points.update({one: {"v": number} for one in ids})
    elif kind == "delete":
        for one in ids:
            after.points.pop(one, None)
    elif kind == "payload":
        for one in [one for one in ids if one in after.points]:
            after.points[one]["extra"] = number
    elif kind == "settings":
        after.metadata = {"settings": number}
    elif kind == "alias":
        after.alias = None if before.alias else (OTHER if before.other else MAIN)
    elif kind == "other":
        after.other = not before.other
        if before.alias == OTHER:
            after.alias = None
    elif kind == "vector":
        after.vectors = frozenset({"v", "w"}) - (before.vectors & {"w"})
    return after


def carry_out(client: EdgeClient, before: State, seed: int, number: int) -> None:  # noqa: C901
    """The operation on a real client."""
    kind, ids = operation(seed, number)
    if kind == "upsert":
        client.upsert(
            MAIN,
            [
                models.PointStruct(id=one, vector={"v": vector(one, number)}, payload={"v": number})
                for one in ids
            ],
        )
    elif kind == "delete":
        client.delete(MAIN, ids)
    elif kind == "payload":
        there = [one for one in ids if one in before.points]
        if there:
            client.set_payload(MAIN, {"extra": number}, points=there)
    elif kind == "optimize":
        client.optimize(MAIN)
    elif kind == "settings":
        client.update_collection(
            MAIN,
            hnsw_config=models.HnswConfigDiff(m=4 + number % 8),
            metadata={"settings": number},
        )
    elif kind == "alias":
        client.update_collection_aliases([_alias_action(before)])
    elif kind == "other" and before.other:
        client.delete_collection(OTHER)
    elif kind == "other":
        client.create_collection(OTHER, models.VectorParams(size=2, distance=models.Distance.DOT))
    elif kind == "vector" and "w" in before.vectors:
        client.delete_vector_name(MAIN, "w")
    elif kind == "vector":
        client.create_vector_name(
            MAIN,
            "w",
            models.DenseVectorNameConfig(
                dense=models.DenseVectorConfig(size=2, distance=models.Distance.DOT)
            ),
        )
    elif kind == "flush":
        client.flush(MAIN)


def create(client: EdgeClient, *, wal: bool = True) -> None:
    """The main collection, indexed from 20 KB on so that builds have something to do."""
    client.create_collection(
        MAIN,
        {"v": models.VectorParams(size=SIZE, distance=models.Distance.EUCLID)},
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=20),
        wal=wal,
    )


def read(client: EdgeClient) -> State:
    """What is really there; every vector must be that of its payload's version."""
    records, _ = client.scroll(MAIN, limit=10_000, with_vectors=["v"])
    for record in records:
        assert np.array_equal(record.vector["v"], vector(record.id, record.payload["v"]))
    assert client.count(MAIN).count == len(records)
    config = client.get_collection(MAIN).config
    aliases = {one.alias_name: one.collection_name for one in client.get_aliases().aliases}
    other = client.collection_exists(OTHER)
    if other:
        assert client.count(OTHER).count == 0
    return State(
        points={record.id: record.payload for record in records},
        other=other,
        alias=aliases.get(ALIAS),
        metadata=config.metadata or {},
        vectors=frozenset(config.params.vectors),
    )


def _alias_action(before: State) -> models.AliasOperations:
    if before.alias:
        return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=ALIAS))
    target = OTHER if before.other else MAIN
    return models.CreateAliasOperation(
        create_alias=models.CreateAlias(alias_name=ALIAS, collection_name=target)
    )


def child(root: str, seed: int, start: int) -> None:
    """Carry out operations from a number on, without end."""
    state = State()
    for number in range(start):
        state = expected(state, seed, number)
    client = EdgeClient(root)
    client.count(MAIN)
    print("ready", flush=True)  # noqa: T201
    number = start
    while True:
        carry_out(client, state, seed, number)
        print(number, flush=True)  # noqa: T201
        state = expected(state, seed, number)
        number += 1


if __name__ == "__main__":
    child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
