"""The proofs of a shipment on ordinary pairs: the same points written to two engines.

A subclass gives the fixture ``pair``, with `built_once` for all of its tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import pytest
from qdrant_client import models
from qdrant_client.http.models import QueryResponse  # models.QueryResponse is fastembed's

from qdrant_static import EdgeClient
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.errors import ShipmentRefusedError
from qdrant_static.routing import shard_of
from qdrant_static.shipping.packing.segments import BuiltShard
from qdrant_static.shipping.proofs.behavior import PROBE
from qdrant_static.shipping.proofs.prove import prove
from qdrant_static.shipping.proofs.shipped import Proof

SHARDS = 2
POINTS = 120
NAMES = ("count", "route", "ids", "vectors", "payloads", "searches", "indexed", "edits")
IDS: list[int | str] = [
    number if number % 2 else str(uuid5(NAMESPACE_URL, str(number))) for number in range(POINTS)
]


NOBODY = models.Filter(must=[models.HasIdCondition(has_id=[])])


def points() -> list[models.PointStruct]:
    dice = np.random.default_rng(7)
    return [
        models.PointStruct(
            id=point,
            vector={
                "full": dice.standard_normal(16).astype(np.float32).tolist(),
                "late": dice.standard_normal((3, 8)).astype(np.float32).tolist(),
                "bm25": models.SparseVector(indices=[number % 50, 60], values=[1.5, 0.1]),
            },
            payload={"n": number, "lang": "en", "score": number / 7, "nested": {"x": [number]}},
        )
        for number, point in enumerate(IDS)
    ]


def create(
    client: Any, name: str, *, shards: int = SHARDS, filled: bool = True, idf: bool = True
) -> None:
    modifier = models.Modifier.IDF if idf else None  # counted in each shard for itself
    cosine = models.Distance.COSINE
    client.create_collection(
        name,
        shard_number=shards,
        vectors_config={
            "full": models.VectorParams(size=16, distance=cosine),
            "late": models.VectorParams(
                size=8,
                distance=cosine,
                multivector_config=models.MultiVectorConfig(
                    comparator=models.MultiVectorComparator.MAX_SIM
                ),
            ),
        },
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=modifier)},
    )
    client.create_payload_index(name, "n", models.PayloadSchemaType.INTEGER)
    client.create_payload_index(name, "lang", models.PayloadSchemaType.KEYWORD)
    if filled:
        client.upsert(name, points(), wait=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A built collection, and a server's that has the same points."""

    local: EdgeClient
    server: Any
    node: Any
    peers: Any
    target: str

    def prove(
        self,
        *,
        newest: int = -1,
        sample: int = POINTS,
        built: Sequence[BuiltShard] | None = None,
        budget_s: float = 5.0,
    ) -> tuple[Proof, ...]:
        return prove(
            self.local,
            "built",
            self.server,
            self.node,
            self.peers,
            self.target,
            self.shards(newest) if built is None else built,
            sample=sample,
            retry=RetryPolicy(first_s=0.01, budget_s=budget_s),
        )

    @staticmethod
    def shards(newest: int) -> list[BuiltShard]:
        return [
            BuiltShard(number=number, folder=Path(), segments=(), newest=newest)
            for number in range(SHARDS)
        ]

    def refusal(self, **options: Any) -> ShipmentRefusedError:
        with pytest.raises(ShipmentRefusedError) as refused:
            self.prove(**options)
        assert refused.value.collection == "built"
        assert refused.value.left == ""
        return refused.value


def built_once(folder: Path, *, idf: bool = True) -> Iterator[EdgeClient]:
    """Where ``built`` is, which no test changes but by what it is handed."""
    with EdgeClient(folder) as client:
        create(client, "built", idf=idf)
        yield client


