"""Writes: what is refused, what is durable, what is ignored."""

from __future__ import annotations

import datetime
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.errors import (
    ArgumentError,
    CollectionLockedError,
    NotSupportedByEdgeError,
    PointError,
)
from tests.fakes import REPOSITORY

SIZE = 4


@pytest.fixture
def client(tmp_path: Path) -> Iterator[EdgeClient]:
    with EdgeClient(tmp_path / "db") as client:
        client.create_collection(
            "c",
            {
                "v": models.VectorParams(size=SIZE, distance=models.Distance.DOT),
                "m": models.VectorParams(
                    size=2,
                    distance=models.Distance.DOT,
                    multivector_config=models.MultiVectorConfig(
                        comparator=models.MultiVectorComparator.MAX_SIM
                    ),
                ),
            },
            {"s": models.SparseVectorParams()},
        )
        yield client


def _raw(number: int, **vectors: object) -> models.PointStruct:
    return models.PointStruct.model_construct(id=number, vector=vectors, payload=None)


def _vector(client: EdgeClient, number: int, name: str = "v") -> object:
    return client.retrieve("c", [number], with_vectors=True)[0].vector[name]


@pytest.mark.parametrize(
    "row",
    [
        [1.0, 2.0, 3.0, 4.0],
        (1, 2, 3, 4),
        np.array([1, 2, 3, 4], dtype=np.float32),
        np.array([1, 2, 3, 4], dtype=np.float64),
        np.array([1, 2, 3, 4], dtype=np.float16),
        np.array([1, 2, 3, 4], dtype=np.int64),
        np.array([1, 0, 2, 0, 3, 0, 4, 0], dtype=np.float32)[::2],
        np.array([4, 3, 2, 1], dtype=">f4")[::-1],
    ],
)
def test_rows_of_any_kind(client: EdgeClient, row: object) -> None:
    client.upsert("c", [_raw(1, v=row)])
    assert _vector(client, 1) == [1.0, 2.0, 3.0, 4.0]


