"""SMRL: reduces size after size, each from the one before; and MRL, which trains all at once.

A step trains a rotation of the dimensions that the step before has left, and keeps some of them.
Rotating does not change the cosines of the larger size, so that each step is frozen exactly, and
the vectors of all sizes are prefixes of one another: the kept dimensions come first.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdrant_static.training.smec.loop import Loop, Trained
from qdrant_static.training.smec.neighborhoods import (
    Neighborhoods,
    TrainingVectors,
    neighborhoods,
)
from qdrant_static.training.smec.orthogonal import principal_axes
from qdrant_static.training.smec.settings import SmecSettings
from qdrant_static.training.smec.ware import achievement_rate, ware

#: The share of anchors that is held out, and the most of them.
_HELD, _MOST_HELD = 0.1, 512
#: Passages that held-out anchors choose their candidates from.
_HELD_POOL = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReductionStep:
    """What a step did.

    Attributes:
        inputs: Dimensions that it chose from.
        sizes: The sizes that it trained: one, or all of MRL.
        epochs: Epochs.
        best: The epoch that was kept.
        converged: Whether it ended by convergence.
        steps: Batches.
        losses: The loss on held-out anchors, before and after each epoch.
        variances: The variance of the gradient in each epoch.
        achievement: The achievement rate of each size.
        ware: The share that the kept dimensions of each size have in the sum of WARE.
        seconds: Time.
    """

    inputs: int
    sizes: tuple[int, ...]
    epochs: int
    best: int
    converged: bool
    steps: int
    losses: tuple[float, ...]
    variances: tuple[float, ...]
    achievement: tuple[float, ...]
    ware: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reduction:
    """A rotation whose first columns serve each of the sizes.

    Attributes:
        matrix: float32 ``(D, D)``, orthogonal.
        steps: What was trained.
    """

    matrix: NDArray[np.float32]
    steps: tuple[ReductionStep, ...]


def reduce_dimensions(
    vectors: TrainingVectors,
    sizes: tuple[int, ...],
    settings: SmecSettings,
    *,
    seed: int = 0,
    on_step: Callable[[ReductionStep], None] | None = None,
) -> Reduction:
    """Train a rotation whose prefixes rank as the whole vectors do.

    Args:
        vectors: Full vectors of length 1.
        sizes: Falling; a first size of D is the whole, and needs no training.
        settings: How to train.
        seed: Of batches, memory and noise.
        on_step: Called after each step.
    """
    generator = np.random.default_rng(seed)
    dimension = vectors.passages.shape[1]
    basis = (
        principal_axes(vectors.passages)
        if settings.start == "rotation"
        else np.eye(dimension, dtype=np.float32)
    )
    held = _held_out(vectors, settings, generator)
    wanted = tuple(size for size in sizes if size < dimension)
    groups = [(size,) for size in wanted] if settings.sequential else [wanted]
    tail: list[NDArray[np.float32]] = []
    done: list[ReductionStep] = []
    for group in groups:
        if not group:
            continue
        started = time.perf_counter()
        trained = Loop(vectors, basis, group, held, settings, generator).run()
        step = _account(vectors, held, basis, group, trained, time.perf_counter() - started)
        done.append(step)
        if on_step is not None:
            on_step(step)
        turned = basis @ trained.rotation
        if settings.sequential:
            kept = trained.kept[0]
            rest = np.setdiff1d(np.arange(basis.shape[1]), kept)
            tail.insert(0, by_energy(vectors.passages, turned[:, rest]))
            basis = by_energy(vectors.passages, turned[:, kept])
        else:
            basis = turned
    return Reduction(
        matrix=np.ascontiguousarray(np.hstack([basis, *tail]), dtype=np.float32),
        steps=tuple(done),
    )


def by_energy(passages: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return columns by the falling mean square of the vectors along them."""
    energy = np.square(passages @ columns).mean(axis=0)
    return columns[:, np.argsort(-energy, kind="stable")]


def _held_out(
    vectors: TrainingVectors, settings: SmecSettings, generator: np.random.Generator
) -> Neighborhoods:
    """Draw anchors that are not trained on, with candidates from all passages."""
    anchors, passages = len(vectors.anchors), len(vectors.passages)
    count = max(2, min(int(anchors * _HELD), _MOST_HELD))
    rows = np.sort(generator.choice(anchors, count, replace=False))
    pool = np.sort(generator.choice(passages, min(passages, _HELD_POOL), replace=False))
    return neighborhoods(vectors, rows, pool, settings.neighbors)


def _account(
    vectors: TrainingVectors,
    held: Neighborhoods,
    basis: NDArray[np.float32],
    sizes: tuple[int, ...],
    trained: Trained,
    seconds: float,
) -> ReductionStep:
    turned = basis @ trained.rotation
    anchors = (vectors.anchors[held.anchors] @ turned).repeat(held.chosen.shape[1], axis=0)
    partners = (vectors.passages[held.candidates] @ turned)[held.chosen.ravel()]
    errors = ware(anchors, partners)
    return ReductionStep(
        inputs=basis.shape[1],
        sizes=sizes,
        epochs=len(trained.variances),
        best=trained.best,
        converged=trained.converged,
        steps=trained.steps,
        losses=trained.losses,
        variances=trained.variances,
        achievement=tuple(achievement_rate(errors, kept) for kept in trained.kept),
        ware=tuple(float(errors[kept].sum() / errors.sum()) for kept in trained.kept),
        seconds=seconds,
    )
