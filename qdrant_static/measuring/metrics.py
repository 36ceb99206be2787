"""Quality of a ranking: NDCG, recall and the reciprocal rank, from their definitions.

Each takes one ranking and its judgements, and gives one number in ``[0, 1]``; the quality of a
system is the mean over its queries. A query without a relevant document has no quality and is an
error, not a zero: it would pull every system down alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeAlias

from qdrant_static import rules
from qdrant_static.errors import ArgumentError

#: Document -> how relevant it is; above 0 is relevant.
Judgements: TypeAlias = Mapping[Any, float]
Metric: TypeAlias = Callable[[Sequence[Hashable], Judgements, int], float]


def ndcg(ranking: Sequence[Hashable], relevant: Judgements, k: int = 10) -> float:
    """Normalized discounted cumulative gain of the first k.

    ``DCG = sum of gain(i) / log2(i + 1)`` over the ranks i = 1 to k, divided by the DCG of the
    best possible ranking. The gain is the judgement itself (Järvelin and Kekäläinen, 2002,
    doi:10.1145/582415.582418), as in trec_eval's ``ndcg_cut`` and BEIR.

    Args:
        ranking: Documents, best first, each once.
        relevant: Document -> judgement.
        k: Depth.

    Raises:
        ArgumentError: If nothing is relevant, or a document comes twice.
    """
    top = _top(ranking, relevant, k)
    best = sorted((gain for gain in relevant.values() if gain > 0), reverse=True)[:k]
    return _dcg([max(relevant.get(one, 0), 0) for one in top]) / _dcg(best)


def recall(ranking: Sequence[Hashable], relevant: Judgements, k: int = 10) -> float:
    """The share of all relevant documents that is among the first k.

    Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.3.

    Args:
        ranking: Documents, best first, each once.
        relevant: Document -> judgement.
        k: Depth.

    Raises:
        ArgumentError: If nothing is relevant, or a document comes twice.
    """
    top = _top(ranking, relevant, k)
    return sum(relevant.get(one, 0) > 0 for one in top) / _relevant(relevant)


def reciprocal_rank(ranking: Sequence[Hashable], relevant: Judgements, k: int = 10) -> float:
    """One over the rank of the first relevant document; 0 if none is among the first k.

    Its mean is the MRR (Voorhees, TREC-8 Question Answering Track Report, 1999).

    Args:
        ranking: Documents, best first, each once.
        relevant: Document -> judgement.
        k: Depth.

    Raises:
        ArgumentError: If nothing is relevant, or a document comes twice.
    """
    for rank, one in enumerate(_top(ranking, relevant, k), 1):
        if relevant.get(one, 0) > 0:
            return 1 / rank
    return 0.0


def neighbor_recall(found: Sequence[Hashable], scores: Mapping[Any, float], k: int) -> float:
    """The share of the true k nearest that an approximate search found.

    Whoever is as near as the k-th counts as one of them: among equal texts, no choice is wrong
    (Aumüller, Bernhardsson and Faithfull, ANN-Benchmarks, 2020, doi:10.1016/j.is.2019.02.006).

    Args:
        found: What the search gave, best first, each once.
        scores: The exact search's answer: id -> score, higher is nearer, at least k of them (or
            all that there are), and those that are equal to the k-th as far as it goes.
        k: Depth.

    Raises:
        ArgumentError: If the exact search found nothing, or an id comes twice.
    """
    order = sorted(scores.values(), reverse=True)[:k]
    if not order:
        raise ArgumentError(field="scores", problem="exact search found nothing")
    # Of float32 arithmetic in another order: the engine's batches and single queries differ.
    last = order[-1] - 1e-6 * max(1.0, abs(order[-1]))
    near = {one: 1.0 for one, score in scores.items() if score >= last}
    return sum(one in near for one in _top(found, near, k)) / len(order)


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _relevant(relevant: Judgements) -> int:
    return sum(gain > 0 for gain in relevant.values())


def _top(ranking: Sequence[Hashable], relevant: Judgements, k: int) -> Sequence[Hashable]:
    rules.check_integer("k", k)
    if not _relevant(relevant):
        raise ArgumentError(
            field="relevant", problem="no document is relevant; leave the query out"
        )
    top = ranking[:k]
    if len(set(top)) < len(top):
        raise ArgumentError(field="ranking", problem="a document comes twice")
    return top
