"""Plan + collection -> the passes over dense vectors, with every number filled in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdrant_static.collection import presets
from qdrant_static.collection.vectorspec import VectorSpec

if TYPE_CHECKING:
    from qdrant_static.collection.plan import SearchPlan, Stage
    from qdrant_static.collection.spec import CollectionSpec

#: Distances of which the smaller is the nearer.
SMALL_IS_NEAR = ("euclid", "manhattan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """A stage whose numbers are known.

    Attributes:
        vector: The vector that is compared.
        limit: How many points it passes on.
        first: Whether it looks at all points, rather than at what came before.
        codes: Whether it compares codes.
        rescore: Whether the originals rescore what the codes found (first pass alone).
        oversampling: Candidates by codes per point passed on; None without rescoring.
        ef: Candidates that the graph keeps; None as the collection says.
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


def dense_passes(plan: SearchPlan, spec: CollectionSpec, limit: int) -> list[Pass]:
    """The dense side of a plan, first to last; the last passes on ``limit`` points."""
    if plan.stages:
        *before, last = plan.stages
        limits = [max(stage.limit or limit, limit) for stage in before]
        return [
            _given(plan, spec, stage, number=number, limit=one)
            for number, (stage, one) in enumerate(
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
                # The next pass compares more than these originals would tell.
                rescore=plan.rescore if following == 0 else False,
                ef=plan.ef,
            )
        )
    return passes


def _vectors(plan: SearchPlan, spec: CollectionSpec) -> list[VectorSpec]:
    """Where nobody names stages: the vectors that are compared, first to last."""
    if plan.vector is not None:
        return [spec.vector(plan.vector)]
    if plan.kind == "cascade":
        return list(reversed(spec.vectors))
    return _usual(spec)


def _usual(spec: CollectionSpec) -> list[VectorSpec]:
    """The way to the nearest by the full vector."""
    full = spec.vectors[0]
    if full.hnsw is not None:
        return [full]
    # The graph of a smaller vector finds what a pass over all codes of the full one would.
    with_graph = [vector for vector in spec.vectors if vector.hnsw is not None]
    return [with_graph[-1], full] if with_graph else [full]


def _passed_on(
    plan: SearchPlan, vector: VectorSpec, limit: int, following: int, factor: float
) -> int:
    """How many points a pass hands to the next, where nobody says."""
    if following == 0:
        return limit
    if plan.oversampling is None:
        return math.ceil(factor * presets.passed_on(vector.size, limit))
    # Per pass that follows, so that none is given more than the one before.
    return math.ceil(plan.oversampling**following * limit)


def _given(
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
    again = codes and first and rescore
    wanted = presets.oversampling(vector.quantization) if oversampling is None else oversampling
    return Pass(
        vector=vector,
        limit=limit,
        first=first,
        codes=codes,
        rescore=again,
        oversampling=wanted if again else None,
        ef=ef if first and not exact and vector.hnsw is not None else None,
        exact=exact or (not first and not codes),
    )
