"""The gates of quality: recall, agreement, judged quality and latency of green against blue."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.errors import ArgumentError
from qdrant_static.ids import plain_id
from qdrant_static.measuring.measurement import Measurement
from qdrant_static.measuring.metrics import ndcg
from qdrant_static.measuring.queries import QuerySet, of_judged
from qdrant_static.measuring.tuning.sweep import reference
from qdrant_static.measuring.uncertainty import paired_test
from qdrant_static.migration.gates import (
    Gate,
    Thresholds,
    at_least,
    at_most,
    judged_gate,
    latency,
    noted,
)
from qdrant_static.querying.answer import answer

if TYPE_CHECKING:
    import os

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.ids import PointId
    from qdrant_static.measuring.judged import JudgedSet
    from qdrant_static.querying.run import Searcher

#: The depth of all metrics: recall@10, overlap@10, NDCG@10.
K = 10
#: Rankings with fewer common hits have no meaningful correlation.
_LEAST_COMMON = 3
#: Searches that are not timed, while caches fill and kernels compile.
_WARM_UP = 5
#: Queries per request where the time is not measured.
_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedGeneration:
    """One of the two collections, with its searcher and its default plan.

    Attributes:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: Its name.
        searcher: Its searcher.
        plan: Its default plan, without a cross-encoder.
    """

    client: Client
    collection: str
    searcher: Searcher
    plan: SearchPlan

    @classmethod
    def of(cls, client: Client, collection: str, searcher: Searcher) -> ComparedGeneration:
        """Make one of a collection, with its default plan but without its cross-encoder."""
        plan = replace(searcher.plan(), rerank=None)
        return cls(client=client, collection=collection, searcher=searcher, plan=plan)

    def ask(
        self, texts: Sequence[str], plan: SearchPlan | None = None, limit: int = K + 1
    ) -> list[list[Any]]:
        """Return the hits of texts by a plan, in batches of requests."""
        chosen = plan or self.plan
        queries = self.searcher.prepare(texts, chosen)
        hits: list[list[Any]] = []
        for start in range(0, len(queries), _BATCH):
            hits += answer(
                self.client, self.collection, self.searcher.spec, chosen,
                queries[start : start + _BATCH], limit=limit,
            )  # fmt: skip
        return hits

    def measurement(self, queries: QuerySet) -> Measurement:
        """Return a `Measurement` of this collection with some queries."""
        return Measurement(
            client=self.client, collection=self.collection, spec=self.searcher.spec, k=K,
            queries=queries, searcher=self.searcher,
        )  # fmt: skip

    def timed(self, query: Any) -> float:
        """Return the seconds of one search, whose query is encoded already."""
        started = time.perf_counter()
        answer(self.client, self.collection, self.searcher.spec, self.plan, [query], limit=K)
        return time.perf_counter() - started


@dataclass(slots=True, kw_only=True)
class Quality:
    """Compares the answers of green with those of blue.

    Attributes:
        blue: The collection that serves.
        green: The new one.
        queries: Queries; a point that a query was made of is left out of its answers.
        thresholds: The thresholds of the gates.
        same_encoder: Whether both have the same encoder, for queries too.
        judged: Judged queries, if any.
        low: The queries on which both agree least, for the report.
    """

    blue: ComparedGeneration
    green: ComparedGeneration
    queries: QuerySet
    thresholds: Thresholds
    same_encoder: bool
    judged: JudgedSet | str | os.PathLike[str] | None = None
    low: list[Mapping[str, Any]] = field(default_factory=list)

    def gates(self) -> list[Gate]:
        """Evaluate all gates of quality, in their order."""
        if self.thresholds.better and self.judged is None:
            raise ArgumentError(field="judged", problem="only judged queries show which is better")
        gates = [self.recall(), *self.agreement()]
        if self.judged is not None:
            gates.append(self.ndcg())
        return [*gates, self.latency()]

    def recall(self) -> Gate:
        """Compare green's default plan with its exact search."""
        plan = self.green.plan
        if plan.kind == "bm25":
            return noted("recall", None, "BM25 compares every posting: its search is exact")
        measurement = self.green.measurement(self.queries)
        numbers = measurement.find_neighbors(reference(measurement.spec, plan))
        if not numbers:
            return noted("recall", None, "no query has an answer in green")
        values = measurement.values(plan, numbers)
        mean = float(np.mean(values))
        words = f"recall@{K} of green's own plan, {len(values):,} queries {self.queries.source}"
        return at_least("recall", mean, self.thresholds.recall, words)

    def agreement(self) -> list[Gate]:
        """Compare the hits of both: empty answers, overlap and rank correlation."""
        texts = self.queries.texts or []
        owns = self.queries.own or [None] * len(texts)
        blues, greens = self.blue.ask(texts), self.green.ask(texts)
        overlaps, correlations, firsts, empty = [], [], [], 0
        for text, blue, green, own in zip(texts, blues, greens, owns, strict=True):
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
        summary = ", ".join(
            f"{name} {figure:.3f}" + ("" if figure >= limit else f" (below {limit:g})")
            for name, figure, limit in zip(names, figures, limits, strict=True)
        )
        words = (
            f"share of blue's ten in green's ten: {summary}; same first hit {np.mean(firsts):.0%}"
        )
        low = [number for number in range(4) if figures[number] < limits[number]]
        worst = low[0] if low else 0
        # Where judged queries decide which of two encoders is better, agreement says little.
        informs = not self.same_encoder and self.judged is not None
        gates.append(
            noted("overlap", figures[0], f"{words}; another encoder, judged below")
            if informs
            else at_least("overlap", figures[worst], limits[worst], words)
        )
        if not correlations:
            return [*gates, noted("ranks", None, "too few common hits for a correlation")]
        mean = float(np.mean(correlations))
        words = f"Spearman correlation of common hits, {len(correlations):,} queries"
        gates.append(
            noted("ranks", mean, words) if informs else at_least("ranks", mean, at.ranks, words)
        )
        return gates

    def ndcg(self) -> Gate:
        """Compare NDCG on judged queries, by the margin or beyond chance."""
        if self.judged is None:
            raise ArgumentError(field="judged", problem="there is none")
        queries, notes = of_judged(self.green.client, self.green.collection, self.judged, 0)
        old, new = (_ndcg_of(side, queries) for side in (self.blue, self.green))
        test = paired_test(new, old)
        words = (
            f"NDCG@{K} {np.mean(old):.3f} -> {np.mean(new):.3f}, {len(new):,} queries, "
            f"p = {test.p_value:.3f}"
        )
        gate = judged_gate(test.difference, test.p_value, self.thresholds, words)
        return replace(gate, words="; ".join([gate.words, *notes]))

    def latency(self) -> Gate:
        """Time searches of both in pairs, one at a time; each side is first in every other pair."""
        texts = self.queries.texts or []
        sides = (self.blue, self.green)
        queries = [side.searcher.prepare(texts, side.plan) for side in sides]
        times: tuple[list[float], list[float]] = ([], [])
        for number in range(len(texts)):
            for one in (0, 1) if number % 2 else (1, 0):
                seconds = sides[one].timed(queries[one][number])
                if number >= min(_WARM_UP, len(texts) - 1):
                    times[one].append(seconds)
        return latency(*times, self.thresholds)


