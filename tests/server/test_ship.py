"""Shipping to a real server, end to end: what was built is what is searched there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from qdrant_static import CollectionSpec, EdgeClient, create_collection
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.quantization import SHORT_NAMES
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.spec import METADATA_KEY
from qdrant_static.errors import (
    AliasExistsError,
    ArgumentError,
    CannotShipError,
    CollectionNotFoundError,
)
from qdrant_static.shipping.nodes.node import collection_path, node_of
from qdrant_static.shipping.progress import ShipProgress
from qdrant_static.shipping.push import ship
from qdrant_static.shipping.targets.target import MARK
from tests.fakes import FakeEncoder
from tests.shipping import INDEXED, build, point_id, points, vectors

pytestmark = pytest.mark.server

COUNT = 600
RETRY = RetryPolicy(first_s=0.05, longest_s=0.5, budget_s=20.0)


def connected(*, prefer_grpc: bool) -> QdrantClient:
    url = os.environ["QDRANT_URL"]
    return QdrantClient(
        url=url,
        grpc_port=(urlsplit(url).port or 6333) + 1,  # the server's own convention
        prefer_grpc=prefer_grpc,
        check_compatibility=False,
        timeout=60,
    )


@pytest.fixture(params=["grpc", "rest"])
def server(request) -> Iterator[QdrantClient]:
    client = connected(prefer_grpc=request.param == "grpc")
    yield client
    client.close()


@pytest.fixture
def rest() -> Iterator[QdrantClient]:
    client = connected(prefer_grpc=False)
    yield client
    client.close()


@pytest.fixture
def name(rest) -> Iterator[str]:
    """A collection's name on the server, and every name that begins with it."""
    chosen = f"test-ship-{uuid4().hex[:8]}"
    yield chosen
    for one in rest.get_collections().collections:
        if one.name.startswith(chosen):
            rest.delete_collection(one.name)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Iterator[EdgeClient]:
    """The same points in one shard and in three."""
    with EdgeClient(tmp_path_factory.mktemp("built")) as client:
        build(client, "one", COUNT, metadata={"made": "here"})
        build(client, "three", COUNT, shard_number=3)
        yield client


def found(client, collection: str, using: str, query, **options) -> list[tuple]:
    answer = client.query_points(collection, query, using=using, **{"limit": 10, **options})
    return [(point.id, round(point.score, 4)) for point in answer.points]


def queued(server: QdrantClient, collection: str) -> int:
    with node_of(server) as node:
        path = collection_path(collection, "optimizations")
        summary = node.get(path, **{"with": "queued"})["summary"]
    return int(summary["queued_optimizations"])


def test_one_shard_is_searched_there_as_here(built, server, name):
    heard: list[ShipProgress] = []
    shipment = ship(
        built, "one", server, name=name, alias=f"{name}-live", retry=RETRY, progress=heard.append
    )
    assert (shipment.points, shipment.shards, shipment.already) == (COUNT, 1, False)
    assert [proof.name for proof in shipment.proofs] == [
        "count", "route", "ids", "vectors", "payloads", "searches", "indexed", "edits",
    ]  # fmt: skip
    odd = models.Filter(
        must=[models.FieldCondition(key="kind", match=models.MatchValue(value="odd"))]
    )
    sparse = models.SparseVector(indices=[7, 100], values=[1.0, 1.0])
    # The points that were edited left their segment, and each segment chooses by coarse codes.
    widely = models.SearchParams(
        hnsw_ef=COUNT,
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=30.0),
    )
    for row in vectors(COUNT)[::100]:
        for options in ({}, {"query_filter": odd}):
            options = {"search_params": widely, **options}
            assert found(server, f"{name}-live", "full", row.tolist(), **options) == found(
                built, "one", "full", row.tolist(), **options
            )
    there, here = (
        dict(found(client, where, "bm25", sparse, limit=12))
        for client, where in ((server, name), (built, "one"))
    )
    # IDF counts points that an edit has moved twice, until their segment is rewritten.
    assert there == pytest.approx(here, rel=0.01)
    metadata = server.get_collection(name).config.metadata
    assert metadata["made"] == "here"
    assert metadata[MARK]["state"] == "live"
    assert queued(server, name) == 0
    phases = [one.phase for one in heard]
    assert sorted(set(phases), key=phases.index) == [
        "preparing", "sending", "copying", "proving", "done",
    ]  # fmt: skip
    assert heard[-1].sent_bytes == heard[-1].total_bytes == shipment.sent_bytes > 0
    assert heard[-1].shards_done == 1


def test_three_shards_hold_every_id_where_the_server_looks_for_it(built, server, name):
    shipment = ship(built, "three", server, name=name, retry=RETRY)
    assert shipment.shards == 3
    exact = models.SearchParams(exact=True)
    for row in vectors(COUNT)[::100]:
        assert found(server, name, "full", row.tolist(), search_params=exact) == found(
            built, "one", "full", row.tolist(), search_params=exact
        )
    every = [point_id(number) for number in range(COUNT)]
    assert {record.id for record in server.retrieve(name, every)} == set(every)
    server.set_payload(name, {"seen": True}, points=every, wait=True)
    server.delete(name, every[:100], wait=True)
    server.upsert(name, points(100, COUNT), wait=True)
    assert server.count(name, exact=True).count == COUNT
    seen = models.FieldCondition(key="seen", match=models.MatchValue(value=True))
    assert server.count(name, models.Filter(must=[seen])).count == COUNT - 100
    below = models.FieldCondition(key="n", range=models.Range(lt=200))
    assert server.count(name, models.Filter(must=[below])).count == 100


