"""Finds the axes of a corpus for a static model: what its vectors are multiplied by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qdrant_static.errors import ArgumentError
from qdrant_static.training.directions import binary_directions, discriminant_directions, power
from qdrant_static.training.sentencescatter import sentence_scatter
from qdrant_static.vectors import normalize

if TYPE_CHECKING:
    from qdrant_static.training.directions import Matrix
    from qdrant_static.training.tablemodel import TableModel


#: More passages change the axes by less than the choice of passages does.
MOST_PASSAGES = 50_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CorpusAxes:
    """The axes of a corpus.

    Attributes:
        matrix: float64 ``(d, size)``; orthonormal columns, unless whitened.
        passages: Number of passages that it was computed from.
        sentences: Number of their sentences.
    """

    matrix: Matrix
    passages: int
    sentences: int


def corpus_axes(
    model: TableModel,
    passages: Sequence[str],
    *,
    size: int,
    whiten: float = 0.0,
    for_: str = "prefixes",
    seed: int = 0,
) -> CorpusAxes:
    """Find the axes that tell passages apart best, or whose signs keep most of a vector.

    Args:
        model: The model that encodes passages and their sentences.
        passages: n texts.
        size: Number of axes.
        whiten: How far the scatter inside passages is evened out first, 0 to 1.
        for_: ``"prefixes"`` or ``"binary"``.
        seed: Of the start for ``"binary"``.

    Raises:
        ArgumentError: If no passage has a token that the model knows.
    """
    scatter = sentence_scatter(model, passages)
    matrix = power(scatter.matrix, -whiten / 2) if whiten else np.eye(model.dimension)
    within = matrix @ scatter.matrix @ matrix
    vectors = normalize(model.vectors(passages) @ matrix.astype(np.float32)).astype(np.float64)
    vectors = vectors[np.abs(vectors).sum(axis=1) > 0]
    if not len(vectors):
        raise ArgumentError(
            field="texts", problem="no token of the passages is in the vocabulary of the model"
        )
    directions = _directions(vectors, within, for_=for_, size=size, seed=seed)
    return CorpusAxes(
        matrix=matrix @ directions, passages=len(vectors), sentences=scatter.sentences
    )


def sample(passages: Sequence[str], count: int, seed: int) -> list[str]:
    """Draw passages at random, in their order; all where there are not more."""
    if len(passages) <= count:
        return list(passages)
    rows = np.random.default_rng(seed).permutation(len(passages))[:count]
    return [passages[row] for row in np.sort(rows)]


def _directions(vectors: Matrix, within: Matrix, *, for_: str, size: int, seed: int) -> Matrix:
    """Return orthonormal columns, float64 (d, size)."""
    if for_ == "prefixes":
        return discriminant_directions(vectors, within)[:, :size]
    if size == vectors.shape[1]:
        return binary_directions(vectors, seed=seed)
    best = discriminant_directions(vectors, within)[:, :size]
    return np.asarray(best @ binary_directions(vectors @ best, seed=seed))
