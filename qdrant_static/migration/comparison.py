"""Reads points of both generations for a comparison: samples, ids in order, expected vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from qdrant_client import models

from qdrant_static.clients.scroll import exact_count, pages
from qdrant_static.collection.vectorform import original_form, vector_of
from qdrant_static.ids import plain_id
from qdrant_static.payloadcompare import same_payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ids import PointId

#: Ids per request without payload.
ID_PAGE = 10_000
#: Points per request with payload.
PAYLOAD_PAGE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedVectors:
    """The vectors that green's are compared with.

    Where both generations have the same encoder and the same text, these are blue's vectors.
    Otherwise they are what green's encoder gives for the payload, if that holds the whole text.

    Attributes:
        blue: The spec of the collection that serves.
        green: The spec of the new one.
    """

    blue: CollectionSpec
    green: CollectionSpec

    @property
    def is_blue(self) -> bool:
        """Whether blue's vectors are expected."""
        blue, green = self.blue, self.green
        return (
            blue.encoder.fingerprint == green.encoder.fingerprint
            and blue.vectors[0].size == green.vectors[0].size
            and blue.fields.same_text(green.fields)
        )

    @property
    def exact(self) -> bool:
        """Whether they are as exact as the encoder made them, not stored as uint8."""
        return not self.is_blue or self.blue.vectors[0].datatype in ("float32", "float16")

    def why_unknown(self) -> str | None:
        """Return why no vectors can be expected; None if they can."""
        fields = self.green.fields
        if self.is_blue:
            return None
        if fields.ready_vectors:
            return "they came with the rows, not from the encoder"
        if fields.mixed:
            return "the texts were made by different templates"
        if fields.unstored:
            return f"the payload does not hold all of the text ({', '.join(fields.unstored)})"
        return None if fields.text else "the payload holds no text"

    def vectors(
        self, client: Client, collection: str, ids: Sequence[Any]
    ) -> dict[PointId, NDArray[np.float32]]:
        """Return full vectors of points of blue, ``(1, size)`` each; none if others are expected.

        Args:
            client: An `EdgeClient` or a `QdrantClient`.
            collection: Blue's name.
            ids: The points.
        """
        if not self.is_blue:
            return {}
        full = self.blue.vectors[0]
        points = client.retrieve(
            collection, list(ids), with_payload=False, with_vectors=[full.name]
        )
        return {
            plain_id(one.id): original_form(np.asarray([row], np.float32), full)
            for one in points
            if (row := vector_of(one, full.name)) is not None
        }

    def remark(self, *, differ: bool) -> str:
        """Return what to add to the sentence that says how many vectors differ."""
        if not self.is_blue:
            return ""
        if not differ:
            return "; compared with blue's"
        words = " from blue's, which the same encoder made"
        if not self.blue.fields.is_complete:
            words += (
                ". An earlier version did not keep how blue's text was made of "
                f"{', '.join(self.blue.fields.text)} (a template, columns that are not stored): "
                "abort, and fill it from the files"
            )
        return words


def drifted(
    client: Client, blue: str, green: str, points: Sequence[Any] | None = None, *, count: int = 1000
) -> list[Any]:
    """Return the points of blue whose payload differs in green, or which green lacks.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        blue: The collection that serves.
        green: The new one.
        points: Points of blue, which are read again; those that were deleted are left out. None
            for a random sample.
        count: The size of that sample.
    """
    differing = []
    for page in parts(draw(client, blue, count) if points is None else points, PAYLOAD_PAGE):
        ids = [one.id for one in page]
        if points is not None:
            page = client.retrieve(blue, ids, with_payload=True, with_vectors=False)
        other = {
            plain_id(one.id): one.payload or {}
            for one in client.retrieve(green, ids, with_payload=True, with_vectors=False)
        }
        for one in page:
            payload = other.get(plain_id(one.id))
            if payload is None or not same_payload(one.payload or {}, payload):
                differing.append(one)
    return differing


def draw(client: Client, collection: str, count: int) -> list[Any]:
    """Return points with their payloads: all if there are at most ``count``, else at random."""
    if exact_count(client, collection) <= count:
        return list(
            chain.from_iterable(pages(client, collection, limit=PAYLOAD_PAGE, with_payload=True))
        )
    drawn: dict[PointId, Any] = {}
    for _ in range(4 * (count // ID_PAGE + 1)):
        for one in client.query_points(
            collection,
            query=models.SampleQuery(sample=models.Sample.RANDOM),
            limit=min(count, ID_PAGE),
            with_payload=True,
        ).points:
            drawn[plain_id(one.id)] = one
        if len(drawn) >= count:
            break
    return list(drawn.values())[:count]


def ids_in_order(client: Client, collection: str) -> Iterator[PointId]:
    """Yield all ids in their order: integers first, then UUIDs."""
    for page in pages(client, collection, limit=ID_PAGE):
        for one in page:
            yield plain_id(one.id)


def differing_ids(blue: Iterator[PointId], green: Iterator[PointId]) -> Iterator[PointId]:
    """Yield the ids that are on one side only; both sides are sorted."""
    left, right = next(blue, None), next(green, None)
    while left is not None or right is not None:
        if left == right:
            left, right = next(blue, None), next(green, None)
        elif right is None or (left is not None and _order(left) < _order(right)):
            if left is not None:
                yield left
            left = next(blue, None)
        else:
            yield right
            right = next(green, None)


def _order(point: PointId) -> tuple[int, int, str]:
    return (0, point, "") if isinstance(point, int) else (1, 0, point)


def parts(items: Sequence[Any], size: int) -> Iterator[Any]:
    """Split a sequence into parts of a size."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
