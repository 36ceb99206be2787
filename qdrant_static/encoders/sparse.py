"""BM25 as Qdrant's engine computes it, term for term."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from qdrant_edge import Bm25, Bm25Config, SparseVector

from qdrant_static.errors import SpecError, TextInputError

RepeatedTerms = Literal["sqrt", "one"]

#: The engine's own defaults (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009).
K1 = 1.2
B = 0.75
#: Mean terms per text that the engine assumes where nothing is known.
DEFAULT_MEAN_LENGTH = 256.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseRow:
    """One sparse vector: ``values[i]`` at dimension ``indices[i]``, both of one length."""

    indices: list[int]
    values: list[float]


class Bm25Encoder:
    """Text -> BM25 term weights; the inverse document frequency is the engine's part.

    Args:
        language: Language of stop words and stemming, in English and lower case, as the engine
            names it.
        mean_length: Mean number of terms of a text, after stop words and stemming.
        k: Saturation of repeated terms.
        b: Strength of the length's influence, 0 to 1.
    """

    def __init__(
        self,
        *,
        language: str = "english",
        mean_length: float = DEFAULT_MEAN_LENGTH,
        k: float = K1,
        b: float = B,
    ) -> None:
        try:
            self._engine = Bm25(Bm25Config(k=k, b=b, avg_len=mean_length, language=language))
            # With b = 0 and k beyond float32's digits, the weight tf (k + 1) / (tf + k) is tf.
            self._counter = Bm25(Bm25Config(k=1e18, b=0.0, avg_len=1.0, language=language))
        except Exception as error:  # the engine raises bare exceptions
            raise SpecError(field="sparse.language", problem=str(error)) from error

    def encode_documents(self, texts: Iterable[str]) -> list[SparseRow]:
        """One sparse vector per text, as the engine's ``embed_document`` gives it."""
        vectors = (_embedded(self._engine, text) for text in texts)
        return [SparseRow(indices=vector.indices, values=vector.values) for vector in vectors]

    def encode_query(self, text: str, *, repeated_terms: RepeatedTerms = "sqrt") -> SparseRow:
        """The sparse vector of a query.

        Args:
            text: The query.
            repeated_terms: The weight of a term that the query holds ``c`` times: ``"sqrt"``
                gives ``sqrt(c)``, ``"one"`` gives 1, as the engine's own ``embed_query`` does.
        """
        indices, counts = self._count(text)
        if repeated_terms == "sqrt":
            return SparseRow(indices=indices, values=[math.sqrt(count) for count in counts])
        return SparseRow(indices=indices, values=[1.0] * len(indices))

    def mean_length(self, texts: Sequence[str]) -> float:
        """Mean number of terms of the texts, after stop words and stemming; at least 1."""
        if not texts:
            return DEFAULT_MEAN_LENGTH
        return max(1.0, sum(sum(self._count(text)[1]) for text in texts) / len(texts))

    def _count(self, text: str) -> tuple[list[int], list[int]]:
        """Term ids of a text, and how often each is there."""
        vector = _embedded(self._counter, text)
        return vector.indices, [round(value) for value in vector.values]


def _embedded(engine: Bm25, text: str) -> SparseVector:
    try:
        return engine.embed_document(text)
    except (TypeError, UnicodeEncodeError) as error:
        raise TextInputError(problem=str(error).partition("\n")[0]) from error
