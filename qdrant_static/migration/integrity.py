"""The gates of integrity: does green have the points of blue, with the right vectors, indexed?

Applications write meanwhile. Points that differ at first are compared again while the writers wait
and the journal is applied; only what differs then counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.connect import is_remote
from qdrant_static.clients.indexing import wait_until_indexed
from qdrant_static.clients.scroll import exact_count
from qdrant_static.errors import EngineError
from qdrant_static.ids import plain_id
from qdrant_static.ingestion.verify import check_samples
from qdrant_static.ingestion.writing import Sampled
from qdrant_static.migration.comparison import (
    ID_PAGE,
    PAYLOAD_PAGE,
    ExpectedVectors,
    differing_ids,
    draw,
    ids_in_order,
    parts,
)
from qdrant_static.migration.gates import Gate, at_most, noted
from qdrant_static.sinks.encoding import BatchEncoder

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ids import PointId

#: At most so many differing ids are compared again while the writers wait; more refuse anyway.
_COMPARED_AGAIN = 10_000
#: How many differing ids a gate names.
_NAMED = 5
#: The server's default indexing threshold, in KB of vectors per segment.
_THRESHOLD_KB = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """Compares green with blue, point by point.

    Attributes:
        client: An `EdgeClient` or a `QdrantClient`.
        blue: The collection that serves.
        green: The new one.
        spec: Green's spec.
        encoder: Green's encoder.
        expected: The vectors that green must have.
        writes_paused: Holds the writers for a block, with the journal applied to both.
        sample: How many points are compared with payload and vectors.
    """

    client: Client
    blue: str
    green: str
    spec: CollectionSpec
    encoder: Encoder
    expected: ExpectedVectors
    writes_paused: Callable[[], AbstractContextManager[Any]]
    sample: int = 1000

    def counts(self) -> Gate:
        """Compare the exact numbers of points."""
        with self.writes_paused():
            blue, green = (exact_count(self.client, one) for one in (self.blue, self.green))
        return at_most(
            "counts", abs(blue - green), 0, f"{blue:,} points in blue, {green:,} in green"
        )

    def keys(self) -> Gate:
        """Compare all ids: both generations are read in order, side by side."""
        differing: list[PointId] = []
        more = 0
        for one in differing_ids(
            ids_in_order(self.client, self.blue), ids_in_order(self.client, self.green)
        ):
            if len(differing) < _COMPARED_AGAIN:
                differing.append(one)
            else:
                more += 1
        missing, extra = self._confirmed(differing) if differing else ([], [])
        count = len(missing) + len(extra) + more
        words = "the same ids in both"
        if count:
            words = "; ".join(
                f"{len(ids):,} {what}: {', '.join(map(str, ids[:_NAMED]))}"
                + (", ..." if len(ids) > _NAMED else "")
                for ids, what in ((missing, "missing in green"), (extra, "in green alone"))
                if ids
            )
            words += f"; and {more:,} more" if more else ""
        return at_most("keys", count, 0, words)

    def _confirmed(self, ids: Sequence[PointId]) -> tuple[list[PointId], list[PointId]]:
        """Return the ids, missing and extra, that still differ while nobody writes."""
        missing: list[PointId] = []
        extra: list[PointId] = []
        with self.writes_paused():
            for page in parts(ids, ID_PAGE):
                blue, green = (
                    {
                        plain_id(one.id)
                        for one in self.client.retrieve(
                            name, page, with_payload=False, with_vectors=False
                        )
                    }
                    for name in (self.blue, self.green)
                )
                missing += [one for one in page if one in blue and one not in green]
                extra += [one for one in page if one in green and one not in blue]
        return missing, extra

    def payloads_and_vectors(self) -> list[Gate]:
        """Compare payloads and vectors of a sample with `ExpectedVectors`."""
        sample = draw(self.client, self.blue, self.sample)
        encoder = BatchEncoder(self.spec, self.encoder)
        compared, suspects = self._wrong(sample, encoder)
        wrong: dict[PointId, set[str]] = {}
        if suspects:
            with self.writes_paused():
                again = [
                    one
                    for page in parts(list(suspects), PAYLOAD_PAGE)
                    for one in self.client.retrieve(
                        self.blue, page, with_payload=True, with_vectors=False
                    )
                ]
                wrong = self._wrong(again, encoder)[1]
        gates = []
        for name, kinds in (("payloads", {"payload"}), ("vectors", {"vector"})):
            bad = [one for one, problems in wrong.items() if problems & kinds]
            if name == "vectors" and (reason := self.expected.why_unknown()):
                gates.append(noted("vectors", None, f"not compared: {reason}"))
                continue
            of = f"of {compared:,} sampled points"
            words = (
                f"{of} {len(bad):,} differ: {', '.join(map(str, bad[:_NAMED]))}"
                if bad
                else f"{of} none differs{_power(compared)}"
            )
            if name == "vectors":
                words += self.expected.remark(differ=bool(bad))
            gates.append(at_most(name, len(bad), 0, words))  # type: ignore[arg-type]
        return gates

    def _wrong(
        self, points: Sequence[Any], encoder: BatchEncoder
    ) -> tuple[int, dict[PointId, set[str]]]:
        """Return how many points were compared, and what is wrong in green, by id.

        Points that are missing in green are left to `keys`.
        """
        wrong: dict[PointId, set[str]] = {}
        compared = 0
        for page in parts(points, PAYLOAD_PAGE):
            vectors = self.expected.vectors(self.client, self.blue, [one.id for one in page])
            rows = [
                Sampled(
                    id=plain_id(one.id),
                    text=self.spec.fields.text_of(one.payload or {}),
                    payload=one.payload or {},
                    ready=vectors.get(plain_id(one.id)),
                )
                for one in page
            ]
            count, problems = check_samples(
                self.client, self.green, self.spec, encoder, rows, exact=self.expected.exact
            )
            compared += count
            for one in problems:
                if "collection" not in one.problem:
                    kind = "vector" if "vector" in one.problem else "payload"
                    wrong.setdefault(one.id, set()).add(kind)
        return compared, wrong

    def indexed(self) -> Gate:
        """Check that green is indexed; segments below the indexing threshold need no index."""
        described = self.client.get_collection(self.green).config.optimizer_config
        threshold = None if described is None else described.indexing_threshold
        threshold = _THRESHOLD_KB if threshold is None else threshold
        problem = None
        if threshold == 0:
            problem = "indexing is switched off"
        elif is_remote(self.client):  # the last changes may have started the optimizer again
            try:
                wait_until_indexed(self.client, self.green)
            except EngineError as error:
                problem = error.problem
        info = self.client.get_collection(self.green)
        points = exact_count(self.client, self.green)
        # Dense vectors are counted; a sparse vector always has its index.
        vectors = points * len(self.spec.vectors)
        share = min(1.0, (info.indexed_vectors_count or 0) / max(1, vectors))
        outside = round(points * (1 - share))
        words = f"{points - outside:,} of {points:,} points are in indexed segments"
        if problem is not None:
            return at_most("indexed", max(1, outside), 0, f"{words}; {problem}")
        largest = max(one.size for one in self.spec.vectors) * 4
        tolerated = threshold * 1024 // largest * max(1, info.segments_count or 1)
        if outside > tolerated:
            words += "; build the index: repeat `migrate start`"
        elif outside:
            words += f"; up to {tolerated:,} need no index"
        return at_most("indexed", outside, tolerated, words)


def _power(compared: int) -> str:
    """Return what a sample without a fault says of all points, by the rule of three."""
    return f" (with 95% confidence fewer than {3 / compared:.2%} of all)" if compared > 30 else ""
