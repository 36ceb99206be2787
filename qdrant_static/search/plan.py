"""SearchPlan: pure data that compiles to one request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from qdrant_static.collection.spec import BM25, FULL, PLAN_KINDS, CollectionSpec, PlanKind
from qdrant_static.errors import SpecError
from qdrant_static.vectors import truncate

if TYPE_CHECKING:
    from qdrant_static.encoders.sparse import RepeatedTerms
    from qdrant_static.encoders.sparsevectors import SparseQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """How a query is answered; every plan is one request.

    Attributes:
        kind: ``"exact"``: every vector is compared, unquantized. ``"dense"``: candidates by
            quantized codes (and the graph, where there is one), rescored with the originals.
            ``"bm25"``: terms alone. ``"hybrid"``: complete fusion of dense and BM25: each of
            them scores the candidates of both, and the two scores are added after
            normalization (DBSF).
        vector: The dense vector that is searched.
        oversampling: Candidates by codes per wanted hit, at least 1, before rescoring. At 1 the
            originals only reorder the same hits; 4 gives back what one bit loses.
        rescore: Whether the originals rescore the candidates.
        candidates: Hybrid: candidates from each side.
        dense_weight: Hybrid: how often the dense score counts.
        sparse_weight: Hybrid: how often the BM25 score counts.
        repeated_terms: Weight of a query term that comes ``c`` times: ``"sqrt"`` of c, or
            ``"one"``.
    """

    kind: PlanKind
    vector: str = FULL
    oversampling: float = 4.0
    rescore: bool = True
    candidates: int = 100
    dense_weight: int = 1
    sparse_weight: int = 2
    repeated_terms: RepeatedTerms = "sqrt"

    def __post_init__(self) -> None:
        if self.kind not in PLAN_KINDS:
            raise SpecError(
                field="plan", problem=f"{self.kind!r} is unknown; known: {', '.join(PLAN_KINDS)}"
            )
        if not _is_number(self.oversampling) or not self.oversampling >= 1:
            raise SpecError(field="plan.oversampling", problem="must be a number of at least 1")
        for name in ("candidates", "dense_weight", "sparse_weight"):
            value = getattr(self, name)
            if not _is_number(value) or value != int(value) or value < 1:
                raise SpecError(field=f"plan.{name}", problem="must be an integer of at least 1")
        if self.repeated_terms not in ("sqrt", "one"):
            raise SpecError(
                field="plan.repeated_terms",
                problem=f"{self.repeated_terms!r} is unknown; known: sqrt, one",
            )

    @property
    def needs_dense(self) -> bool:
        """Whether the query's dense vector is asked for."""
        return self.kind != "bm25"

    @property
    def needs_sparse(self) -> bool:
        """Whether the query's BM25 terms are asked for."""
        return self.kind in ("bm25", "hybrid")

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON-like data."""
        return asdict(self)

    @classmethod
    def of(cls, plan: str | Mapping[str, Any] | SearchPlan) -> Self | SearchPlan:
        """A plan from its name, from what `to_dict` gave, or as it is.

        Raises:
            SpecError: If the name or a field is unknown.
        """
        if isinstance(plan, SearchPlan):
            return plan
        if isinstance(plan, str):
            return cls(kind=plan)  # type: ignore[arg-type]  # checked in __post_init__
        if not isinstance(plan, Mapping) or "kind" not in plan:
            raise SpecError(
                field="plan",
                problem=f"{plan!r} is no plan; one is named by: {', '.join(PLAN_KINDS)}",
            )
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(plan) - known):
            raise SpecError(
                field=f"plan.{unknown[0]}", problem=f"is unknown; known: {', '.join(sorted(known))}"
            )
        return cls(**plan)

    def check(self, spec: CollectionSpec) -> None:
        """Refuse a plan that the collection cannot serve.

        Raises:
            SpecError: If it lacks the vector, or BM25.
        """
        if self.needs_dense:
            spec.vector(self.vector)
        if self.needs_sparse and spec.sparse is None:
            raise SpecError(
                field="plan", problem=f"{self.kind!r} needs BM25, which the collection lacks"
            )

    def request(
        self,
        *,
        dense: NDArray[np.float32] | None,
        sparse: SparseQuery | None,
        size: int | None,
        limit: int,
    ) -> dict[str, Any]:
        """Compile to the arguments of ``query_points``.

        Args:
            dense: float32 ``(dim,)``, the encoder's vector of the query, if the plan needs it.
            sparse: The query's terms, if the plan needs them.
            size: Dimensions of the searched vector, if the plan needs it.
            limit: Wanted hits.
        """
        if self.kind == "bm25":
            return {"query": _sparse_query(sparse), "using": BM25, "limit": limit}
        vector = _dense_query(dense, size)
        if self.kind == "exact":
            return {
                "query": vector, "using": self.vector, "limit": limit, "search_params": _EXACT,
            }  # fmt: skip
        params = models.SearchParams(
            quantization=models.QuantizationSearchParams(
                rescore=self.rescore, oversampling=self.oversampling if self.rescore else None
            )
        )
        if self.kind == "dense":
            return {"query": vector, "using": self.vector, "limit": limit, "search_params": params}
        return self._complete_fusion(vector, _sparse_query(sparse), params, limit)

    def _complete_fusion(
        self,
        vector: list[float],
        terms: models.SparseVector,
        params: models.SearchParams,
        limit: int,
    ) -> dict[str, Any]:
        """Both scorers about every candidate of either, then DBSF, in one request.

        Two prefetches of one stage are their union. DBSF over the two lists as they come would
        take a document that one list missed for one that scored nothing there. It has no
        weights, but a stage that is listed twice counts twice.
        """
        count = max(self.candidates, limit)
        both = [
            models.Prefetch(query=vector, using=self.vector, params=params, limit=count),
            models.Prefetch(query=terms, using=BM25, limit=count),
        ]
        dense = models.Prefetch(
            prefetch=both, query=vector, using=self.vector, limit=2 * count, params=_ORIGINALS
        )
        sparse = models.Prefetch(prefetch=both, query=terms, using=BM25, limit=2 * count)
        return {
            "prefetch": [dense] * self.dense_weight + [sparse] * self.sparse_weight,
            "query": models.FusionQuery(fusion=models.Fusion.DBSF),
            "limit": limit,
        }


_ORIGINALS = models.SearchParams(quantization=models.QuantizationSearchParams(ignore=True))
_EXACT = models.SearchParams(exact=True, quantization=models.QuantizationSearchParams(ignore=True))


def default_plan(spec: CollectionSpec) -> SearchPlan:
    """The collection's own plan, else hybrid where there is BM25, else dense."""
    if spec.plan is not None:
        return SearchPlan.of(spec.plan)
    return SearchPlan(kind="dense" if spec.sparse is None else "hybrid")


def _dense_query(vector: NDArray[np.float32] | None, size: int | None) -> list[float]:
    if vector is None or size is None:
        raise SpecError(field="plan", problem="needs the query's dense vector")
    row = vector if size == len(vector) else truncate(vector[None, :], size)[0]
    values: list[float] = row.tolist()
    return values


def _sparse_query(row: SparseQuery | None) -> models.SparseVector:
    if row is None:
        raise SpecError(field="plan", problem="needs the query's BM25 terms")
    return models.SparseVector(indices=row.indices.tolist(), values=row.values.tolist())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
