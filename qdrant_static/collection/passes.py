"""Applies search plans to a collection: finds the default plan, checks a plan, lists its passes.

A pass is one comparison of a dense vector with the query, with all defaults filled in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdrant_static.collection import presets
from qdrant_static.collection.plan import SearchPlan, check_ascending, check_kind
from qdrant_static.collection.vectorspec import VectorSpec
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.collection.plan import Stage
    from qdrant_static.collection.spec import CollectionSpec

#: Distances for which a smaller value is nearer.
SMALL_IS_NEAR = ("euclid", "manhattan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """A stage of a plan with all defaults filled in.

    Attributes:
        vector: The vector that is compared.
        limit: Number of points that it passes on.
        first: Whether it compares all points, rather than those of the pass before.
        codes: Whether it compares codes.
        rescore: Whether the originals rescore the candidates of the codes (first pass alone).
        oversampling: Candidates by codes per point passed on; None without rescoring.
        ef: Candidates that the graph keeps; None takes the collection's.
        exact: Whether neither codes nor graph are used.
    """

    vector: VectorSpec
    limit: int
    first: bool
    codes: bool
    rescore: bool
    oversampling: float | None
    ef: int | None
    exact: bool

    @property
    def candidates(self) -> int:
        """Candidates by codes that the originals rescore; `limit` where none are."""
        return math.ceil(self.limit * (self.oversampling or 1.0))


def default_plan(spec: CollectionSpec) -> SearchPlan:
    """Return the collection's own plan, else hybrid where there is BM25, else dense.

    A model that was fitted to a corpus has the weight of BM25, a general static model half of it:
    see docs/adapt.md, "What it is worth".
    """
    if spec.plan is not None:
        return SearchPlan.of(spec.plan)
    if spec.sparse is None:
        return SearchPlan(kind="dense")
    if (spec.queries or spec.encoder).fitted_to:
        return SearchPlan(kind="hybrid", dense_weight=1, sparse_weight=1)
    return SearchPlan(kind="hybrid")


def check_plan(plan: SearchPlan, spec: CollectionSpec) -> None:
    """Refuse a plan that the collection cannot serve.

    Raises:
        ArgumentError: If the collection lacks a vector, BM25 or the late-interaction vector, or
            the stages' sizes do not ascend.
    """
    check_kind(plan.kind, has_sparse=spec.sparse is not None, has_late=spec.late is not None)
    if plan.vector is not None and plan.needs_dense:
        spec.vector(plan.vector)
    if plan.stages:
        names = [stage.vector for stage in plan.stages]
        check_ascending([spec.vector(name).size for name in names], names, strictly=False)
    elif plan.kind == "cascade" and len(spec.vectors) < 2:
        only = spec.vectors[0].name
        raise ArgumentError(
            field="plan.stages",
            problem=f"a cascade needs two vectors; the collection has only {only!r}",
        )


def uses_sparse(plan: SearchPlan, spec: CollectionSpec) -> bool:
    """Return whether the plan searches by BM25 terms in this collection."""
    return plan.needs_sparse or (plan.kind == "late" and spec.sparse is not None)


def dense_passes(plan: SearchPlan, spec: CollectionSpec, limit: int) -> list[Pass]:
    """Return the dense side of a plan, first to last; the last passes on ``limit`` points."""
    if plan.stages:
        *before, last = plan.stages
        limits = [max(stage.limit or limit, limit) for stage in before]
        return [
            _stage_pass(plan, spec, stage, number=number, limit=size)
            for number, (stage, size) in enumerate(
                zip([*before, last], [*limits, limit], strict=True)
            )
        ]
    if plan.kind == "exact":
        vector = spec.vectors[0] if plan.vector is None else spec.vector(plan.vector)
        return [_pass(vector, limit, first=True, exact=True)]
    vectors = _vectors(plan, spec)
    factor = 1.0
    if plan.oversampling is None and (plan.vector is None or vectors == _usual(spec)):
        factor = spec.candidates_factor("cascade" if plan.kind == "cascade" else "dense")
    if len(vectors) == 1:
        usual = factor * presets.oversampling(vectors[0].quantization)
        return [
            _pass(
                vectors[0], limit, first=True, rescore=plan.rescore,
                oversampling=usual if plan.oversampling is None else plan.oversampling, ef=plan.ef,
            )
        ]  # fmt: skip
    passes = []
    for number, vector in enumerate(vectors):
        following = len(vectors) - 1 - number
        passes.append(
            _pass(
                vector,
                _passed_on(plan, vector, limit, following, factor),
                first=number == 0,
                # The next pass compares longer vectors anyway.
                rescore=plan.rescore if following == 0 else False,
                ef=plan.ef,
            )
        )
    return passes


def _vectors(plan: SearchPlan, spec: CollectionSpec) -> list[VectorSpec]:
    """Return the vectors that a plan without stages compares, first to last."""
    if plan.vector is not None:
        return [spec.vector(plan.vector)]
    if plan.kind == "cascade":
        return list(reversed(spec.vectors))
    return _usual(spec)


def _usual(spec: CollectionSpec) -> list[VectorSpec]:
    """Return the vectors that the default plan compares: the one with the graph, then the full."""
    full = spec.vectors[0]
    if full.hnsw is not None:
        return [full]
    # The graph of a smaller vector replaces a pass over all codes of the full one.
    with_graph = [vector for vector in spec.vectors if vector.hnsw is not None]
    return [with_graph[-1], full] if with_graph else [full]


def _passed_on(
    plan: SearchPlan, vector: VectorSpec, limit: int, following: int, factor: float
) -> int:
    """Return the default number of points that a pass hands to the next."""
    if following == 0:
        return limit
    if plan.oversampling is None:
        return math.ceil(factor * presets.passed_on(vector.size, limit))
    # To the power of the passes that follow, so that no pass gets more than the one before.
    return math.ceil(plan.oversampling**following * limit)


def _stage_pass(
    plan: SearchPlan, spec: CollectionSpec, stage: Stage, *, number: int, limit: int
) -> Pass:
    return _pass(
        spec.vector(stage.vector),
        limit,
        first=number == 0,
        rescore=stage.rescore,
        oversampling=plan.oversampling if stage.oversampling is None else stage.oversampling,
        ef=plan.ef if stage.ef is None else stage.ef,
        exact=stage.exact,
    )


def _pass(
    vector: VectorSpec,
    limit: int,
    *,
    first: bool,
    rescore: bool = True,
    oversampling: float | None = None,
    ef: int | None = None,
    exact: bool = False,
) -> Pass:
    codes = vector.quantized and not exact and (first or not rescore)
    rescored = codes and first and rescore
    wanted = presets.oversampling(vector.quantization) if oversampling is None else oversampling
    return Pass(
        vector=vector,
        limit=limit,
        first=first,
        codes=codes,
        rescore=rescored,
        oversampling=wanted if rescored else None,
        ef=ef if first and not exact and vector.hnsw is not None else None,
        exact=exact or (not first and not codes),
    )
