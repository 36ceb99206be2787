"""A collection on the real engine, and the scores that brute force gives for it."""

from __future__ import annotations

from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest
import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert, pointreads
from qdrant_static.errors import CollectionNotFoundError

COUNT = 200
CONFIG = {
    "cos": models.VectorParams(size=8, distance=models.Distance.COSINE),
    "dot": models.VectorParams(size=8, distance=models.Distance.DOT),
    "euclid": models.VectorParams(size=8, distance=models.Distance.EUCLID),
    "manhattan": models.VectorParams(size=8, distance=models.Distance.MANHATTAN),
    "multi": models.VectorParams(
        size=4,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator="max_sim"),
    ),
}
SPARSE = {"sparse": models.SparseVectorParams()}
EXACT = models.SearchParams(exact=True)


def identity(row: int) -> int | str:
    return row if row % 2 else str(UUID(int=row))


class Data:
    """Vectors and payloads, and the scores that brute force gives."""

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        self.dense = {
            name: random.normal(size=(COUNT, 8)).astype(np.float32)
            for name in ("cos", "dot", "euclid", "manhattan")
        }
        self.multi = [
            random.normal(size=(1 + row % 3, 4)).astype(np.float32) for row in range(COUNT)
        ]
        self.sparse = [
            dict(
                zip(
                    random.choice(40, 6, replace=False).tolist(),
                    random.random(6).astype(np.float32).tolist(),
                    strict=True,
                )
            )
            for _ in range(COUNT)
        ]
        self.payload = [
            {
                "n": row,
                "half": row / 2,
                "even": row % 2 == 0,
                "group": "abcde"[int(random.integers(5))],
                "tags": [f"t{tag}" for tag in sorted(set(random.integers(0, 4, row % 3).tolist()))],
            }
            for row in range(COUNT)
        ]
        self.query = random.normal(size=8).astype(np.float32)

    def scores(self, name: str, query: np.ndarray) -> np.ndarray:
        rows, query = self.dense[name].astype(np.float64), np.asarray(query, np.float64)
        if name == "cos":
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            return rows @ (query / np.linalg.norm(query))
        if name == "dot":
            return rows @ query
        if name == "euclid":
            return np.linalg.norm(rows - query, axis=1)
        return np.abs(rows - query).sum(axis=1)

    def points(self) -> list[models.PointStruct]:
        return [
            models.PointStruct(
                id=identity(row),
                vector={
                    **{name: rows[row].tolist() for name, rows in self.dense.items()},
                    "multi": self.multi[row].tolist(),
                    **(
                        {}
                        if row == 9
                        else {
                            "sparse": models.SparseVector(
                                indices=list(self.sparse[row]),
                                values=list(self.sparse[row].values()),
                            )
                        }
                    ),
                },
                payload=self.payload[row],
            )
            for row in range(COUNT)
        ]


def build(folder, name, vectors, sparse, points):
    """A collection as `queries` sees it."""
    folder.mkdir()
    shard = edge.EdgeShard.create(str(folder), convert.edge_config(vectors=vectors, sparse=sparse))
    shard.update(edge.UpdateOperation.upsert_points([convert.point(point) for point in points]))
    return SimpleNamespace(
        shards=(shard,),
        searched=shard,
        folder=SimpleNamespace(name=name),
        dense=vectors,
        sparse=sparse,
    )


def build_both(root, data):
    """The collection "main", with "other" beside it."""
    found = build(root / "main", "main", CONFIG, SPARSE, data.points())
    for field, kind in (
        ("n", "integer"), ("half", "float"), ("even", "bool"), ("group", "keyword"),
        ("tags", "keyword"),
    ):  # fmt: skip
        found.searched.update(
            edge.UpdateOperation.create_field_index(field, convert.payload_schema(kind))
        )
    other = build(
        root / "other",
        "other",
        {"vector": CONFIG["cos"]},
        {},
        [models.PointStruct(id=1000, vector={"vector": data.query.tolist()}, payload={"a": 1}),
         models.PointStruct(id=3, vector={"vector": data.query.tolist()}, payload={"a": 3})],
    )  # fmt: skip
    found.others = {"other": other, "main": found}
    return found


def ask(opened, query=None, *, look_up=True, **given):
    arguments = {
        "using": None, "prefetch": None, "condition": None, "params": EXACT, "limit": 10,
        "offset": None, "payload": False, "vectors": False, "score_threshold": None, **given,
    }  # fmt: skip

    def open_other(name):
        if name not in opened.others:
            raise CollectionNotFoundError(collection=name, where="here", collections=("other",))
        return opened.others[name]

    request = models.QueryRequest.model_construct(
        query=query,
        prefetch=convert.listed(arguments.pop("prefetch")) or None,
        filter=arguments.pop("condition"),
        with_payload=arguments.pop("payload"),
        with_vector=arguments.pop("vectors"),
        **arguments,
    )
    return pointreads.query_batch_points(
        opened, [request], look_up=open_other if look_up else None
    )[0]


def rows(hits) -> list[int]:
    return [hit.id if isinstance(hit.id, int) else UUID(hit.id).int for hit in hits]


def best(scores, limit=10, *, without=(), smallest=False):
    """Rows and scores of the best, as brute force has them."""
    order = np.argsort(scores if smallest else -np.asarray(scores), kind="stable")
    chosen = [int(row) for row in order if row not in without][:limit]
    return chosen, [scores[row] for row in chosen]


def same(hits, expected):
    chosen, scores = expected
    assert rows(hits) == chosen
    assert [hit.score for hit in hits] == pytest.approx(scores, rel=1e-5, abs=1e-5)


def mapped(row):
    """A stored vector as the engine keeps it: cosine vectors have the length one."""
    return row / np.linalg.norm(row)