def spearman(old: Sequence[Any], new: Sequence[Any]) -> float:
    """Return Spearman's rank correlation of the elements that both rankings have.

    Ranks are counted among the common elements, ``1 - 6 sum d² / (n (n² - 1))``; Spearman, 1904,
    doi:10.2307/1412159.

    Args:
        old: Elements, best first, each once.
        new: Elements, best first, each once; at least two are in both.
    """
    common = [one for one in old if one in set(new)]
    n = len(common)
    if n < 2:
        raise ArgumentError(field="new", problem="fewer than two are in both rankings")
    ranks = {one: rank for rank, one in enumerate(one for one in new if one in set(common))}
    squares = sum((rank - ranks[one]) ** 2 for rank, one in enumerate(common))
    return 1 - 6 * squares / (n * (n * n - 1))


def of_shadow(searches: Sequence[Mapping[str, Any]]) -> Gate:
    """Check that no sampled search of the applications failed in green."""
    errors = [one["error"] for one in searches if one.get("error")]
    answered = [one for one in searches if not one.get("error")]
    words = f"failed of {len(searches):,} searches that applications made"
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


def _ndcg_of(side: ComparedGeneration, queries: QuerySet) -> list[float]:
    relevant = queries.relevant or []
    return side.measurement(queries).values(
        side.plan, range(len(queries)), lambda number, found: ndcg(found, relevant[number], K)
    )
