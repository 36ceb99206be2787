"""Does green answer as well as blue: recall, agreement, judged quality, latency."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.errors import ArgumentError
from qdrant_static.ids import plain_id
from qdrant_static.measuring.measurement import Measurement
from qdrant_static.measuring.metrics import ndcg
from qdrant_static.measuring.queries import QuerySet, of_judged
from qdrant_static.measuring.tuning.sweep import reference
from qdrant_static.measuring.uncertainty import paired_test
from qdrant_static.migration.gates import Gate, Thresholds, at_least, at_most, latency, noted
from qdrant_static.querying.answer import answer

if TYPE_CHECKING:
    import os

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.ids import PointId
    from qdrant_static.measuring.judged import JudgedSet
    from qdrant_static.querying.run import Searcher

#: Depth of everything here: recall@10, overlap@10, NDCG@10.
K = 10
#: Two rankings of fewer common hits have no correlation worth the name.
_LEAST_COMMON = 3
#: Searches that are not timed: caches fill, kernels compile.
_WARM_UP = 5
#: A query in one request with so many others, where nobody looks at the time.
_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One collection, opened, with its own plan.

    Attributes:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: Its name.
        searcher: The collection, opened.
        plan: Its own, without a cross-encoder.
    """

    client: Client
    collection: str
    searcher: Searcher
    plan: SearchPlan

    @classmethod
    def of(cls, client: Client, collection: str, searcher: Searcher) -> Side:
        """A collection by its own plan; what a cross-encoder makes of candidates is left out."""
        from dataclasses import replace

        plan = replace(searcher.plan(), rerank=None)
        return cls(client=client, collection=collection, searcher=searcher, plan=plan)

    def ask(
        self, texts: Sequence[str], plan: SearchPlan | None = None, limit: int = K + 1
    ) -> list[list[Any]]:
        """What a plan finds for texts, in batches."""
        chosen = plan or self.plan
        asked = self.searcher.prepare(texts, chosen)
        found: list[list[Any]] = []
        for start in range(0, len(asked), _BATCH):
            found += answer(
                self.client, self.collection, self.searcher.spec, chosen,
                asked[start : start + _BATCH], limit=limit,
            )  # fmt: skip
        return found

    def measurement(self, queries: QuerySet) -> Measurement:
        """Put queries to this collection."""
        return Measurement(
            client=self.client, collection=self.collection, spec=self.searcher.spec, k=K,
            queries=queries, searcher=self.searcher,
        )  # fmt: skip

    def timed(self, query: Any) -> float:
        """Seconds of one search that is encoded already."""
        started = time.perf_counter()
        answer(self.client, self.collection, self.searcher.spec, self.plan, [query], limit=K)
        return time.perf_counter() - started


