"""Trains one rotation until it has converged: for one smaller size, or for several at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdrant_static.training.smec.losses import total_loss
from qdrant_static.training.smec.memory import CrossBatchMemory
from qdrant_static.training.smec.neighborhoods import (
    Neighborhoods,
    TrainingVectors,
    neighborhoods,
)
from qdrant_static.training.smec.orthogonal import RotationTraining
from qdrant_static.training.smec.scores import by_gates, by_rotated, score
from qdrant_static.training.smec.selection import DimensionSelection
from qdrant_static.training.smec.settings import SmecSettings

#: The learning rate falls to this share of itself over the epochs.
_LAST_RATE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A rotation that was trained, and how.

    Attributes:
        rotation: float32 ``(s, s)``, orthogonal.
        kept: The kept dimensions of each size, int64 ``(d,)`` each.
        losses: The loss on held-out anchors, before training and after each epoch.
        best: The epoch whose rotation was kept; 0 is the start.
        converged: Whether it ended by convergence, and not at the greatest number of epochs.
        variances: For each epoch the variance of the gradient by angles over its batches, summed
            over all angles.
        steps: Batches.
    """

    rotation: NDArray[np.float32]
    kept: tuple[NDArray[np.int64], ...]
    losses: tuple[float, ...]
    best: int
    converged: bool
    variances: tuple[float, ...]
    steps: int


class Variance:
    """The running variance of an array (Welford, 1962)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: NDArray[np.float32] | None = None
        self._squares = 0.0

    def add(self, value: NDArray[np.float32]) -> None:
        """Count an array."""
        self._count += 1
        if self._mean is None:
            self._mean = value.astype(np.float32)
            return
        change = value - self._mean
        self._mean += change / np.float32(self._count)
        self._squares += float(np.vdot(change, value - self._mean))

    @property
    def total(self) -> float:
        """The sum of the variances of its numbers."""
        return self._squares / max(1, self._count - 1)


class Loop:
    """The training of one rotation.

    Args:
        vectors: The full vectors.
        basis: float32 ``(D, s)``: what is rotated are ``vectors @ basis``.
        sizes: Sizes that the loss is summed over; below s.
        held: What the loss of an epoch is measured on.
        settings: How to train.
        generator: Draws batches and noise.
    """

    def __init__(
        self,
        vectors: TrainingVectors,
        basis: NDArray[np.float32],
        sizes: tuple[int, ...],
        held: Neighborhoods,
        settings: SmecSettings,
        generator: np.random.Generator,
    ) -> None:
        self._vectors = vectors
        self._settings = settings
        self._generator = generator
        self._held = held
        self._passages: NDArray[np.float32] = vectors.passages @ basis
        self._anchors = self._passages
        if vectors.queries is not None:
            self._anchors = vectors.queries @ basis
        self._training = RotationTraining(basis.shape[1], settings.learning_rate)
        self._memory = CrossBatchMemory(len(self._passages), settings.memory, generator)
        self._rows = np.setdiff1d(np.arange(len(self._anchors)), held.anchors)
        self._selection: DimensionSelection | None = None
        self._kept = tuple(np.arange(size) for size in sizes)
        if settings.selection == "adaptive" and settings.selection_epochs and len(sizes) == 1:
            energy = np.square(self._passages).mean(axis=0)
            self._selection = DimensionSelection(
                np.log(np.maximum(energy, 1e-12)),
                sizes[0],
                temperature=settings.gumbel_temperature,
                rate=settings.importance_rate,
            )

    def run(self) -> Trained:
        """Train until the loss on held-out anchors falls no more."""
        settings = self._settings
        losses = [self._held_loss()]
        best, rotation, kept = 0, self._training.matrix, self._kept
        variances: list[float] = []
        steps = epoch = waited = 0
        while epoch < settings.max_epochs and waited < settings.patience:
            variance = Variance()
            batches = self._batches()
            for number, rows in enumerate(batches):
                done = (epoch + number / len(batches)) / settings.max_epochs
                variance.add(self._step(rows, epoch, done))
            steps += len(batches)
            epoch += 1
            if self._selection is not None:
                self._kept = (self._selection.kept(),)
                if epoch == settings.selection_epochs:
                    self._selection = None
            variances.append(variance.total)
            losses.append(self._held_loss())
            waited += 1
            if losses[-1] < losses[best]:
                if losses[-1] < losses[best] * (1 - settings.tolerance):
                    waited = 0
                best, rotation, kept = epoch, self._training.matrix, self._kept
            if self._selection is not None:
                waited = 0  # the choice is still being made
        return Trained(
            rotation=rotation,
            kept=kept,
            losses=tuple(losses),
            best=best,
            converged=waited >= settings.patience,
            variances=tuple(variances),
            steps=steps,
        )

    def _batches(self) -> list[NDArray[np.int64]]:
        """Draw the anchors of an epoch; what does not fill a batch is left for another epoch."""
        size = min(self._settings.batch, len(self._rows))
        count = min(len(self._rows) // size, self._settings.epoch_batches)
        order = self._generator.permutation(self._rows)
        return [np.sort(order[n * size : (n + 1) * size]) for n in range(count)]

    def _step(self, rows: NDArray[np.int64], epoch: int, done: float) -> NDArray[np.float32]:
        """Train on one batch and return the gradient by angles."""
        settings = self._settings
        pool = self._memory.rows() if settings.memory else rows
        if self._vectors.queries is not None and not settings.memory:
            pool = np.empty(0, np.int64)
        batch = neighborhoods(self._vectors, rows, pool, settings.neighbors)
        kept = self._kept
        if self._selection is not None:
            noise = 1 - done * settings.max_epochs / settings.selection_epochs
            kept = (self._selection.sample(self._generator, noise),)
        gradient, gates = self._gradient(batch, kept)
        if self._selection is not None and gates is not None:
            self._selection.learn(gates)
        if settings.memory:
            self._memory.add(batch.candidates if self._vectors.queries is not None else rows)
        return self._training.step(gradient, 1 - (1 - _LAST_RATE) * done)

    def _gradient(
        self, batch: Neighborhoods, kept: tuple[NDArray[np.int64], ...]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Return the gradient by the rotation and, while dimensions are chosen, by the gates."""
        matrix = self._training.matrix
        anchors = self._anchors[batch.anchors]
        passages = self._passages[batch.candidates]
        # While dimensions are chosen, those that are not kept have a gradient too.
        used = np.arange(len(matrix)) if self._selection is not None else max(kept, key=len)
        turned_anchors: NDArray[np.float32] = anchors @ matrix[:, used]
        turned_passages: NDArray[np.float32] = passages @ matrix[:, used]
        total = np.zeros_like(matrix)
        gates = None
        for dimensions in kept:
            inner = np.searchsorted(used, dimensions)
            scores = score(turned_anchors, turned_passages, batch.chosen, inner)
            _, slope = total_loss(scores.values, batch.full, batch.grades, self._settings)
            by_anchor, by_passage = by_rotated(scores, slope)
            total[:, dimensions] += anchors.T @ by_anchor + passages.T @ by_passage
            if self._selection is not None:
                gates = by_gates(scores, slope)
        return total, gates

    def _held_loss(self) -> float:
        matrix = self._training.matrix
        held = self._held
        anchors: NDArray[np.float32] = self._anchors[held.anchors] @ matrix
        passages: NDArray[np.float32] = self._passages[held.candidates] @ matrix
        loss = 0.0
        for kept in self._kept:
            values = score(anchors, passages, held.chosen, kept).values
            loss += total_loss(values, held.full, held.grades, self._settings)[0]
        return loss
