"""The sink on a real server: what a fake of ours cannot know."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from qdrant_static.clients.connect import server_version
from qdrant_static.clients.indexing import (
    deferred_indexing,
    index_progress,
    restore_indexing,
    wait_until_indexed,
)
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.encoders.sparsevectors import SparseRows
from qdrant_static.errors import AccessDeniedError, SpecMismatchError
from qdrant_static.sinks.pointbytes import MAX_DEPTH
from qdrant_static.sinks.serversink import ServerSink, Settled
from qdrant_static.sinks.sink import EncodedBatch
from tests.server.own_server import OwnServer, needs_binary

pytestmark = pytest.mark.server

DIMENSION = 16
ROWS = 200


@pytest.fixture(params=["gRPC", "REST"])
def client(request) -> Iterator[QdrantClient]:
    made = QdrantClient(
        url=os.environ["QDRANT_URL"],
        # The way of the common setup: gRPC's port is REST's and one.
        grpc_port=int(os.environ["QDRANT_URL"].rstrip("/").rpartition(":")[2]) + 1,
        prefer_grpc=request.param == "gRPC",
        timeout=30,
        check_compatibility=False,
    )
    yield made
    made.close()


@pytest.fixture
def collection(client) -> Iterator[str]:
    name = f"test-serversink-{uuid4().hex}"
    create(client, name)
    yield name
    client.delete_collection(name)


def create(client: QdrantClient, name: str, *, size: int = DIMENSION) -> None:
    client.create_collection(
        name,
        vectors_config={"full": models.VectorParams(size=size, distance=models.Distance.DOT)},
        sparse_vectors_config={"bm25": models.SparseVectorParams()},
    )


def batch(number: int, rows: int = ROWS) -> tuple[list[int], EncodedBatch, list[dict[str, Any]]]:
    rng = np.random.default_rng(number)
    vectors = EncodedBatch(
        dense={"full": rng.standard_normal((rows, DIMENSION), dtype=np.float32)},
        sparse=SparseRows(
            indices=np.tile(np.array([3, 4_000_000_000], dtype=np.uint32), rows),
            values=rng.random(2 * rows, dtype=np.float32),
            pointers=np.arange(rows + 1, dtype=np.int64) * 2,
            n_terms=2 * rows,
        ),
    )
    ids = list(range(number * ROWS, number * ROWS + rows))
    return ids, vectors, [{"n": one, "text": f"ü {one}"} for one in ids]


class Heard(dict):
    """What became of the batches."""

    def __call__(self, token: int, settled: Settled) -> None:
        assert token not in self
        self[token] = settled


def sink(client: QdrantClient, collection: str, heard: Heard, **options: Any) -> ServerSink:
    return ServerSink(
        client, collection, {"full": DIMENSION}, sparse="bm25", on_settled=heard, **options
    )


def check(client: QdrantClient, collection: str, heard: Heard, batches: int) -> None:
    assert sorted(heard) == list(range(batches))
    assert client.count(collection, exact=True).count == batches * ROWS
    for number in range(batches):
        ids, vectors, payloads = batch(number)
        found = client.retrieve(collection, ids, with_vectors=True)
        assert len(found) == ROWS
        by_id = {one.id: one for one in found}
        for row, one in enumerate(ids):
            assert by_id[one].payload == payloads[row]
            assert np.allclose(by_id[one].vector["full"], vectors.dense["full"][row], rtol=1e-6)
            terms = by_id[one].vector["bm25"]
            assert dict(zip(terms.indices, terms.values, strict=True)) == pytest.approx(
                dict(
                    zip(
                        vectors.sparse.row(row).indices.tolist(),
                        vectors.sparse.row(row).values.tolist(),
                        strict=True,
                    )
                )
            )


def test_what_is_sent_is_what_is_read_back(client, collection):
    heard = Heard()
    with sink(client, collection, heard) as one:
        for number in range(5):
            one.submit(number, *batch(number))
    check(client, collection, heard, 5)


def test_any_payload_comes_back_as_it_was(client, collection):
    deep: Any = "end"
    for _ in range(MAX_DEPTH // 2):
        deep = {"a": [deep]}
    payload = {
        "null": None, "yes": True, "no": False, "zero": 0, "big": 2**63 - 1, "small": -(2**63),
        "half": 0.5, "tiny": 5e-324, "huge": 1.7e308, "empty": "", "text": "ü \u0000 😀 \n",
        "list": [1, "a", None, [2.5, []], {}], "object": {"": {"ü": [True]}}, "deep": deep,
        "long": "x" * 100_000,
    }  # fmt: skip
    heard = Heard()
    _, vectors, _ = batch(0, rows=2)
    with sink(client, collection, heard) as one:
        one.submit(0, [2**64 - 1, str(uuid4())], vectors, [payload, {}])
    assert heard[0].refused == {}
    found = client.retrieve(collection, [2**64 - 1])[0].payload
    assert found == payload
    assert [type(found[name]) for name in ("yes", "zero", "half")] == [bool, int, float]
    assert math.copysign(1, found["half"]) == 1


def test_a_collection_made_anew_with_another_size_ends_the_job(client, collection):
    heard = Heard()
    one = sink(client, collection, heard)
    one.submit(0, *batch(0))
    one.flush()
    client.delete_collection(collection)
    create(client, collection, size=DIMENSION + 1)
    one.submit(1, *batch(1))
    with pytest.raises(SpecMismatchError, match="vector full: 17, not 16"):
        one.flush()
    one.abort()
    assert list(heard) == [0]


def test_under_a_rate_limit_everything_arrives_with_patience(client, collection):
    heard = Heard()
    # 6,000 tokens at the start and 100 more each second; a request costs one per point.
    client.update_collection(
        collection,
        strict_mode_config=models.StrictModeConfig(enabled=True, write_rate_limit=6000),
    )
    with sink(client, collection, heard) as one:
        for number in range(31):
            one.submit(number, *batch(number))
    assert not any(settled.refused for settled in heard.values())
    assert client.count(collection, exact=True).count == 31 * ROWS


def test_a_request_above_the_whole_limit_goes_in_parts(client, collection):
    if not client.init_options["prefer_grpc"]:
        pytest.skip("half a minute, because tokens come by the minute; once is enough")
    heard = Heard()
    client.update_collection(
        collection,
        strict_mode_config=models.StrictModeConfig(enabled=True, write_rate_limit=199),
    )
    with sink(client, collection, heard, retry=RetryPolicy(first_s=0.01)) as one:
        one.submit(0, *batch(0))
    assert heard[0].refused == {}
    assert client.count(collection, exact=True).count == ROWS


def test_a_server_that_wants_small_batches_gets_them(client, collection):
    heard = Heard()
    client.update_collection(
        collection,
        strict_mode_config=models.StrictModeConfig(enabled=True, upsert_max_batchsize=50),
    )
    with sink(client, collection, heard) as one:
        for number in range(3):
            one.submit(number, *batch(number))
    check(client, collection, heard, 3)


def test_indexing_is_deferred_and_restored(client, collection):
    def threshold() -> int | None:
        return client.get_collection(collection).config.optimizer_config.indexing_threshold

    before = threshold()
    notes: dict[str, Any] = {}
    with deferred_indexing(client, collection, notes):
        assert threshold() == 0
        assert list(notes.values()) == [before]
    assert threshold() == before
    assert not notes

    # A run that was killed leaves the note; the next one restores before anything else.
    with deferred_indexing(client, collection, notes):
        left = dict(notes)
    client.update_collection(
        collection, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0)
    )
    assert restore_indexing(client, collection, left)
    assert threshold() == before
    assert not left
    assert not restore_indexing(client, collection, left)


def test_the_progress_of_the_indexes_is_told(client, collection):
    heard = Heard()
    assert index_progress(client, collection).ready
    with (
        deferred_indexing(client, collection, {}),
        sink(client, collection, heard) as one,
    ):
        for number in range(5):
            one.submit(number, *batch(number))
    client.update_collection(
        collection, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)
    )
    while not (seen := index_progress(client, collection)).ready:
        assert seen.queued_points is not None
        assert seen.fraction is None or 0 <= seen.fraction <= 1
    assert seen.queued_points == seen.running_points == 0


def test_the_version_is_known(client):
    version = server_version(client)
    assert version is not None
    assert version >= (1, 16, 0)


# --- servers of our own ------------------------------------------------------------------------


@needs_binary
@pytest.mark.parametrize("prefer_grpc", [True, False], ids=["gRPC", "REST"])
def test_a_server_killed_and_started_again_loses_nothing(tmp_path, prefer_grpc):
    heard = Heard()
    with OwnServer(tmp_path) as server:
        client = server.client(prefer_grpc=prefer_grpc)
        create(client, "c")
        killed = threading.Event()

        def kill() -> None:
            server.kill()
            server.start()
            killed.set()

        with sink(client, "c", heard) as one:
            for number in range(40):
                one.submit(number, *batch(number))
                if number in (8, 25):
                    killed.clear()
                    threading.Thread(target=kill).start()
            assert killed.wait(60)
        check(client, "c", heard, 40)


@needs_binary
def test_a_server_started_again_goes_on_with_its_indexes(tmp_path):
    heard = Heard()
    with OwnServer(tmp_path) as server:
        client = server.client()
        create(client, "c")
        with deferred_indexing(client, "c", {}), sink(client, "c", heard) as one:
            for number in range(20):
                one.submit(number, *batch(number))
        client.update_collection(
            "c", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)
        )
        server.kill()
        server.start()
        wait_until_indexed(client, "c")
        info = client.get_collection("c")
        assert info.status == models.CollectionStatus.GREEN
        assert info.indexed_vectors_count >= 20 * ROWS
        check(client, "c", heard, 20)


@needs_binary
@pytest.mark.parametrize("prefer_grpc", [True, False], ids=["gRPC", "REST"])
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_key_that_is_wrong_or_may_only_read_is_said_at_once(tmp_path, prefer_grpc):
    with OwnServer(tmp_path, settings="api_key: right, read_only_api_key: reader") as server:
        owner = server.client(api_key="right", prefer_grpc=prefer_grpc)
        create(owner, "c")
        for key in ("wrong", "reader", None):
            client = server.client(api_key=key, prefer_grpc=prefer_grpc)
            heard = Heard()
            with pytest.raises(AccessDeniedError) as caught, sink(client, "c", heard) as one:
                one.submit(0, *batch(0))
            assert key is None or key not in str(caught.value).replace("read-only", "")
            assert not heard
        heard = Heard()
        with sink(owner, "c", heard) as one:
            one.submit(0, *batch(0))
        check(owner, "c", heard, 1)
