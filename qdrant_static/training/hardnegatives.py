"""Chooses hard negatives among the hits of queries, by a teacher's scores, and counts all hits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from qdrant_static.encoders.queries import encode_queries
from qdrant_static.training.minedfiles import MinedPair
from qdrant_static.training.pairset import PairSet, folded
from qdrant_static.vectors import normalize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.encoders.base import Encoder

#: Vectors of passages that are kept, since several queries find the same passages.
_KEPT_VECTORS = 100_000


class TeacherScores:
    """Cosines of queries and passages by an encoder; the vectors of passages are kept.

    Args:
        encoder: The teacher.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of queries, float32 ``(n, dim)``, normalized."""
        return normalize(encode_queries(self._encoder, list(texts)))

    def add(self, texts: Iterable[str]) -> None:
        """Encode passages, each once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if len(self._vectors) + len(new) > _KEPT_VECTORS:
            self._vectors.clear()
            new = list(dict.fromkeys(texts))
        if new:
            self._vectors.update(zip(new, normalize(self._encoder.encode(new)), strict=True))

    def cosine(self, query: NDArray[np.float32], text: str) -> float:
        """Return the cosine of a query's vector and a passage that was added."""
        return float(self._vectors[text] @ query)


@dataclass(slots=True, kw_only=True)
class _Search:
    """A pair whose negatives are looked for.

    Attributes:
        number: The pair's number.
        query: Its query's vector.
        hits: The hits that are left, the nearest first.
        limit: A hit with this score, or a higher one, is a false negative.
        scores: The scores of the passage and of the negatives.
        negatives: The negatives.
    """

    number: int
    query: NDArray[np.float32]
    hits: list[str]
    limit: float = 0.0
    scores: list[float] = field(default_factory=list)
    negatives: list[str] = field(default_factory=list)


class HardNegatives:
    """Chooses the hard negatives of pairs.

    Args:
        pairs: The pairs.
        scores: The teacher.
        negatives: Hard negatives of a pair, at most.
        share: A hit is a false negative if it has this share of the passage's score, or more.
    """

    def __init__(
        self, pairs: PairSet, scores: TeacherScores, *, negatives: int, share: float
    ) -> None:
        self._pairs, self._scores = pairs, scores
        self._wanted, self._share = negatives, share
        self._pairs_of: dict[int, list[int]] = {}
        for number, query in enumerate(pairs.query.tolist()):
            self._pairs_of.setdefault(query, []).append(number)
        self.counts = Counter[str](
            dict.fromkeys(
                (
                    "found", "hits", "answers", "textless", "false_negatives", "negatives",
                    "unused", "full", "fewer", "without", "doubtful",
                ),
                0,
            )
        )  # fmt: skip

    def choose(self, first: int, hits: Sequence[Sequence[str]]) -> Iterator[MinedPair]:
        """Yield the pairs of some queries with their hard negatives.

        Args:
            first: The number of the first query.
            hits: Of each query the texts of its hits, the nearest first.
        """
        texts = self._pairs.queries[first : first + len(hits)]
        vectors = self._scores.queries(texts)
        searches = [
            self._search(number, vectors[place], found)
            for place, found in enumerate(hits)
            for number in self._pairs_of[first + place]
        ]
        self._rate_passages(searches)
        waiting = searches
        while waiting:
            heads = {one.number: one.hits[: self._wanted - len(one.negatives)] for one in waiting}
            self._scores.add(text for head in heads.values() for text in head)
            for one in waiting:
                del one.hits[: len(heads[one.number])]
                self._rate(one, heads[one.number])
            waiting = [one for one in waiting if one.hits and len(one.negatives) < self._wanted]
        for one in searches:
            yield self._finished(one)

    def _search(self, number: int, query: NDArray[np.float32], found: Sequence[str]) -> _Search:
        """Return a pair's search without hits that are an answer, or have no new text."""
        pairs = self._pairs
        own = folded(pairs.texts[pairs.passage[number]])
        answers = [
            folded(pairs.texts[pairs.passage[other]])
            for other in self._pairs_of[int(pairs.query[number])]
        ]
        kept: dict[str, str] = {}
        seen_own = False
        for text in found:
            plain = folded(text)
            if not plain or plain in kept:
                self.counts["textless"] += 1
            elif any(answer in plain or plain in answer for answer in answers):
                self.counts["answers"] += 1
                seen_own |= own in plain or plain in own
            else:
                kept[plain] = text
        self.counts["hits"] += len(found)
        self.counts["found"] += seen_own
        return _Search(number=number, query=query, hits=list(kept.values()))

    def _rate_passages(self, searches: Sequence[_Search]) -> None:
        """Set the limits: a share of the score of each pair's passage."""
        pairs = self._pairs
        passages = [pairs.texts[pairs.passage[one.number]] for one in searches]
        self._scores.add(passages)
        for one, passage in zip(searches, passages, strict=True):
            score = self._scores.cosine(one.query, passage)
            one.scores.append(score)
            one.limit = min(score, self._share * score)
            self.counts["doubtful"] += score <= 0

    def _rate(self, one: _Search, head: Sequence[str]) -> None:
        for text in head:
            score = self._scores.cosine(one.query, text)
            if score >= one.limit:
                self.counts["false_negatives"] += 1
            else:
                one.negatives.append(text)
                one.scores.append(score)

    def _finished(self, one: _Search) -> MinedPair:
        pairs, count = self._pairs, len(one.negatives)
        self.counts["negatives"] += count
        self.counts["unused"] += len(one.hits)
        self.counts["full" if count == self._wanted else "fewer" if count else "without"] += 1
        return MinedPair(
            query=pairs.queries[pairs.query[one.number]],
            passage=pairs.texts[pairs.passage[one.number]],
            negatives=tuple(one.negatives),
            scores=tuple(one.scores),
        )
