"""Encodes texts into all vectors of a collection.

`BatchEncoder` makes the vectors that are stored with the points. The rows of a late-interaction
vector come from a transformer, which takes a hundred times as long as everything else:
`LateVectors` stores them in requests of their own, behind the points. A batch is settled only
after both.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from qdrant_client import models

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.collection.bm25 import bm25_encoder
from qdrant_static.collection.vectorform import stored_form
from qdrant_static.collection.vectorspec import LATE, LateSpec
from qdrant_static.encoders.headencoder import from_ready
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.encoders.statistics import EncodingStatistics
from qdrant_static.errors import ArgumentError, EncoderMismatchError
from qdrant_static.sinks.sink import EncodedBatch
from qdrant_static.vectors import truncate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder, LateInteractionEncoder
    from qdrant_static.ids import PointId

#: Texts on which the mean length in BM25 terms is measured, where the spec does not give it.
SAMPLE_ROWS = 4000
#: Points of a request with late-interaction vectors, of some hundred rows each.
_POINTS = 64
#: A server refuses a multi-vector of more numbers.
_MAX_NUMBERS = 1_048_575


class BatchEncoder:
    """Encodes batches for one collection, in any thread.

    Args:
        spec: The collection's spec, complete.
        encoder: The collection's encoder.
    """

    def __init__(self, spec: CollectionSpec, encoder: Encoder) -> None:
        self._vectors = spec.vectors
        self._encoder = encoder
        self._terms = None if spec.sparse is None else bm25_encoder(spec.sparse)
        self._seen = EncodingStatistics()
        self._guard = threading.Lock()

    @property
    def statistics(self) -> EncodingStatistics | None:
        """Statistics of all texts so far; None where the encoder makes none."""
        return self._seen if isinstance(self._encoder, StaticEncoder) else None

    def encode(
        self,
        texts: pa.LargeStringArray,
        ready: NDArray[np.float32] | None = None,
        *,
        counted: bool = True,
    ) -> EncodedBatch:
        """Encode the texts of a batch.

        Args:
            texts: n texts.
            ready: float32 ``(n, ready_dimension(encoder))``: vectors in place of the encoder's,
                which a head shortens first.
            counted: Whether the statistics count the texts.
        """
        full, *shorter = [vector.size for vector in self._vectors]
        if ready is None and isinstance(self._encoder, StaticEncoder):
            encoded = self._encoder.encode_batch(texts, sizes=shorter, threads=1, statistics=True)
            by_size = encoded.vectors
            if counted:
                with self._guard:
                    self._seen += encoded.statistics or EncodingStatistics()
        else:
            if ready is None:
                whole = self._encoder.encode(texts.to_pylist())
            else:
                whole = from_ready(self._encoder, ready)
            by_size = {size: truncate(whole, size) for size in shorter} | {full: whole}
        return EncodedBatch(
            dense={
                vector.name: stored_form(by_size[vector.size], vector) for vector in self._vectors
            },
            sparse=None if self._terms is None else self._terms.encode_documents(texts, threads=1),
            zeros=int(np.count_nonzero(~by_size[full].any(axis=1))),
        )


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
    """Encodes texts and stores the rows of a late-interaction vector.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection.
        spec: Its late-interaction vector.
        encoder: The encoder, or its name; None loads the spec's.

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
        """Encode n texts and store their rows in n existing points."""
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
    """Return a model's name without the prefix of its library."""
    return name.removeprefix("fastembed:")
