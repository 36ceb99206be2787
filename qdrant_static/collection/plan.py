"""Defines `SearchPlan` and its `Stage`: how a query is answered, as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from qdrant_static import rules
from qdrant_static.collection.vectorspec import FULL
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.encoders.sparse import RepeatedTerms

PlanKind = Literal["exact", "dense", "cascade", "bm25", "hybrid", "late"]
PLAN_KINDS: tuple[PlanKind, ...] = get_args(PlanKind)
Fusion = Literal["complete", "dbsf", "rrf"]
FUSIONS: tuple[Fusion, ...] = get_args(Fusion)
_GREATEST_WEIGHT = 100
_REPEATED_TERMS = ("sqrt", "one", "count")
#: Kinds that have a dense side, which may be several stages.
_STAGED = ("cascade", "hybrid", "late")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pass over a dense vector: the first over all points, later ones over its candidates.

    Attributes:
        vector: The vector that is compared.
        limit: Number of points that it passes on; None in the last stage only, which passes on
            as many as the plan wants.
        oversampling: First stage: candidates by codes per point passed on, before rescoring; None
            takes the plan's, else the default of the codes (`presets.oversampling`).
        rescore: First stage: whether the originals rescore the candidates of the codes. Later
            stages: whether originals are compared, instead of codes.
        ef: First stage: number of candidates that the graph keeps; None takes the plan's, else
            the collection's.
        exact: Whether to compare originals, without codes and graph.
    """

    vector: str
    limit: int | None = None
    oversampling: float | None = None
    rescore: bool = True
    ef: int | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        _check_name("plan.stages.vector", self.vector)
        rules.check_integer("plan.stages.limit", self.limit, optional=True)
        rules.check_factor("plan.stages.oversampling", self.oversampling)
        rules.check_integer("plan.stages.ef", self.ef, optional=True)
        for name in ("rescore", "exact"):
            rules.check_bool(f"plan.stages.{name}", getattr(self, name))

    @classmethod
    def of(cls, stage: Stage | Mapping[str, Any]) -> Stage:
        """Return a stage from its dictionary, or the stage itself.

        Raises:
            ArgumentError: If a field is unknown or wrong.
        """
        if isinstance(stage, Stage):
            return stage
        if not isinstance(stage, Mapping) or "vector" not in stage:
            raise ArgumentError(
                field="plan.stages", problem=f"{stage!r} is not a stage: {{'vector': …}}"
            )
        rules.check_fields("plan.stages", stage, cls)
        return cls(**stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """Describes how a query is answered; every plan is one request (with feedback: two).

    Attributes:
        kind: ``"exact"``: every vector is compared, unquantized. ``"dense"``: candidates by
            quantized codes and the graph, rescored with the originals; where the graph is on a
            smaller vector, candidates by that one, rescored with the full vector. ``"cascade"``:
            several dense vectors, each comparing the candidates of the one before.
            ``"bm25"``: terms only. ``"hybrid"``: dense and BM25, fused. ``"late"``: candidates
            of the dense side, and of BM25 where there is one, reordered by the late-interaction
            vector.
        vector: The dense vector that is searched; None: the full one for ``"exact"``, else the
            one with the graph, and then the full one.
        stages: The dense side of a cascade, hybrid or late plan, first to last; empty: one or
            two stages as `vector` implies; of a cascade: all vectors of the collection, ascending.
        oversampling: Candidates by codes per wanted hit, at least 1, before rescoring; None:
            the default of the codes. At 1 the originals only reorder the same hits.
        rescore: Whether the originals rescore the candidates.
        ef: Number of candidates that the graph keeps; None takes the collection's.
        candidates: Hybrid: candidates from each side. 50 are as good as 100 on the four judged
            sets of docs/plans.md, and half the work.
        fusion: Hybrid: ``"complete"``: each side scores the candidates of both, and the scores
            are added after normalization; ``"dbsf"`` adds normalized scores of two lists, where
            missing in one list counts as nothing; ``"rrf"`` adds reciprocal ranks.
        dense_weight: Hybrid: weight of the dense score, a whole number.
        sparse_weight: Hybrid: weight of the BM25 score, a whole number.
        repeated_terms: Weight of a query term that occurs ``c`` times: ``"sqrt"`` of c,
            ``"one"``, or c (``"count"``).
        feedback: Rocchio: weight of the mean vector of the best hits, which is added to the
            query's; the plan is then run again, as a second request. 0 for none.
        feedback_hits: Number of best hits for it.
        late_candidates: Late: candidates from each side.
        rerank: A cross-encoder that reorders the top, on the client; None for none.
        rerank_candidates: Number of hits that it reads.
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
        check_kind(self.kind)
        if isinstance(self.stages, str | Mapping) or not isinstance(self.stages, Sequence):
            problem = f"{self.stages!r} is not a list of stages"
            raise ArgumentError(field="plan.stages", problem=problem)
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
                field="plan.feedback", problem=f"{self.feedback!r} must be a number from 0 on"
            )
        for name in ("vector", "rerank"):
            if getattr(self, name) is not None:
                _check_name(f"plan.{name}", getattr(self, name))
        if self.feedback and self.kind == "bm25":
            raise ArgumentError(field="plan.feedback", problem="'bm25' has no dense vector to move")
        self._check_stages()

    def _check_stages(self) -> None:
        """Check the stages as far as that needs no collection."""
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
        last = len(self.stages) - 1
        for number, stage in enumerate(self.stages):
            if (stage.limit is None) != (number == last):
                problem = f"is missing; give how many points {stage.vector!r} passes on"
                if number == last:
                    problem = "the last stage passes on as many as the plan wants; leave it out"
                raise ArgumentError(field=f"plan.stages[{number}].limit", problem=problem)
        limits = [stage.limit or 0 for stage in self.stages[:-1]]
        if any(later > earlier for earlier, later in pairwise(limits)):
            raise ArgumentError(field="plan.stages.limit", problem=f"must not grow; got {limits}")
        names = [stage.vector for stage in self.stages]
        sizes = [size for name in names if (size := _size_by_name(name)) is not None]
        check_ascending(sizes, names, strictly=True)

    @property
    def needs_dense(self) -> bool:
        """Whether the query's dense vector is needed."""
        return self.kind != "bm25"

    @property
    def needs_sparse(self) -> bool:
        """Whether the plan cannot run without the query's BM25 terms."""
        return self.kind in ("bm25", "hybrid")

    @property
    def needs_late(self) -> bool:
        """Whether the query's late-interaction rows are needed."""
        return self.kind == "late"

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-like data, without the fields that are None."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        data["stages"] = [
            {name: value for name, value in asdict(stage).items() if value is not None}
            for stage in self.stages
        ] or None
        return {name: value for name, value in data.items() if value is not None}

    @classmethod
    def of(cls, plan: str | Mapping[str, Any] | SearchPlan) -> Self | SearchPlan:
        """Return a plan from its kind, from what `to_dict` returned, or the plan itself.

        Raises:
            ArgumentError: If the kind or a field is unknown, or the plan impossible.
        """
        if isinstance(plan, SearchPlan):
            return plan
        if isinstance(plan, str):
            return cls(kind=plan)  # type: ignore[arg-type]  # checked in __post_init__
        if not isinstance(plan, Mapping) or "kind" not in plan:
            raise ArgumentError(
                field="plan",
                problem=f"{plan!r} is not a plan; known: {', '.join(PLAN_KINDS)}",
            )
        rules.check_fields("plan", plan, cls)
        return cls(**plan)


