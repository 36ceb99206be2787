"""Computes the quality of a ranking: NDCG, recall and the reciprocal rank.

Each function takes one ranking and its judgements, and returns a number in ``[0, 1]``; the quality
of a system is the mean over its queries. A query without a relevant document is an error instead of
a zero, which would lower the mean of every system alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

from qdrant_static import rules
from qdrant_static.errors import ArgumentError

#: The judgement of each document; above 0 is relevant.
Judgements: TypeAlias = Mapping[Any, float]
Metric: TypeAlias = Callable[[Sequence[Hashable], Judgements, int], float]


def ndcg(ranking: Sequence[Hashable], relevant: Judgements, k: int = 10) -> float:
    """Return the normalized discounted cumulative gain of the first k documents.

    ``DCG = sum of gain(i) / log2(i + 1)`` over the ranks i = 1 to k, divided by the DCG of the
    best possible ranking. The gain is the judgement itself (Järvelin and Kekäläinen, 2002,
    doi:10.1145/582415.582418), as in trec_eval's ``ndcg_cut`` and BEIR.

    Args:
        ranking: Documents, best first, each once.
        relevant: The judgement of each document.
        k: Depth.

    Raises:
        ArgumentError: If nothing is relevant, or a document occurs twice.
    """
    top = _top(ranking, relevant, k)
    best = sorted((gain for gain in relevant.values() if gain > 0), reverse=True)[:k]
    return _dcg([max(relevant.get(document, 0), 0) for document in top]) / _dcg(best)


def recall(ranking: Sequence[Hashable], relevant: Judgements, k: int = 10) -> float:
    """Return the share of all relevant documents that is among the first k.

    Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.3.

    Args:
        ranking: Documents, best first, each once.
        relevant: The judgement of each document.
        k: Depth.

    Raises:
        ArgumentError: If nothing is relevant, or a document occurs twice.
    """
    top = _top(ranking, relevant, k)
    return sum(relevant.get(document, 0) > 0 for document in top) / _relevant(relevant)


def reciprocal_rank(ranking: Sequence[Hashable], relevant: Judgements, k: int = 10) -> float:
    """Return 1 divided by the rank of the first relevant document; 0 if none is among the first k.

    Its mean is the MRR (Voorhees, TREC-8 Question Answering Track Report, 1999).

    Args:
        ranking: Documents, best first, each once.
        relevant: The judgement of each document.
        k: Depth.

    Raises:
        ArgumentError: If nothing is relevant, or a document occurs twice.
    """
    for rank, document in enumerate(_top(ranking, relevant, k), 1):
        if relevant.get(document, 0) > 0:
            return 1 / rank
    return 0.0


def neighbor_recall(ranking: Sequence[Hashable], scores: Mapping[Any, float], k: int) -> float:
    """Return the share of the true k nearest neighbors that an approximate search found.

    A point that is as near as the k-th counts as one of them: among equal texts, no choice is wrong
    (Aumüller, Bernhardsson and Faithfull, ANN-Benchmarks, 2020, doi:10.1016/j.is.2019.02.006).

    Args:
        ranking: The ids that the search found, best first, each once.
        scores: The scores of the exact search by id; higher is nearer. At least k of them (or
            all points), and as many as possible of those that are as near as the k-th.
        k: Depth.

    Raises:
        ArgumentError: If the exact search found nothing, or an id occurs twice.
    """
    order = sorted(scores.values(), reverse=True)[:k]
    if not order:
        raise ArgumentError(field="scores", problem="exact search found nothing")
    # The engine adds float32 in another order for batches than for single queries.
    last = order[-1] - 1e-6 * max(1.0, abs(order[-1]))
    near = {point: 1.0 for point, score in scores.items() if score >= last}
    return sum(point in near for point in _top(ranking, near, k)) / len(order)


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _relevant(relevant: Judgements) -> int:
    return sum(gain > 0 for gain in relevant.values())


def _top(ranking: Sequence[Hashable], relevant: Judgements, k: int) -> Sequence[Hashable]:
    rules.check_integer("k", k)
    if not _relevant(relevant):
        raise ArgumentError(field="relevant", problem="no document is relevant; drop the query")
    top = ranking[:k]
    if len(set(top)) < len(top):
        raise ArgumentError(field="ranking", problem="a document occurs twice")
    return top
