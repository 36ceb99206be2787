"""Explains a search plan: its stages, its candidates, and an estimate of the bytes it reads."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.encoderpair import described_pair
from qdrant_static.collection.passes import Pass, check_plan, dense_passes, uses_sparse
from qdrant_static.collection.vectorspec import BM25, LATE
from qdrant_static.encoders.sparsevectors import SparseQuery
from qdrant_static.querying.query import Query
from qdrant_static.querying.request import compile_request

if TYPE_CHECKING:
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.collection.spec import CollectionSpec

#: Assumed rows of a late-interaction vector, since they are not counted.
_LATE_ROWS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedStage:
    """One step of a search.

    Attributes:
        what: A description of the step, for display.
        vector: The vector that it compares; empty for fusion and cross-encoder.
        compared: Estimated number of points that it compares; None if that depends on the data
            or on the number of points, which is unknown.
        passed_on: Maximum number of points that it passes on.
        bytes_read: Estimated bytes of codes and vectors that it reads; None likewise.
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
        stages: The steps, in order.
        requests: Number of requests of a search.
        request: The request as JSON-like data, with placeholders instead of the query's numbers.
        encoders: Which encoder made the documents' vectors and which makes the queries', if these
            are two and the plan compares their vectors; else empty.
    """

    stages: tuple[ExplainedStage, ...]
    requests: int
    request: dict[str, Any]
    encoders: str = ""

    @property
    def bytes_read(self) -> int | None:
        """Total bytes of codes and vectors, as far as they can be computed, else None.

        Postings of BM25 terms are not included: they depend on the terms.
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
            **({"encoders": self.encoders} if self.encoders else {}),
        }

    def __str__(self) -> str:
        lines = [self.encoders] if self.encoders else []
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
        rows: Number of points; if None, stages that compare all points have no estimate.
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
                what=f"{plan.rerank} reads the query with each text, on the client",
                vector="", compared=wanted, passed_on=limit, bytes_read=None,
            )
        )  # fmt: skip
    if plan.feedback:
        stages.append(
            ExplainedStage(
                what=f"the same plan again with the query plus {plan.feedback:g} times the mean "
                f"vector of the best {plan.feedback_hits}, in a second request",
                vector="", compared=None, passed_on=limit, bytes_read=None,
            )
        )  # fmt: skip
    return Explanation(
        stages=tuple(stages),
        requests=2 if plan.feedback else 1,
        request=_as_data(plan, spec, limit),
        encoders=described_pair(spec.encoder, spec.queries) if plan.needs_dense else "",
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
        what = f"MaxSim of {LATE!r} over both sides, assuming {_LATE_ROWS} rows per point"
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
    candidates: int | None = rows
    for dense_pass in dense_passes(plan, spec, limit):
        stages += _pass(dense_pass, candidates if not dense_pass.first else rows)
        candidates = _capped(dense_pass.limit, rows)
    return stages


def _pass(dense_pass: Pass, candidates: int | None) -> list[ExplainedStage]:
    vector = dense_pass.vector
    size = vector.code_bytes if dense_pass.codes else vector.bytes
    codes = (
        f"codes ({quantizations.describe(vector.quantization)})"
        if dense_pass.codes
        else "originals"
    )
    if not dense_pass.first:
        compared, how = candidates, f"{codes} of the candidates"
    elif dense_pass.exact or vector.hnsw is None:
        compared, how = candidates, f"all {codes}"
    else:
        compared, how = _visited(dense_pass, candidates), f"{codes} along the graph"
    what = f"{vector.name or 'the vector'!r}, {vector.size}-d: {how}"
    chosen = _capped(dense_pass.candidates, candidates)
    stage = _step(
        what, vector.name, compared, chosen, None if compared is None else compared * size
    )
    if not dense_pass.rescore:
        return [stage]
    again = f"{vector.name or 'the vector'!r}, {vector.size}-d: originals of these candidates"
    kept = _capped(dense_pass.limit, candidates)
    return [stage, _step(again, vector.name, chosen, kept, chosen * vector.bytes)]


def _visited(dense_pass: Pass, rows: int | None) -> int:
    """Estimate the comparisons along a graph.

    Upper layers cost the links of one node each; the lowest layer costs the links of ``ef`` nodes,
    of which about half were compared before.
    """
    graph = dense_pass.vector.hnsw
    if graph is None:
        return rows or 0
    ef = max(dense_pass.ef or graph.ef_construct, dense_pass.candidates)
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
    """Return the request for a query, with placeholders instead of its numbers."""
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
        return {name: _without_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        if value and isinstance(value[0], float):
            return f"{len(value)} numbers"
        if value and isinstance(value[0], list):
            return f"rows of {len(value[0])} numbers"
        return [_without_numbers(item) for item in value]
    return value
