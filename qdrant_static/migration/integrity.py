"""Is everything there, and is it what it should be: counts, keys, payloads, vectors, indexes.

Applications go on writing meanwhile. What differs at first sight is looked at again while writers
wait and the journal is applied; what differs then is a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.connect import is_remote
from qdrant_static.clients.indexing import wait_until_indexed
from qdrant_static.clients.scroll import exact_count, pages
from qdrant_static.errors import EngineError
from qdrant_static.ids import plain_id
from qdrant_static.ingestion.verify import check_samples
from qdrant_static.ingestion.writing import Sampled
from qdrant_static.migration.expected import Expected
from qdrant_static.migration.gates import Gate, at_most, noted
from qdrant_static.payloadcompare import same_payload
from qdrant_static.sinks.encoding import BatchEncoder

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ids import PointId

#: Ids of one page of a scroll without payload.
_PAGE = 10_000
#: Points of one request with payload.
_SAMPLED_PAGE = 200
#: So many differing ids are looked at again while writers wait; more are a difference anyway.
_LOOKED_AT_AGAIN = 10_000
#: So many are named.
_NAMED = 5
#: What servers index from, in KB of vectors per segment, where a collection says nothing.
_THRESHOLD_KB = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """Compares green with blue, point by point.

    Attributes:
        client: An `EdgeClient` or a `QdrantClient`.
        blue: The collection that serves.
        green: The new one.
        spec: Green's.
        encoder: Green's.
        expected: What green's vectors must be.
        still: While it is entered, writers wait and the journal is applied to both.
        sample: How many points are compared whole.
    """

    client: Client
    blue: str
    green: str
    spec: CollectionSpec
    encoder: Encoder
    expected: Expected
    still: Callable[[], AbstractContextManager[Any]]
    sample: int = 1000

    def counts(self) -> Gate:
        """Exactly as many points."""
        with self.still():
            blue, green = (exact_count(self.client, one) for one in (self.blue, self.green))
        return at_most(
            "counts", abs(blue - green), 0, f"{blue:,} points in blue, {green:,} in green"
        )

    def keys(self) -> Gate:
        """The same ids: both are read in order, side by side."""
        differing: list[PointId] = []
        more = 0
        for one in _differing(_ids(self.client, self.blue), _ids(self.client, self.green)):
            if len(differing) < _LOOKED_AT_AGAIN:
                differing.append(one)
            else:
                more += 1
        missing, extra = self._settled(differing) if differing else ([], [])
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

    def _settled(self, ids: Sequence[PointId]) -> tuple[list[PointId], list[PointId]]:
        """Of ids that differed, those that differ while nobody writes."""
        missing: list[PointId] = []
        extra: list[PointId] = []
        with self.still():
            for page in _parts(ids, _PAGE):
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
        """Of some points: payloads are equal, vectors are what was encoded.

        Where both have the same encoder and text, these are blue's vectors; else what green's
        encoder gives of the payload, if that holds the text.
        """
        drawn = draw(self.client, self.blue, self.sample)
        encoder = BatchEncoder(self.spec, self.encoder)
        compared, suspects = self._wrong(drawn, encoder)
        wrong: dict[PointId, set[str]] = {}
        if suspects:
            with self.still():
                again = [
                    one
                    for page in _parts(list(suspects), _SAMPLED_PAGE)
                    for one in self.client.retrieve(
                        self.blue, page, with_payload=True, with_vectors=False
                    )
                ]
                wrong = self._wrong(again, encoder)[1]
        gates = []
        for name, kinds in (("payloads", {"payload"}), ("vectors", {"vector"})):
            bad = [one for one, problems in wrong.items() if problems & kinds]
            if name == "vectors" and (reason := self.expected.unknown()):
                gates.append(noted("vectors", None, f"not compared: {reason}"))
                continue
            told = f"of {compared:,} sampled points"
            words = (
                f"{told} {len(bad):,} differ: {', '.join(map(str, bad[:_NAMED]))}"
                if bad
                else f"{told} none differs{_power(compared)}"
            )
            if name == "vectors":
                words += self.expected.remark(differ=bool(bad))
            gates.append(at_most(name, len(bad), 0, words))  # type: ignore[arg-type]
        return gates

    def _wrong(
        self, points: Sequence[Any], encoder: BatchEncoder
    ) -> tuple[int, dict[PointId, set[str]]]:
        """What of green is not as it must be, by id; points that are missing are not meant here."""
        wrong: dict[PointId, set[str]] = {}
        compared = 0
        for page in _parts(points, _SAMPLED_PAGE):
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
            count, found = check_samples(
                self.client, self.green, self.spec, encoder, rows, exact=self.expected.exact
            )
            compared += count
            for one in found:
                if "collection" not in one.problem:
                    kind = "vector" if "vector" in one.problem else "payload"
                    wrong.setdefault(one.id, set()).add(kind)
        return compared, wrong

    def indexed(self) -> Gate:
        """What is to be indexed is; a tail below the engine's own threshold need not be."""
        described = self.client.get_collection(self.green).config.optimizer_config
        threshold = None if described is None else described.indexing_threshold
        threshold = _THRESHOLD_KB if threshold is None else threshold
        problem = None
        if threshold == 0:
            problem = "indexing is switched off"
        elif is_remote(self.client):  # the last changes may have set it to work once more
            try:
                wait_until_indexed(self.client, self.green)
            except EngineError as error:
                problem = error.problem
        info = self.client.get_collection(self.green)
        points = exact_count(self.client, self.green)
        # Dense vectors are counted; a sparse one has its index always.
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