class ProofSuite:
    """What must hold of the proofs."""

    def test_all_proofs_hold_of_the_same_points_and_leave_nothing(self, pair) -> None:
        held = pair.prove()
        assert tuple(proof.name for proof in held) == NAMES
        figures = {proof.name: proof.figure for proof in held}
        assert figures["count"] == figures["route"] == POINTS
        assert figures["ids"] == figures["vectors"] == figures["payloads"] == POINTS
        assert figures["edits"] == 4 * SHARDS
        assert all(str(proof).startswith(f"{proof.name}: ") for proof in held)
        records, _ = pair.server.scroll(pair.target, limit=POINTS)
        assert len(records) == POINTS
        assert not any(PROBE in record.payload for record in records)

    def test_a_sample_is_of_every_shard(self, pair) -> None:
        figures = {proof.name: proof.figure for proof in pair.prove(sample=10)}
        assert figures["vectors"] == 10 * SHARDS
        assert figures["route"] == POINTS

    def test_a_lost_point_is_a_count_that_names_its_shard(self, pair) -> None:
        pair.server.delete(pair.target, [IDS[5]], wait=True)
        refused = pair.refusal()
        assert refused.proof == "count"
        assert refused.problem.startswith(f"shard {shard_of([IDS[5]], SHARDS)[0]} on peer ")
        assert "were built" in refused.problem

    def test_a_point_in_place_of_another_is_not_found_by_its_id(self, pair) -> None:
        shard = shard_of([IDS[5]], SHARDS)[0]
        other = next(n for n in range(10**6, 10**7) if shard_of([n], SHARDS)[0] == shard)
        pair.server.delete(pair.target, [IDS[5]], wait=True)
        pair.server.upsert(pair.target, [points()[0].model_copy(update={"id": other})], wait=True)
        refused = pair.refusal()
        assert refused.proof == "ids"
        assert f"point {IDS[5]!r} of shard {shard}" in refused.problem

    @pytest.mark.parametrize(
        ("name", "vector", "told"),
        [
            ("full", [0.5] * 16, "vector 'full' differs in 16 of its 16 components"),
            ("late", [[0.5] * 8] * 2, "vector 'late' has 2 x 8 components, and 3 x 8 components"),
            (
                "bm25",
                models.SparseVector(indices=[60], values=[0.1]),
                "vector 'bm25' has other terms: 2 were built, 1 were found",
            ),
        ],
    )
    def test_another_vector_is_named(self, pair, name, vector, told) -> None:
        changed = models.PointVectors(id=IDS[8], vector={name: vector})
        pair.server.update_vectors(pair.target, [changed], wait=True)
        refused = pair.refusal()
        assert refused.proof == "vectors"
        assert f"point {IDS[8]!r} of shard" in refused.problem
        assert told in refused.problem

    def test_a_missing_vector_is_named(self, pair) -> None:
        pair.server.delete_vectors(pair.target, ["late"], [IDS[8]], wait=True)
        refused = pair.refusal()
        assert (refused.proof, "vector 'late' is missing" in refused.problem) == ("vectors", True)

    def test_a_vector_that_no_search_finds_is_told(self, pair, monkeypatch) -> None:
        search = pair.server.query_points

        def blind(*args: Any, using: str, **options: Any) -> Any:
            answer = search(*args, using=using, **options)
            return QueryResponse(points=[]) if using == "bm25" else answer

        monkeypatch.setattr(pair.server, "query_points", blind)
        refused = pair.refusal()
        assert refused.proof == "vectors"
        assert refused.problem.endswith("is not found by its own vector 'bm25'")

    @pytest.mark.parametrize(
        ("payload", "told"),
        [
            ({"lang": "de"}, "field 'lang' has another value"),
            ({"nested": {"x": [-1]}}, "field 'nested' has another value"),
            ({"more": 1}, "field 'more' exists, and was not built"),
        ],
    )
    def test_another_payload_names_the_field(self, pair, payload, told) -> None:
        pair.server.set_payload(pair.target, payload, points=[IDS[11]], wait=True)
        refused = pair.refusal()
        assert refused.proof == "payloads"
        assert f"point {IDS[11]!r} of shard" in refused.problem
        assert told in refused.problem

    def test_a_lost_payload_names_its_field(self, pair) -> None:
        pair.server.clear_payload(pair.target, [IDS[11]], wait=True)
        refused = pair.refusal()
        assert (refused.proof, "field 'lang' is missing" in refused.problem) == ("payloads", True)

    def test_a_payload_index_that_is_missing_is_named(self, pair) -> None:
        pair.server.delete_payload_index(pair.target, "lang", wait=True)
        refused = pair.refusal()
        assert (refused.proof, refused.problem) == ("indexed", "payload index 'lang' is missing")

    def test_a_payload_index_of_another_type_is_named(self, pair) -> None:
        pair.server.delete_payload_index(pair.target, "n", wait=True)
        pair.server.create_payload_index(
            pair.target, "n", models.PayloadSchemaType.FLOAT, wait=True
        )
        refused = pair.refusal()
        assert refused.proof == "indexed"
        assert refused.problem == "payload index 'n' is of type float, and was built as integer"

    def test_a_payload_index_that_was_not_built_is_named(self, pair) -> None:
        pair.server.create_payload_index(
            pair.target, "score", models.PayloadSchemaType.FLOAT, wait=True
        )
        refused = pair.refusal()
        assert refused.proof == "indexed"
        assert refused.problem == "payload index 'score' exists, and was not built"

    def test_numbers_above_the_servers_are_refused_and_the_edit_is_undone(self, pair) -> None:
        refused = pair.refusal(newest=1_000_000)
        assert refused.proof == "edits"
        assert "up to 1,000,000" in refused.problem
        records, _ = pair.server.scroll(pair.target, limit=POINTS)
        assert not any(PROBE in record.payload for record in records)

    def test_a_point_in_another_shard_than_its_own_is_told_before_anybody_misses_it(
        self, tmp_path, pair, monkeypatch
    ) -> None:
        """Built so, and the server's side is whole: only the route tells."""
        ids = dict(enumerate(list(page) for _, page in pair.local.shard_ids("built")))
        moved = ids[0].pop()
        ids[1].append(moved)
        monkeypatch.setattr(pair.local, "shard_ids", lambda _: iter(ids.items()), raising=False)
        refused = pair.refusal()
        assert refused.proof == "route"
        assert f"point {moved!r} was built into shard 1" in refused.problem
        assert "looks for it in shard 0" in refused.problem

    def test_searches_that_find_something_else_name_their_vector(self, pair, monkeypatch) -> None:
        """As when a graph is damaged, and every vector is whole."""
        ask = pair.server.query_points

        def farthest(*args: Any, using: str | None, **options: Any) -> Any:
            answer = ask(*args, using=using, **options)
            if using == "full" and "query_filter" not in options:
                answer.points[2:] = []
            return answer

        monkeypatch.setattr(pair.server, "query_points", farthest)
        refused = pair.refusal()
        assert refused.proof == "searches"
        assert "by vector 'full' find 20 of the 100 hits" in refused.problem

    def test_an_edit_that_finds_no_point_says_where_it_was_looked_for(
        self, pair, monkeypatch
    ) -> None:
        """As when another shard's file was sent: found by id, and edits go elsewhere."""
        edit = pair.server.set_payload

        def elsewhere(*args: Any, points: list[Any], **options: Any) -> Any:
            return edit(*args, points=[10**15], **options)

        monkeypatch.setattr(pair.server, "set_payload", elsewhere)
        refused = pair.refusal()
        assert refused.proof == "edits"
        assert "the server does not look for point" in refused.problem

    def test_an_edit_that_is_acknowledged_and_ignored_is_told(self, pair, monkeypatch) -> None:
        edit = pair.server.set_payload

        def ignored(*args: Any, points: list[Any], **options: Any) -> Any:
            return edit(*args, points=NOBODY, **options)

        monkeypatch.setattr(pair.server, "set_payload", ignored)
        refused = pair.refusal(newest=0)
        assert refused.proof == "edits"
        assert "was acknowledged as operation" in refused.problem
        assert "changed nothing" in refused.problem

    def test_a_target_that_is_gone_is_a_failed_proof(self, pair) -> None:
        pair.server.delete_collection(pair.target)
        assert pair.refusal().proof == "count"

    def test_an_empty_collection_is_proved_too(self, pair, tmp_path) -> None:
        pair.server.delete(pair.target, models.PointIdsList(points=IDS), wait=True)
        with EdgeClient(tmp_path / "empty") as empty:
            create(empty, "built", filled=False)
            held = replace(pair, local=empty).prove()
        assert tuple(proof.name for proof in held) == NAMES
        assert {proof.figure for proof in held if proof.name != "indexed"} == {0}
