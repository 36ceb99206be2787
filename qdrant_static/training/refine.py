"""Refines a fitted table by a few epochs of Adam.

Every batch changes the rows of the tokens that it has. The learning rate is a share of the table's
mean absolute value, so that it fits tables of any scale, and falls to a tenth over the epochs.
After each epoch the loss on held-out texts is measured. The result is the table of the last epoch,
or, with a patience, that of the best.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qdrant_static.encoders.threads import core_count
from qdrant_static.training.countmatrix import CountMatrix, SparseRows
from qdrant_static.training.refineloss import BatchLoss, LossWeights, batch_loss

Floats = NDArray[np.float32]

SCHEDULES = ("linear", "cosine")
_LAST_RATE = 0.1
#: The share of the steps in which the learning rate rises: the first steps of Adam have no moments
#: yet, and change every value by the whole rate. Without a rise the loss doubled at first.
_WARM = 0.1
#: Rows of the table that one thread changes at a time.
_TOKENS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class RefineSettings:
    """How a table is refined.

    Attributes:
        epochs: Passes over the texts, at most.
        batch: Texts in a batch, about.
        learning_rate: At the beginning, as a share of the table's mean absolute value.
        schedule: How the learning rate falls to a tenth: "linear" or "cosine".
        patience: Stop after this number of epochs that are no better on held-out texts, and take
            the best; None runs all epochs, and takes the last.
        mix: The share of the table before in the result.
        weights: Of the terms of the loss.
    """

    epochs: int
    batch: int
    learning_rate: float
    schedule: str
    patience: int | None
    mix: float
    weights: LossWeights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refined:
    """A refined table.

    Attributes:
        table: float32 (used, dim).
        epochs: How many were run.
        best_epoch: The one whose table this is; 0 for the table before the first.
        losses: The loss on held-out texts before the first epoch and after each; empty without
            held-out texts.
        seconds_per_step: Mean time of a batch.
    """

    table: Floats
    epochs: int
    best_epoch: int
    losses: tuple[float, ...]
    seconds_per_step: float


def refine(
    counts: CountMatrix,
    targets: Floats,
    table: Floats,
    settings: RefineSettings,
    *,
    importance: Floats | None = None,
    sizes: tuple[int, ...] = (),
    held_out: tuple[CountMatrix, Floats] | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Refined:
    """Refine a table; the same seed gives the same table, with any number of threads.

    Args:
        counts: Token counts of n texts.
        targets: float32 (n, target dim), normalized.
        table: float32 (used, dim), as it is before.
        settings: How.
        importance: float32 (n,), a factor of each text's loss; None for ones.
        sizes: Prefixes of the vectors that are fitted, too.
        held_out: Counts over the same tokens, and targets, of texts that are not trained on.
        seed: Of the order of texts.
        threads: How many to use; None for one per core.
        progress: Called with the batches done and the total.
    """
    before = best = table
    table = table.copy()
    rates = _rates(settings, table, len(counts))
    steps_per_epoch = max(1, len(counts) // settings.batch)
    losses = [held_out_loss(*held_out, table, settings, sizes).loss] if held_out else []
    best_epoch, epoch, done, seconds = 0, 0, 0, 0.0
    generator = np.random.default_rng([seed, 1])
    with ThreadPoolExecutor(core_count() if threads is None else threads) as pool:
        adam = TableAdam(counts.by_text, table, pool)
        for epoch in range(1, settings.epochs + 1):
            begin = time.perf_counter()
            order = generator.permutation(len(counts))
            for rows in np.array_split(order, steps_per_epoch):
                sums = counts.by_text.times(table, rows, threads=1)
                found = batch_loss(
                    sums,
                    targets[rows],
                    settings.weights,
                    importance=None if importance is None else importance[rows],
                    sizes=sizes,
                )
                adam.step(rows, np.asarray(found.by_sum, np.float32), next(rates))
                done += 1
                if progress is not None:
                    progress(done, settings.epochs * steps_per_epoch)
            seconds += time.perf_counter() - begin
            mixed = _mixed(before, table, settings.mix)
            if held_out is not None:
                losses.append(held_out_loss(*held_out, mixed, settings, sizes).loss)
            if held_out is None or settings.patience is None or losses[-1] <= min(losses):
                best, best_epoch = mixed, epoch
            elif epoch - best_epoch >= settings.patience:
                break
    return Refined(
        table=best,
        epochs=epoch,
        best_epoch=best_epoch,
        losses=tuple(losses),
        seconds_per_step=seconds / max(done, 1),
    )


def _mixed(before: Floats, after: Floats, share: float) -> Floats:
    """Return a table between two, with a share of the first; a new array."""
    return np.float32(share) * before + np.float32(1 - share) * after


def held_out_loss(
    counts: CountMatrix,
    targets: Floats,
    table: Floats,
    settings: RefineSettings,
    sizes: tuple[int, ...] = (),
) -> BatchLoss:
    """Return the mean loss of a table on texts in batches of the same size, without a gradient."""
    sums = counts.by_text.times(table)
    parts = np.array_split(np.arange(len(counts)), max(1, len(counts) // settings.batch))
    found = [batch_loss(sums[part], targets[part], settings.weights, sizes=sizes) for part in parts]
    return BatchLoss(
        float(np.mean([one.loss for one in found])),
        float(np.mean([one.kl for one in found])),
        np.zeros((0, table.shape[1]), np.float32),
    )


def _rates(settings: RefineSettings, table: Floats, texts: int) -> Iterator[float]:
    """Yield the learning rate of every step."""
    first = settings.learning_rate * float(np.abs(table).mean(dtype=np.float64))
    steps = settings.epochs * max(1, texts // settings.batch)
    for step in range(steps):
        along = step / steps
        warm = min(1.0, (step + 1) / max(1.0, _WARM * steps))
        if settings.schedule == "cosine":
            along = (1 - math.cos(math.pi * along)) / 2
        yield warm * first * (1 - (1 - _LAST_RATE) * along)


class TableAdam:
    """Adam on the rows of a table that a batch touches; threads divide the rows.

    Args:
        counts: The token counts of all texts.
        table: float32 (used, dim), changed in place.
        pool: Threads.
    """

    def __init__(self, counts: SparseRows, table: Floats, pool: ThreadPoolExecutor) -> None:
        self._counts, self._table, self._pool = counts, table, pool
        self._mean, self._square = np.zeros_like(table), np.zeros_like(table)
        self._marks = np.zeros(len(table), np.int64)
        self._slots, self._tokens = np.empty_like(self._marks), np.empty_like(self._marks)
        self._starts = np.empty(len(table) + 1, np.int64)
        self._steps = 0

    def step(self, rows: NDArray[np.int64], by_sum: Floats, rate: float) -> NDArray[np.int64]:
        """Change the table by one batch.

        Args:
            rows: int64 (m,), the texts of the batch.
            by_sum: float32 (m, dim), the gradient by their sums.
            rate: The learning rate.

        Returns:
            int64 (k,), the rows of the table that were changed; valid until the next step.
        """
        from qdrant_static.training.tablekernels import adam_step, transpose_batch

        self._steps += 1
        counts = self._counts
        entries = int((counts.ends[rows + 1] - counts.ends[rows]).sum())
        texts, weights = np.empty(entries, np.int64), np.empty(entries, np.float32)
        number = transpose_batch(
            counts.ends, counts.indices, counts.shares, rows, self._marks, self._steps,
            self._slots, self._tokens, self._starts, texts, weights,
        )  # fmt: skip
        mean_scale = 1 / (1 - 0.9**self._steps)
        square_scale = 1 / (1 - 0.999**self._steps)

        def change(first: int) -> None:
            adam_step(
                self._tokens, self._starts, texts, weights, by_sum, first,
                min(number, first + _TOKENS), self._mean, self._square, self._table, rate,
                mean_scale, square_scale,
            )  # fmt: skip

        for _ in self._pool.map(change, range(0, number, _TOKENS)):
            pass
        return self._tokens[:number]
