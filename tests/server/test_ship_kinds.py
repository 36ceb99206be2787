"""Whatever a collection can hold arrives: no proof refuses what is well."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from qdrant_static import EdgeClient, connect
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.shipping.push import ship

pytestmark = pytest.mark.server

POINTS = 300
SIZE = 64
COSINE = models.Distance.COSINE
DICE = np.random.default_rng(5)


def drawn(size: int = SIZE) -> list[float]:
    return DICE.standard_normal(size).astype(np.float32).tolist()


def dense(size: int = SIZE, distance: models.Distance = COSINE, **more: Any) -> Any:
    return models.VectorParams(size=size, distance=distance, **more)


def terms(number: int) -> models.SparseVector:
    return models.SparseVector(indices=[number % 7, 100 + number], values=[1.0, 0.5])


FIELDS: dict[str, Any] = {
    "keyword": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    "number": models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=True, range=True
    ),
    "share": models.PayloadSchemaType.FLOAT,
    "even": models.PayloadSchemaType.BOOL,
    "text": models.TextIndexParams(
        type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.WORD, min_token_len=2
    ),
    "place": models.PayloadSchemaType.GEO,
    "when": models.PayloadSchemaType.DATETIME,
    "uuid": models.PayloadSchemaType.UUID,
    "nested.x": models.PayloadSchemaType.INTEGER,
}


def payload(number: int) -> dict[str, Any] | None:
    """All types of fields; some points have none."""
    if number % 9 == 0:
        return None
    return {
        "keyword": f"k{number % 5}",
        "number": number,
        "share": number / 7,
        "even": number % 2 == 0,
        "text": f"hello world number {number}",
        "place": {"lat": number % 80 / 1.0, "lon": 2.5},
        "when": "2024-01-01T00:00:00Z",
        "uuid": "550e8400-e29b-41d4-a716-446655440000",
        "nested": {"x": [number, None]},
        "straße 😀": "ü",
        "none": None,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A collection.

    Attributes:
        vectors: The vectors of a point, by its number.
        config: How it is created.
        fields: Its payload indexes.
        edited: Whether points are deleted and changed after its index was built.
    """

    vectors: Callable[[int], Any]
    config: dict[str, Any]
    fields: dict[str, Any] = field(default_factory=dict)
    edited: bool = False


KINDS = {
    "one vector without a name": Kind(
        vectors=lambda _: drawn(), config={"vectors_config": dense()}
    ),
    "two vectors, of which some points have one": Kind(
        vectors=lambda n: {"a": drawn(), "b": drawn()} if n % 3 else {"a": drawn()},
        config={
            "vectors_config": {
                "a": dense(distance=models.Distance.DOT),
                "b": dense(distance=models.Distance.MANHATTAN),
            }
        },
    ),
    "dense, late and sparse, some without a term": Kind(
        vectors=lambda n: {
            "full": drawn(),
            "late": [drawn(16) for _ in range(1 + n % 4)],
            "bm25": terms(n) if n % 5 else models.SparseVector(indices=[], values=[]),
        },
        config={
            "vectors_config": {
                "full": dense(datatype=models.Datatype.FLOAT16),
                "late": dense(
                    16,
                    hnsw_config=models.HnswConfigDiff(m=0),
                    multivector_config=models.MultiVectorConfig(
                        comparator=models.MultiVectorComparator.MAX_SIM
                    ),
                ),
            },
            "sparse_vectors_config": {"bm25": models.SparseVectorParams(modifier="idf")},
        },
    ),
    "bytes": Kind(
        vectors=lambda _: {"full": DICE.integers(0, 255, SIZE).astype(float).tolist()},
        config={"vectors_config": {"full": dense(datatype=models.Datatype.UINT8)}},
    ),
    "sparse vectors alone": Kind(
        vectors=lambda n: {"bm25": terms(n)},
        config={
            "vectors_config": {},
            "sparse_vectors_config": {"bm25": models.SparseVectorParams()},
        },
    ),
    "every payload index, edited after it was built": Kind(
        vectors=lambda _: {"full": drawn()},
        config={"vectors_config": {"full": dense()}},
        fields=FIELDS,
        edited=True,
    ),
    "all on disk": Kind(
        vectors=lambda _: {"full": drawn()},
        config={
            "vectors_config": {
                "full": dense(
                    on_disk=True, hnsw_config=models.HnswConfigDiff(on_disk=True, payload_m=8)
                )
            },
            "on_disk_payload": True,
        },
        fields={
            "keyword": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, on_disk=True)
        },
    ),
    "nothing to index": Kind(
        vectors=lambda _: {"full": drawn()},
        config={
            "vectors_config": {"full": dense()},
            "optimizers_config": models.OptimizersConfigDiff(indexing_threshold=20_000),
        },
    ),
}
#: A graph for so many kilobytes; the few points that a proof edits have fewer.
INDEXED = models.OptimizersConfigDiff(indexing_threshold=20)


def build(local: EdgeClient, kind: Kind, shards: int) -> None:
    local.create_collection(
        "c", shard_number=shards, **{"optimizers_config": INDEXED, **kind.config}
    )
    for name, schema in kind.fields.items():
        local.create_payload_index("c", name, field_schema=schema)
    for start in range(0, POINTS, 100):
        numbers = range(start, start + 100)
        local.upsert(
            "c",
            [models.PointStruct(id=n, vector=kind.vectors(n), payload=payload(n)) for n in numbers],
        )
    if kind.edited:
        local.optimize("c")
        local.delete("c", list(range(30)))
        local.set_payload("c", {"keyword": "new"}, points=[50, 51])
        local.delete_payload("c", ["share"], points=[60])


@pytest.fixture
def server() -> Iterator[QdrantClient]:
    client = connect(os.environ["QDRANT_URL"])
    yield client
    client.close()


@pytest.mark.parametrize(
    ("name", "shards"), [(name, 1 + place % 2) for place, name in enumerate(KINDS)]
)
def test_it_arrives_and_nothing_is_left_to_do(server, tmp_path, name, shards) -> None:
    kind = KINDS[name]
    target = f"test-kinds-{uuid4().hex[:8]}"
    with EdgeClient(tmp_path) as local:
        build(local, kind, shards)
        try:
            shipment = ship(local, "c", server, name=target, retry=RetryPolicy(budget_s=10.0))
            points = POINTS - (30 if kind.edited else 0)
            assert shipment.points == server.count(target, exact=True).count == points
            assert server.get_collection(target).status == models.CollectionStatus.GREEN
            for one in FIELDS if kind.fields is FIELDS else ():
                there = models.Filter(must_not=[models.IsEmptyCondition(is_empty={"key": one})])
                assert (
                    server.count(target, there, exact=True).count
                    == local.count("c", there, exact=True).count
                )
        finally:
            server.delete_collection(target)