def test_a_multi_vector_matrix(client: EdgeClient) -> None:
    client.upsert(
        "c", [_raw(1, m=np.arange(6, dtype=np.float32).reshape(3, 2)), _raw(2, m=[1.0, 2.0])]
    )
    assert _vector(client, 1, "m") == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert _vector(client, 2, "m") == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("vectors", "problem"),
    [
        ({"v": np.ones(3)}, "3 dimensions"),
        ({"v": np.ones((1, 4))}, "shape"),
        ({"v": np.array([1, 2, 3, np.nan])}, "not finite"),
        ({"v": np.array([1, 2, 3, 1e39])}, "not finite"),
        ({"v": [1e39, -1e39, 0.0, 0.0]}, "not finite"),
        ({"v": [float("inf"), float("-inf"), 0.0, 0.0]}, "not finite"),
        ({"v": ["1", "2", "3", "4"]}, "real number"),
        ({"v": [None] * 4}, "real number"),
        ({"m": []}, "empty"),
        ({"m": [[]]}, "0 dimensions"),
        ({"m": [[1.0, 2.0], [1.0]]}, "1 dimensions"),
        ({"m": np.zeros((600_000, 2), dtype=np.float32)}, "more than"),
        ({"s": models.SparseVector.model_construct(indices=[1, 1], values=[1.0, 2.0])}, "twice"),
        ({"s": models.SparseVector.model_construct(indices=[1], values=[1.0, 2.0])}, "values"),
        ({"s": models.SparseVector.model_construct(indices=[1], values=[np.nan])}, "not finite"),
        ({"s": models.SparseVector.model_construct(indices=[2**32], values=[1.0])}, "large"),
        ({"s": models.SparseVector.model_construct(indices=[-1], values=[1.0])}, "small"),
        ({"s": [1.0]}, "no dense vector 's'"),
        ({"v": models.SparseVector(indices=[1], values=[1.0])}, "no sparse vector 'v'"),
        ({"x": [1.0]}, "no dense vector 'x'; there are: v, m"),
    ],
)
def test_misfits_are_named_and_nothing_is_stored(
    client: EdgeClient, vectors: dict, problem: str
) -> None:
    good = [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(PointError, match=problem) as caught:
        client.upsert("c", [_raw(1, v=good), _raw(2, **vectors), _raw(3, v=good)])
    assert caught.value.point == 2
    assert client.count("c").count == 0


@pytest.mark.parametrize("bad", [True, -1, 2**64, 1.5, "12", "abc", None, b"1"])
def test_bad_ids_are_named(client: EdgeClient, bad: object) -> None:
    point = models.PointStruct.model_construct(id=bad, vector={"v": [1.0] * 4}, payload=None)
    with pytest.raises(PointError, match="neither an unsigned integer"):
        client.upsert("c", [point])


def test_payloads_are_stored_as_they_are_meant(client: EdgeClient) -> None:
    day = datetime.date(2024, 2, 29)
    payload = {
        "none": None, "yes": True, "int": 2**63, "float": 0.1, "text": "é", "tuple": (1, 2),
        "day": day, "time": datetime.datetime(2024, 2, 29, 1, 2, 3), "id": UUID(int=7),
        "deep": {"day": [day], "number": np.float32(0.5), "row": np.arange(2)}, "": {},
    }  # fmt: skip
    client.upsert("c", [models.PointStruct.model_construct(id=1, vector={}, payload=payload)])
    stored = client.retrieve("c", [1])[0].payload
    assert stored == {
        **payload, "tuple": [1, 2], "day": "2024-02-29", "time": "2024-02-29T01:02:03",
        "id": str(UUID(int=7)), "deep": {"day": ["2024-02-29"], "number": 0.5, "row": [0, 1]},
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), b"bytes", {1, 2}, 2**64, -(2**63) - 1, object(), {b"x": 2},
     {"deep": [b"bytes"]}, "\ud800"],
)  # fmt: skip
def test_payloads_that_are_no_json_are_named(client: EdgeClient, value: object) -> None:
    good = models.PointStruct(id=1, vector={})
    bad = models.PointStruct.model_construct(id=2, vector={}, payload={"x": value})
    with pytest.raises(PointError) as caught:
        client.upsert("c", [good, bad])
    assert caught.value.point == 2
    client.upsert("c", [good])
    with pytest.raises(ArgumentError):
        client.set_payload("c", {"x": value}, points=[1])
    assert client.retrieve("c", [1])[0].payload == {}


def test_a_payload_is_as_deep_as_the_engine_can_read(client: EdgeClient) -> None:
    def nested(levels: int) -> dict:
        inner: dict = {}
        for _ in range(levels - 1):
            inner = {"a": inner}
        return inner

    client.upsert("c", [models.PointStruct(id=1, vector={}, payload=nested(120))])
    with pytest.raises(PointError, match="deeper than 120"):
        client.upsert("c", [models.PointStruct(id=2, vector={}, payload=nested(121))])
    client.set_payload("c", nested(100), points=[1], key=".".join("a" * 20))
    with pytest.raises(ArgumentError, match="deeper than 120"):
        client.set_payload("c", nested(101), points=[1], key=".".join("a" * 20))
    with pytest.raises(ArgumentError, match="deeper than 120"):
        client.set_payload("c", {}, points=[1], key=".".join("a" * 200))
    assert client.scroll("c")[0][0].payload == nested(120)


def test_nothing_to_do_is_no_error(client: EdgeClient) -> None:
    client.upsert("c", [])
    client.delete("c", [])
    client.upload_points("c", [])
    client.upload_collection("c", np.zeros((0, SIZE)))
    client.set_payload("c", {"a": 1}, points=[])
    assert client.count("c").count == 0


