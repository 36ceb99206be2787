"""How pairs are mined and fitted: `MiningOptions` and `PairOptions`."""

from __future__ import annotations

from dataclasses import dataclass

from qdrant_static import rules
from qdrant_static.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningOptions:
    """How hard negatives are mined.

    Attributes:
        negatives: Hard negatives of a pair, at most; by default 4.
        depth: Hits of each query that are looked at; by default 50.
        share: A hit is left out as a false negative if the teacher scores it at least this share
            of the passage's score; by default 0.95.
    """

    negatives: int = 4
    depth: int = 50
    share: float = 0.95

    def __post_init__(self) -> None:
        rules.check_integer("negatives", self.negatives)
        rules.check_integer("depth", self.depth)
        _check_number("share", self.share, greatest=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions:
    """How a model is fitted to pairs.

    Attributes:
        epochs: How often all pairs are used, at most; by default 10.
        batch_size: Pairs in a batch, whose passages are each other's negatives; by default 1024.
        negatives: Hard negatives of a pair in a batch, at most; by default 4.
        temperature: Divides the cosines: a smaller one looks more at the nearest passages; by
            default 0.05.
        learning_rate: Step of Adam, relative to the mean size of the table's entries; by default
            0.1. It falls to a tenth of it until the last epoch.
        pull: How strongly the table is pulled towards its parent's, per step and relative to the
            learning rate; by default 0.01.
        validation: Share of the queries that is kept aside, to choose the best epoch; by default
            0.1.
        patience: Epochs without a better one after which the fit ends; by default 2.
        seed: Seed of all that is drawn; by default 0.
    """

    epochs: int = 10
    batch_size: int = 1024
    negatives: int = 4
    temperature: float = 0.05
    learning_rate: float = 0.1
    pull: float = 0.01
    validation: float = 0.1
    patience: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience"):
            rules.check_integer(name, getattr(self, name))
        rules.check_integer("batch_size", self.batch_size, least=2)
        rules.check_integer("negatives", self.negatives, least=0)
        rules.check_integer("seed", self.seed, least=0)
        _check_number("temperature", self.temperature)
        _check_number("learning_rate", self.learning_rate)
        if not rules.is_number(self.pull) or self.pull < 0:
            raise ArgumentError(field="pull", problem=f"{self.pull!r} is not a number of 0 or more")
        _check_number("validation", self.validation, greatest=0.5)


def _check_number(name: str, value: object, *, greatest: float | None = None) -> None:
    """Raise an error for what is not a number above 0, up to the greatest."""
    if not (rules.is_number(value) and value > 0):  # type: ignore[operator]
        raise ArgumentError(field=name, problem=f"{value!r} is not a number above 0")
    if greatest is not None and value > greatest:  # type: ignore[operator]
        raise ArgumentError(field=name, problem=f"{value!r} is above {greatest:g}")
