"""Models made without validation are what ``model_construct`` makes."""

from __future__ import annotations

import copy
import pickle

from qdrant_client import models

from qdrant_static.edge.convert.points import construct

_VALUES = {
    "id": 1,
    "version": 2,
    "score": 0.5,
    "payload": {"a": [1]},
    "vector": None,
    "shard_key": None,
    "order_value": None,
}


def test_they_are_equal_to_validated_ones() -> None:
    made = construct(models.ScoredPoint, dict(_VALUES))
    assert made == models.ScoredPoint(**_VALUES)
    assert made.model_dump() == models.ScoredPoint(**_VALUES).model_dump()
    assert made.model_fields_set == set(_VALUES)
    assert repr(made) == repr(models.ScoredPoint.model_construct(**_VALUES))


def test_they_are_copied_pickled_and_changed() -> None:
    made = construct(models.ScoredPoint, dict(_VALUES))
    assert copy.deepcopy(made) == made
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301
    assert made.model_copy(update={"score": 1.0}).score == 1.0
    made.payload = None
    assert made.payload is None


def test_every_field_is_given() -> None:
    assert set(models.ScoredPoint.model_fields) == set(_VALUES)
