"""The base class of the suites, and the data that they use."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static.testing.differences import Deviation

#: Size of the dense vectors of the suite.
SIZE = 8


class Conformance:
    """Base class of the suites; a subclass provides the client to test.

    Attributes:
        differences: Tests that this client does not pass, by name, each with its reason. A listed
            test that passes is a failure too, unless it depends on chance.
        refusals: Exceptions that the client raises for a request that it refuses.
    """

    differences: ClassVar[Mapping[str, Deviation]] = {}
    refusals: ClassVar[tuple[type[BaseException], ...]] = (Exception,)

    @pytest.fixture(autouse=True)
    def _known(self, request: pytest.FixtureRequest) -> None:
        names = (request.node.name, request.node.originalname)
        known = next((self.differences[test] for test in names if test in self.differences), None)
        if known is not None:
            kind = "differs" if known.supported else "not supported"
            request.applymarker(
                pytest.mark.xfail(reason=f"{kind}: {known.reason}", strict=known.always)
            )

    @pytest.fixture
    def name(self, client: Any) -> Iterator[str]:
        """An unused name of a collection; a collection of that name is deleted at the end."""
        name = f"f_{uuid4().hex}"
        yield name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            client.delete_collection(name)

    @pytest.fixture
    def client(self) -> Any:
        """The client under test; a subclass overrides it."""
        raise NotImplementedError

    @pytest.fixture
    def filled(self, client: Any, name: str) -> str:
        """A collection with points 0 to 19: dense ``d``, sparse ``s``, and a payload."""
        make(client, name)
        client.upsert(name, points(20), wait=True)
        return name

    def refused(self) -> Any:
        """Return a context in which a request must be refused."""
        return pytest.raises(self.refusals)


def make(client: Any, name: str, **settings: Any) -> None:
    """Create a collection with a dense vector ``d``, a sparse ``s`` and a multivector ``m``."""
    client.create_collection(
        name,
        vectors_config={
            "d": models.VectorParams(size=SIZE, distance=models.Distance.COSINE),
            "m": models.VectorParams(
                size=2,
                distance=models.Distance.DOT,
                multivector_config=models.MultiVectorConfig(
                    comparator=models.MultiVectorComparator.MAX_SIM
                ),
            ),
        },
        sparse_vectors_config={"s": models.SparseVectorParams()},
        **settings,
    )


def matrix(count: int, size: int = SIZE) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return unit vectors, float32 (count, size), always the same."""
    rows = np.random.default_rng(7).standard_normal((count, size)).astype(np.float32)
    unit: np.ndarray[Any, np.dtype[np.float32]] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def point(number: Any, row: Any, **payload: Any) -> models.PointStruct:
    """Return a point with the dense vector ``d`` and a payload."""
    return models.PointStruct(id=number, vector={"d": row.tolist()}, payload=payload or None)


def points(count: int) -> list[Any]:
    """Return points with ids from 0: vectors ``d``, ``s``; payload ``n``, ``color``, ``deep``."""
    return [
        models.PointStruct(
            id=number,
            vector={
                "d": row.tolist(),
                "s": models.SparseVector(indices=[number % 3, 10 + number], values=[1.0, 2.0]),
            },
            payload={
                "n": number,
                "color": ("red", "green", "blue")[number % 3],
                "deep": {"a": number, "b": [1, 2]},
            },
        )
        for number, row in enumerate(matrix(count))
    ]


def ids(records: Any) -> list[Any]:
    """Return the ids of records or of scored points, in their order."""
    return [record.id for record in records]


def stored(client: Any, name: str, *wanted: Any, vectors: bool = False) -> dict[Any, Any]:
    """Return the payloads, or the vectors, of stored points by id."""
    records = client.retrieve(name, list(wanted), with_payload=True, with_vectors=vectors)
    return {record.id: record.vector if vectors else record.payload for record in records}


def matching(field: str, value: Any) -> models.Filter:
    """Return a filter on one field's value."""
    return models.Filter(
        must=[models.FieldCondition(key=field, match=models.MatchValue(value=value))]
    )
