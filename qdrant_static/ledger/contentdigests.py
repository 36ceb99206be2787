"""Digests of what vectors are made of.

They are functions of what a collection holds, as those of payloads are, so that a ledger that was
lost can be made again from the collection itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.ledger.records import DIGEST, Digests


def encoding_key(spec: CollectionSpec) -> bytes:
    """What decides a row's vectors besides its text: the encoder, and the vectors of the spec."""
    sparse = spec.to_dict()["sparse"]
    if sparse is not None and (sampled := sparse.pop("sampled_length", None)) is not None:
        sparse["mean_length"] = sampled  # a correction of all weights changes no row
    parts = {
        "encoder": spec.encoder.fingerprint,
        "vectors": [[vector.name, vector.size] for vector in spec.vectors],
        "sparse": sparse,
    }
    return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=DIGEST).digest()


def text_digests(texts: pa.LargeStringArray, key: bytes) -> Digests:
    """Digests of texts, straight from Arrow's buffers.

    Args:
        texts: n texts, none null.
        key: What else decides the vectors.

    Returns:
        uint8 ``(n, 16)``.
    """
    if not len(texts):
        return as_digests(())
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1].tolist()
    view = memoryview(content) if content is not None else memoryview(b"")
    return as_digests(
        [
            blake2b(view[start:stop], digest_size=DIGEST, key=key).digest()
            for start, stop in pairwise(ends)
        ]
    )


def vector_digests(texts: pa.LargeStringArray, vectors: NDArray[np.float32], key: bytes) -> Digests:
    """Digests of ready vectors and the texts beside them, uint8 ``(n, 16)``."""
    return as_digests(
        blake2b(one.tobytes() + row.tobytes(), digest_size=DIGEST).digest()
        for one, row in zip(text_digests(texts, key), vectors, strict=True)
    )


def as_digests(digests: Iterable[bytes]) -> Digests:
    """N digests side by side, uint8 ``(n, 16)``."""
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST)
