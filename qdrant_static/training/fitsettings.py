"""FitSettings: how a token table is fitted."""

from __future__ import annotations

from dataclasses import dataclass, field

from qdrant_static import rules
from qdrant_static.errors import ArgumentError
from qdrant_static.training.refine import SCHEDULES, RefineSettings
from qdrant_static.training.refineloss import LossWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How a table is fitted.

    A fit uses no labels. The defaults were chosen by NDCG@10 on the judgements of Cranfield, CISI
    and MEDLINE, so that figures on these sets are somewhat too good.

    Attributes:
        penalties: Weights of the prior in the ridge regression; the best on held-out texts is
            taken, without such texts the first. Empty for no ridge regression: the prior is
            refined as it is.
        smoothing: The constant a of the tokens' weights a / (a + p); None for equal weights.
        rounds: Rounds of the ridge regression, in each of which the lengths are adapted.
        steps: Steps of conjugate gradients in each round.
        epochs: Passes of Adam over the texts, at most; 0 for none.
        batch: Texts in a batch.
        learning_rate: At the beginning, as a share of the table's mean absolute value.
        schedule: How it falls to a tenth: "linear" or "cosine".
        patience: Stop after this number of epochs that are no better on held-out texts, and take
            the best; None runs all epochs, and takes the last. Of a thousand passages too few can
            be held out to tell: on Cranfield, CISI and MEDLINE the last epoch was better.
        mix: The share of the ridge regression's table in the result (Wortsman et al., Robust
            fine-tuning of zero-shot models, 2022, arXiv:2109.01903), which helps unseen texts.
        weights: Of the terms of the loss.
        held_out: The share of the texts that is held out; 0 for none.
        most_held_out: The most texts that are held out.
    """

    penalties: tuple[float, ...] = (1e-2, 1e-3, 1e-1)
    smoothing: float | None = 1e-3
    rounds: int = 3
    steps: int = 8
    epochs: int = 15
    batch: int = 256
    learning_rate: float = 0.3
    schedule: str = "linear"
    patience: int | None = None
    mix: float = 0.5
    weights: LossWeights = field(default_factory=LossWeights)
    held_out: float = 0.03
    most_held_out: int = 1000

    def __post_init__(self) -> None:
        for name, least in (("rounds", 1), ("steps", 1), ("epochs", 0), ("batch", 2)):
            rules.check_integer(name, getattr(self, name), least=least)
        rules.check_integer("patience", self.patience, optional=True)
        rules.check_integer("most_held_out", self.most_held_out)
        rules.check_choice("schedule", self.schedule, SCHEDULES)
        for name in ("learning_rate", *(["smoothing"] if self.smoothing is not None else [])):
            _check_positive(name, getattr(self, name))
        for one in self.penalties:
            _check_positive("penalties", one)
        for name, most in (("held_out", 0.5), ("mix", 1)):
            value = getattr(self, name)
            if not (rules.is_number(value) and 0 <= value <= most):
                raise ArgumentError(field=name, problem=f"{value!r} is not from 0 to {most}")

    def of_adam(self) -> RefineSettings:
        """Return the settings of Adam."""
        return RefineSettings(
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            patience=self.patience,
            mix=self.mix if self.penalties else 0.0,
            weights=self.weights,
        )


def _check_positive(name: str, value: object) -> None:
    if not rules.is_number(value) or value <= 0:  # type: ignore[operator]
        raise ArgumentError(field=name, problem=f"{value!r} is not a number above 0")
