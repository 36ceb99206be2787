"""Batches of pairs without duplicates: no query and no passage is in a batch twice.

In a batch the passages of the others are a query's negatives. A passage that is there twice would
be the negative of its own query.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from qdrant_static.training.pairset import PairSet


#: Pairs of the smallest batch: one alone has nothing to be compared with.
_FEWEST = 2
#: The smallest batch has this part of the pairs of the largest: one sixteenth.
_SMALLEST_SHARE = 16


class Batch(NamedTuple):
    """A batch by the numbers of a `PairSet`.

    Attributes:
        queries: int64 ``(n,)``, the queries.
        candidates: int64 ``(m,)``, the texts that are compared, each once.
        own: int64 ``(n,)``, the place of each query's passage among the candidates.
        excluded: bool ``(n, m)``: texts that answer the query in some pair.
    """

    queries: NDArray[np.int64]
    candidates: NDArray[np.int64]
    own: NDArray[np.int64]
    excluded: NDArray[np.bool_]


def batches(
    pairs: PairSet,
    members: NDArray[np.int64],
    positives: Any,
    *,
    size: int,
    negatives: int,
    generator: np.random.Generator,
) -> Iterator[Batch]:
    """Yield the batches of an epoch, in random order.

    A pair whose query or passage is in the batch already waits for the next one. Where few queries
    or passages have most of the pairs, the batches get ever smaller: the epoch ends when one has
    less than a sixteenth of the pairs of the first, and another order begins the next epoch.

    Args:
        pairs: The pairs.
        members: int64 ``(n,)``, the pairs to use.
        positives: `PairSet.positives`.
        size: Pairs in a batch.
        negatives: Hard negatives of a pair, at most; others are drawn in another epoch.
        generator: Decides the order and the hard negatives.
    """
    fewest = _FEWEST
    for chosen in _chosen(pairs, generator.permutation(members), size):
        if len(chosen) < fewest:
            return
        fewest = max(fewest, len(chosen) // _SMALLEST_SHARE)
        texts = [int(text) for text in pairs.passage[chosen]]
        for pair in chosen:
            hard = pairs.negatives[pair]
            if len(hard) > negatives:
                hard = generator.choice(hard, negatives, replace=False)
            texts += hard.tolist()
        candidates = np.array(list(dict.fromkeys(texts)), np.int64)
        queries = pairs.query[chosen]
        yield Batch(
            queries=queries,
            candidates=candidates,
            own=np.arange(len(chosen)),  # passages come first, and none is there twice
            excluded=positives[queries][:, candidates].toarray(),
        )


def _chosen(pairs: PairSet, order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the pairs of each batch."""
    rest = deque(order.tolist())
    while rest:
        queries: set[int] = set()
        passages: set[int] = set()
        chosen: list[int] = []
        waiting: list[int] = []
        while rest and len(chosen) < size:
            pair = rest.popleft()
            query, passage = int(pairs.query[pair]), int(pairs.passage[pair])
            if query in queries or passage in passages:
                waiting.append(pair)
                continue
            queries.add(query)
            passages.add(passage)
            chosen.append(pair)
        rest.extendleft(reversed(waiting))
        yield np.array(chosen, np.int64)