@pytest.mark.parametrize("call", ["upsert", "upload_points", "delete", "set_payload", "count"])
def test_a_shard_key_is_not_supported(client: EdgeClient, call: str) -> None:
    arguments = {
        "upsert": {"points": []},
        "upload_points": {"points": []},
        "delete": {"points_selector": [1]},
        "set_payload": {"payload": {}, "points": [1]},
        "count": {},
    }
    with pytest.raises(NotSupportedByEdgeError, match="shard_key_selector"):
        getattr(client, call)("c", **arguments[call], shard_key_selector="k")


def test_overwriting_at_a_key_is_refused(client: EdgeClient) -> None:
    """A server drops the key and overwrites everything."""
    client.upsert("c", [models.PointStruct(id=1, vector={}, payload={"a": 1})])
    given = models.SetPayload(payload={"b": 1}, points=[1], key="deep")
    with pytest.raises(NotSupportedByEdgeError, match="ignores the key"):
        client.batch_update_points("c", [models.OverwritePayloadOperation(overwrite_payload=given)])
    assert client.retrieve("c", [1])[0].payload == {"a": 1}


def test_a_batch_is_checked_before_its_first_operation(client: EdgeClient) -> None:
    def upsert(number: int, size: int) -> models.UpsertOperation:
        point = models.PointStruct(id=number, vector={"v": [1.0] * size})
        return models.UpsertOperation(upsert=models.PointsList(points=[point]))

    with pytest.raises(PointError):
        client.batch_update_points("c", [upsert(1, SIZE), upsert(2, SIZE - 1)])
    assert client.count("c").count == 0


