"""Collections of several shards: the same content as of one, in the places of a server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from qdrant_client import models

from qdrant_static import CollectionSpec, EdgeClient, create_collection
from qdrant_static.collection.diff import diff
from qdrant_static.edge.pendingchanges import apply_vector_change
from qdrant_static.encoders.sparsevectors import SparseRows
from qdrant_static.errors import (
    ArgumentError,
    CollectionLockedError,
    NotSupportedByEdgeError,
    PointError,
)
from qdrant_static.routing import shard_of
from tests.fakes import FakeEncoder

SHARDS = 3
SIZE = 4
IDS: list[int | str] = [
    *range(60),
    *(str(uuid.uuid5(uuid.NAMESPACE_URL, str(i))) for i in range(60)),
]
NAMES = ("one", "several")


def _vector(number: int) -> list[float]:
    return [1.0, number % 7, number % 11, number % 3]


def _point(number: int) -> models.PointStruct:
    return models.PointStruct(
        id=IDS[number],
        vector={"a": _vector(number), "s": models.SparseVector(indices=[number], values=[1.0])},
        payload={"n": number % 10, "kind": "xyz"[number % 3], "some": number % 2 == 0},
    )


@pytest.fixture
def twins(client: EdgeClient) -> EdgeClient:
    """The same points in a collection of one shard, and in one of several."""
    for name, shards in zip(NAMES, (1, SHARDS), strict=True):
        client.create_collection(
            name,
            {"a": models.VectorParams(size=SIZE, distance=models.Distance.COSINE)},
            {"s": models.SparseVectorParams()},
            shard_number=shards,
        )
        client.create_payload_index(name, "n", "integer")
        client.create_payload_index(name, "kind", "keyword")
        client.upsert(name, [_point(number) for number in range(len(IDS))])
    return client


def _content(client: EdgeClient, name: str) -> list[models.Record]:
    """Everything, in pages of an odd size."""
    found: list[models.Record] = []
    offset = None
    while True:
        page, offset = client.scroll(name, limit=7, offset=offset, with_vectors=True)
        found += page
        if offset is None:
            return found


def _same(client: EdgeClient) -> list[models.Record]:
    one, several = (_content(client, name) for name in NAMES)
    assert several == one
    return several


def test_points_lie_where_a_server_would_look(twins: EdgeClient, tmp_path: Path) -> None:
    places = shard_of(IDS, SHARDS)
    assert twins.shard_counts("several") == np.bincount(places).tolist()
    assert twins.shard_counts("one") == [len(IDS)]
    twins.close()
    for number in range(SHARDS):
        shard = edge.EdgeShard.load(str(tmp_path / "db" / "several" / "shards" / str(number)))
        records, _ = shard.scroll(edge.ScrollRequest(limit=1000))
        shard.close()
        found = {one.id if isinstance(one.id, int) else str(one.id) for one in records}
        assert found == {IDS[place] for place in np.flatnonzero(places == number)}


def test_reads_are_those_of_one_shard(twins: EdgeClient) -> None:
    assert [one.id for one in _same(twins)] == [*range(60), *sorted(map(str, IDS[60:]))]
    few = models.Filter(must=[models.FieldCondition(key="n", range=models.Range(gte=8))])
    asked: list[Any] = [IDS[70], 3, "00000000-0000-0000-0000-000000000000", 3, IDS[2], IDS[70]]
    for name in NAMES:
        assert twins.count(name).count == len(IDS)
        assert twins.count(name, few).count == 24
    for call, arguments in (
        ("retrieve", {"ids": asked, "with_vectors": ["a"]}),
        ("retrieve", {"ids": asked, "with_payload": ["n"]}),
        ("scroll", {"scroll_filter": few, "limit": 5, "with_payload": False}),
        ("scroll", {"scroll_filter": few, "limit": 24}),
        ("scroll", {"limit": 120, "with_payload": models.PayloadSelectorExclude(exclude=["n"])}),
        ("scroll", {"offset": IDS[80], "limit": 9}),
        ("facet", {"key": "kind", "exact": True}),
        ("facet", {"key": "n", "exact": True, "limit": 3, "facet_filter": few}),
    ):
        one, several = (getattr(twins, call)(name, **arguments) for name in NAMES)
        assert several == one, (call, arguments)
        assert several


def test_points_come_in_the_order_of_a_field(twins: EdgeClient) -> None:
    for order in ("n", models.OrderBy(key="n", direction="desc")):
        # Twelve points have each value, and those of equal value may come in any order.
        pages = [twins.scroll(name, order_by=order, limit=24) for name in NAMES]
        (one, _), (several, following) = pages
        assert following is None
        assert [hit.order_value for hit in several] == [hit.order_value for hit in one]
        assert sorted(several, key=_told) == sorted(one, key=_told)


def _told(record: models.Record) -> str:
    return str(record.id)


def test_what_is_told_of_the_collection_is_summed(twins: EdgeClient) -> None:
    one, several = map(twins.get_collection, NAMES)
    assert several.config.params.shard_number == SHARDS
    assert several.payload_schema == one.payload_schema
    assert several.payload_schema["n"].points == len(IDS)
    assert several.points_count == one.points_count
    assert several.segments_count == SHARDS * one.segments_count


_SOME = [IDS[1], IDS[2], IDS[3], IDS[61], IDS[62]]
_EVEN = models.Filter(must=[models.FieldCondition(key="some", match=models.MatchValue(value=True))])


@pytest.mark.parametrize("chosen", [_SOME, _EVEN, [IDS[5]]], ids=["ids", "filter", "one id"])
def test_writes_do_what_they_do_to_one_shard(twins: EdgeClient, chosen: Any) -> None:
    for call, arguments in (
        ("set_payload", {"payload": {"new": 1}}),
        ("set_payload", {"payload": {"new": 1}, "key": "inner"}),
        ("delete_payload", {"keys": ["n"]}),
        ("delete_vectors", {"vectors": ["s"]}),
        ("overwrite_payload", {"payload": {"newer": 1, "some": True}}),
        ("clear_payload", {}),
        ("delete", {}),
    ):
        before = _content(twins, "several")
        key = "points_selector" if call in ("delete", "clear_payload") else "points"
        if call == "delete" and chosen is _EVEN:  # their payloads are gone
            chosen = models.Filter(must=[models.HasIdCondition(has_id=_SOME)])
        for name in NAMES:
            getattr(twins, call)(name, **arguments, **{key: chosen})
        assert _same(twins) != before, call


def test_ids_and_a_filter_in_one_operation(twins: EdgeClient) -> None:
    operation = models.SetPayloadOperation(
        set_payload=models.SetPayload(payload={"new": 1}, points=[IDS[1]], filter=_EVEN)
    )
    for name in NAMES:
        twins.batch_update_points(name, [operation])
    assert sum("new" in (one.payload or {}) for one in _same(twins)) == 61


def test_vectors_are_replaced_and_points_uploaded(twins: EdgeClient) -> None:
    replaced = [models.PointVectors(id=one, vector={"a": [9, 1, 1, 1]}) for one in _SOME]
    matrix = np.arange(40, dtype=np.float32).reshape(10, SIZE) + 1
    terms = SparseRows(
        indices=np.arange(10, dtype=np.uint32),
        values=np.ones(10, np.float32),
        pointers=np.arange(11, dtype=np.int64),
        n_terms=np.ones(10, np.int64),
    )
    for name in NAMES:
        twins.update_vectors(name, replaced)
        twins.upload_collection(name, {"a": matrix}, ids=range(1000, 1010), batch_size=4)
        twins.upsert_matrices(
            name,
            [*range(2000, 2005), *IDS[60:65]],
            dense={"a": matrix},
            sparse={"s": terms},
            payloads=[{"n": 1}] * 10,
        )
        twins.upsert(
            name,
            [_point(0).model_copy(update={"payload": {"kept": True}})],
            update_mode=models.UpdateMode.INSERT_ONLY,
        )
        twins.upsert(name, [])
    assert len(_same(twins)) == len(IDS) + 15


def test_a_missing_point_in_any_shard_changes_none(twins: EdgeClient) -> None:
    before = _content(twins, "several")
    for missing in range(5000, 5010):
        with pytest.raises(PointError, match="nothing was changed"):
            twins.set_payload("several", {"x": 1}, points=[*_SOME, missing])
    assert _content(twins, "several") == before


def test_payload_indexes_are_made_and_dropped_in_all_shards(twins: EdgeClient) -> None:
    twins.create_payload_index("several", "some", "bool")
    twins.delete_payload_index("several", "n")
    twins.close()
    with EdgeClient(twins.path) as again:
        schema = again.get_collection("several").payload_schema
    assert set(schema) == {"kind", "some"}
    assert schema["some"].points == len(IDS)


def test_vectors_and_settings_change_in_all_shards(twins: EdgeClient) -> None:
    twins.create_vector_name(
        "several",
        "b",
        models.DenseVectorNameConfig(
            dense=models.DenseVectorConfig(size=2, distance=models.Distance.DOT)
        ),
    )
    twins.update_vectors(
        "several", [models.PointVectors(id=one, vector={"b": [1, 2]}) for one in IDS]
    )
    twins.delete_vector_name("several", "s")
    twins.update_collection(
        "several", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)
    )
    assert twins.count("several").count == len(IDS)
    assert set(twins.retrieve("several", [IDS[3]], with_vectors=True)[0].vector) == {"a", "b"}
    assert _engine_configs(twins, '"indexing_threshold":1') == [True] * SHARDS


def test_a_change_that_a_crash_cut_short_ends_in_all_shards(twins: EdgeClient) -> None:
    with twins._collections.use("several") as opened:
        before = opened.description
        vectors = {**before.vectors, "b": models.VectorParams(size=2, distance="Dot")}
        opened.describe_as(before.changed(vectors=vectors, pending="vector b"))
        apply_vector_change(
            replace(opened, shards=opened.shards[:1]), "b"
        )  # and the others have not
    twins.close()
    twins = EdgeClient(twins.path)
    twins.update_vectors(
        "several", [models.PointVectors(id=one, vector={"b": [1, 2]}) for one in IDS]
    )
    with twins._collections.use("several") as opened:
        assert opened.description.pending is None
        optimizers = models.OptimizersConfigDiff(indexing_threshold=7)
        opened.describe_as(
            opened.description.changed(optimizers_config=optimizers, pending="settings")
        )
    twins.close()
    with EdgeClient(twins.path) as again:
        config = again.get_collection("several").config
        assert config.optimizer_config.indexing_threshold == 7
        assert _engine_configs(again, '"indexing_threshold":7') == [True] * SHARDS


def _engine_configs(client: EdgeClient, said: str) -> list[bool]:
    with client.shard_folders("several") as folders:
        return [
            said in (folder / "edge_config.json").read_text().replace(" ", "") for folder in folders
        ]


def test_a_build_is_one_of_every_shard(client: EdgeClient) -> None:
    for elsewhere in (False, True):
        name = f"built_{elsewhere}"
        client.create_collection(
            name,
            models.VectorParams(size=64, distance=models.Distance.COSINE),
            shard_number=2,
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
        )
        rng = np.random.default_rng(0)
        client.upload_collection(
            name, rng.standard_normal((2000, 64), dtype=np.float32), ids=range(2000)
        )
        client.optimize(name, another_process=elsewhere)
        info = client.get_collection(name)
        assert info.indexed_vectors_count == info.points_count == 2000
        assert not client.optimize(name)


def test_searching_is_refused_with_a_way_out(twins: EdgeClient) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "query_points": {"query": _vector(1), "using": "a"},
        "query_batch_points": {"requests": [models.QueryRequest(query=_vector(1), using="a")]},
        "query_points_groups": {"group_by": "kind", "query": _vector(1), "using": "a"},
    }
    for call, given in arguments.items():
        with pytest.raises(NotSupportedByEdgeError, match="ship it to a server, or build it with"):
            getattr(twins, call)("several", **given)
        assert getattr(twins, call)("one", **given)


def test_vectors_are_looked_up_in_several_shards(twins: EdgeClient) -> None:
    found = [
        twins.query_points(
            "one",
            query=IDS[70],
            using="a",
            lookup_from=models.LookupLocation(collection=place, vector="a"),
            limit=6,
        ).points
        for place in NAMES
    ]
    one, several = ([hit.score for hit in hits if hit.id != IDS[70]][:5] for hits in found)
    assert several == one


@pytest.mark.parametrize("shards", [0, -1])
def test_a_number_of_shards_is_at_least_one(client: EdgeClient, shards: int) -> None:
    with pytest.raises(ArgumentError, match="shard_number"):
        client.create_collection(
            "c", models.VectorParams(size=2, distance="Dot"), shard_number=shards
        )
    assert not client.collection_exists("c")


def test_deleted_and_made_again(twins: EdgeClient, tmp_path: Path) -> None:
    assert twins.delete_collection("several")
    assert not (tmp_path / "db" / "several").exists()
    with pytest.warns(DeprecationWarning, match="recreate_collection"):
        twins.recreate_collection(
            "several", models.VectorParams(size=2, distance="Dot"), shard_number=2
        )
    assert twins.shard_counts("several") == [0, 0]


def test_a_creation_that_died_leaves_nothing(
    client: EdgeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = edge.EdgeShard.create

    class Dying:
        load = edge.EdgeShard.load

        @staticmethod
        def create(path: str, config: Any) -> Any:
            if path.endswith("/1"):
                raise KeyboardInterrupt
            return create(path, config)

    monkeypatch.setattr("qdrant_static.edge.opencollection.edge.EdgeShard", Dying)
    with pytest.raises(KeyboardInterrupt):
        client.create_collection("c", models.VectorParams(size=2, distance="Dot"), shard_number=2)
    monkeypatch.undo()
    assert not client.collection_exists("c")
    assert not (tmp_path / "db" / "c").exists()
    client.create_collection("c", models.VectorParams(size=2, distance="Dot"), shard_number=2)


def test_a_spec_makes_several_shards_and_does_not_differ(
    client: EdgeClient, encoder: FakeEncoder
) -> None:
    spec = CollectionSpec.for_encoder(encoder, payload_indexes={"n": "integer"})
    create_collection(client, "articles", spec, shards=2)
    assert client.get_collection("articles").config.params.shard_number == 2
    assert diff(client, "articles", spec).differences == ()


def test_shard_folders_the_files_are_there_and_nobody_opens_them(
    twins: EdgeClient, tmp_path: Path
) -> None:
    with twins.shard_folders("several") as folders:
        assert folders == tuple(
            tmp_path / "db" / "several" / "shards" / str(number) for number in range(SHARDS)
        )
        for folder in folders:
            edge.EdgeShard.load(str(folder)).close()
        with pytest.raises(CollectionLockedError, match="a reader of its files"):
            twins.count("several")
        with pytest.raises(CollectionLockedError):
            twins.delete_collection("several")
        with EdgeClient(tmp_path / "db") as other, pytest.raises(CollectionLockedError):
            other.count("several")
        assert twins.count("one").count == len(IDS)
    assert twins.count("several").count == len(IDS)


def test_shard_folders_ends_with_an_error_too(twins: EdgeClient) -> None:
    with pytest.raises(ZeroDivisionError), twins.shard_folders("several"):
        raise ZeroDivisionError
    assert twins.count("several").count == len(IDS)


def test_samples_are_of_each_shard_with_their_versions(twins: EdgeClient) -> None:
    twins.set_payload("several", {"late": True}, points=[IDS[4]])
    samples = twins.sample_points("several", 1000, with_payload=["late"], with_vectors=["a"])
    assert [len(one) for one in samples] == twins.shard_counts("several")
    hits = {hit.id: hit for one in samples for hit in one}
    assert set(hits) == set(IDS)
    of_its_shard = [hit for one in samples if any(h.id == IDS[4] for h in one) for hit in one]
    assert max(of_its_shard, key=lambda hit: hit.version).id == IDS[4]
    assert all(hit.version > 0 and set(hit.vector) == {"a"} for hit in hits.values())
    assert hits[IDS[4]].payload == {"late": True}
    few = twins.sample_points("several", 2)
    assert [len(one) for one in few] == [2] * SHARDS


@pytest.fixture(autouse=True)
def _closed(client: EdgeClient) -> Iterator[None]:
    yield
    client.close()
