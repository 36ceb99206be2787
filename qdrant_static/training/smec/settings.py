"""Settings of SMEC's training; switched off in part they are the paper's ablation."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from qdrant_static.errors import ArgumentError
from qdrant_static.rules import check_bool, check_choice, check_integer, is_number

Start = Literal["rotation", "raw"]
Selection = Literal["adaptive", "prefix"]

#: Rows of the memory in the paper: the balance of accuracy and time.
MEMORY = 5_000
_POSITIVE = ("temperature", "learning_rate", "importance_rate", "gumbel_temperature")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmecSettings:
    """How a compression is trained.

    Attributes:
        start: ``"rotation"`` begins with the uncentered principal axes of the vectors, ``"raw"``
            (the paper) with the dimensions as they are.
        sequential: Train size after size, each from the one before, which is frozen (SMRL); False
            trains all sizes at once on shared weights (MRL).
        selection: ``"adaptive"`` learns which dimensions to keep (ADS); ``"prefix"`` keeps the
            first.
        memory: Rows of the first-in-first-out memory in which neighbors are looked for (S-XBM),
            by default 5,000. With 0 rows they are looked for in the batch alone.
        neighbors: Candidates per anchor: the k of the memory's top-k, by default 64.
        batch: Anchors per step.
        alpha: Weight of L_unsup beside L_rank, by default 0.1. That is the paper's.
        rank: Whether L_rank is part of the loss; without it L_unsup has the weight 1.
        temperature: Divides the differences of similarity in L_rank. The paper has none, which is
            1: too large for cosines, whose differences are a few hundredths.
        learning_rate: Of the rotation between dimensions, in radians per step.
        importance_rate: Of the importance of the dimensions.
        gumbel_temperature: The softmax's, over importance plus noise.
        selection_epochs: Epochs in which the dimensions are chosen; the noise falls to zero over
            them. Afterwards the chosen ones are trained alone.
        max_epochs: Epochs after which a step ends in any case, by default 15.
        epoch_batches: Most batches of an epoch.
        patience: A step has converged when this many epochs in a row did not lower the loss on
            held-out anchors by `tolerance`; the best epoch is kept.
        tolerance: The least improvement that counts, as a share of the loss.
    """

    start: Start = "rotation"
    sequential: bool = True
    selection: Selection = "adaptive"
    memory: int = MEMORY
    neighbors: int = 64
    batch: int = 128
    alpha: float = 0.1
    rank: bool = True
    temperature: float = 0.1
    learning_rate: float = 2e-3
    importance_rate: float = 0.05
    gumbel_temperature: float = 1.0
    selection_epochs: int = 4
    max_epochs: int = 15
    epoch_batches: int = 100
    patience: int = 2
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        check_choice("start", self.start, get_args(Start))
        check_choice("selection", self.selection, get_args(Selection))
        check_bool("sequential", self.sequential)
        check_bool("rank", self.rank)
        for name in ("memory", "selection_epochs"):
            check_integer(name, getattr(self, name), least=0)
        for name in ("neighbors", "batch"):
            check_integer(name, getattr(self, name), least=2)
        for name in ("max_epochs", "epoch_batches", "patience"):
            check_integer(name, getattr(self, name))
        for name in _POSITIVE:
            value = getattr(self, name)
            if not is_number(value) or value <= 0:
                raise ArgumentError(field=name, problem=f"{value!r} is not a number above 0")
        for name in ("alpha", "tolerance"):
            value = getattr(self, name)
            if not is_number(value) or value < 0:
                raise ArgumentError(field=name, problem=f"{value!r} is not a number of at least 0")

    def to_dict(self) -> dict[str, object]:
        """Return the settings as JSON-like data."""
        return {one.name: getattr(self, one.name) for one in fields(self)}
