"""Measures the recall of a collection's searches, and raises their candidates where it is low.

1. Points of the collection, drawn at random, are the queries; exact search is the truth. Where
   the queries have an encoder of their own, it encodes the beginnings of the points' texts.
2. The dense side of the default plan, and the cascade where there are several vectors, answer
   them with the usual number of candidates, then with twice, four and eight times as many, until
   recall@10 is what the preset promises.
3. The factor is stored in the collection's metadata with the recall, bound to the layout
   (`measured`). Every plan that names no number of candidates uses it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qdrant_static._version import __version__
from qdrant_static.clock import now
from qdrant_static.collection import presets
from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.capacityfigures import CODES
from qdrant_static.collection.create import info_of, write_spec
from qdrant_static.collection.layoutcandidates import expected
from qdrant_static.collection.passes import default_plan, dense_passes
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.planevidence import LAYOUT, OWN, layout_of
from qdrant_static.measuring.measurement import Measurement
from qdrant_static.measuring.ownqueries import own_queries
from qdrant_static.querying.answer import dense_side

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.passes import Pass
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.registry import AnyEncoder

#: Queries; the standard error of the recall is then below 0.01.
QUERIES = 200
#: Hits: recall@10.
LIMIT = 10
#: In a smaller collection, nearly all points are compared anyway.
FEWEST_POINTS = 500
#: Multiples of the default number of candidates.
_FACTORS = (1, 2, 4, 8)
#: Seconds that exact search may take, and the fewest queries that give a usable figure.
_EXACT_S, _FEWEST_QUERIES = 1.0, 30
#: Recalls that differ by no more than this count as equal.
_SAME = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The measured recall of one plan over the dense vectors.

    Attributes:
        name: ``"dense"`` (also for a hybrid), ``"cascade"``, or ``"plan"``: the collection's own,
            if that sets its number of candidates.
        recall: Mean recall@10 against exact search by the full vector.
        factor: The multiple of the default number of candidates that it uses.
        usual: The recall with the default number.
        promised: The recall that the preset promises.
        advice: Codes that would keep the promise; empty where it is kept, or no codes would.
    """

    name: str
    recall: float
    factor: int
    usual: float
    promised: float
    advice: str = ""

    @property
    def kept(self) -> bool:
        """Whether the promise is kept."""
        return self.recall >= self.promised

    def __str__(self) -> str:
        plan = "its own plan" if self.name == OWN else repr(self.name)
        sentence = f"recall@{LIMIT} of {plan} against exact search: {self.recall:.3f}"
        if self.factor > 1:
            sentence += f" with {self.factor} times the usual candidates ({self.usual:.3f} without)"
        if not self.kept:
            sentence = (
                f"warning: {sentence}, below the {self.promised:g} that is wanted{self.advice}"
            )
        return sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The measurements of a collection.

    Attributes:
        spec: The collection's spec, with the measurements in it.
        sides: The measured plans.
        queries: Number of its points that were the queries.
    """

    spec: CollectionSpec
    sides: tuple[Side, ...]
    queries: int

    def lines(self) -> list[str]:
        """Return one sentence for each side."""
        return [f"{side}; {self.queries} of its own points were the queries" for side in self.sides]


def assess(
    client: Client,
    collection: str,
    spec: CollectionSpec,
    *,
    by: str,
    encoder: AnyEncoder | None = None,
) -> Assessment | None:
    """Measure a collection's recall, and store it with the factors of candidates in its metadata.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: The collection's spec in its metadata.
        by: The command that measures, for the metadata.
        encoder: The encoder of queries or its name, which only an asymmetric search needs; None
            loads it by name.

    Returns:
        The measurements; None if no search is approximate, or there are too few points, or exact
        search takes too long.
    """
    spec = replace(spec, measured=None)
    plans = _approximate(spec)
    info = info_of(client, collection)
    if not plans or (info.points_count or 0) < FEWEST_POINTS:
        return None
    full = spec.vectors[0]
    measurement = Measurement(
        client=client, collection=collection, spec=spec, k=LIMIT,
        queries=own_queries(client, collection, spec, full, QUERIES, encoder=encoder),
    )  # fmt: skip
    deadline = time.monotonic() + _EXACT_S
    exact = SearchPlan(kind="exact", vector=full.name)
    queries = len(measurement.find_neighbors(exact, stop=lambda: time.monotonic() > deadline))
    if queries < _FEWEST_QUERIES:
        return None
    sides = [_side(measurement, name, plan) for name, plan in plans.items()]
    bound = {**plans, OWN: default_plan(spec)}
    measured = {
        "by": f"qdrant-static {__version__} {by}",
        "date": now(),
        "points": info.points_count,
        "queries": queries,
        "metric": f"recall@{LIMIT}",
        **{
            side.name: {
                "recall": round(side.recall, 4), "factor": side.factor,
                "promised": side.promised, LAYOUT: layout_of(bound[side.name], spec, info),
            }
            for side in sides
        },
    }  # fmt: skip
    assessed = replace(spec, measured=measured)
    write_spec(client, collection, assessed)
    return Assessment(spec=assessed, sides=tuple(sides), queries=queries)


def is_assessed(spec: CollectionSpec) -> bool:
    """Return whether all approximate plans were measured, on the present layout."""
    return all(side in (spec.measured or {}) for side in _approximate(spec))


def _approximate(spec: CollectionSpec) -> dict[str, SearchPlan]:
    """Return the plans over the dense vectors that compare codes."""
    plans = {"dense": SearchPlan(kind="dense")}
    if len(spec.vectors) > 1 and spec.planned:
        plans["cascade"] = SearchPlan(kind="cascade")
    own = default_plan(spec)
    if own.kind != "bm25" and (own.stages or own.vector or own.oversampling or own.ef):
        plans[OWN] = replace(dense_side(own), feedback=0.0, rerank=None)
    return {
        side: plan
        for side, plan in plans.items()
        if any(dense_pass.codes for dense_pass in dense_passes(plan, spec, LIMIT))
    }


def _side(measurement: Measurement, name: str, plan: SearchPlan) -> Side:
    """Measure a plan with the smallest factor that keeps the promise, else with the best one."""
    spec, numbers = measurement.spec, sorted(measurement.neighbors)
    passes = dense_passes(plan, spec, LIMIT)
    promised = (
        presets.CASCADE_PROMISED_RECALL
        if len(passes) > 1
        else presets.preset(passes[0].vector.size).promised_recall
    )
    recalls: dict[int, float] = {}
    for factor in _FACTORS if name != OWN else (1,):
        wider = replace(measurement, spec=replace(spec, measured={name: {"factor": factor}}))
        recalls[factor] = float(np.mean(wider.values(plan, numbers)))
        if recalls[factor] >= promised:
            break
    best = max(recalls.values())
    factor = next(
        times for times, recall in recalls.items() if recall >= min(promised, best - _SAME)
    )
    return Side(
        name=name,
        recall=recalls[factor],
        factor=factor,
        usual=recalls[1],
        promised=promised,
        advice="" if name == OWN else _advice(measurement.collection, passes, promised),
    )


def _advice(collection: str, passes: Sequence[Pass], promised: float) -> str:
    """Return a recommendation of codes with more bits that are expected to keep the promise."""
    coded = next(dense_pass.vector for dense_pass in passes if dense_pass.codes)
    now = coded.quantization
    if now is None:
        return ""
    finer = sorted(
        (
            (codes.bits_per_dimension, name)
            for name, codes in quantizations.SHORT_NAMES.items()
            if name in CODES and codes.bits_per_dimension > now.bits_per_dimension
        ),
    )
    for bits, name in finer:
        usual = presets.oversampling(quantizations.SHORT_NAMES[name])
        expectation = expected(coded.size, name, promised)
        if expectation.recall >= promised and expectation.candidates <= usual * LIMIT:
            return (
                f": the codes ({quantizations.describe(now)}) are too coarse for these vectors. "
                f"{name!r}, {bits:g} bits a dimension, is expected to keep "
                f"{expectation.recall:.3f}: qdrant-static quantize {collection} "
                f"--quantization {name}{'' if coded.name == 'full' else f' --vector {coded.name}'}"
            )
    return ""