@dataclass(slots=True, kw_only=True)
class Quality:
    """Compares the answers of green with those of blue.

    Attributes:
        blue: The collection that serves.
        green: The new one.
        texts: Queries.
        own: For a query that is the beginning of a point's text, that point, which is left out.
        source: Where the queries come from, in words.
        thresholds: Where the gates stand.
        same_encoder: Whether both have the same encoder.
        judged: Judged queries, if there are some.
        low: The queries on which the two agree least, for the report.
    """

    blue: Side
    green: Side
    texts: Sequence[str]
    own: Sequence[PointId | None]
    source: str
    thresholds: Thresholds
    same_encoder: bool
    judged: JudgedSet | str | os.PathLike[str] | None = None
    low: list[Mapping[str, Any]] = field(default_factory=list)

    def gates(self) -> list[Gate]:
        """All gates of quality, in their order."""
        found = [self.recall(), *self.agreement()]
        if self.judged is not None:
            found.append(self.ndcg())
        return [*found, self.latency()]

    def recall(self) -> Gate:
        """What green's own plan finds of what its exact search finds."""
        plan = self.green.plan
        if plan.kind == "bm25":
            return noted("recall", None, "BM25 compares every posting: nothing is approximate")
        measurement = self.green.measurement(QuerySet(texts=list(self.texts), own=self.own))
        numbers = measurement.find_neighbors(reference(measurement.spec, plan))
        if not numbers:
            return noted("recall", None, "no query has an answer in green")
        values = measurement.values(plan, numbers)
        mean = float(np.mean(values))
        words = f"recall@{K} of green's own plan, {len(values):,} queries {self.source}"
        return at_least("recall", mean, self.thresholds.recall, words)

    def agreement(self) -> list[Gate]:
        """Empty answers, overlap and rank correlation, green against blue."""
        blues, greens = self.blue.ask(self.texts), self.green.ask(self.texts)
        overlaps, correlations, firsts, empty = [], [], [], 0
        for text, blue, green, own in zip(self.texts, blues, greens, self.own, strict=True):
            old, new = _top(blue, own), _top(green, own)
            if not old:
                continue
            empty += not new
            common = [one for one in old if one in new]
            overlaps.append(len(common) / len(old))
            firsts.append(bool(new) and new[0] == old[0])
            if len(common) >= _LEAST_COMMON:
                correlations.append(spearman(old, new))
            self.low.append({"query": text, "overlap": overlaps[-1]})
        self.low.sort(key=lambda one: one["overlap"])
        del self.low[10:]
        gates = [at_most("empty", empty, 0, "queries that blue answers and green does not")]
        if not overlaps:
            return [*gates, noted("overlap", None, "no query has an answer in blue")]
        at = self.thresholds
        figures = (
            float(np.mean(overlaps)),
            float(np.median(overlaps)),
            float(np.percentile(overlaps, 5)),
            min(overlaps),
        )
        limits = (at.overlap_mean, at.overlap_median, at.overlap_p5, at.overlap_min)
        names = ("mean", "median", "P5", "minimum")
        told = ", ".join(
            f"{name} {figure:.3f}" + ("" if figure >= limit else f" (below {limit:g})")
            for name, figure, limit in zip(names, figures, limits, strict=True)
        )
        words = f"share of blue's ten in green's ten: {told}; same first hit {np.mean(firsts):.0%}"
        low = [number for number in range(4) if figures[number] < limits[number]]
        worst = low[0] if low else 0
        # Where judged queries tell which of two encoders is better, agreement says little.
        tells = not self.same_encoder and self.judged is not None
        gates.append(
            noted("overlap", figures[0], f"{words}; another encoder, judged below")
            if tells
            else at_least("overlap", figures[worst], limits[worst], words)
        )
        if not correlations:
            return [*gates, noted("ranks", None, "too few common hits for a correlation")]
        mean = float(np.mean(correlations))
        words = f"Spearman correlation of common hits, {len(correlations):,} queries"
        gates.append(
            noted("ranks", mean, words) if tells else at_least("ranks", mean, at.ranks, words)
        )
        return gates

    def ndcg(self) -> Gate:
        """Judged quality: not worse than blue's by more than the margin."""
        if self.judged is None:
            raise ArgumentError(field="judged", problem="there is none")
        queries, notes = of_judged(self.green.client, self.green.collection, self.judged, 0)
        old, new = (_ndcg_of(side, queries) for side in (self.blue, self.green))
        test = paired_test(new, old)
        words = (
            f"NDCG@{K} {np.mean(old):.3f} -> {np.mean(new):.3f}, {len(new):,} queries, "
            f"p = {test.p_value:.3f}"
            + ("" if test.p_value < 0.05 else ": chance alone could do this")
            + "".join(f"; {one}" for one in notes)
        )
        return at_least("ndcg", test.difference, -self.thresholds.ndcg_margin, words)

    def latency(self) -> Gate:
        """Time both, one search at a time, side by side; each goes first in every other pair."""
        texts = list(self.texts)
        sides = (self.blue, self.green)
        asked = [side.searcher.prepare(texts, side.plan) for side in sides]
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(len(texts)):
            for one in (0, 1) if number % 2 else (1, 0):
                seconds = sides[one].timed(asked[one][number])
                if number >= min(_WARM_UP, len(texts) - 1):
                    times[one].append(seconds)
        return latency(*times, self.thresholds)


def spearman(old: Sequence[Any], new: Sequence[Any]) -> float:
    """Spearman's rank correlation of what both rankings hold.

    Ranks are counted anew among the common ones, ``1 - 6 sum d² / (n (n² - 1))``; Spearman, 1904,
    doi:10.2307/1412159.

    Args:
        old: Best first, each once.
        new: Likewise; at least two are in both.
    """
    common = [one for one in old if one in set(new)]
    n = len(common)
    if n < 2:
        raise ArgumentError(field="new", problem="fewer than two are in both rankings")
    ranks = {one: rank for rank, one in enumerate(one for one in new if one in set(common))}
    squares = sum((rank - ranks[one]) ** 2 for rank, one in enumerate(common))
    return 1 - 6 * squares / (n * (n * n - 1))


def of_shadow(seen: Sequence[Mapping[str, Any]]) -> Gate:
    """What green answered to sampled searches of applications: none of them failed."""
    errors = [one["error"] for one in seen if one.get("error")]
    answered = [one for one in seen if not one.get("error")]
    words = f"failed of {len(seen):,} searches that applications made"
    overlaps = [one["overlap"] for one in answered if one.get("overlap") is not None]
    if overlaps:
        words += f"; mean overlap {np.mean(overlaps):.3f}"
    if answered:
        blue, green = (
            float(np.percentile([one[side] for one in answered], 95)) * 1e3
            for side in ("blue_s", "green_s")
        )
        words += f"; p95 {blue:.1f} ms -> {green:.1f} ms"
    words += f"; the first: {errors[0]}" if errors else ""
    return at_most("shadow", len(errors), 0, words)


def _top(points: Sequence[Any], own: PointId | None) -> list[PointId]:
    return [one for point in points if (one := plain_id(point.id)) != own][:K]


def _ndcg_of(side: Side, queries: QuerySet) -> list[float]:
    relevant = queries.relevant or []
    return side.measurement(queries).values(
        side.plan, range(len(queries)), lambda number, found: ndcg(found, relevant[number], K)
    )
