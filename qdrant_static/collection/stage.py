"""Stage: one pass of a plan over dense vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qdrant_static import rules
from qdrant_static.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pass over dense vectors: the first looks at all points, the others at what came before.

    Attributes:
        vector: The vector that is compared.
        limit: How many points it passes on; None in the last stage alone, which passes on what
            the plan wants.
        oversampling: First stage: candidates by codes per point that it passes on, before
            rescoring; None takes the plan's, else what its codes want (`presets.oversampling`).
        rescore: First stage: whether the originals rescore what the codes found. Later stages:
            whether originals are compared, rather than codes.
        ef: First stage: how many candidates the graph keeps; None takes the plan's, else the
            collection's.
        exact: Compare originals, without codes and graph.
    """

    vector: str
    limit: int | None = None
    oversampling: float | None = None
    rescore: bool = True
    ef: int | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.vector, str):
            raise ArgumentError(field="plan.stages.vector", problem=f"{self.vector!r} is no name")
        rules.check_integer("plan.stages.limit", self.limit, optional=True)
        rules.check_factor("plan.stages.oversampling", self.oversampling)
        rules.check_integer("plan.stages.ef", self.ef, optional=True)
        for name in ("rescore", "exact"):
            rules.check_bool(f"plan.stages.{name}", getattr(self, name))

    @classmethod
    def of(cls, stage: Stage | Mapping[str, Any]) -> Stage:
        """A stage from its dictionary, or as it is.

        Raises:
            ArgumentError: If a field is unknown or wrong.
        """
        if isinstance(stage, Stage):
            return stage
        if not isinstance(stage, Mapping) or "vector" not in stage:
            raise ArgumentError(
                field="plan.stages", problem=f"{stage!r} is no stage: {{'vector': …}}"
            )
        rules.check_fields("plan.stages", stage, cls)
        return cls(**stage)