def check_kind(kind: object, *, has_sparse: bool = True, has_late: bool = True) -> None:
    """Refuse an unknown kind of plan, and one that needs a vector that a collection lacks.

    Raises:
        ArgumentError: If the kind is unknown, or BM25 or the late-interaction vector is missing.
    """
    rules.check_choice("plan", kind, PLAN_KINDS)
    missing = ""
    if kind in ("bm25", "hybrid") and not has_sparse:
        missing = "BM25"
    elif kind == "late" and not has_late:
        missing = "the late-interaction vector"
    if missing:
        problem = f"{kind!r} needs {missing}, which the collection lacks"
        raise ArgumentError(field="plan", problem=problem)


def check_ascending(sizes: Sequence[float], names: Sequence[str], *, strictly: bool) -> None:
    """Refuse stages over vectors whose dimensions do not grow."""
    for earlier, later in pairwise(sizes):
        if later < earlier or (strictly and later == earlier):
            raise ArgumentError(
                field="plan.stages.vector", problem=f"sizes must ascend; got {' -> '.join(names)}"
            )


def _check_name(field: str, value: object) -> None:
    if not isinstance(value, str):
        raise ArgumentError(field=field, problem=f"{value!r} is not a name")


def _size_by_name(name: str) -> float | None:
    """Return the dimensions in a vector's name, infinity for the full vector."""
    if name == FULL:
        return math.inf
    head, _, digits = name.partition("_")
    return int(digits) if head == "mrl" and digits.isdecimal() else None
