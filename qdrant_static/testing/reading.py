"""Reading points: by id, in order, counted."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from qdrant_static.testing.base import Conformance, ids, matching


class ReadingConformance(Conformance):
    """Reading points."""

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
