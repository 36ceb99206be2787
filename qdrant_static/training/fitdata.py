"""The texts of a fit: checked, and divided into those that are fitted and those held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qdrant_static.errors import ArgumentError
from qdrant_static.training.countmatrix import CountMatrix
from qdrant_static.training.fitsettings import FitSettings
from qdrant_static.vectors import normalize

if TYPE_CHECKING:
    import scipy.sparse as sp

Floats = NDArray[np.float32]

#: Fewer texts fit nothing that would hold for another text.
_FEWEST = 16


#: Token counts of n texts, and float32 (n, dim), their targets, normalized.
Texts = tuple[CountMatrix, Floats]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitData:
    """The texts of a fit, divided into those that are fitted and those held out.

    Attributes:
        fitted: The texts of the ridge regression.
        refined: Those of them that Adam sees.
        importance: float32 (n,), how much each of these counts, with the mean 1; None for equally.
        held_out: The texts that neither sees; None for none.
        held_out_of_refined: Those of them that Adam would see; all where these are too few.
    """

    fitted: Texts
    refined: Texts
    importance: Floats | None
    held_out: Texts | None
    held_out_of_refined: Texts | None

    @property
    def tokens(self) -> NDArray[np.int64]:
        """int64 (used,), the ids of the tokens that the texts have."""
        return self.fitted[0].tokens

    @property
    def dimension(self) -> int:
        """Length of the targets."""
        return int(self.fitted[1].shape[1])


def prepare(
    counts: sp.csr_array,
    targets: Floats,
    importance: Floats | None,
    settings: FitSettings,
    seed: int,
) -> FitData:
    """Check the texts, leave out those that say nothing, and divide them.

    Args:
        counts: float32 (n, rows), as `TableModel.counts` gives them.
        targets: float32 (n, dim), of any length.
        importance: float (n,); None for equally.
        settings: Say how many are held out.
        seed: Of the choice of these.

    Raises:
        ArgumentError: The arrays do not fit together, or there are too few texts.
    """
    texts = counts.shape[0]
    if targets.ndim != 2 or len(targets) != texts:
        problem = f"have the shape {targets.shape} for {texts:,} texts; needed: one row for each"
        raise ArgumentError(field="targets", problem=problem)
    if not np.isfinite(targets).all():
        raise ArgumentError(field="targets", problem="have values that are not finite")
    if importance is not None and (
        importance.shape != (texts,) or not np.isfinite(importance).all() or importance.min() < 0
    ):
        problem = f"must be one number of at least 0 for each of {texts:,} texts"
        raise ArgumentError(field="importance", problem=problem)
    goals = normalize(targets)
    weights = np.ones(texts, np.float32) if importance is None else importance.astype(np.float32)
    says = (np.diff(counts.indptr) > 0) & (goals != 0).any(1)
    kept = np.flatnonzero(says)
    for which, number in (
        ("have", len(kept)),
        ("are important and have", (says & (weights > 0)).sum()),
    ):
        if number < _FEWEST:
            problem = f"{number} texts {which} tokens and a vector; at least {_FEWEST} are needed"
            raise ArgumentError(field="texts", problem=problem)
    aside = _chosen_rows(kept, settings, seed)
    tokens = np.unique(counts.indices).astype(np.int64)

    def part(rows: NDArray[np.int64]) -> Texts | None:
        if not len(rows):
            return None
        return CountMatrix.of(counts[rows], tokens), np.ascontiguousarray(goals[rows])

    fitted, held_out = kept[~aside], kept[aside]
    refined, judged = fitted[weights[fitted] > 0], held_out[weights[held_out] > 0]
    whole = part(fitted)
    assert whole is not None  # noqa: S101 - half of the texts are held out at most
    every = len(refined) == len(fitted)
    of_refined = weights[refined] / weights[refined].mean()
    return FitData(
        fitted=whole,
        refined=whole if every else part(refined) or whole,
        importance=None if importance is None else of_refined,
        held_out=part(held_out),
        held_out_of_refined=part(judged if len(judged) >= _FEWEST else held_out),
    )


def _chosen_rows(rows: NDArray[np.int64], settings: FitSettings, seed: int) -> NDArray[np.bool_]:
    """Choose texts to hold out, by a hash of their row and the seed; bool (rows,).

    The hash is that of splitmix64 (Steele, Lea and Flood, 2014, doi:10.1145/2714064.2660195).
    """
    wanted = min(int(len(rows) * settings.held_out), settings.most_held_out)
    mixed = rows.astype(np.uint64) + np.uint64(seed % 2**32) * np.uint64(2**32 + 1)
    mixed = (mixed + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    aside = np.zeros(len(rows), bool)
    aside[np.argsort(mixed, kind="stable")[:wanted]] = True
    return aside
