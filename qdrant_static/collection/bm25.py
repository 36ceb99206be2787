"""Makes the BM25 encoder of a collection, and derives its settings from texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qdrant_static.collection.vectorspec import SparseSpec
from qdrant_static.encoders.sparse import Bm25Encoder
from qdrant_static.encoders.writingsystems import choose_tokenizer

#: The length of a sampled text is capped at this multiple of the median: a single text of 2 MB
#: would otherwise double the mean of 4,000 texts.
_CLIPPED = 20


def bm25_encoder(sparse: SparseSpec) -> Bm25Encoder:
    """Return the encoder of a collection's BM25 vector.

    Raises:
        ArgumentError: If the language is unknown.
    """
    settings: dict[str, Any] = {"language": sparse.language}
    if sparse.tokenizer is not None:
        settings["tokenizer"] = sparse.tokenizer
    if sparse.stop_words is not None:
        settings["stopwords"] = sparse.stop_words
    if sparse.mean_length is not None:
        settings["avg_len"] = sparse.mean_length
    return Bm25Encoder(**settings)


def measured(
    sparse: SparseSpec, texts: Sequence[str], *, whole: bool = False
) -> tuple[SparseSpec, list[str]]:
    """Complete the settings of BM25 from texts; settings that have a value are kept.

    Args:
        sparse: The settings.
        texts: A sample of the texts, not empty.
        whole: Whether the sample holds all texts.

    Returns:
        Settings with tokenizer and mean length, and notes for the user.
    """
    notes: list[str] = []
    if sparse.tokenizer is None:
        chosen, notes = choose_tokenizer(texts, sparse.language)
        # None means "word", the only tokenizer of earlier versions.
        sparse = replace(sparse, tokenizer=None if chosen == "word" else chosen)
    if sparse.mean_length is None:
        lengths = bm25_encoder(sparse).lengths(texts)
        if not whole:
            lengths = np.minimum(lengths, _CLIPPED * max(1.0, float(np.median(lengths))))
        sparse = replace(sparse, mean_length=max(1.0, float(lengths.mean())))
    return sparse, notes
