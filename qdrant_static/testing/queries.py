"""Tests of searches, compared with brute force where that can be computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static.testing.base import Conformance, ids, make, matching, matrix, points

_EXACT = models.SearchParams(exact=True)


def _nearest(query: Any, *, without: tuple[int, ...] = (), limit: int = 5) -> list[int]:
    scores = matrix(20) @ np.asarray(query, dtype=np.float32)
    return [int(n) for n in np.argsort(-scores) if n not in without][:limit]


class QueryConformance(Conformance):
    """Tests of searches."""

    def test_query_points__nearest_as_brute_force(self, client: Any, filled: str) -> None:
        query = matrix(21)[20]
        hits = client.query_points(
            filled, query=query.tolist(), using="d", limit=5, search_params=_EXACT
        ).points
        assert ids(hits) == _nearest(query)
        scores = matrix(20)[ids(hits)] @ query
        assert np.allclose([hit.score for hit in hits], scores, atol=1e-6)
        assert hits[0].payload["n"] == hits[0].id

    def test_query_points__a_numpy_query(self, client: Any, filled: str) -> None:
        query = matrix(21)[20]
        hits = client.query_points(filled, query=query, using="d", limit=5).points
        assert ids(hits) == _nearest(query)

    def test_query_points__filter_offset_threshold(self, client: Any, filled: str) -> None:
        query = matrix(21)[20]
        red = [n for n in _nearest(query, limit=20) if n % 3 == 0]
        hits = client.query_points(
            filled, query=query.tolist(), using="d", query_filter=matching("color", "red"),
            offset=1, limit=3,
        ).points  # fmt: skip
        assert ids(hits) == red[1:4]
        hits = client.query_points(
            filled, query=query.tolist(), using="d", score_threshold=0.0, limit=20
        ).points
        assert len(hits) == int((matrix(20) @ query >= 0).sum())

    def test_query_points__a_stored_point_leaves_itself_out(self, client: Any, filled: str) -> None:
        hits = client.query_points(filled, query=3, using="d", limit=5).points
        assert ids(hits) == _nearest(matrix(20)[3], without=(3,))

    def test_query_points__a_missing_point_is_refused(self, client: Any, filled: str) -> None:
        with self.refused():
            client.query_points(filled, query=99, using="d")

    def test_query_points__a_wrong_size_is_refused(self, client: Any, filled: str) -> None:
        with self.refused():
            client.query_points(filled, query=[1.0], using="d")

    @pytest.mark.parametrize("using", ["none", None])
    def test_query_points__an_unknown_vector_is_refused(
        self, client: Any, filled: str, using: str | None
    ) -> None:
        with self.refused():
            client.query_points(filled, query=matrix(1)[0].tolist(), using=using)

    def test_query_points__not_a_number_is_refused(self, client: Any, filled: str) -> None:
        query = [float("nan"), *matrix(1)[0].tolist()[1:]]
        with self.refused():
            client.query_points(filled, query=query, using="d")

    def test_query_points__sparse(self, client: Any, filled: str) -> None:
        query = models.SparseVector(indices=[1, 13], values=[1.0, 3.0])
        hits = client.query_points(filled, query=query, using="s", limit=20).points
        assert [(hit.id, hit.score) for hit in hits[:1]] == [(3, 6.0)]
        assert {hit.id for hit in hits[1:]} == {1, 4, 7, 10, 13, 16, 19}

    def test_query_points__multi(self, client: Any, filled: str) -> None:
        rows = {50: [[1.0, 0.0], [0.0, 1.0]], 51: [[2.0, 0.0]]}
        client.upsert(
            filled, [models.PointStruct(id=n, vector={"m": row}) for n, row in rows.items()]
        )
        hits = client.query_points(filled, query=[[1.0, 0.0], [0.0, 3.0]], using="m").points
        assert [(hit.id, hit.score) for hit in hits] == [(50, 4.0), (51, 2.0)]

    def test_query_points__recommend_average(self, client: Any, filled: str) -> None:
        hits = client.query_points(
            filled,
            query=models.RecommendQuery(
                recommend=models.RecommendInput(positive=[1, 2], negative=[3])
            ),
            using="d",
            limit=5,
        ).points
        rows = matrix(20)
        positive = rows[[1, 2]].mean(axis=0)
        wanted = _nearest(positive + positive - rows[3], without=(1, 2, 3))
        assert ids(hits) == wanted

    @pytest.mark.parametrize("strategy", ["best_score", "sum_scores"])
    def test_query_points__recommend_scores(self, client: Any, filled: str, strategy: str) -> None:
        hits = client.query_points(
            filled,
            query=models.RecommendQuery(
                recommend=models.RecommendInput(
                    positive=[1, matrix(20)[2].tolist()],
                    strategy=models.RecommendStrategy(strategy),
                )
            ),
            using="d",
            limit=5,
        ).points
        scores = matrix(20) @ matrix(20)[[1, 2]].T
        best = scores.max(axis=1) if strategy == "best_score" else scores.sum(axis=1)
        assert ids(hits) == [int(n) for n in np.argsort(-best) if n != 1][:5]

    def test_query_points__discover(self, client: Any, filled: str) -> None:
        hits = client.query_points(
            filled,
            query=models.DiscoverQuery(
                discover=models.DiscoverInput(
                    target=5, context=[models.ContextPair(positive=1, negative=2)]
                )
            ),
            using="d",
            limit=20,
        ).points
        rows = matrix(20)
        closer = rows @ rows[1] > rows @ rows[2]
        order = sorted(range(20), key=lambda n: (-int(closer[n]), -float(rows[n] @ rows[5])))
        assert ids(hits) == [n for n in order if n not in (1, 2, 5)]

    def test_query_points__context(self, client: Any, filled: str) -> None:
        query = models.ContextQuery(context=[models.ContextPair(positive=1, negative=2)])
        hits = client.query_points(filled, query=query, using="d", limit=20).points
        rows = matrix(20)
        loss = np.minimum(rows @ rows[1] - rows @ rows[2], 0)
        loss /= 1 + np.abs(loss)
        got = {hit.id: hit.score for hit in hits}
        assert set(got) == set(range(20)) - {1, 2}
        assert np.allclose(list(got.values()), loss[list(got)], atol=1e-5)

    @pytest.mark.parametrize("fusion", ["rrf", "dbsf"])
    def test_query_points__fusion(self, client: Any, filled: str, fusion: str) -> None:
        dense = models.Prefetch(query=matrix(21)[20].tolist(), using="d", limit=20)
        sparse = models.Prefetch(
            query=models.SparseVector(indices=[1, 13], values=[1.0, 3.0]), using="s", limit=20
        )
        hits = client.query_points(
            filled, prefetch=[dense, sparse],
            query=models.FusionQuery(fusion=models.Fusion(fusion)), limit=20,
        ).points  # fmt: skip
        assert len(hits) == 20
        if fusion == "rrf":
            lists = [
                ids(client.query_points(filled, query=p.query, using=p.using, limit=20).points)
                for p in (dense, sparse)
            ]
            wanted = {
                n: sum(1 / (2 + one.index(n)) for one in lists if n in one) for n in range(20)
            }
            got = {hit.id: hit.score for hit in hits}
            assert np.allclose([got[n] for n in range(20)], [wanted[n] for n in range(20)])

    def test_query_points__weighted_fusion(self, client: Any, filled: str) -> None:
        dense = models.Prefetch(query=matrix(21)[20].tolist(), using="d", limit=20)
        hits = client.query_points(
            filled, prefetch=[dense, dense], query=models.RrfQuery(rrf=models.Rrf(k=10,
            weights=[1.0, 3.0])), limit=3,
        ).points  # fmt: skip
        assert ids(hits) == _nearest(matrix(21)[20], limit=3)

    def test_query_points__rescored_prefetch(self, client: Any, filled: str) -> None:
        first = models.Prefetch(
            query=models.SparseVector(indices=[1], values=[1.0]), using="s", limit=20
        )
        query = matrix(21)[20]
        hits = client.query_points(
            filled, prefetch=first, query=query.tolist(), using="d", limit=20
        ).points
        assert ids(hits) == [n for n in _nearest(query, limit=20) if n % 3 == 1]

    def test_query_points__formula(self, client: Any, filled: str) -> None:
        first = models.Prefetch(query=matrix(21)[20].tolist(), using="d", limit=20)
        hits = client.query_points(
            filled,
            prefetch=first,
            query=models.FormulaQuery(
                formula=models.SumExpression(
                    sum=["$score", models.MultExpression(mult=[10.0, "n"])]
                ),
                defaults={"n": 0.0},
            ),
            limit=3,
        ).points
        scores = matrix(20) @ matrix(21)[20] + 10 * np.arange(20)
        assert ids(hits) == [19, 18, 17]
        assert np.allclose([hit.score for hit in hits], scores[[19, 18, 17]], atol=1e-4)

    def test_query_points__order_by(self, client: Any, filled: str) -> None:
        client.create_payload_index(filled, "n", models.PayloadSchemaType.INTEGER)
        order = models.OrderBy(key="n", direction=models.Direction.DESC)
        hits = client.query_points(
            filled, query=models.OrderByQuery(order_by=order), limit=3
        ).points
        assert ids(hits) == [19, 18, 17]

    def test_query_points__sample(self, client: Any, filled: str) -> None:
        query = models.SampleQuery(sample=models.Sample.RANDOM)
        hits = client.query_points(filled, query=query, limit=8).points
        assert len(set(ids(hits))) == 8

    def test_query_points__no_query(self, client: Any, filled: str) -> None:
        assert ids(client.query_points(filled, limit=4).points) == [0, 1, 2, 3]

    def test_query_points__diverse(self, client: Any, filled: str) -> None:
        query = matrix(21)[20]
        diverse = models.NearestQuery(
            nearest=query.tolist(), mmr=models.Mmr(diversity=0.0, candidates_limit=20)
        )
        hits = client.query_points(filled, query=diverse, using="d", limit=5).points
        assert ids(hits) == _nearest(query)
        assert [hit.vector for hit in hits] == [None] * 5
        hits = client.query_points(
            filled, query=diverse, using="d", limit=5, with_vectors=["s"]
        ).points
        assert all(set(hit.vector) <= {"s"} for hit in hits)

    def test_query_points__lookup_from(self, client: Any, filled: str) -> None:
        other = f"{filled}_o"
        make(client, other)
        try:
            client.upsert(
                other, [models.PointStruct(id=900, vector={"d": matrix(21)[20].tolist()})]
            )
            hits = client.query_points(
                filled,
                query=900,
                using="d",
                lookup_from=models.LookupLocation(collection=other, vector="d"),
                limit=5,
            ).points
            assert ids(hits) == _nearest(matrix(21)[20])
        finally:
            client.delete_collection(other)

    def test_query_points__quantized_and_rescored(self, client: Any, name: str) -> None:
        make(
            client,
            name,
            quantization_config=models.ScalarQuantization(
                scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
            ),
        )
        client.upsert(name, points(20), wait=True)
        query = matrix(21)[20]
        hits = client.query_points(
            name,
            query=query.tolist(),
            using="d",
            limit=5,
            search_params=models.SearchParams(
                hnsw_ef=64,
                quantization=models.QuantizationSearchParams(rescore=True, oversampling=4.0),
            ),
        ).points
        assert ids(hits) == _nearest(query)

    def test_query_batch_points__as_one_by_one(self, client: Any, filled: str) -> None:
        requests = [
            models.QueryRequest(query=row.tolist(), using="d", limit=3, with_payload=True)
            for row in matrix(4)
        ]
        requests.append(models.QueryRequest(query=3, using="d", limit=3))
        results = client.query_batch_points(filled, requests)
        assert [ids(result.points) for result in results] == [
            *(_nearest(row, limit=3) for row in matrix(4)),
            _nearest(matrix(20)[3], without=(3,), limit=3),
        ]
        assert results[0].points[0].payload["n"] == results[0].points[0].id
        assert not results[4].points[0].payload

    def test_query_points_groups__best_of_each(self, client: Any, filled: str) -> None:
        query = matrix(21)[20]
        groups = client.query_points_groups(
            filled, group_by="color", query=query.tolist(), using="d", limit=3, group_size=2
        ).groups
        order = _nearest(query, limit=20)
        wanted: dict[str, list[int]] = {}
        for number in order:
            wanted.setdefault(("red", "green", "blue")[number % 3], []).append(number)
        assert {group.id: ids(group.hits) for group in groups} == {
            color: best[:2] for color, best in wanted.items()
        }
        assert [group.id for group in groups] == list(wanted)