def test_what_is_live_is_only_proved_again(built, server, name):
    first = ship(built, "one", server, name=name, retry=RETRY)
    again = ship(built, "one", server, name=name, alias=f"{name}-live", retry=RETRY)
    assert (again.id, again.already, again.sent_bytes) == (first.id, True, 0)
    assert "was there already" in str(again)
    assert {one.alias_name for one in server.get_collection_aliases(name).aliases} == {
        f"{name}-live"
    }


def test_an_empty_target_is_used_and_keeps_what_is_its_own(built, server, name):
    info = built.get_collection("one")
    server.create_collection(
        name,
        vectors_config={
            "full": models.VectorParams(
                size=info.config.params.vectors["full"].size,
                distance="Cosine",
                quantization_config=models.BinaryQuantization(
                    binary=models.BinaryQuantizationConfig(always_ram=True)
                ),
            ),
            "short": models.VectorParams(
                size=8, distance="Cosine", hnsw_config=models.HnswConfigDiff(m=0)
            ),
        },
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier="idf")},
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=77),
        metadata={"theirs": 1},
    )
    server.create_payload_index(name, "n", models.PayloadSchemaType.INTEGER, wait=True)
    ship(built, "one", server, name=name, retry=RETRY)
    there = server.get_collection(name)
    assert there.config.metadata["theirs"] == 1
    assert "made" not in there.config.metadata
    assert there.config.optimizer_config.indexing_threshold == 77
    assert set(there.payload_schema) == {"n", "kind"}


def test_names_that_are_taken_are_refused(built, server, name):
    server.create_collection(name, vectors_config=models.VectorParams(size=4, distance="Dot"))
    server.update_collection_aliases(
        [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=name, alias_name=f"{name}-a")
            )
        ]
    )
    with pytest.raises(CannotShipError, match=f"the alias '{name}-a' points at"):
        ship(built, "one", server, name=name, retry=RETRY)
    with pytest.raises(CannotShipError, match="is an alias there, of"):
        ship(built, "one", server, name=f"{name}-a", retry=RETRY)
    with pytest.raises(AliasExistsError):
        ship(built, "one", server, name=f"{name}-b", alias=name, retry=RETRY)
    with pytest.raises(ArgumentError, match="alias"):
        ship(built, "one", server, alias="one", retry=RETRY)
    with pytest.raises(CannotShipError, match="is not a server"):
        ship(built, "one", built, retry=RETRY)
    with pytest.raises(CollectionNotFoundError):
        ship(built, "none", server, retry=RETRY)
    assert not server.collection_exists(f"{name}-b")


def test_an_empty_collection_is_not_shipped(server, name, tmp_path):
    with EdgeClient(tmp_path) as local:
        build(local, "c", 0)
        with pytest.raises(CannotShipError, match="holds no points"):
            ship(local, "c", server, name=name, retry=RETRY)


def test_ctrl_c_leaves_nothing_or_what_was_there(built, server, name):
    def interrupt(progress: ShipProgress) -> None:
        if progress.phase == "sending" and progress.sent_bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        ship(built, "three", server, name=name, retry=RETRY, progress=interrupt)
    assert not server.collection_exists(name)
    assert caught.value.__notes__ == [f"{name!r} was removed: nothing of it is left on the server"]
    assert built.count("three").count == COUNT, "the local collection is free again"


def spec_of(quantization: str | None) -> CollectionSpec:
    spec = CollectionSpec.for_encoder(
        FakeEncoder(dimension=64),
        matryoshka=(32,),
        quantization=quantization,
        payload_indexes={"n": "integer", "kind": "keyword"},
    )
    return replace(spec, server=ServerSpec(shards=2, on_disk_payload=False))


def fill(local: EdgeClient, spec: CollectionSpec) -> None:
    """A collection of a spec, with a graph although it is small."""
    rows = np.ascontiguousarray(vectors(COUNT, 64))
    create_collection(local, "c", spec)
    local.update_collection("c", optimizers_config=INDEXED)
    local.upsert_matrices(
        "c",
        [point_id(number) for number in range(COUNT)],
        dense={"full": rows, "mrl_32": np.ascontiguousarray(rows[:, :32])},
        sparse={},
        payloads=[{"n": number, "kind": "x"} for number in range(COUNT)],
    )


QUICK = (None, "binary", "int8", "turbo4")
MORE = [name for name in SHORT_NAMES if name not in (*QUICK, "turbo8")]


