"""Fits a token table to the vectors of texts: ridge regression, then a few epochs of Adam.

1. The prior is prepared: mapped to the dimension of the targets where it has another, centered,
   weighed by the tokens' frequencies, scaled (`leastsquares.weigh_prior`).
2. The table is solved by ridge regression (`leastsquares`), which takes seconds and cannot diverge.
3. It is refined by Adam on cosine and KL (`refine`), which fits what search needs: the order of the
   nearest texts.

A small share of the texts is held out. It chooses the weight of the prior and the best epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qdrant_static import rules
from qdrant_static.errors import ArgumentError
from qdrant_static.training.fitdata import prepare
from qdrant_static.training.fitsettings import FitSettings
from qdrant_static.training.leastsquares import (
    fit_ridge,
    map_prior,
    mean_cosine,
    scale_prior,
    weigh_prior,
)
from qdrant_static.training.refine import held_out_loss, refine

if TYPE_CHECKING:
    import scipy.sparse as sp

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitFigures:
    """How well a table does on the texts that were held out.

    Attributes:
        cosine: Mean cosine between a text's vector and its target; None where the dimensions
            differ.
        kl: Mean KL divergence from the teacher's neighbors of a text to the student's, in nats.
    """

    cosine: float | None
    kl: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fit:
    """A fitted table, and what the fit did.

    Attributes:
        table: float32 (rows, dim); rows of tokens that no text has are those of the prior.
        texts: How many texts were fitted.
        refined: How many of these Adam has seen.
        held_out: How many were held out.
        tokens: How many rows of the table the texts have.
        penalty: The weight of the prior that was chosen; None without ridge regression.
        epochs: Epochs of Adam that were run.
        best_epoch: The one whose table was taken; 0 for that of the ridge regression.
        before: Figures of the prior; None without held-out texts.
        solved: Figures of the table of the ridge regression.
        after: Figures of the result.
        seconds_per_step: Mean time of a batch of Adam.
    """

    table: Floats
    texts: int
    refined: int
    held_out: int
    tokens: int
    penalty: float | None
    epochs: int
    best_epoch: int
    before: FitFigures | None
    solved: FitFigures | None
    after: FitFigures | None
    seconds_per_step: float


def fit_table(
    counts: sp.csr_array,
    targets: Floats,
    prior: Floats,
    *,
    settings: FitSettings | None = None,
    importance: Floats | None = None,
    sizes: tuple[int, ...] = (),
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Fit:
    """Fit a table so that texts' vectors are near their targets.

    Texts without tokens, or whose target is zero, are left out.

    Args:
        counts: float32 (n, rows), as `TableModel.counts` gives them.
        targets: float32 (n, dim), the teacher's vectors of the same texts, centered if wanted; they
            are normalized here.
        prior: float32 (rows, any dim), the table to start from.
        settings: How; None for the defaults.
        importance: float (n,), how much each text counts when the table is refined; None for
            equally. The ridge regression fits all texts equally, Adam those above 0: passages alone
            are better than passages and their sentences, whose vectors the ridge regression uses.
        sizes: Prefixes of the vectors that are fitted, too (Matryoshka).
        seed: Of the order of texts, and of the choice of those held out.
        threads: How many to use; None for one per core. The result does not depend on it.
        progress: Called with the batches of Adam done and the total.

    Raises:
        ArgumentError: The arrays do not fit together, have values that are not finite, or there
            are too few texts.
    """
    chosen = FitSettings() if settings is None else settings
    data = prepare(counts, targets, importance, chosen, seed)
    frequencies = np.bincount(counts.indices, minlength=len(prior))
    start = weigh_prior(_checked_prior(prior, counts), frequencies, chosen.smoothing)
    if start.shape[1] != data.dimension and chosen.penalties:
        start = map_prior(data.fitted[0], start, data.fitted[1], threads=threads)
    if start.shape[1] == data.dimension:
        start = scale_prior(data.fitted[0], start, data.fitted[1])
    _check_dimensions(start.shape[1], data.dimension, sizes, chosen)
    adam = chosen.of_adam()
    judged = data.held_out_of_refined

    def figures(table: Floats) -> FitFigures | None:
        if judged is None:
            return None
        same = table.shape[1] == data.dimension
        return FitFigures(
            cosine=mean_cosine(judged[0], table, judged[1]) if same else None,
            kl=held_out_loss(*judged, table, adam).kl,
        )

    table = np.ascontiguousarray(start[data.tokens])
    before, penalty = figures(table), None
    if chosen.penalties:
        ridge = fit_ridge(
            *data.fitted,
            table,
            penalties=chosen.penalties,
            rounds=chosen.rounds,
            steps=chosen.steps,
            held_out=data.held_out,
            threads=threads,
        )
        table, penalty = ridge.table, ridge.penalty
    solved = figures(table)
    refined = refine(
        *data.refined,
        table,
        adam,
        importance=data.importance,
        sizes=sizes,
        held_out=judged,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    start[data.tokens] = refined.table
    return Fit(
        table=start,
        texts=len(data.fitted[0]),
        refined=len(data.refined[0]),
        held_out=0 if data.held_out is None else len(data.held_out[0]),
        tokens=len(data.tokens),
        penalty=penalty,
        epochs=refined.epochs,
        best_epoch=refined.best_epoch,
        before=before,
        solved=solved,
        after=figures(refined.table),
        seconds_per_step=refined.seconds_per_step,
    )


def _checked_prior(prior: Floats, counts: sp.csr_array) -> Floats:
    if prior.ndim != 2 or len(prior) != counts.shape[1]:
        problem = f"has the shape {prior.shape} for {counts.shape[1]:,} token ids"
        raise ArgumentError(field="prior", problem=f"{problem}; needed: a row for each")
    if not np.isfinite(prior).all():
        raise ArgumentError(field="prior", problem="has values that are not finite")
    return prior


def _check_dimensions(
    student: int, teacher: int, sizes: tuple[int, ...], settings: FitSettings
) -> None:
    for size in sizes:
        rules.check_integer("sizes", size, greatest=student)
    weights = settings.weights
    if student != teacher and settings.epochs and (weights.cosine or weights.kl):
        raise ArgumentError(
            field="prior",
            problem=(
                f"has {student} dimensions, the targets {teacher}: without ridge regression only "
                "the Gram term can be used; set the weights of cosine and kl to 0"
            ),
        )
