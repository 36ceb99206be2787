"""EdgeClient: points in, points out; all of a request or none of it."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.errors import EngineError, PointError, PointNotFoundError

ONE = str(uuid.UUID(int=1))
FULL = [1.0] + [0.0] * 31
#: Compare the vectors themselves, not their binary codes.
EXACT = models.SearchParams(quantization=models.QuantizationSearchParams(ignore=True))


def point(identity=1, *, payload=None, **vectors) -> models.PointStruct:
    """A point as our own writer makes it: not validated."""
    return models.PointStruct.model_construct(
        id=identity, vector=vectors or {"full": FULL}, payload=payload or {}
    )


def ids(records) -> list:
    return [record.id for record in records]


def test_points_come_back_with_payload_and_vectors(articles):
    terms = models.SparseVector(indices=[5, 2], values=[1.5, 2.5])
    payload = {"n": 5, "x": [1.5, None, {"y": "ä"}], "": True}
    articles.upsert("articles", [point(ONE, payload=payload, full=FULL, mrl_8=[0.6, 0.8] + [0] * 6,
                                       bm25=terms)])  # fmt: skip
    (record,) = articles.retrieve("articles", [ONE], with_vectors=True)
    assert (record.id, record.payload) == (ONE, payload)
    assert record.vector["full"] == FULL
    assert record.vector["mrl_8"] == pytest.approx([0.6, 0.8] + [0] * 6)
    assert dict(zip(record.vector["bm25"].indices, record.vector["bm25"].values, strict=True)) == {
        5: 1.5, 2: 2.5,
    }  # fmt: skip


@pytest.mark.parametrize("identity", [0, 1, 2**64 - 1, ONE])
def test_every_id_that_the_engine_knows_comes_back_as_it_was(articles, identity):
    articles.upsert("articles", [point(identity)])
    assert ids(articles.retrieve("articles", [identity])) == [identity]


def test_numpy_rows_and_point_lists_are_welcome(articles):
    articles.upsert("articles", [point(1, full=np.array(FULL, np.float32))])
    articles.upsert(
        "articles", models.PointsList(points=[models.PointStruct(id=2, vector={"full": FULL})])
    )
    assert articles.count("articles").count == 2


def test_a_point_that_is_written_again_is_replaced(articles):
    articles.upsert("articles", [point(1, payload={"a": 1, "b": 2})])
    articles.upsert("articles", [point(1, payload={"a": 3})])
    assert [r.payload for r in articles.retrieve("articles", [1])] == [{"a": 3}]


def test_no_points_are_no_work(articles):
    articles.upsert("articles", [])
    assert articles.count("articles").count == 0


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (point(9, full=[1.0]), "'full' has 1 dimensions, the collection 32"),
        (point(9, full=[float("nan")] * 32), "'full' holds a number that is not finite"),
        (point(9, full=[float("inf")] + [0] * 31), "not finite"),
        (point(9, full=np.full(32, np.inf, np.float32)), "not finite"),
        (point(9, full=[1e39] * 32), "not finite"),
        (point(9, other=FULL), "no dense vector 'other'; there are: full, mrl_8"),
        (point(9, bm25=FULL), "no dense vector 'bm25'"),
        (point(9, full=models.SparseVector(indices=[1], values=[1.0])), "no sparse vector 'full'"),
        (point(9, full=["a"] * 32), "full"),
        (point(9, full=None), "full"),
        (
            point(9, bm25=models.SparseVector.model_construct(indices=[1], values=[float("nan")])),
            "not finite",
        ),
        (
            point(9, bm25=models.SparseVector.model_construct(indices=[1, 2], values=[1.0])),
            "bm25",
        ),
        (
            point(9, bm25=models.SparseVector.model_construct(indices=[1, 1], values=[1.0, 2.0])),
            "bm25",
        ),
        (
            models.PointStruct.model_construct(id=9, vector=FULL, payload={}),
            "no dense vector without a name; there are: full, mrl_8",
        ),
        (point(-1), "extract|id"),
        (point(2**64), "extract|id"),
        (point("abc"), "UUID"),
        (point(9, payload={"x": float("nan")}), "NaN"),
        (point(9, payload={"x": {1, 2}}), "a set"),
        (point(9, payload={"x": "\ud800"}), ""),
        (point(9, payload={b"x": 2}), "a bytes as a key"),
    ],
)
def test_a_point_that_does_not_fit_is_named_and_nothing_of_its_request_is_stored(
    articles, bad, told
):
    with pytest.raises(PointError) as caught:
        articles.upsert("articles", [point(1), bad, point(2)])
    assert caught.value.point == bad.id
    assert any(part in caught.value.problem for part in told.split("|"))
    assert "\n" not in caught.value.message
    assert articles.count("articles").count == 0
    articles.upsert("articles", [point(1), point(2)])
    assert articles.count("articles").count == 2


def test_a_payload_that_cannot_be_read_back_is_refused(articles):
    """The engine stores what is nested deeper than 127 levels, and then reads it never again."""
    deep: list = []
    for _ in range(200):
        deep = [deep]
    with pytest.raises(PointError):
        articles.upsert("articles", [point(1, payload={"deep": deep})])
    articles.upsert("articles", [point(2)])
    assert ids(articles.scroll("articles")[0]) == [2]


def test_a_payload_is_nested_as_deep_as_the_engine_reads(articles):
    deep: list = []
    for _ in range(100):
        deep = [deep]
    articles.upsert("articles", [point(1, payload={"deep": deep})])
    assert articles.retrieve("articles", [1])[0].payload == {"deep": deep}


def _vectors(n: int) -> dict:
    full = [1.0, n / 10] + [0.0] * 30
    if n % 2:
        return {"full": full}
    return {"full": full, "bm25": models.SparseVector(indices=[n], values=[1.0])}


@pytest.fixture
def ten(articles):
    """Points 0 to 9 whose payload counts them; the even ones have terms too."""
    articles.upsert(
        "articles",
        [
            point(n, payload={"n": n, "half": n // 2}, **_vectors(n))
            for n in range(10)
        ],
    )  # fmt: skip
    return articles


def below(limit: int) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key="n", range=models.Range(lt=limit))])


@pytest.mark.parametrize(
    ("selector", "left"),
    [
        ([1, 3, 99], [0, 2, 4, 5, 6, 7, 8, 9]),
        (models.PointIdsList(points=[0]), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (below(8), [8, 9]),
        (models.FilterSelector(filter=below(8)), [8, 9]),
        ([], list(range(10))),
    ],
)
def test_points_are_deleted_by_id_and_by_filter(ten, selector, left):
    ten.delete("articles", selector)
    assert ids(ten.scroll("articles")[0]) == left
    assert ten.count("articles").count == len(left)


def test_an_id_that_is_none_is_an_error_of_ours(ten):
    from qdrant_static import QdrantStaticError

    for call in (ten.delete, ten.retrieve):
        with pytest.raises(QdrantStaticError):
            call("articles", ["nonsense"])


def test_counts_are_exact_and_filtered(ten):
    assert ten.count("articles").count == 10
    assert ten.count("articles", below(3), exact=True).count == 3


def test_ids_that_are_not_there_are_left_out(ten):
    assert sorted(ids(ten.retrieve("articles", [3, 77, 5]))) == [3, 5]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (True, {"n": 3, "half": 1}),
        (False, None),
        (["n"], {"n": 3}),
        (models.PayloadSelectorExclude(exclude=["n"]), {"half": 1}),
        (models.PayloadSelectorInclude(include=["half"]), {"half": 1}),
    ],
)
def test_the_wanted_part_of_the_payload_comes_back(ten, selector, expected):
    (record,) = ten.retrieve("articles", [3], with_payload=selector)
    assert (record.payload or None) == expected


def test_the_wanted_vectors_come_back(ten):
    assert ten.retrieve("articles", [2])[0].vector is None
    assert set(ten.retrieve("articles", [2], with_vectors=["bm25"])[0].vector) == {"bm25"}
    assert set(ten.retrieve("articles", [2], with_vectors=True)[0].vector) == {"full", "bm25"}


def test_scrolling_goes_through_all_points_in_the_order_of_their_ids(ten):
    ten.upsert("articles", [point(ONE)])
    seen, offset = [], None
    for _ in range(4):
        page, offset = ten.scroll("articles", limit=4, offset=offset)
        seen += ids(page)
        if offset is None:
            break
    assert seen == [*range(10), ONE]
    page, offset = ten.scroll("articles", below(5), limit=3)
    assert (ids(page), offset) == ([0, 1, 2], 3)


def test_a_query_finds_the_nearest_first(ten):
    hits = ten.query_points(
        "articles", [0.0, 1.0] + [0.0] * 30, using="full", search_params=EXACT, limit=3
    ).points
    assert ids(hits) == [9, 8, 7]
    assert hits[0].score > hits[1].score
    assert hits[0].payload == {"n": 9, "half": 4}


def test_a_query_takes_a_filter_an_offset_and_a_threshold(ten):
    query = [0.0, 1.0] + [0.0] * 30
    found = ten.query_points(
        "articles", query, using="full", search_params=EXACT, query_filter=below(5), limit=2
    )
    assert ids(found.points) == [4, 3]
    found = ten.query_points(
        "articles", query, using="full", search_params=EXACT, limit=2, offset=1
    )
    assert ids(found.points) == [8, 7]
    found = ten.query_points(
        "articles", query, using="full", search_params=EXACT, score_threshold=0.65
    )
    assert ids(found.points) == [9]


def test_a_sparse_query_finds_those_with_its_terms(ten):
    terms = models.SparseVector(indices=[4, 8], values=[1.0, 3.0])
    assert ids(ten.query_points("articles", terms, using="bm25").points) == [8, 4]


def test_prefetched_candidates_are_rescored(ten):
    stage = models.Prefetch(
        query=models.SparseVector(indices=[2, 6], values=[1.0, 1.0]), using="bm25", limit=5
    )
    query = [0.0, 1.0] + [0.0] * 30
    found = ten.query_points("articles", query, using="full", prefetch=stage)
    assert ids(found.points) == [6, 2]


@pytest.mark.parametrize("fusion", models.Fusion)
def test_prefetched_lists_are_fused(ten, fusion):
    stages = [
        models.Prefetch(query=[1.0, 0.0] + [0.0] * 30, using="full", limit=3, params=EXACT),
        models.Prefetch(query=models.SparseVector(indices=[8], values=[1.0]), using="bm25"),
    ]
    found = ten.query_points("articles", models.FusionQuery(fusion=fusion), prefetch=stages)
    assert set(ids(found.points)) == {0, 1, 2, 8}


def test_a_query_of_nothing_lists_points(ten):
    assert len(ten.query_points("articles", limit=4).points) == 4


def test_a_query_that_does_not_fit_is_an_error_of_ours(ten):
    for query, using in (([1.0], "full"), (FULL, "other")):
        with pytest.raises(EngineError, match="searching"):
            ten.query_points("articles", query, using=using)
    with pytest.raises(PointNotFoundError, match="no point 77"):
        ten.query_points("articles", 77, using="full")


def test_a_full_disk_is_an_error_before_the_engine_writes(ten, monkeypatch):
    from collections import namedtuple

    from qdrant_static.edge import directory
    from qdrant_static.errors import StorageError

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(directory.shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    with pytest.raises(StorageError, match="the disk is full"):
        ten.upsert("articles", [point(50)])
    monkeypatch.undo()
    assert ten.count("articles").count == 10


def test_optimizing_builds_what_is_to_build_and_changes_no_answer(ten):
    query = [0.0, 1.0] + [0.0] * 30

    def found() -> list:
        return ids(ten.query_points("articles", query, using="full", search_params=EXACT).points)

    before = found()
    ten.optimize("articles")
    assert found() == before
    assert ten.count("articles").count == 10


WRITE = """
import os, sys
from qdrant_client import models
from qdrant_static import EdgeClient
client = EdgeClient(sys.argv[1])
for batch in range(5):
    points = [models.PointStruct(id=100 * batch + n, vector={"full": [1.0, n] + [0.0] * 30},
                                 payload={"n": n}) for n in range(100)]
    client.upsert("articles", points)
client.delete("articles", [0, 1])
client.update_collection("articles", metadata={"done": 5})
print("acknowledged", flush=True)
sys.stdin.readline()
"""


def test_a_killed_process_loses_nothing_that_was_acknowledged(articles, tmp_path, child):
    articles.close()
    writer = child(WRITE, tmp_path / "db")
    assert writer.stdout.readline() == "acknowledged\n"
    writer.kill()  # SIGKILL: nothing is flushed, nothing is closed
    writer.wait()
    with EdgeClient(tmp_path / "db") as again:
        assert again.count("articles").count == 498
        assert again.retrieve("articles", [499])[0].payload == {"n": 99}
        assert again.retrieve("articles", [0]) == []
        assert again.get_collection("articles").config.metadata["done"] == 5
