"""The engine's own BM25: what `Bm25Encoder` asks it for.

Two instances of it: one with the encoder's settings, and one whose weights are the counts of terms.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import qdrant_edge as edge

from qdrant_static.errors import ArgumentError

# With b = 0 a weight is tf (k + 1) / (tf + k): the count itself, once k dwarfs it.
_COUNTING_K = 1e18


class EngineBm25:
    """Terms and weights as the engine computes them.

    Args:
        k: Saturation of term frequency.
        b: Weight of the length.
        avg_len: Mean number of terms of a document.
        language: Of stop words and stemmer, as the engine names it; None for neither.
        tokenizer: The engine's name of it.
        stopwords: Instead of the language's own; None keeps those.
        options: Further settings of ``qdrant_edge.Bm25Config``.

    Raises:
        ArgumentError: The engine does not know the language.
    """

    def __init__(
        self,
        *,
        k: float,
        b: float,
        avg_len: float,
        language: str | None,
        tokenizer: str,
        stopwords: Collection[str] | None,
        **options: Any,
    ) -> None:
        words = None if stopwords is None else set(stopwords)
        settings: dict[str, Any] = {
            "language": language,
            "tokenizer": getattr(edge.TokenizerType, tokenizer.capitalize()),
            "stopwords": edge.StopwordsSet(custom=words or set())
            if language is None or words is not None
            else None,
            "stemmer": edge.DisabledStemmer() if language is None else None,
            **options,
        }
        self._weigher = _bm25(k=k, b=b, avg_len=avg_len, **settings)
        self._counter = _bm25(k=_COUNTING_K, b=0.0, avg_len=1.0, **settings)

    def document(self, text: str) -> Any:
        """Return the engine's sparse vector of a document."""
        return self._weigher.embed_document(text)

    def query_terms(self, text: str) -> list[int]:
        """Return the term ids of a query; some tokenizers treat queries unlike documents."""
        return list(self._weigher.embed_query(text).indices)

    def counts(self, text: str) -> dict[int, int]:
        """Return how often each term id occurs in a document."""
        vector = self._counter.embed_document(text)
        return dict(zip(vector.indices, map(round, vector.values), strict=True))

    def terms(self, chunks: list[str]) -> list[list[int]]:
        """Return the term ids of chunks, each repeated as often as it occurs."""
        embed = self._counter.embed_document
        rows = []
        for chunk in chunks:
            vector = embed(chunk)
            ids, counts = vector.indices, vector.values
            if sum(counts) > len(ids) + 0.5:
                pairs = zip(ids, counts, strict=True)
                ids = [i for i, count in pairs for _ in range(round(count))]
            rows.append(ids)
        return rows


def _bm25(**settings: Any) -> Any:
    try:
        return edge.Bm25(edge.Bm25Config(**settings))
    except ValueError as error:
        names = {name.lower() for name in dir(edge.Language) if name[0].isupper()}
        raise ArgumentError.of_choice(
            "language", settings["language"], ", ".join(sorted(names))
        ) from error
