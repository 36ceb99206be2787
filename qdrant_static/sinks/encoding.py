"""Texts -> all vectors of a collection, in the threads of a pool."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from qdrant_static.collection.bm25 import bm25_encoder
from qdrant_static.collection.vectorform import stored_form
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.encoders.statistics import EncodingStatistics
from qdrant_static.sinks.sink import EncodedBatch
from qdrant_static.vectors import truncate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder

#: Texts on which the mean length in BM25 terms is measured, where the spec does not give it.
SAMPLE_ROWS = 4000


class BatchEncoder:
    """Encodes batches for one collection, in any thread.

    Args:
        spec: The collection's, complete.
        encoder: The collection's.
    """

    def __init__(self, spec: CollectionSpec, encoder: Encoder) -> None:
        self._vectors = spec.vectors
        self._encoder = encoder
        self._terms = None if spec.sparse is None else bm25_encoder(spec.sparse)
        self._seen = EncodingStatistics()
        self._guard = threading.Lock()

    @property
    def statistics(self) -> EncodingStatistics | None:
        """What was seen of all texts so far; None where the encoder does not tell."""
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
            ready: float32 ``(n, dimension)``: full vectors, in place of the encoder's.
            counted: Whether the statistics hear of it; False for what is encoded to compare.
        """
        full, *shorter = [vector.size for vector in self._vectors]
        if ready is None and isinstance(self._encoder, StaticEncoder):
            encoded = self._encoder.encode_batch(texts, sizes=shorter, threads=1, statistics=True)
            by_size = encoded.vectors
            if counted:
                with self._guard:
                    self._seen += encoded.statistics or EncodingStatistics()
        else:
            whole = self._encoder.encode(texts.to_pylist()) if ready is None else ready
            by_size = {size: truncate(whole, size) for size in shorter} | {full: whole}
        return EncodedBatch(
            dense={
                vector.name: stored_form(by_size[vector.size], vector) for vector in self._vectors
            },
            sparse=None if self._terms is None else self._terms.encode_documents(texts, threads=1),
            zeros=int(np.count_nonzero(~by_size[full].any(axis=1))),
        )
