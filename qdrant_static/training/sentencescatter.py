"""How much the sentences of one passage differ, and how well a sentence finds its own passage.

Both need no labels: a passage's sentences are about the same thing, though in other words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qdrant_static.training.sentences import sentences

if TYPE_CHECKING:
    from qdrant_static.training.directions import Matrix
    from qdrant_static.training.tablemodel import TableModel

#: Passages whose sentences are encoded at once.
_BLOCK = 2000
#: Longer passages count with their first sentences only.
_MOST_SENTENCES = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SentenceScatter:
    """The scatter of sentences around the mean of their passage.

    Attributes:
        matrix: float64 (d, d), the mean of the outer products; zeros without such sentences.
        sentences: Number of sentences in passages that have at least two.
        passages: Number of these passages.
    """

    matrix: Matrix
    sentences: int
    passages: int


def sentence_scatter(model: TableModel, passages: Sequence[str]) -> SentenceScatter:
    """Measure the scatter of the sentences' vectors inside passages."""
    total = np.zeros((model.dimension, model.dimension))
    count = used = 0
    for start in range(0, len(passages), _BLOCK):
        cut = [sentences(text)[:_MOST_SENTENCES] for text in passages[start : start + _BLOCK]]
        groups = [group for group in cut if len(group) > 1]
        if not groups:
            continue
        vectors = model.vectors([one for group in groups for one in group]).astype(np.float64)
        sizes = np.array([len(group) for group in groups])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        means = np.add.reduceat(vectors, starts) / sizes[:, None]
        apart = vectors - np.repeat(means, sizes, axis=0)
        total += apart.T @ apart
        count += len(vectors)
        used += len(groups)
    return SentenceScatter(matrix=total / max(count, 1), sentences=count, passages=used)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OwnPassages:
    """Sentences, and their passages without them.

    Attributes:
        queries: A sentence of each passage.
        rests: The other sentences of the same passages.
    """

    queries: tuple[str, ...]
    rests: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.queries)


def own_passages(passages: Sequence[str], *, seed: int) -> OwnPassages:
    """Take one sentence out of each passage that has at least two, by chance."""
    pairs = list(_pairs(passages, np.random.default_rng(seed)))
    return OwnPassages(
        queries=tuple(query for query, _ in pairs), rests=tuple(rest for _, rest in pairs)
    )


def found_first(queries: NDArray[np.float32], rests: NDArray[np.float32]) -> float:
    """Return the share of sentences whose own passage is the nearest of all.

    Args:
        queries: float32 (n, d), normalized, or codes.
        rests: float32 (n, d), the passages in the same order. Where another one is as near, the
            own passage is not found.
    """
    if not len(queries):
        return 0.0
    found = 0
    for start in range(0, len(queries), _BLOCK):
        scores = queries[start : start + _BLOCK] @ rests.T
        rows = np.arange(len(scores))
        own = scores[rows, start + rows].copy()
        scores[rows, start + rows] = -np.inf
        found += int((own > scores.max(axis=1)).sum())
    return found / len(queries)


def _pairs(passages: Sequence[str], random: np.random.Generator) -> Iterator[tuple[str, str]]:
    for text in passages:
        cut = sentences(text)
        if len(cut) > 1:
            taken = int(random.integers(len(cut)))
            yield cut[taken], " ".join([*cut[:taken], *cut[taken + 1 :]])
