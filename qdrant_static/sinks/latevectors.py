"""The rows of a late-interaction vector, written behind the points that they belong to.

They come from a transformer, which takes a hundred times as long as all else: they are given a
request of their own rather than a place in the fast path. A batch is settled only after both.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.collection.vectorspec import LATE, LateSpec
from qdrant_static.errors import ArgumentError, EncoderMismatchError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import LateInteractionEncoder
    from qdrant_static.ids import PointId

#: Points of one request: some hundred rows each.
_POINTS = 64
#: A server refuses a multi-vector of more numbers.
_MAX_NUMBERS = 1_048_575


def late_encoder_of(
    spec: LateSpec, given: LateInteractionEncoder | str | None
) -> LateInteractionEncoder:
    """Return the encoder that fills the late-interaction vector; load it where it is not given.

    Args:
        spec: The vector.
        given: The encoder, its name, or None for the spec's name.
    """
    if given is None or isinstance(given, str):
        from qdrant_static.encoders.fastembed import load_late_interaction

        return load_late_interaction(given or spec.encoder)
    return given


class LateVectors:
    """Encodes texts and stores their rows.

    Args:
        client: Where to.
        collection: The collection.
        spec: Its late-interaction vector.
        encoder: Who makes the rows, or its name; None loads it by the spec's name.

    Raises:
        ArgumentError: If its rows are not of the spec's size.
    """

    def __init__(
        self,
        client: Client,
        collection: str,
        spec: LateSpec,
        encoder: LateInteractionEncoder | str | None = None,
    ) -> None:
        encoder = late_encoder_of(spec, encoder)
        if _name(encoder.info.name) != _name(spec.encoder):
            raise EncoderMismatchError(
                collection=collection,
                expected=spec.encoder,
                expected_fingerprint=LATE,
                given=encoder.info.name,
                given_fingerprint=encoder.info.fingerprint,
            )
        if encoder.info.dimension != spec.size:
            raise ArgumentError(
                field="late.size",
                problem=f"{spec.size}; {encoder.info.name!r} makes {encoder.info.dimension}",
            )
        self._client = client
        self._collection = collection
        self._encoder = encoder
        self._rows = _MAX_NUMBERS // spec.size

    def store(self, ids: Sequence[PointId], texts: Sequence[str]) -> None:
        """Encode n texts and store them in n points that are there."""
        for start in range(0, len(ids), _POINTS):
            chosen = slice(start, start + _POINTS)
            matrices = self._encoder.encode(list(texts[chosen]))
            points: list[Any] = [
                models.PointVectors(id=point, vector={LATE: rows[: self._rows].tolist()})
                for point, rows in zip(ids[chosen], matrices, strict=True)
                if len(rows)
            ]
            if points:
                call_with_retries(
                    self._client,
                    self._collection,
                    "storing late-interaction vectors",
                    partial(self._client.update_vectors, self._collection, points, wait=True),
                )


def _name(name: str) -> str:
    """A model's name, with or without the word that says where it is from."""
    return name.removeprefix("fastembed:")
