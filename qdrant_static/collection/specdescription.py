"""Describes the parts of a collection's spec in a few words, for display."""

from __future__ import annotations

from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.fields import Fields
from qdrant_static.collection.vectorspec import Hnsw, LateSpec, SparseSpec, VectorSpec
from qdrant_static.encoders.base import EncoderInfo


def describe_encoder(encoder: EncoderInfo) -> str:
    """Describe an encoder by name and fingerprint."""
    return f"{encoder.name} ({encoder.fingerprint})"


def describe_fields(fields: Fields) -> str:
    """Describe key and text, with the template and the columns that are not stored."""
    text = f"key={fields.key_label} text={','.join(fields.text)}"
    if fields.template is not None:
        text += f" template={str(fields.template)!r}"
    return text + (f" not stored={','.join(fields.unstored)}" if fields.unstored else "")


def describe_vector(vector: VectorSpec) -> str:
    """Describe type, codes, graph and place of a dense vector."""
    graph = "no graph" if vector.hnsw is None else f"graph {describe_graph(vector.hnsw)}"
    codes = quantizations.describe(vector.quantization)
    return f"{vector.size}-d {vector.datatype}, {codes}, {graph}, {vector.placement}"


def describe_graph(hnsw: Hnsw | None) -> str:
    """Describe the settings of a graph."""
    if hnsw is None:
        return "none"
    return f"m={hnsw.m} ef_construct={hnsw.ef_construct} {hnsw.placement}"


def describe_words(sparse: SparseSpec) -> str:
    """Describe the stop words of BM25."""
    return "the language's own" if sparse.stop_words is None else f"{len(sparse.stop_words)} words"


def describe_terms(sparse: SparseSpec | None) -> str:
    """Describe the settings of BM25."""
    if sparse is None:
        return "absent"
    return f"{sparse.language}, stop words {describe_words(sparse)}, {sparse.placement}"


def describe_late(late: LateSpec | None) -> str:
    """Describe the late-interaction vector."""
    return "absent" if late is None else f"{late.size}-d {late.datatype} of {late.encoder}"
