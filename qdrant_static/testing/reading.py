"""Tests of retrieving, scrolling and counting points."""

from __future__ import annotations

from typing import Any

import numpy as np
from qdrant_client import models

from qdrant_static.testing.base import Conformance, ids, matching, matrix


class ReadingConformance(Conformance):
    """Tests of reading points."""

    def test_retrieve__leaves_out_what_is_missing(self, client: Any, filled: str) -> None:
        assert ids(client.retrieve(filled, [3, 99, 4])) == [3, 4]

    def test_retrieve__chooses_vectors_and_fields(self, client: Any, filled: str) -> None:
        (record,) = client.retrieve(filled, [3], with_payload=["n", "deep.a"], with_vectors=["s"])
        assert record.payload == {"n": 3, "deep": {"a": 3}}
        assert set(record.vector) == {"s"}
        (record,) = client.retrieve(
            filled, [3], with_payload=models.PayloadSelectorExclude(exclude=["deep"])
        )
        assert record.payload == {"n": 3, "color": "red"}
        assert not record.vector
        (record,) = client.retrieve(filled, [3], with_payload=False)
        assert not record.payload

    def test_scroll__pages(self, client: Any, filled: str) -> None:
        seen: list[Any] = []
        offset = None
        while True:
            page, offset = client.scroll(filled, limit=7, offset=offset)
            seen += ids(page)
            if offset is None:
                break
        assert seen == list(range(20))

    def test_scroll__filtered(self, client: Any, filled: str) -> None:
        page, following = client.scroll(filled, scroll_filter=matching("color", "red"), limit=50)
        assert (ids(page), following) == ([0, 3, 6, 9, 12, 15, 18], None)

    def test_scroll__ordered(self, client: Any, filled: str) -> None:
        client.create_payload_index(filled, "n", models.PayloadSchemaType.INTEGER)
        order = models.OrderBy(key="n", direction=models.Direction.DESC, start_from=10)
        page, following = client.scroll(filled, order_by=order, limit=3)
        assert (ids(page), following) == ([10, 9, 8], None)

    def test_scroll__ordering_needs_an_index(self, client: Any, filled: str) -> None:
        with self.refused():
            client.scroll(filled, order_by="n")

    def test_count__all_and_some(self, client: Any, filled: str) -> None:
        assert client.count(filled).count == 20
        assert client.count(filled, count_filter=matching("color", "red")).count == 7

    def test_count__conditions(self, client: Any, filled: str) -> None:
        field = models.FieldCondition
        condition = models.Filter(
            should=[
                field(key="deep.a", range=models.Range(lt=3)),
                field(key="color", match=models.MatchAny(any=["blue"])),
            ],
            must_not=[models.HasIdCondition(has_id=[0, 2])],
            must=[models.HasVectorCondition(has_vector="s")],
        )
        assert client.count(filled, count_filter=condition).count == 6

    def test_facet__counts_values(self, client: Any, filled: str) -> None:
        client.create_payload_index(filled, "color", models.PayloadSchemaType.KEYWORD)
        hits = client.facet(filled, "color", exact=True).hits
        assert {hit.value: hit.count for hit in hits} == {"red": 7, "green": 7, "blue": 6}
        hits = client.facet(filled, "color", facet_filter=matching("n", 3), exact=True).hits
        assert {hit.value: hit.count for hit in hits} == {"red": 1}

    def test_facet__needs_an_index(self, client: Any, filled: str) -> None:
        with self.refused():
            client.facet(filled, "color")

    def test_query_points__a_sample_has_no_first_ones_to_leave_out(
        self, client: Any, filled: str
    ) -> None:
        query = models.SampleQuery(sample=models.Sample.RANDOM)
        hits = client.query_points(filled, query=query, limit=20, offset=15).points
        assert len(set(ids(hits))) == 20

    def test_search_matrix_pairs__nearest_of_each(self, client: Any, filled: str) -> None:
        near = matrix(20) @ matrix(20).T
        pairs = client.search_matrix_pairs(filled, limit=2, sample=30, using="d").pairs
        wanted = {
            number: [other for other in np.argsort(-near[number]).tolist() if other != number][:2]
            for number in range(20)
        }
        got: dict[Any, list[Any]] = {}
        for pair in pairs:
            got.setdefault(pair.a, []).append(pair.b)
            assert np.isclose(pair.score, near[pair.a, pair.b], atol=1e-4)
        assert list(got) == list(range(20))
        assert got == wanted

    def test_search_matrix_offsets__of_some(self, client: Any, filled: str) -> None:
        near = matrix(20) @ matrix(20).T
        red = matching("color", "red")
        found = client.search_matrix_offsets(filled, red, limit=6, sample=30, using="d")
        assert found.ids == [0, 3, 6, 9, 12, 15, 18]
        assert found.offsets_row == [row for row in range(7) for _ in range(6)]
        for row, column, score in zip(
            found.offsets_row, found.offsets_col, found.scores, strict=True
        ):
            assert row != column
            assert np.isclose(score, near[found.ids[row], found.ids[column]], atol=1e-4)

    def test_search_matrix_pairs__draws_as_many_as_asked(self, client: Any, filled: str) -> None:
        pairs = client.search_matrix_pairs(filled, limit=1, sample=5, using="d").pairs
        assert len(pairs) == 5
        assert [pair.a for pair in pairs] == sorted({pair.a for pair in pairs})
        assert {pair.b for pair in pairs} <= {pair.a for pair in pairs}

    def test_search_matrix_pairs__of_one_point_are_none(self, client: Any, filled: str) -> None:
        assert client.search_matrix_pairs(filled, matching("n", 3), using="d").pairs == []