def test_columns_of_an_upload(client: EdgeClient) -> None:
    terms = [models.SparseVector(indices=[n], values=[1.0]) for n in range(3)]
    client.upload_collection(
        "c",
        {"v": np.ones((3, SIZE)), "s": terms, "m": np.ones((3, 5, 2))},
        ids=iter(range(1000)),
        payload=({"n": n} for n in range(1000)),
        batch_size=2,
    )
    record = client.retrieve("c", [2], with_vectors=True)[0]
    assert record.payload == {"n": 2}
    assert record.vector["s"].indices == [2]
    assert record.vector["m"] == [[1.0, 1.0]] * 5


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"ids": [1]}, "ids"),
        ({"ids": iter([1])}, "ids"),
        ({"payload": [{}]}, "payload"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_columns_that_end_early_are_named(client: EdgeClient, arguments: dict, field: str) -> None:
    with pytest.raises(ArgumentError, match=field):
        client.upload_collection("c", {"v": np.ones((3, SIZE))}, **arguments)
    assert client.count("c").count == 0


def test_columns_of_different_lengths_are_named(client: EdgeClient) -> None:
    with pytest.raises(ArgumentError, match="differ in length"):
        client.upload_collection("c", {"v": np.ones((3, SIZE)), "m": np.ones((2, 1, 2))})


def test_without_a_log_writes_are_only_acknowledged(client: EdgeClient) -> None:
    vector = models.VectorParams(size=SIZE, distance=models.Distance.DOT)
    client.create_collection("fast", vector, wal=False)
    point = models.PointStruct(id=1, vector=[1.0] * SIZE)
    assert client.upsert("fast", [point]).status == models.UpdateStatus.ACKNOWLEDGED
    assert client.upsert("c", []).status == models.UpdateStatus.COMPLETED
    client.close()
    with EdgeClient(client.path) as again:
        assert again.count("fast").count == 1


_LOADER = """
import os, sys
from qdrant_client import models
from qdrant_static import EdgeClient
client = EdgeClient(sys.argv[1])
def put(*ids):
    client.upsert("c", [models.PointStruct(id=one, vector=[1.0, 2.0]) for one in ids])
client.create_collection("c", models.VectorParams(size=2, distance="Dot"), wal=sys.argv[2] == "log")
put(*range(100))
client.flush("c")
put(*range(100, 200))
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("log", "least", "most"), [("log", 200, 200), ("none", 100, 200)])
def test_a_kill_leaves_what_was_promised(tmp_path: Path, log: str, least: int, most: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", _LOADER, str(tmp_path), log],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == -9, result.stderr
    with EdgeClient(tmp_path) as client:
        records, _ = client.scroll("c", limit=1000)
        found = [record.id for record in records]
        assert found[:least] == list(range(least))
        assert len(found) <= most


def test_threads_share_a_client(client: EdgeClient) -> None:
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for turn in range(20):
                number = thread * 1000 + turn
                client.upsert("c", [_raw(number, v=[1.0, 2.0, 3.0, float(number)])])
                assert client.retrieve("c", [number])
                client.query_points("c", query=[1.0, 0.0, 0.0, 0.0], using="v", limit=3)
                if turn % 7 == thread:
                    client.update_collection("c", hnsw_config=models.HnswConfigDiff(m=4 + turn))
                if turn % 10 == thread:
                    client.optimize("c")
                if turn % 9 == thread:
                    client.release()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert client.count("c").count == 120


def test_another_process_builds(client: EdgeClient) -> None:
    rows = np.random.default_rng(1).standard_normal((5000, SIZE)).astype(np.float32)
    client.update_collection(
        "c", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10)
    )
    client.index_after_load = False
    client.upload_collection("c", {"v": rows}, ids=range(5000), batch_size=1000)
    assert client.get_collection("c").indexed_vectors_count == 0
    client.create_collection(
        "serving", models.VectorParams(size=SIZE, distance=models.Distance.DOT)
    )
    seen, locked, served = [], [], []

    def progress(now: object) -> None:
        seen.append(now)
        served.append(client.count("serving").count)
        try:
            client.count("c")
        except CollectionLockedError as error:
            locked.append(error)

    assert client.optimize("c", another_process=True, progress=progress)
    assert seen
    assert len(seen) == len(locked) == len(served)
    assert seen[-1].elapsed_s >= seen[0].elapsed_s
    assert client.get_collection("c").indexed_vectors_count == 5000
    assert not client.optimize("c", another_process=True)


def test_a_load_is_indexed_at_its_end_if_that_pays(client: EdgeClient) -> None:
    rows = np.random.default_rng(1).standard_normal((5000, SIZE)).astype(np.float32)
    client.update_collection(
        "c", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10)
    )
    client.upload_collection("c", {"v": rows}, ids=range(5000), batch_size=1000)
    assert client.get_collection("c").indexed_vectors_count == 5000
    client.upload_collection("c", {"v": rows[:900]}, ids=range(5000, 5900), batch_size=1000)
    assert client.get_collection("c").indexed_vectors_count == 5000


def test_progress_is_only_seen_from_another_process(client: EdgeClient) -> None:
    with pytest.raises(ArgumentError, match="another_process"):
        client.optimize("c", progress=print)


@pytest.mark.parametrize(
    "settings",
    [
        {"wal_config": models.WalConfigDiff(wal_capacity_mb=1)},
        {"strict_mode_config": models.StrictModeConfig(enabled=True)},
        {"replication_factor": 2},
        {"sharding_method": models.ShardingMethod.CUSTOM},
    ],
)
def test_a_servers_settings_are_not_supported(client: EdgeClient, settings: dict) -> None:
    vector = models.VectorParams(size=SIZE, distance=models.Distance.DOT)
    with pytest.raises(NotSupportedByEdgeError, match=next(iter(settings))):
        client.create_collection("new", vector, **settings)
    assert not client.collection_exists("new")


def test_one_shard_may_be_said(client: EdgeClient) -> None:
    vector = models.VectorParams(size=SIZE, distance=models.Distance.DOT)
    assert client.create_collection(
        "new", vector, shard_number=1, replication_factor=1, sharding_method="auto", timeout=1
    )


def test_settings_that_cannot_be_changed_leave_everything(client: EdgeClient) -> None:
    before = client.get_collection("c").config
    with pytest.raises(NotSupportedByEdgeError):
        client.update_collection(
            "c",
            hnsw_config=models.HnswConfigDiff(m=3),
            collection_params=models.CollectionParamsDiff(replication_factor=2),
        )
    with pytest.raises(ArgumentError):
        client.update_collection("c", hnsw_config=models.HnswConfigDiff(ef_construct=1))
    assert client.get_collection("c").config == before


def test_the_last_vector_stays(client: EdgeClient) -> None:
    client.delete_vector_name("c", "m")
    client.delete_vector_name("c", "s")
    with pytest.raises(NotSupportedByEdgeError, match="last vector"):
        client.delete_vector_name("c", "v")


def _matching_none_needed() -> models.Filter:
    condition = models.FieldCondition(key="a", match=models.MatchValue(value=1))
    return models.Filter(min_should=models.MinShould(conditions=[condition], min_count=0))


def test_a_filter_that_needs_no_condition_deletes_nothing(client: EdgeClient) -> None:
    client.upsert("c", [models.PointStruct(id=n, vector={"v": [1.0] * SIZE}) for n in range(3)])
    condition = _matching_none_needed()
    for change in (
        lambda: client.delete("c", models.FilterSelector(filter=condition)),
        lambda: client.clear_payload("c", condition),
        lambda: client.delete_vectors("c", ["v"], condition),
        lambda: client.set_payload("c", {"b": 1}, condition),
        lambda: client.update_vectors(
            "c", [models.PointVectors(id=1, vector={"v": [2.0] * SIZE})], update_filter=condition
        ),
    ):
        with pytest.raises(ArgumentError, match=r"MinShould.min_count: must be at least 1"):
            change()
    assert client.count("c").count == 3


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        (lambda client: client.scroll("c", limit=0), "limit: must be at least 1"),
        (lambda client: client.scroll("c", limit=None), "limit: must be an integer"),
        (lambda client: client.facet("c", "a", limit=2**64), "limit: must be at least 1"),
        (lambda client: client.facet("c", ""), "key: "),
        (
            lambda client: client.query_points_groups("c", "a", [1.0], group_size=0),
            "group_size: must be at least 1",
        ),
        (
            lambda client: client.query_points_groups(
                "c", "a", [1.0], limit=2**40, group_size=2**40
            ),
            "limit: must be at least 1",
        ),
        (lambda client: client.scroll("c", order_by=""), "OrderBy: "),
        (lambda client: client.create_payload_index("c", "", "keyword"), "field_name: "),
        (lambda client: client.delete_payload_index("c", ""), "field_name: "),
        (lambda client: client.delete_vectors("c", [], [1]), "vectors: "),
        (lambda client: client.sample_points("c", -1), "count: must be at least 0"),
        (lambda client: client.nearest("c", "v", [[1.0] * SIZE], limit=0), "limit: "),
        (
            lambda client: client.create_collection(
                "d", models.VectorParams(size=2, distance=models.Distance.DOT), shard_number=0
            ),
            "shard_number: must be at least 1",
        ),
        (
            lambda client: client.create_vector_name(
                "c",
                "../a",
                models.DenseVectorNameConfig(
                    dense=models.DenseVectorConfig(size=2, distance=models.Distance.DOT)
                ),
            ),
            "vector name '../a': it contains '/'",
        ),
    ],
)
def test_requests_out_of_bounds_are_refused(client: EdgeClient, refused, told: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        refused(client)
    assert str(caught.value).startswith(told)


def test_new_vectors_of_a_point_that_are_none_are_refused(client: EdgeClient) -> None:
    client.upsert("c", [models.PointStruct(id=1, vector={"v": [1.0] * SIZE})])
    with pytest.raises(PointError, match="it names no vector to replace"):
        client.update_vectors("c", [models.PointVectors(id=1, vector={})])


def test_a_collection_whose_vectors_share_a_name_is_refused_and_leaves_nothing(
    client: EdgeClient, tmp_path: Path
) -> None:
    params = models.VectorParams(size=2, distance=models.Distance.DOT)
    with pytest.raises(ArgumentError, match="a dense and a sparse vector have this name"):
        client.create_collection("two", {"a": params}, {"a": models.SparseVectorParams()})
    assert not (tmp_path / "db" / "two").exists()
