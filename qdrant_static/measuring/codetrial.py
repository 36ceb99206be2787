"""Tries codes on a vector of a live collection, or on a sample of it, and measures recall."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from qdrant_client import models

from qdrant_static.clients.indexing import wait_until_indexed
from qdrant_static.collection import params
from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.create import knows_tiers
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.presets import preset
from qdrant_static.collection.updates import change_vectors, vector_diff
from qdrant_static.measuring.measurement import Measurement, disk_bytes
from qdrant_static.measuring.quantizereport import MeasuredCodes
from qdrant_static.measuring.queries import QuerySet, sample_points
from qdrant_static.querying.query import Query

if TYPE_CHECKING:
    from qdrant_static.collection.vectorspec import VectorSpec

#: Hits of a query: recall@10.
LIMIT = 10
#: Queries that are drawn from the collection: the standard error of the recall is below 0.01.
QUERIES = 200
#: Rows of a dry run's sample, at most.
_SAMPLED = 5_000
#: Multiples of the preset's oversampling that are tried before the codes are removed again.
LADDER = (1, 2, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTrial:
    """A vector under measurement, with the exact neighbors of its queries.

    Attributes:
        measurement: Queries to the collection; its spec has this vector alone.
        points: Points that have the vector.
    """

    measurement: Measurement
    points: int

    @classmethod
    def of(cls, measurement: Measurement, *, points: int) -> CodeTrial:
        """Search exactly for all queries, and return the trial."""
        (vector,) = measurement.spec.vectors
        measurement.find_neighbors(SearchPlan(kind="exact", vector=vector.name))
        return cls(measurement=measurement, points=points)

    def measured(
        self, vector: VectorSpec, ladder: Sequence[float | None], target: float
    ) -> MeasuredCodes:
        """Measure with the least oversampling that reaches the target, else with the largest.

        Args:
            vector: The vector with its present codes.
            ladder: The oversamplings to try, ascending; None without codes.
            target: The recall to reach.
        """
        spec = replace(self.measurement.spec, vectors=(vector,))
        measurement = replace(self.measurement, spec=spec)
        recall, seconds, oversampling = 0.0, [0.0], ladder[0]
        for oversampling in ladder:
            plan = SearchPlan(kind="dense", vector=vector.name, oversampling=oversampling)
            numbers = sorted(measurement.neighbors)
            answers = [measurement.timed(plan, number) for number in numbers]
            seconds = [time for _, time in answers]
            recalls = [
                measurement.recall(number, ids)
                for number, (ids, _) in zip(numbers, answers, strict=True)
            ]
            recall = float(np.mean(recalls))
            if recall >= target:
                break
        p50, p95 = np.percentile(seconds, [50, 95]) * 1e3
        return MeasuredCodes(
            quantization=quantizations.describe(vector.quantization),
            oversampling=oversampling,
            recall=recall,
            p50_ms=float(p50),
            p95_ms=float(p95),
            first_pass_bytes=self.points * vector.compared_bytes,
            disk_bytes=disk_bytes(measurement.client, measurement.collection),
        )

    def change(self, vector: VectorSpec) -> None:
        """Give the vector its quantization, and wait until it is indexed."""
        client, collection = self.measurement.client, self.measurement.collection
        codes = vector_diff(vector, tiers=knows_tiers(client)).quantization_config
        changes = {vector.name: models.VectorParamsDiff(quantization_config=codes)}
        change_vectors(client, collection, changes)
        wait_until_indexed(client, collection)

    def simulated(self, wanted: VectorSpec, target: float) -> tuple[MeasuredCodes, int]:
        """Measure the codes on a sample of the vectors, in a temporary embedded collection.

        Returns:
            The measurement, without times and disk, and the rows of the sample.
        """
        from qdrant_static.edge import EdgeClient

        client, collection = self.measurement.client, self.measurement.collection
        drawn = sample_points(
            client, collection, wanted, _SAMPLED, keep=lambda _row, _payload: True, page=_SAMPLED
        )
        matrix = np.array([row for row, _ in drawn.values()], np.float32)
        alone = replace(wanted, name="", hnsw=None, placement="cached")
        numbers = np.linspace(0, len(matrix) - 1, min(QUERIES, len(matrix))).astype(int).tolist()
        with (
            tempfile.TemporaryDirectory(prefix="qdrant-static-") as folder,
            EdgeClient(folder, index_after_load=False) as sample,
        ):
            sample.create_collection(
                "sample",
                {"": params.vector_params(alone, tiers=True)},
                # Some codes are made with an index only; without this, a sample would get none.
                optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
            )
            sample.upload_collection("sample", vectors={"": matrix}, ids=range(len(matrix)))
            sample.optimize("sample")
            trial = CodeTrial.of(
                Measurement(
                    client=sample,
                    collection="sample",
                    spec=replace(self.measurement.spec, vectors=(alone,)),
                    queries=QuerySet(points=self.measurement.queries.points)
                    if self.measurement.spec.queries is not None
                    else QuerySet(
                        points=[Query(dense=matrix[number]) for number in numbers], own=numbers
                    ),
                    k=LIMIT,
                ),
                points=self.points,
            )
            measured = trial.measured(alone, oversamplings(alone, LADDER), target)
        return replace(measured, p50_ms=None, p95_ms=None, disk_bytes=None), len(matrix)


def oversamplings(vector: VectorSpec, ladder: Sequence[int]) -> Sequence[float | None]:
    """Return the oversamplings to try, the least first; None alone for a vector without codes."""
    if vector.quantization is None:
        return (None,)
    return [preset(vector.size).oversampling * factor for factor in ladder]
