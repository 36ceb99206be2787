"""What a search finds: typed, with scores of which the higher is always the nearer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdrant_static.collection.passes import SMALL_IS_NEAR, dense_passes

if TYPE_CHECKING:
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.collection.vectorspec import VectorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One found record.

    Attributes:
        id: The point's id.
        key: The record's own key, a tuple where it has several parts; the point's id where the
            key was a digest of the text.
        score: As the plan scores: higher is nearer; comparable within one answer only. Of a
            Euclidean distance of unit vectors the cosine, of other distances their negative.
        payload: All payload fields.
        text: What was encoded, as far as the payload holds it.
    """

    id: int | str
    key: int | str | tuple[int | str, ...]
    score: float
    payload: Mapping[str, Any]
    text: str


def hit_of(point: Any, spec: CollectionSpec, score: float) -> Hit:
    """A point as the client gives it -> a hit."""
    payload = point.payload or {}
    key = spec.fields.key_of(payload)
    return Hit(
        id=point.id,
        key=point.id if key is None else key,
        score=score,
        payload=payload,
        text=spec.fields.text_of(payload),
    )


def nearness(score: float, plan: SearchPlan, spec: CollectionSpec, *, unit: bool) -> float:
    """The engine's score, turned where the smaller was the nearer.

    Args:
        score: As the engine gives it.
        plan: The plan that was run.
        spec: The collection's.
        unit: Whether the encoder's own vectors have length 1; shorter ones always have.
    """
    if plan.kind not in ("exact", "dense", "cascade"):
        return score
    vector = dense_passes(plan, spec, 1)[-1].vector
    if vector.distance not in SMALL_IS_NEAR:
        return score
    if vector.distance == "euclid" and (unit or vector.size < spec.encoder.dimension):
        return _cosine(score, vector)
    return -score


def _cosine(distance: float, vector: VectorSpec) -> float:
    """Of unit vectors: ``|a - b|^2 = 2 - 2 cos``."""
    return 1 - (distance / (vector.scale or 1.0)) ** 2 / 2
