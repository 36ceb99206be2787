"""A collection probed with its own vectors, and a sample of it with codes that it lacks yet."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from qdrant_client import models

from qdrant_static.clients.indexing import wait_until_indexed
from qdrant_static.clients.scroll import pages
from qdrant_static.collection import params
from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.create import knows_tiers
from qdrant_static.collection.presets import preset
from qdrant_static.collection.updates import change_vectors, vector_diff
from qdrant_static.collection.vectorform import vector_of
from qdrant_static.collection.vectorspec import VectorSpec
from qdrant_static.measuring import ownvectors as measuring
from qdrant_static.measuring.ownvectors import Query
from qdrant_static.measuring.quantizereport import Measured

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: Hits of a query: recall@10.
LIMIT = 10
#: Queries that are drawn from the collection; the recall's standard error is then below 0.01.
QUERIES = 200
#: Rows that a dry run simulates at most.
SIMULATED = 5_000
#: Times the preset's oversampling that are tried before the codes are taken back.
LADDER = (1, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A live collection under measurement.

    Attributes:
        client: An `EdgeClient` or a `QdrantClient`.
        name: The collection's name.
        points: Points that have the vector.
        queries: What it is asked.
    """

    client: Client
    name: str
    points: int
    queries: Sequence[Query]

    def measured(
        self, vector: VectorSpec, ladder: Sequence[float | None], target: float
    ) -> Measured:
        """Measured with the least oversampling that reaches the target, else with the most."""
        recall, p50, p95, factor = 0.0, 0.0, 0.0, ladder[0]
        for factor in ladder:
            recall, p50, p95 = measuring.measure(
                self.client, self.name, vector, self.queries, limit=LIMIT, oversampling=factor
            )
            if recall >= target:
                break
        return Measured(
            quantization=quantizations.describe(vector.quantization),
            oversampling=factor,
            recall=recall,
            p50_ms=p50,
            p95_ms=p95,
            first_pass_bytes=self.points * vector.compared_bytes,
            disk_bytes=measuring.disk_bytes(self.client, self.name),
        )

    def change(self, vector: VectorSpec) -> None:
        """Give the vector its quantization, and wait until it is built."""
        given = vector_diff(vector, tiers=knows_tiers(self.client)).quantization_config
        changes = {vector.name: models.VectorParamsDiff(quantization_config=given)}
        change_vectors(self.client, self.name, changes)
        wait_until_indexed(self.client, self.name)


def oversamplings(vector: VectorSpec, ladder: Sequence[int]) -> Sequence[float | None]:
    """The factors to try, the least first; of a vector without codes, none."""
    if vector.quantization is None:
        return (None,)
    return [preset(vector.size).oversampling * factor for factor in ladder]


def simulated(there: Probed, wanted: VectorSpec, target: float) -> tuple[Measured, int]:
    """The same search over a sample, in an embedded collection that is thrown away.

    Returns:
        What it found, without times, and the rows of the sample.
    """
    from qdrant_static.edge import EdgeClient

    matrix = _rows(there.client, there.name, wanted.name)
    alone = replace(wanted, name="", hnsw=None, placement="cached")
    with (
        tempfile.TemporaryDirectory(prefix="qdrant-static-") as folder,
        EdgeClient(folder, index_after_load=False) as client,
    ):
        client.create_collection(
            "sample",
            {"": params.vector_params(alone, tiers=True)},
            # Some kinds of codes come with an index alone, and a sample is too small for one.
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
        )
        client.upload_collection("sample", vectors={"": matrix}, ids=range(len(matrix)))
        client.optimize("sample")
        rows = np.linspace(0, len(matrix) - 1, min(QUERIES, len(matrix))).astype(int).tolist()
        queries = [measuring.nearest(matrix, row, alone, LIMIT) for row in rows]
        sample = Probed(client=client, name="sample", points=there.points, queries=queries)
        found = sample.measured(alone, oversamplings(alone, LADDER), target)
    return replace(found, p50_ms=None, p95_ms=None, disk_bytes=None), len(matrix)


def _rows(client: Client, collection: str, vector: str) -> Any:
    """Vectors of random points where there are many, else of all; float32 ``(n, size)``."""
    found: list[list[float]] = []
    for page in pages(client, collection, with_vectors=[vector]):
        found += [row for point in page if (row := vector_of(point, vector)) is not None]
        if len(found) > SIMULATED:
            break
    else:
        return np.asarray(found, np.float32)
    drawn = client.query_points(
        collection,
        query=models.SampleQuery(sample=models.Sample.RANDOM),
        limit=SIMULATED,
        with_payload=False,
        with_vectors=[vector],
    ).points
    rows = [row for point in drawn if (row := vector_of(point, vector)) is not None]
    return np.asarray(rows, np.float32)
