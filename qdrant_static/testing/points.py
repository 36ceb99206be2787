"""Tests of writing points."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static.testing.base import (
    SIZE,
    Conformance,
    ids,
    make,
    matching,
    matrix,
    point,
    points,
    stored,
)

_UUID = "936da01f-9abd-4d9d-80c7-02af85c822a8"


class PointConformance(Conformance):
    """Tests of writing points."""

    def test_upsert__stores_what_was_given(self, client: Any, filled: str) -> None:
        (record,) = client.retrieve(filled, [7], with_payload=True, with_vectors=True)
        wanted = points(20)[7]
        assert record.payload == wanted.payload
        assert np.allclose(record.vector["d"], wanted.vector["d"], atol=1e-6)
        assert record.vector["s"].indices == wanted.vector["s"].indices
        assert record.vector["s"].values == wanted.vector["s"].values
        assert "m" not in record.vector

    def test_upsert__multi_vectors(self, client: Any, filled: str) -> None:
        rows = [[1.0, 2.0], [3.0, 4.0]]
        client.upsert(filled, [models.PointStruct(id=50, vector={"m": rows})])
        assert stored(client, filled, 50, vectors=True)[50] == {"m": rows}

    def test_upsert__replaces_the_whole_point(self, client: Any, filled: str) -> None:
        client.upsert(filled, [point(7, matrix(1)[0], new=1)])
        (record,) = client.retrieve(filled, [7], with_payload=True, with_vectors=True)
        assert record.payload == {"new": 1}
        assert set(record.vector) == {"d"}

    def test_upsert__batch(self, client: Any, name: str) -> None:
        make(client, name)
        rows = matrix(3)
        client.upsert(
            name,
            models.Batch(
                ids=[1, 2, _UUID], vectors={"d": rows.tolist()}, payloads=[{"a": 1}, {}, {"a": 3}]
            ),
        )
        assert stored(client, name, 1, 2, _UUID) == {1: {"a": 1}, 2: {}, _UUID: {"a": 3}}

    def test_upsert__uuids(self, client: Any, filled: str) -> None:
        client.upsert(filled, [point(_UUID.upper(), matrix(1)[0], a=1)])
        client.upsert(filled, [point(UUID(_UUID), matrix(1)[0], a=2)])
        assert stored(client, filled, _UUID) == {_UUID: {"a": 2}}
        assert client.count(filled).count == 21

    def test_upsert__the_last_of_one_id_wins(self, client: Any, filled: str) -> None:
        client.upsert(filled, [point(50, matrix(1)[0], a=1), point(50, matrix(1)[0], a=2)])
        assert stored(client, filled, 50) == {50: {"a": 2}}

    def test_upsert__no_vectors_at_all(self, client: Any, filled: str) -> None:
        client.upsert(filled, [models.PointStruct(id=50, vector={}, payload={"a": 1})])
        assert stored(client, filled, 50) == {50: {"a": 1}}

    def test_upsert__insert_only(self, client: Any, filled: str) -> None:
        both = [point(7, matrix(1)[0], new=1), point(50, matrix(1)[0], new=1)]
        client.upsert(filled, both, update_mode=models.UpdateMode.INSERT_ONLY)
        found = stored(client, filled, 7, 50)
        assert (found[7]["n"], found[50]) == (7, {"new": 1})

    def test_upsert__update_only(self, client: Any, filled: str) -> None:
        both = [point(7, matrix(1)[0], new=1), point(50, matrix(1)[0], new=1)]
        client.upsert(filled, both, update_mode=models.UpdateMode.UPDATE_ONLY)
        assert stored(client, filled, 7, 50) == {7: {"new": 1}}

    def test_upsert__update_filter(self, client: Any, filled: str) -> None:
        three = [point(number, matrix(1)[0], new=1) for number in (3, 4, 50)]
        client.upsert(filled, three, update_filter=matching("color", "red"))
        found = stored(client, filled, 3, 4, 50)
        assert (found[3], found[4]["n"], found[50]) == ({"new": 1}, 4, {"new": 1})

    @pytest.mark.parametrize(
        "vector",
        [
            pytest.param({"d": [1.0] * (SIZE - 1)}, id="too short"),
            pytest.param({"d": []}, id="empty"),
            pytest.param({"none": [1.0] * SIZE}, id="unknown name"),
            pytest.param([1.0] * SIZE, id="unnamed"),
            pytest.param({"m": [[1.0, 2.0, 3.0]]}, id="multi too long"),
            pytest.param({"m": [[1.0, 2.0], [1.0]]}, id="multi ragged"),
            pytest.param({"d": [[1.0] * SIZE]}, id="multi for a single one"),
            pytest.param({"s": [1.0, 2.0]}, id="dense for sparse"),
            pytest.param({"d": models.SparseVector(indices=[1], values=[1.0])}, id="sparse"),
        ],
    )
    def test_upsert__misfits_are_refused_and_nothing_stored(
        self, client: Any, filled: str, vector: Any
    ) -> None:
        bad = models.PointStruct(id=51, vector=vector)
        good = [point(number, matrix(1)[0]) for number in (50, 52)]
        with self.refused():
            client.upsert(filled, [good[0], bad, good[1]], wait=True)
        assert client.count(filled).count == 20

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e39])
    def test_upsert__numbers_that_are_not_finite_are_refused(
        self, client: Any, filled: str, number: float
    ) -> None:
        bad = models.PointStruct(id=50, vector={"d": [number] + [1.0] * (SIZE - 1)})
        with self.refused():
            client.upsert(filled, [bad], wait=True)
        assert client.count(filled).count == 20

    def test_upsert__an_index_twice_is_refused(self, client: Any, filled: str) -> None:
        twice = models.SparseVector(indices=[1, 1], values=[1.0, 2.0])
        with self.refused():
            client.upsert(filled, [models.PointStruct(id=50, vector={"s": twice})])

    @pytest.mark.parametrize("bad", ["abc", -1])
    def test_upsert__bad_ids_are_refused(self, client: Any, filled: str, bad: Any) -> None:
        with self.refused():
            client.upsert(filled, [point(bad, matrix(1)[0])])

    def test_upload_points__numpy_rows(self, client: Any, name: str) -> None:
        make(client, name)
        rows = matrix(100)
        client.upload_points(
            name,
            (
                models.PointStruct.model_construct(id=n, vector={"d": row}, payload={"n": n})
                for n, row in enumerate(rows)
            ),
            batch_size=32,
            wait=True,
        )
        assert client.count(name).count == 100
        assert np.allclose(stored(client, name, 42, vectors=True)[42]["d"], rows[42], atol=1e-6)

    def test_upload_collection__a_matrix(self, client: Any, name: str) -> None:
        client.create_collection(
            name, models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
        )
        rows = matrix(100)
        client.upload_collection(
            name, rows, payload=({"n": n} for n in range(100)), ids=range(100), wait=True
        )
        (record,) = client.retrieve(name, [42], with_vectors=True)
        assert record.payload == {"n": 42}
        assert np.allclose(record.vector, rows[42], atol=1e-6)

    def test_upload_collection__matrices_by_name(self, client: Any, name: str) -> None:
        make(client, name)
        client.upload_collection(name, {"d": matrix(10)}, ids=list(range(10)), wait=True)
        assert client.count(name).count == 10

    def test_upload_collection__random_ids(self, client: Any, name: str) -> None:
        make(client, name)
        client.upload_collection(name, [{"d": row.tolist()} for row in matrix(5)], wait=True)
        found, _ = client.scroll(name)
        assert len({UUID(record.id) for record in found}) == 5

    def test_upload_collection__too_few_ids_are_refused(self, client: Any, name: str) -> None:
        make(client, name)
        with self.refused():
            client.upload_collection(name, {"d": matrix(10)}, ids=[1, 2], wait=True)

    def test_update_vectors__leaves_the_rest(self, client: Any, filled: str) -> None:
        row = matrix(30)[29]
        client.update_vectors(
            filled, [models.PointVectors(id=7, vector={"d": row.tolist()})], wait=True
        )
        (record,) = client.retrieve(filled, [7], with_payload=True, with_vectors=True)
        assert np.allclose(record.vector["d"], row, atol=1e-6)
        assert record.vector["s"].indices == [1, 17]
        assert record.payload["n"] == 7

    def test_update_vectors__a_missing_point_is_refused_and_nothing_changed(
        self, client: Any, filled: str
    ) -> None:
        before = stored(client, filled, 7, vectors=True)
        row = matrix(30)[29].tolist()
        with self.refused():
            client.update_vectors(
                filled, [models.PointVectors(id=n, vector={"d": row}) for n in (7, 99)]
            )
        assert stored(client, filled, 7, vectors=True) == before

    def test_update_vectors__misfits_are_refused(self, client: Any, filled: str) -> None:
        with self.refused():
            client.update_vectors(filled, [models.PointVectors(id=7, vector={"d": [1.0]})])

    def test_delete_vectors__by_id_and_by_filter(self, client: Any, filled: str) -> None:
        client.delete_vectors(filled, vectors=["s"], points=[7])
        client.delete_vectors(filled, vectors=["s"], points=matching("n", 8))
        found = stored(client, filled, 7, 8, 9, vectors=True)
        assert [set(found[n]) for n in (7, 8, 9)] == [{"d"}, {"d"}, {"d", "s"}]

    def test_delete_vectors__an_unknown_name_is_refused(self, client: Any, filled: str) -> None:
        with self.refused():
            client.delete_vectors(filled, vectors=["none"], points=[7])

    @pytest.mark.parametrize(
        "selector",
        [
            [3, 4],
            models.PointIdsList(points=[3, 4]),
            models.Filter(must=[models.HasIdCondition(has_id=[3, 4])]),
            models.FilterSelector(
                filter=models.Filter(must=[models.HasIdCondition(has_id=[3, 4])])
            ),
        ],
    )
    def test_delete__by_any_selector(self, client: Any, filled: str, selector: Any) -> None:
        client.delete(filled, selector)
        assert client.count(filled).count == 18
        assert ids(client.retrieve(filled, [2, 3, 4, 5])) == [2, 5]

    def test_delete__missing_ids_are_no_error(self, client: Any, filled: str) -> None:
        client.delete(filled, [99])
        assert client.count(filled).count == 20

    def test_set_payload__merges(self, client: Any, filled: str) -> None:
        client.set_payload(filled, {"n": -1, "new": [1, {"x": None}]}, points=[7])
        payload = stored(client, filled, 7)[7]
        assert (payload["n"], payload["new"], payload["color"]) == (-1, [1, {"x": None}], "green")

    def test_set_payload__at_a_key(self, client: Any, filled: str) -> None:
        client.set_payload(filled, {"z": 1}, points=[7], key="deep")
        assert stored(client, filled, 7)[7]["deep"] == {"a": 7, "b": [1, 2], "z": 1}

    def test_set_payload__by_filter(self, client: Any, filled: str) -> None:
        client.set_payload(filled, {"new": 1}, points=matching("color", "red"))
        assert client.count(filled, count_filter=matching("new", 1)).count == 7

    def test_set_payload__a_missing_point_is_refused(self, client: Any, filled: str) -> None:
        with self.refused():
            client.set_payload(filled, {"new": 1}, points=[99])

    def test_set_payload__a_missing_point_leaves_the_others(self, client: Any, filled: str) -> None:
        with self.refused():
            client.set_payload(filled, {"new": 1}, points=[7, 99])
        assert "new" not in stored(client, filled, 7)[7]

    def test_overwrite_payload__replaces(self, client: Any, filled: str) -> None:
        client.overwrite_payload(filled, {"new": 1}, points=[7])
        assert stored(client, filled, 7) == {7: {"new": 1}}

    def test_delete_payload__fields(self, client: Any, filled: str) -> None:
        client.delete_payload(filled, keys=["n", "deep.a"], points=[7])
        assert stored(client, filled, 7) == {7: {"color": "green", "deep": {"b": [1, 2]}}}

    def test_clear_payload__empties(self, client: Any, filled: str) -> None:
        client.clear_payload(filled, [7])
        client.clear_payload(filled, matching("n", 8))
        assert stored(client, filled, 7, 8) == {7: {}, 8: {}}

    def test_batch_update_points__in_order(self, client: Any, filled: str) -> None:
        row = matrix(1)[0]
        results = client.batch_update_points(
            filled,
            [
                models.UpsertOperation(
                    upsert=models.PointsList(points=[point(50, row, a=1), point(51, row)])
                ),
                models.SetPayloadOperation(
                    set_payload=models.SetPayload(payload={"b": 2}, points=[50])
                ),
                models.DeletePayloadOperation(
                    delete_payload=models.DeletePayload(keys=["a"], points=[50])
                ),
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(payload={"o": 1}, points=[51])
                ),
                models.ClearPayloadOperation(clear_payload=models.PointIdsList(points=[3])),
                models.UpdateVectorsOperation(
                    update_vectors=models.UpdateVectors(
                        points=[models.PointVectors(id=4, vector={"m": [[1.0, 2.0]]})]
                    )
                ),
                models.DeleteVectorsOperation(
                    delete_vectors=models.DeleteVectors(points=[4], vector=["s"])
                ),
                models.DeleteOperation(delete=models.PointIdsList(points=[5])),
            ],
        )
        assert len(results) == 8
        assert stored(client, filled, 3, 5, 50, 51) == {3: {}, 50: {"b": 2}, 51: {"o": 1}}
        assert set(stored(client, filled, 4, vectors=True)[4]) == {"d", "m"}
