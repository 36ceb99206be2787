"""The fit of tables to pairs: epochs of batches, measured on queries that were kept aside.

1. A share of the queries is kept aside, with all their pairs.
2. In each epoch the other pairs are put into batches; in each batch the ranking loss moves the rows
   of the tokens that occur in it (`ranking_loss`, Adam).
3. After each epoch the kept queries are ranked in a pool of passages. The tables of the best epoch
   are kept: those of the parent, if no epoch is better.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static.errors import ArgumentError
from qdrant_static.training.pairbatches import batches
from qdrant_static.training.pairloss import ranking_loss
from qdrant_static.training.pairquality import PoolQuality, pool_quality
from qdrant_static.training.trainingprogress import TrainingProgress

if TYPE_CHECKING:
    from qdrant_static.training.pairbatches import Batch
    from qdrant_static.training.pairoptions import PairOptions
    from qdrant_static.training.pairset import PairSet
    from qdrant_static.training.pairtable import FittedTable, Vectors

#: Most queries that are kept aside, and most passages that they are ranked among.
_MOST_QUERIES, _MOST_PASSAGES = 2_000, 10_000
#: The learning rate falls to this part of what it was at the beginning.
_LAST_RATE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sides:
    """The vectors of queries and of texts, by one table or by two.

    Attributes:
        queries: Gives the vectors of the queries.
        texts: Gives those of passages and hard negatives; the same object for one table.
        first_text: The row of the first text, where one table has the queries before it.
    """

    queries: Vectors
    texts: Vectors
    first_text: int

    def query_vectors(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of queries."""
        return self.queries.sums(numbers)

    def text_vectors(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors of texts."""
        return self.texts.sums(numbers + self.first_text)

    def step(
        self,
        batch: Batch,
        by_query: NDArray[np.float32],
        by_text: NDArray[np.float32],
        rate: float,
    ) -> None:
        """Move the tables against the gradients of a batch."""
        texts = batch.candidates + self.first_text
        if self.queries is self.texts:
            rows = np.concatenate([batch.queries, texts])
            self.queries.step(rows, np.concatenate([by_query, by_text]), rate)
        else:
            self.queries.step(batch.queries, by_query, rate)
            self.texts.step(texts, by_text, rate)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptAside:
    """Queries that are not fitted, and the passages that they are ranked among.

    Attributes:
        queries: int64 ``(n,)``, the queries.
        pool: int64 ``(m,)``, the texts.
        answers: Of each query the places of its passages in the pool.
        training: int64, the pairs of all other queries.
    """

    queries: NDArray[np.int64]
    pool: NDArray[np.int64]
    answers: Sequence[Sequence[int]]
    training: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: PairSet, share: float, generator: np.random.Generator) -> KeptAside:
        """Keep a share of the queries aside, at least one.

        Raises:
            ArgumentError: If fewer than two pairs are left to learn from.
        """
        count = min(max(1, round(share * len(pairs.queries))), _MOST_QUERIES)
        queries = np.sort(generator.permutation(len(pairs.queries))[:count])
        held = np.isin(pairs.query, queries)
        training = np.flatnonzero(~held)
        if len(training) < 2:
            raise ArgumentError(
                field="pairs",
                problem=f"{len(pairs)} pairs of {len(pairs.queries)} queries are too few: with "
                f"{count} of the queries kept aside to choose the best epoch, {len(training)} "
                "pairs are left to learn from",
            )
        own = np.unique(pairs.passage[held])
        others = np.setdiff1d(np.arange(len(pairs.texts)), own)
        more = generator.permutation(others)[: max(0, _MOST_PASSAGES - len(own))]
        pool = np.concatenate([own, np.sort(more)])
        answers: list[list[int]] = [[] for _ in queries]
        places = {int(text): place for place, text in enumerate(pool)}
        row = {int(query): number for number, query in enumerate(queries)}
        for pair in np.flatnonzero(held):
            answers[row[int(pairs.query[pair])]].append(places[int(pairs.passage[pair])])
        return cls(queries=queries, pool=pool, answers=answers, training=training)

    def quality(self, sides: Sides, sizes: Sequence[int]) -> dict[int, PoolQuality]:
        """Rank the pool for each query; size -> quality."""
        queries, pool = sides.query_vectors(self.queries), sides.text_vectors(self.pool)
        return {size: pool_quality(queries, pool, self.answers, size) for size in sizes}


@dataclass(slots=True, kw_only=True, eq=False)
class FittedPairs:
    """What a fit has found.

    Attributes:
        tables: The tables of the best epoch, in the order they were given.
        before: Size -> quality of the parent's tables.
        after: Size -> quality of the best epoch's.
        best_epoch: The epoch; 0 for the parent's tables.
        epochs: The epochs that were run.
        losses: The mean loss of each epoch.
    """

    tables: list[NDArray[np.float32]]
    before: dict[int, PoolQuality]
    after: dict[int, PoolQuality]
    best_epoch: int = 0
    epochs: int = 0
    losses: list[float] = field(default_factory=list)


def fit_sides(
    sides: Sides,
    fitted: Sequence[FittedTable],
    pairs: PairSet,
    kept: KeptAside,
    *,
    sizes: Sequence[int],
    options: PairOptions,
    generator: np.random.Generator,
    progress: Callable[[TrainingProgress], None],
) -> FittedPairs:
    """Fit tables to pairs.

    Args:
        sides: The vectors of queries and texts.
        fitted: The tables in them that are fitted.
        pairs: The pairs.
        kept: The queries that are kept aside.
        sizes: All sizes that count, the full one too.
        options: How they are fitted.
        generator: Decides the batches.
        progress: Called after each epoch.
    """
    positives = pairs.positives()
    started = time.monotonic()
    before = kept.quality(sides, sizes)
    found = FittedPairs(tables=[one.table.copy() for one in fitted], before=before, after=before)
    for epoch in range(1, options.epochs + 1):
        rate = options.learning_rate * _falling(epoch - 1, options.epochs)
        losses: list[float] = []
        for batch in batches(
            pairs, kept.training, positives,
            size=options.batch_size, negatives=options.negatives, generator=generator,
        ):  # fmt: skip
            loss = ranking_loss(
                sides.query_vectors(batch.queries),
                sides.text_vectors(batch.candidates),
                batch.own,
                excluded=batch.excluded,
                temperature=options.temperature,
                sizes=sizes,
            )
            losses.append(loss.loss)
            sides.step(batch, loss.queries, loss.candidates, rate)
        found.epochs = epoch
        found.losses.append(float(np.mean(losses)))
        quality = kept.quality(sides, sizes)
        if _mean(quality) > _mean(found.after):
            found.best_epoch, found.after = epoch, quality
            found.tables = [one.table.copy() for one in fitted]
        left_s = (time.monotonic() - started) * (options.epochs - epoch) / epoch
        progress(
            TrainingProgress(
                phase="pairs", done=epoch, total=options.epochs, unit="epochs", left_s=left_s
            )
        )
        if epoch - found.best_epoch >= options.patience:
            break
    return found


def _falling(done: int, total: int) -> float:
    """Return the part of the learning rate for an epoch: from 1, linearly, to a tenth."""
    return 1 - (1 - _LAST_RATE) * done / max(total - 1, 1)


def _mean(quality: dict[int, Any]) -> float:
    """Return the mean NDCG over the sizes."""
    return float(np.mean([one.ndcg.mean() for one in quality.values()]))