def drifted(
    client: Client, blue: str, green: str, points: Sequence[Any] | None = None, *, count: int = 1000
) -> list[Any]:
    """The points whose payload green has otherwise, or which it has not at all.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        blue: The collection that serves.
        green: The new one.
        points: Points of blue; they are read anew, and those that have gone are left out. None
            draws some.
        count: How many are drawn.
    """
    found = []
    for page in _parts(draw(client, blue, count) if points is None else points, _SAMPLED_PAGE):
        ids = [one.id for one in page]
        if points is not None:
            page = client.retrieve(blue, ids, with_payload=True, with_vectors=False)
        there = {
            plain_id(one.id): one.payload or {}
            for one in client.retrieve(green, ids, with_payload=True, with_vectors=False)
        }
        for one in page:
            other = there.get(plain_id(one.id))
            if other is None or not same_payload(one.payload or {}, other):
                found.append(one)
    return found


def draw(client: Client, collection: str, count: int) -> list[Any]:
    """Points with their payloads: all, if there are no more than wanted, else some at random."""
    from qdrant_client import models

    if exact_count(client, collection) <= count:
        return list(
            chain.from_iterable(pages(client, collection, limit=_SAMPLED_PAGE, with_payload=True))
        )
    found: dict[PointId, Any] = {}
    for _ in range(4 * (count // _PAGE + 1)):
        for one in client.query_points(
            collection,
            query=models.SampleQuery(sample=models.Sample.RANDOM),
            limit=min(count, _PAGE),
            with_payload=True,
        ).points:
            found[plain_id(one.id)] = one
        if len(found) >= count:
            break
    return list(found.values())[:count]


def _ids(client: Client, collection: str) -> Iterator[PointId]:
    """All ids in their order: integers first, then UUIDs."""
    for page in pages(client, collection, limit=_PAGE):
        for one in page:
            yield plain_id(one.id)


def _differing(blue: Iterator[PointId], green: Iterator[PointId]) -> Iterator[PointId]:
    """The ids that are on one side only; both sides are sorted."""
    left, right = next(blue, None), next(green, None)
    while left is not None or right is not None:
        if left == right:
            left, right = next(blue, None), next(green, None)
        elif right is None or (left is not None and _place(left) < _place(right)):
            if left is not None:
                yield left
            left = next(blue, None)
        else:
            yield right
            right = next(green, None)


def _place(one: PointId) -> tuple[int, int, str]:
    return (0, one, "") if isinstance(one, int) else (1, 0, one)


def _parts(items: Sequence[Any], size: int) -> Iterator[Any]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _power(compared: int) -> str:
    """The rule of three: what a sample without a fault says of the rest."""
    return f" (with 95% confidence fewer than {3 / compared:.2%} of all)" if compared > 30 else ""
