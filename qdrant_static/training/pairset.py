"""Pairs of a query and its passage: `Pair`, and `PairSet`, which numbers their texts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static.errors import ArgumentError

#: Fewer pairs have no second half of a batch to tell a passage from.
_FEWEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A query and a passage that answers it.

    Attributes:
        query: The query.
        passage: The passage that belongs to it.
        negatives: Passages that look as if they answered it, but do not: hard negatives.
    """

    query: str
    passage: str
    negatives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairSet:
    """Pairs by number: equal texts have one number, whatever their case and white space.

    Attributes:
        queries: The queries, each once.
        texts: The passages and the hard negatives, each once.
        query: int64 ``(n,)``: of each pair the number of its query.
        passage: int64 ``(n,)``: of each pair the number of its passage among the texts.
        negatives: Of each pair the numbers of its hard negatives, int64 ``(any,)``.
        given: Number of pairs that were given.
        repeated: Pairs that were given before; their hard negatives count.
        same: Pairs whose passage is the query itself, which teach nothing; they are left out.
        contradicting: Hard negatives that are left out, since they answer the query in another
            pair.
    """

    queries: tuple[str, ...]
    texts: tuple[str, ...]
    query: NDArray[np.int64]
    passage: NDArray[np.int64]
    negatives: tuple[NDArray[np.int64], ...]
    given: int
    repeated: int = 0
    same: int = 0
    contradicting: int = 0

    def __len__(self) -> int:
        return len(self.query)

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> PairSet:
        """Number the texts of pairs.

        Raises:
            ArgumentError: If there are fewer than two pairs that teach something.
        """
        queries, texts = _Numbers(), _Numbers()
        negatives: dict[tuple[int, int], dict[int, None]] = {}
        given = same = 0
        for pair in pairs:
            given += 1
            if folded(pair.query) == folded(pair.passage):
                same += 1
                continue
            key = (queries.number(pair.query), texts.number(pair.passage))
            own = negatives.setdefault(key, {})
            own.update(dict.fromkeys(texts.number(text) for text in pair.negatives))
        if len(negatives) < _FEWEST:
            raise ArgumentError(
                field="pairs",
                problem=f"{len(negatives)} of {given} pairs can be learned from (a pair that is "
                "repeated, or whose passage is the query, cannot): give at least "
                f"{_FEWEST}, better thousands",
            )
        passages: dict[int, set[int]] = {}
        for query, passage in negatives:
            passages.setdefault(query, set()).add(passage)
        kept = [
            np.array([text for text in own if text not in passages[query]], np.int64)
            for (query, _), own in negatives.items()
        ]
        numbers = np.array(list(negatives), np.int64)
        return cls(
            queries=tuple(queries.first),
            texts=tuple(texts.first),
            query=numbers[:, 0],
            passage=numbers[:, 1],
            negatives=tuple(kept),
            given=given,
            repeated=given - same - len(negatives),
            same=same,
            contradicting=sum(map(len, negatives.values())) - sum(map(len, kept)),
        )

    def positives(self) -> Any:
        """Return which texts answer which query: a sparse bool ``(queries, texts)`` of SciPy."""
        from scipy.sparse import csr_array

        ones = np.ones(len(self), np.bool_)
        shape = (len(self.queries), len(self.texts))
        return csr_array((ones, (self.query, self.passage)), shape=shape)


def folded(text: str) -> str:
    """Return a text without differences of case and of white space."""
    return " ".join(text.casefold().split())


class _Numbers:
    """Numbers texts in the order of their first appearance."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Return the number of a text; a new one if no equal text was seen."""
        number = self._numbers.setdefault(folded(text), len(self.first))
        if number == len(self.first):
            self.first.append(text)
        return number
