"""Lists the plans that `tune` tries, from a collection's spec and the plan it starts from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from qdrant_static.collection.plan import SearchPlan, Stage
from qdrant_static.collection.vectorspec import matryoshka_name

if TYPE_CHECKING:
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.collection.vectorspec import VectorSpec
    from qdrant_static.encoders.sparse import RepeatedTerms

#: Candidates by codes per wanted hit.
_OVERSAMPLING = (1.0, 2.0, 3.0, 4.0, 8.0, 16.0)
#: Candidates that the graph keeps.
_EF = (32, 64, 128, 256, 512)
#: Candidates that a smaller vector passes on, per wanted hit.
_PASSED_ON = (2, 5, 10, 20, 50, 100)
#: Factor by which the first of three stages passes on more than the second.
_WIDENING = 4
#: Weights of the dense score and of the BM25 score.
_WEIGHTS = ((1, 1), (1, 2), (1, 3), (2, 1), (3, 1))
_REPEATED_TERMS: tuple[RepeatedTerms, ...] = ("sqrt", "one")
_CANDIDATES = (25, 50, 100, 200)
_FEEDBACK = (0.0, 0.3, 0.6)


def reference(spec: CollectionSpec, base: SearchPlan) -> SearchPlan:
    """Return the reference plan: the base with an exact dense side.

    The recall of a hybrid is that of its dense side, the only one that is approximate: against
    the same fusion, with the same weights and number of candidates.
    """
    full = spec.vectors[0].name
    if base.kind in ("hybrid", "late"):
        return _with_side(base, (Stage(vector=full, exact=True),))
    return SearchPlan(
        kind="exact", vector=full, feedback=base.feedback, feedback_hits=base.feedback_hits
    )


def approximations(spec: CollectionSpec, base: SearchPlan, k: int, rows: int) -> list[SearchPlan]:
    """Return the plans of the base's kind whose recall is measured, the base included.

    Args:
        spec: The collection's spec.
        base: The plan whose kind and fusion are kept.
        k: Number of hits.
        rows: Points in the collection.
    """
    # Within a hybrid the dense side returns its candidates, not the final hits.
    depth = {"hybrid": base.candidates, "late": base.late_candidates}.get(base.kind, k)
    plans = [] if base.kind == "exact" else [base]
    for side in dense_sides(spec, max(depth, k), rows):
        plans.append(_with_side(base, side))
    return list(dict.fromkeys(plans))


def dense_sides(spec: CollectionSpec, depth: int, rows: int) -> Iterator[tuple[Stage, ...]]:
    """Yield stages that find the nearest by the full vector: alone, or after smaller vectors.

    Args:
        spec: The collection's spec.
        depth: Number of points that the last stage passes on.
        rows: Points in the collection; a stage that passes on most of them saves nothing.
    """
    full = spec.vectors[0]
    # In a collection made without this package, other vectors may be of other content.
    smaller = [v for v in spec.vectors[1:] if v.name == matryoshka_name(v.size)]
    yield from _alone(full, depth)
    last = Stage(vector=full.name)
    limits = [factor * depth for factor in _PASSED_ON if factor * depth <= rows / 2]
    for vector, limit in product(smaller, limits):
        for ef in _efs(vector, limit):
            yield (_first(vector, limit, ef), last)
    for (narrow, wide), limit in product(_pairs(smaller), limits):
        # Codes before originals: cheaper, and the last stage compares originals anyway.
        second = Stage(vector=wide.name, limit=limit, rescore=wide.quantization is None)
        if _WIDENING * limit <= rows / 2:
            yield (_first(narrow, _WIDENING * limit, None), second, last)


def _alone(vector: VectorSpec, depth: int) -> Iterator[tuple[Stage, ...]]:
    """Yield stages over one vector by codes or graph; without either, there are none."""
    if vector.quantization is not None:
        for factor in _OVERSAMPLING:
            for ef in _efs(vector, factor * depth):
                yield (Stage(vector=vector.name, oversampling=factor, ef=ef),)
    if vector.quantization is not None or vector.hnsw is not None:
        codes_alone = vector.quantization is not None
        for ef in _efs(vector, depth):
            yield (Stage(vector=vector.name, rescore=not codes_alone, ef=ef),)


def kinds(spec: CollectionSpec, base: SearchPlan) -> list[SearchPlan]:
    """Return the plans of the first round with judgements: all kinds and weights."""
    plans = [base, SearchPlan(kind="exact"), SearchPlan(kind="dense")]
    if spec.sparse is not None:
        plans += [SearchPlan(kind="bm25", repeated_terms=terms) for terms in _REPEATED_TERMS]
        for (dense, sparse), terms in product(_WEIGHTS, _REPEATED_TERMS):
            plans.append(
                SearchPlan(
                    kind="hybrid", dense_weight=dense, sparse_weight=sparse, repeated_terms=terms
                )
            )
        plans.append(SearchPlan(kind="hybrid", fusion="rrf", dense_weight=1, sparse_weight=1))
    if spec.late is not None:
        plans.append(SearchPlan(kind="late"))
    return list(dict.fromkeys(plans))


def refinements(spec: CollectionSpec, best: SearchPlan) -> list[SearchPlan]:
    """Return the plans of the second round with judgements: variations of the best plan."""
    plans = [best]
    if best.kind == "hybrid":
        plans += [replace(best, candidates=count) for count in _CANDIDATES]
    if best.kind != "bm25":
        plans += [replace(best, feedback=weight) for weight in _FEEDBACK]
    if best.kind in ("hybrid", "late"):
        plans.append(reference(spec, best))
    return list(dict.fromkeys(plans))


def describe(plan: SearchPlan, spec: CollectionSpec) -> str:
    """Return a short description of a plan.

    Examples: ``mrl_64 x100->full``, ``hybrid 1:2 @50: full 4x ef 128``.

    ``x100`` is the number of points that a stage passes on, ``4x`` oversampling, ``1:2`` the
    weights of dense and BM25, ``@50`` the candidates of each, ``one`` the weight of repeated terms.
    """
    words = _describe_side(plan, spec)
    terms = "" if plan.repeated_terms == "sqrt" else f" {plan.repeated_terms}"
    if plan.kind == "bm25":
        words = f"bm25{terms}"
    elif plan.kind == "hybrid":
        fusion = "" if plan.fusion == "complete" else f" {plan.fusion}"
        weights = f"{plan.dense_weight}:{plan.sparse_weight}"
        words = f"hybrid{fusion} {weights} @{plan.candidates}{terms}: {words}"
    elif plan.kind == "late":
        words = f"late @{plan.late_candidates}: {words}"
    words += f", feedback {plan.feedback:g}" if plan.feedback else ""
    return words + (f", rerank {plan.rerank}" if plan.rerank else "")


def _describe_side(plan: SearchPlan, spec: CollectionSpec) -> str:
    if plan.kind == "bm25":
        return ""
    if plan.kind == "exact":
        return f"exact {plan.vector or spec.vectors[0].name}".strip()
    if plan.stages:
        return "->".join(map(_describe_stage, plan.stages))
    if plan.kind == "dense" and plan.vector is not None:
        alone = Stage(
            vector=plan.vector, oversampling=plan.oversampling, rescore=plan.rescore, ef=plan.ef
        )
        return _describe_stage(alone)
    return "preset" if plan.kind in ("hybrid", "late") else f"{plan.kind} preset"


def _describe_stage(stage: Stage) -> str:
    words = [stage.vector or "vector"]
    words += ["exact"] if stage.exact else []
    words += [f"x{stage.limit}"] if stage.limit is not None else []
    words += [f"{stage.oversampling:g}x"] if stage.oversampling is not None else []
    # The candidates of a stage with a limit are rescored by the next stage.
    words += ["codes"] if not stage.rescore and stage.limit is None else []
    words += [f"ef {stage.ef}"] if stage.ef is not None else []
    return " ".join(words)


def _with_side(base: SearchPlan, side: tuple[Stage, ...]) -> SearchPlan:
    """Return the base with another dense side."""
    if base.kind in ("hybrid", "late"):
        return replace(base, vector=None, stages=side, oversampling=None, rescore=True, ef=None)
    feedback = {"feedback": base.feedback, "feedback_hits": base.feedback_hits}
    if len(side) > 1:
        return SearchPlan.of({"kind": "cascade", "stages": side, **feedback})
    (stage,) = side
    alone = {"oversampling": stage.oversampling, "rescore": stage.rescore, "ef": stage.ef}
    return SearchPlan.of({"kind": "dense", "vector": stage.vector, **alone, **feedback})


def _first(vector: VectorSpec, limit: int, ef: int | None) -> Stage:
    # Rescoring here would gain nothing: the next stage compares longer vectors.
    return Stage(vector=vector.name, limit=limit, rescore=vector.quantization is None, ef=ef)


def _efs(vector: VectorSpec, candidates: float) -> list[int | None]:
    """Return the values of ``ef`` to try for a graph that returns that many candidates.

    The engine keeps at least ``candidates``, so all smaller values are alike and one is tried.
    """
    if vector.hnsw is None:
        return [None]
    below = [ef for ef in _EF if ef <= candidates]
    return [*below[-1:], *(ef for ef in _EF if ef > candidates)]


def _pairs(vectors: Iterable[VectorSpec]) -> Iterator[tuple[VectorSpec, VectorSpec]]:
    """Yield pairs of a smaller and a larger vector; the vectors are in falling order."""
    falling = list(vectors)
    for number, wide in enumerate(falling):
        for narrow in falling[number + 1 :]:
            yield narrow, wide
