"""Defines `SearchPlan`: how a query is answered, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from qdrant_static import rules
from qdrant_static.collection.spec import FULL, PLAN_KINDS, CollectionSpec, PlanKind
from qdrant_static.collection.stage import Stage
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.encoders.sparse import RepeatedTerms

__all__ = ["FUSIONS", "Fusion", "SearchPlan", "Stage", "default_plan"]

Fusion = Literal["complete", "dbsf", "rrf"]
FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
_GREATEST_WEIGHT = 100
_REPEATED_TERMS = ("sqrt", "one", "count")
#: Kinds that have a dense side, which may be several stages.
_STAGED = ("cascade", "hybrid", "late")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """How a query is answered; every plan is one request (feedback: two).

    Attributes:
        kind: ``"exact"``: every vector is compared, unquantized. ``"dense"``: candidates by
            quantized codes and the graph, rescored with the originals; where the graph lies on a
            smaller vector, candidates by that one, rescored with the full vector. ``"cascade"``:
            several dense vectors, each looking at what the one before found. ``"bm25"``: terms
            alone. ``"hybrid"``: dense and BM25, fused. ``"late"``: candidates of the dense side,
            and of BM25 where there is one, reordered by the late-interaction vector.
        vector: The dense vector that is searched; None: the full one for ``"exact"``, else the
            one with the graph, and then the full one.
        stages: The dense side, first to last, of a cascade, hybrid or late plan; empty: one or
            two stages as `vector` says; of a cascade: all vectors of the collection, ascending.
        oversampling: Candidates by codes per wanted hit, at least 1, before rescoring; None:
            what the vector's codes want. At 1 the originals only reorder the same hits.
        rescore: Whether the originals rescore the candidates.
        ef: How many candidates the graph keeps; None: as the collection says.
        candidates: Hybrid: candidates from each side. 50 are as good as 100 on the four judged
            sets of docs/plans.md, and half the work.
        fusion: Hybrid: ``"complete"``: each side scores the candidates of both, and the scores
            are added after normalization; ``"dbsf"`` adds normalized scores of two lists, where
            missing in one list counts as nothing; ``"rrf"`` adds reciprocal ranks.
        dense_weight: Hybrid: how often the dense score counts.
        sparse_weight: Hybrid: how often the BM25 score counts.
        repeated_terms: Weight of a query term that comes ``c`` times: ``"sqrt"`` of c,
            ``"one"``, or c (``"count"``).
        feedback: Rocchio: so much of the mean vector of the best hits is added to the query's,
            and the plan is run again, as a second request; 0 for none.
        feedback_hits: So many best hits.
        late_candidates: Late: candidates from each side.
        rerank: A cross-encoder that reorders the top, on the client; None for none.
        rerank_candidates: So many hits does it read.
    """

    kind: PlanKind
    vector: str | None = None
    stages: tuple[Stage, ...] = ()
    oversampling: float | None = None
    rescore: bool = True
    ef: int | None = None
    candidates: int = 50
    fusion: Fusion = "complete"
    dense_weight: int = 1
    sparse_weight: int = 2
    repeated_terms: RepeatedTerms = "sqrt"
    feedback: float = 0.0
    feedback_hits: int = 3
    late_candidates: int = 50
    rerank: str | None = None
    rerank_candidates: int = 50

    def __post_init__(self) -> None:
        if self.kind not in PLAN_KINDS:
            raise ArgumentError(
                field="plan", problem=f"{self.kind!r} is unknown; known: {', '.join(PLAN_KINDS)}"
            )
        if isinstance(self.stages, str | Mapping) or not isinstance(self.stages, Sequence):
            raise ArgumentError(
                field="plan.stages", problem=f"{self.stages!r} is no list of stages"
            )
        object.__setattr__(self, "stages", tuple(Stage.of(stage) for stage in self.stages))
        rules.check_factor("plan.oversampling", self.oversampling)
        rules.check_bool("plan.rescore", self.rescore)
        rules.check_integer("plan.ef", self.ef, optional=True)
        for name in ("candidates", "feedback_hits", "late_candidates", "rerank_candidates"):
            rules.check_integer(f"plan.{name}", getattr(self, name))
        for name in ("dense_weight", "sparse_weight"):
            # Each unit is one more prefetch in the request.
            rules.check_integer(f"plan.{name}", getattr(self, name), greatest=_GREATEST_WEIGHT)
        rules.check_choice("plan.fusion", self.fusion, FUSIONS)
        rules.check_choice("plan.repeated_terms", self.repeated_terms, _REPEATED_TERMS)
        if not rules.is_number(self.feedback) or self.feedback < 0:
            raise ArgumentError(
                field="plan.feedback", problem=f"{self.feedback!r} is no number from 0"
            )
        for name in ("vector", "rerank"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ArgumentError(field=f"plan.{name}", problem=f"{value!r} is no name")
        if self.feedback and self.kind == "bm25":
            raise ArgumentError(field="plan.feedback", problem="'bm25' has no dense vector to move")
        self._check_stages()

    def _check_stages(self) -> None:
        """What can be said of stages before the collection is known."""
        if not self.stages:
            if self.kind == "cascade" and self.vector is not None:
                raise ArgumentError(
                    field="plan.vector",
                    problem="a cascade has several vectors; name them in 'stages'",
                )
            return
        if self.kind not in _STAGED:
            raise ArgumentError(
                field="plan.stages", problem=f"{self.kind!r} has none; {', '.join(_STAGED)} have"
            )
        if self.vector is not None:
            raise ArgumentError(field="plan.vector", problem="the stages name the vectors already")
        if self.kind == "cascade" and len(self.stages) < 2:
            raise ArgumentError(
                field="plan.stages", problem="a cascade has two or more; one is 'dense'"
            )
        *before, last = self.stages
        for number, stage in enumerate(before):
            if stage.limit is None:
                raise ArgumentError(
                    field=f"plan.stages[{number}].limit",
                    problem=f"is missing; {stage.vector!r} must say how many points it passes on",
                )
        if last.limit is not None:
            raise ArgumentError(
                field=f"plan.stages[{len(before)}].limit",
                problem="the last stage passes on what the plan wants; leave it out",
            )
        limits = [stage.limit or 0 for stage in before]
        if any(later > earlier for earlier, later in pairwise(limits)):
            raise ArgumentError(field="plan.stages.limit", problem=f"must not grow; got {limits}")
        sizes = [_size_by_name(stage.vector) for stage in self.stages]
        known = [size for size in sizes if size is not None]
        _check_ascending(known, [stage.vector for stage in self.stages], strictly=True)

    @property
    def needs_dense(self) -> bool:
        """Whether the query's dense vector is asked for."""
        return self.kind != "bm25"

    @property
    def needs_sparse(self) -> bool:
        """Whether the plan is nothing without the query's BM25 terms."""
        return self.kind in ("bm25", "hybrid")

    @property
    def needs_late(self) -> bool:
        """Whether the query's late-interaction rows are asked for."""
        return self.kind == "late"

    def uses_sparse(self, spec: CollectionSpec) -> bool:
        """Whether BM25 terms play a part here."""
        return self.needs_sparse or (self.kind == "late" and spec.sparse is not None)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-like data; what is left to the collection (None) is left out."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        given["stages"] = [
            {name: value for name, value in asdict(stage).items() if value is not None}
            for stage in self.stages
        ] or None
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def of(cls, plan: str | Mapping[str, Any] | SearchPlan) -> Self | SearchPlan:
        """A plan from its name, from what `to_dict` gave, or as it is.

        Raises:
            ArgumentError: If the name or a field is unknown, or the plan impossible.
        """
        if isinstance(plan, SearchPlan):
            return plan
        if isinstance(plan, str):
            return cls(kind=plan)  # type: ignore[arg-type]  # checked in __post_init__
        if not isinstance(plan, Mapping) or "kind" not in plan:
            raise ArgumentError(
                field="plan",
                problem=f"{plan!r} is no plan; one is named by: {', '.join(PLAN_KINDS)}",
            )
        rules.check_fields("plan", plan, cls)
        return cls(**plan)

    def check(self, spec: CollectionSpec) -> None:
        """Refuse a plan that the collection cannot serve.

        Raises:
            ArgumentError: If it lacks a vector, BM25 or the late-interaction vector, or if the
                stages' sizes do not ascend.
        """
        if self.needs_sparse and spec.sparse is None:
            raise ArgumentError(
                field="plan", problem=f"{self.kind!r} needs BM25, which the collection lacks"
            )
        if self.needs_late and spec.late is None:
            raise ArgumentError(
                field="plan",
                problem="'late' needs the late-interaction vector, which the collection lacks",
            )
        if self.vector is not None and self.needs_dense:
            spec.vector(self.vector)
        if self.stages:
            sizes = [spec.vector(stage.vector).size for stage in self.stages]
            _check_ascending(sizes, [stage.vector for stage in self.stages], strictly=False)
        elif self.kind == "cascade" and len(spec.vectors) < 2:
            raise ArgumentError(
                field="plan.stages",
                problem=f"a cascade needs two vectors; the collection has "
                f"{spec.vectors[0].name!r} alone",
            )


def default_plan(spec: CollectionSpec) -> SearchPlan:
    """The collection's own plan, else hybrid where there is BM25, else dense."""
    if spec.plan is not None:
        return SearchPlan.of(spec.plan)
    return SearchPlan(kind="dense" if spec.sparse is None else "hybrid")


def _size_by_name(name: str) -> float | None:
    """Dimensions as far as the name tells."""
    if name == FULL:
        return math.inf
    head, _, digits = name.partition("_")
    return int(digits) if head == "mrl" and digits.isdecimal() else None


def _check_ascending(sizes: Sequence[float], names: Sequence[str], *, strictly: bool) -> None:
    for earlier, later in pairwise(sizes):
        if later < earlier or (strictly and later == earlier):
            raise ArgumentError(
                field="plan.stages.vector", problem=f"sizes must ascend; got {' -> '.join(names)}"
            )