@pytest.mark.parametrize(
    "quantization", [*QUICK, *(pytest.param(one, marks=pytest.mark.full) for one in MORE)]
)
def test_every_quantization_arrives_with_nothing_left_to_do(rest, name, tmp_path, quantization):
    spec = spec_of(quantization)
    with EdgeClient(tmp_path) as local:
        fill(local, spec)
        ship(local, "c", rest, name=name, retry=RETRY)
    assert queued(rest, name) == 0
    assert read_spec(rest, name).vectors == spec.vectors
    assert METADATA_KEY in rest.get_collection(name).config.metadata
    assert rest.get_collection(name).config.params.on_disk_payload is False


def test_what_the_server_does_not_know_is_told_and_leaves_nothing(rest, name, tmp_path):
    with EdgeClient(tmp_path) as local:
        fill(local, spec_of("turbo8"))
        with pytest.raises(CannotShipError, match="the server does not create it"):
            ship(local, "c", rest, name=name, retry=RETRY)
    assert not rest.collection_exists(name)


COLD, CACHED = models.Memory.COLD, models.Memory.CACHED
INT8 = models.ScalarQuantizationConfig(type="int8")
LAYOUTS = {
    "unnamed": {"vectors_config": models.VectorParams(size=16, distance="Cosine")},
    "flags": {
        "vectors_config": {
            "v": models.VectorParams(
                size=16,
                distance="Dot",
                on_disk=True,
                hnsw_config=models.HnswConfigDiff(on_disk=True, m=8, payload_m=4),
                quantization_config=models.ScalarQuantization(
                    scalar=INT8.model_copy(update={"always_ram": True, "quantile": 0.95})
                ),
            )
        },
        "on_disk_payload": False,
    },
    "cold": {
        "vectors_config": {
            "v": models.VectorParams(
                size=16,
                distance="Euclid",
                memory=COLD,
                hnsw_config=models.HnswConfigDiff(memory=COLD),
                quantization_config=models.ScalarQuantization(
                    scalar=INT8.model_copy(update={"memory": COLD})
                ),
            )
        },
        "sparse_vectors_config": {
            "s": models.SparseVectorParams(index=models.SparseIndexParams(memory=COLD))
        },
        "payload": models.PayloadStorageParams(memory=COLD),
    },
    "cached": {
        "vectors_config": {"v": models.VectorParams(size=16, distance="Manhattan", memory=CACHED)},
        "sparse_vectors_config": {
            "s": models.SparseVectorParams(
                index=models.SparseIndexParams(memory=CACHED, full_scan_threshold=10)
            )
        },
        "hnsw_config": models.HnswConfigDiff(m=12, ef_construct=50, memory=CACHED),
        "quantization_config": models.ScalarQuantization(
            scalar=INT8.model_copy(update={"memory": CACHED})
        ),
        "payload": models.PayloadStorageParams(memory=CACHED),
    },
    "halves": {
        "vectors_config": {
            "v": models.VectorParams(size=16, distance="Cosine", datatype="float16"),
            "w": models.VectorParams(size=16, distance="Cosine", datatype="uint8"),
        },
        "sparse_vectors_config": {
            "s": models.SparseVectorParams(
                index=models.SparseIndexParams(datatype="float16", on_disk=True)
            )
        },
    },
    "late": {
        "vectors_config": {
            "v": models.VectorParams(size=16, distance="Cosine"),
            "late": models.VectorParams(
                size=16,
                distance="Cosine",
                hnsw_config=models.HnswConfigDiff(m=0),
                multivector_config=models.MultiVectorConfig(comparator="max_sim"),
            ),
        },
    },
}


def laid_out(layout: dict, count: int) -> list[models.PointStruct]:
    dense = layout["vectors_config"]
    rows = np.abs(vectors(count, 16)) * 10

    def vector(number: int):
        if isinstance(dense, models.VectorParams):
            return rows[number].tolist()
        named = {
            name: [rows[number].tolist()] * 3 if one.multivector_config else rows[number].tolist()
            for name, one in dense.items()
        }
        if "sparse_vectors_config" in layout:
            named["s"] = models.SparseVector(indices=[number % 30, 40], values=[1.0, 2.0])
        return named

    return [
        models.PointStruct(
            id=point_id(number),
            vector=vector(number),
            payload={"tenant": f"t{number % 3}", "text": f"number {number} of many"},
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_arrives_with_nothing_left_to_do(rest, name, tmp_path, layout):
    with EdgeClient(tmp_path) as local:
        local.create_collection("c", **LAYOUTS[layout], optimizers_config=INDEXED)
        local.create_payload_index(
            "c", "tenant", models.KeywordIndexParams(type="keyword", is_tenant=True)
        )
        local.create_payload_index(
            "c",
            "text",
            models.TextIndexParams(type="text", tokenizer="word", lowercase=True, min_token_len=2),
        )
        local.upsert("c", laid_out(LAYOUTS[layout], 300))
        ship(local, "c", rest, name=name, retry=RETRY)
        here = local.get_collection("c").payload_schema
    assert queued(rest, name) == 0
    there = rest.get_collection(name)
    assert there.payload_schema == here
    assert there.indexed_vectors_count > 0
