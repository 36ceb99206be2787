"""Checks that an encoder of queries fits the encoder of the documents (asymmetric search).

Two encoders make vectors that can be compared only if one was fitted to the other's. A fitted
model says so in its card (`encoders.modelcard`), from which `EncoderInfo.fitted_to` is read. Two
unrelated models of the same dimension would give hits without any error, and all of them wrong: so
a model that says nothing is refused.
"""

from __future__ import annotations

from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.encoders.registry import AnyEncoder, as_encoder
from qdrant_static.errors import ArgumentError, EncoderPairError


def info_of(encoder: AnyEncoder | EncoderInfo) -> EncoderInfo:
    """Return what identifies an encoder; one that is given by name is loaded."""
    return encoder if isinstance(encoder, EncoderInfo) else as_encoder(encoder).info


def check_pair(documents: EncoderInfo, queries: EncoderInfo) -> bool:
    """Check that the vectors of both encoders can be compared.

    Args:
        documents: The encoder of the documents.
        queries: The encoder of the queries.

    Returns:
        Whether they are the same encoder.

    Raises:
        ArgumentError: If their dimensions differ.
        EncoderPairError: If the encoder of queries was not fitted to that of the documents.
    """
    if queries.fingerprint == documents.fingerprint:
        return True
    if queries.dimension != documents.dimension:
        raise ArgumentError(
            field="queries",
            problem=f"the encoder of queries {queries.name!r} makes {queries.dimension} "
            f"dimensions, and the encoder of the documents {documents.name!r} makes "
            f"{documents.dimension}; the two must be equal",
        )
    if documents.fingerprint not in queries.fitted_to:
        raise EncoderPairError(
            documents=documents.name,
            documents_fingerprint=documents.fingerprint,
            queries=queries.name,
            fitted_to=queries.fitted_to,
        )
    return False


def described_pair(documents: EncoderInfo, queries: EncoderInfo | None) -> str:
    """Return a phrase that names both encoders; empty where one encoder does both."""
    if queries is None:
        return ""
    return f"asymmetric: documents by {documents.name}, queries by {queries.name}"
