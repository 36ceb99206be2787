"""Explains a plan: its stages, candidates and about how many bytes it reads."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.passes import Pass, check_plan, dense_passes, uses_sparse
from qdrant_static.collection.vectorspec import BM25, LATE
from qdrant_static.encoders.sparsevectors import SparseQuery
from qdrant_static.querying.query import Query
from qdrant_static.querying.request import compile_request

if TYPE_CHECKING:
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.collection.spec import CollectionSpec

#: Rows of a late-interaction vector, where nobody has counted them.
_LATE_ROWS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedStage:
    """One step of a search.

    Attributes:
        what: What is done, for display.
        vector: The vector that it compares; empty for fusion and cross-encoder.
        compared: About how many points it compares; None where that depends on data or on the
            number of points, which is not given.
        passed_on: Number of points that it passes on, at most.
        bytes_read: About how many bytes of codes and vectors it reads; None likewise.
    """

    what: str
    vector: str
    compared: int | None
    passed_on: int
    bytes_read: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The explanation of a plan; ``str()`` is a text for display.

    Attributes:
        stages: In the order of the work.
        requests: Number of requests of a search.
        request: The request as JSON-like data, with words instead of the query's numbers.
    """

    stages: tuple[ExplainedStage, ...]
    requests: int
    request: dict[str, Any]

    @property
    def bytes_read(self) -> int | None:
        """Bytes of codes and vectors in all, as far as they can be computed; None if nothing can.

        Postings of BM25 terms are not in it: they depend on the terms.
        """
        known = [stage.bytes_read for stage in self.stages if stage.bytes_read is not None]
        return sum(known) * self.requests if known else None

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON-like data."""
        return {
            "stages": [asdict(stage) for stage in self.stages],
            "requests": self.requests,
            "bytes_read": self.bytes_read,
            "request": self.request,
        }

    def __str__(self) -> str:
        lines = []
        for number, stage in enumerate(self.stages, 1):
            details = [] if stage.compared is None else [f"compares about {stage.compared:,}"]
            details.append(f"passes on {stage.passed_on:,}")
            if stage.bytes_read is not None:
                details.append(f"reads about {_size(stage.bytes_read)}")
            lines.append(f"{number}. {stage.what}: {', '.join(details)}")
        total = self.bytes_read
        read = "" if total is None else f", about {_size(total)} of codes and vectors"
        what = "one request" if self.requests == 1 else f"{self.requests} requests"
        return "\n".join([*lines, f"in {what}{read}"])


def explain(
    plan: SearchPlan, spec: CollectionSpec, *, rows: int | None = None, limit: int = 10
) -> Explanation:
    """Explain what a search by a plan does, and estimate what it costs.

    Args:
        plan: The plan.
        spec: The collection's spec.
        rows: Number of points; without it, stages that compare all points have no cost.
        limit: Number of hits wanted.

    Raises:
        ArgumentError: If the collection cannot serve the plan.
    """
    check_plan(plan, spec)
    wanted = max(limit, plan.rerank_candidates) if plan.rerank is not None else limit
    stages = _stages(plan, spec, rows, wanted)
    if plan.rerank is not None:
        stages.append(
            ExplainedStage(
                what=f"{plan.rerank} reads the query with each text, here",
                vector="", compared=wanted, passed_on=limit, bytes_read=None,
            )
        )  # fmt: skip
    if plan.feedback:
        stages.append(
            ExplainedStage(
                what=f"the same again, the query moved by {plan.feedback:g} of the mean vector of "
                f"the best {plan.feedback_hits}, in a second request",
                vector="", compared=None, passed_on=limit, bytes_read=None,
            )
        )  # fmt: skip
    return Explanation(
        stages=tuple(stages),
        requests=2 if plan.feedback else 1,
        request=_as_data(plan, spec, limit),
    )


def _stages(
    plan: SearchPlan, spec: CollectionSpec, rows: int | None, limit: int
) -> list[ExplainedStage]:
    if plan.kind == "bm25":
        return [_terms(limit)]
    if plan.kind not in ("hybrid", "late"):
        return _dense(plan, spec, rows, limit)
    each = max(plan.candidates if plan.kind == "hybrid" else plan.late_candidates, limit)
    stages = _dense(plan, spec, rows, each)
    if uses_sparse(plan, spec):
        stages.append(_terms(each))
    union = _capped((2 if uses_sparse(plan, spec) else 1) * each, rows)
    if plan.kind == "late":
        late = spec.late
        size = 0 if late is None else _LATE_ROWS * late.bytes
        what = f"MaxSim of {LATE!r} over both sides, a point taken for {_LATE_ROWS} rows"
        stages.append(_step(what, LATE, union, limit, union * size))
        return stages
    if plan.fusion == "complete":
        last = dense_passes(plan, spec, each)[-1].vector
        what = f"originals of {last.name!r} and BM25 score the candidates of both"
        stages.append(_step(what, last.name, union, union, union * last.bytes))
    weights = f"dense {plan.dense_weight}, BM25 {plan.sparse_weight}"
    what = "reciprocal ranks" if plan.fusion == "rrf" else "normalized scores"
    stages.append(_step(f"{what} added ({weights})", "", None, limit, None))
    return stages


def _dense(
    plan: SearchPlan, spec: CollectionSpec, rows: int | None, limit: int
) -> list[ExplainedStage]:
    stages: list[ExplainedStage] = []
    coming: int | None = rows
    for one in dense_passes(plan, spec, limit):
        stages += _pass(one, coming if not one.first else rows)
        coming = _capped(one.limit, rows)
    return stages


def _pass(one: Pass, coming: int | None) -> list[ExplainedStage]:
    vector = one.vector
    size = vector.code_bytes if one.codes else vector.bytes
    codes = f"codes ({quantizations.describe(vector.quantization)})" if one.codes else "originals"
    if not one.first:
        compared, how = coming, f"{codes} of what came before"
    elif one.exact or vector.hnsw is None:
        compared, how = coming, f"all {codes}"
    else:
        compared, how = _visited(one, coming), f"{codes} along the graph"
    what = f"{vector.name or 'the vector'!r}, {vector.size}-d: {how}"
    found = _capped(one.candidates, coming)
    stage = _step(what, vector.name, compared, found, None if compared is None else compared * size)
    if not one.rescore:
        return [stage]
    again = f"{vector.name or 'the vector'!r}, {vector.size}-d: originals of these candidates"
    kept = _capped(one.limit, coming)
    return [stage, _step(again, vector.name, found, kept, found * vector.bytes)]


def _visited(one: Pass, rows: int | None) -> int:
    """Estimate the comparisons along a graph.

    On the way down one node's links a layer; in the lowest layer the links of ``ef`` nodes, of
    which about half were compared before.
    """
    graph = one.vector.hnsw
    if graph is None:
        return rows or 0
    ef = max(one.ef or graph.ef_construct, one.candidates)
    layers = math.log(max(rows or 1_000_000, 2)) / math.log(graph.m)
    return _capped(round(ef * graph.m + layers * graph.m), rows)


def _terms(limit: int) -> ExplainedStage:
    return _step("BM25: the postings of the query's terms", BM25, None, limit, None)


def _step(
    what: str, vector: str, compared: int | None, passed_on: int, size: int | None
) -> ExplainedStage:
    return ExplainedStage(
        what=what, vector=vector, compared=compared, passed_on=passed_on, bytes_read=size
    )


def _capped(count: int, rows: int | None) -> int:
    return count if rows is None else min(count, rows)


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _as_data(plan: SearchPlan, spec: CollectionSpec, limit: int) -> dict[str, Any]:
    """Return the request for a query, with words instead of its numbers."""
    query = Query(
        dense=np.ones(spec.encoder.dimension, np.float32),
        sparse=SparseQuery(indices=np.zeros(1, np.uint32), values=np.ones(1, np.float32)),
        late=None if spec.late is None else np.ones((1, spec.late.size), np.float32),
    )
    arguments = compile_request(plan, query, spec, limit=limit)
    data: dict[str, Any] = _without_numbers(arguments)
    return data


def _without_numbers(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, dict):
        if set(value) == {"indices", "values"}:
            return "the query's terms"
        return {name: _without_numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        if value and isinstance(value[0], float):
            return f"{len(value)} numbers"
        if value and isinstance(value[0], list):
            return f"rows of {len(value[0])} numbers"
        return [_without_numbers(one) for one in value]
    return value
