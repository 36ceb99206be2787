"""Distances between random points, as QdrantClient's ``search_matrix`` methods.

As on a server:

1. Random points that have the vector are chosen, and sorted by id.
2. Each is searched for among the chosen ones, without itself.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge import pointreads as reading
from qdrant_static.edge.collectionstore import Collections
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.edge.unsupported import require_unset

#: The ids of the chosen points, and the nearest others of each.
_Matrix = tuple[list[int | str | UUID], list[list[models.ScoredPoint]]]


class DistanceMatrices:
    """The methods ``search_matrix_pairs`` and ``search_matrix_offsets`` of `QdrantClient`."""

    _collections: Collections

    def search_matrix_pairs(
        self,
        collection_name: str,
        query_filter: models.Filter | None = None,
        limit: int = 3,
        sample: int = 10,
        using: str | None = None,
        consistency: models.ReadConsistency | None = None,
        timeout: int | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
    ) -> models.SearchMatrixPairsResponse:
        """Choose random points and return each with its nearest among them, as pairs of ids.

        Args:
            collection_name: Which collection.
            query_filter: Which points may be chosen.
            limit: How many nearest points of each.
            sample: How many points are chosen.
            using: Which vector; None is the unnamed one.
            consistency: Ignored.
            timeout: Ignored.
            shard_key_selector: Not supported.

        Raises:
            ArgumentError: If ``limit`` is below 1, or ``sample`` below 2.
        """
        require_unset(shard_key_selector=shard_key_selector)
        with self._collections.use(collection_name) as opened:
            ids, rows = _matrix(opened, query_filter, limit, sample, using)
        return models.SearchMatrixPairsResponse(
            pairs=[
                models.SearchMatrixPair(a=one, b=hit.id, score=hit.score)
                for one, hits in zip(ids, rows, strict=True)
                for hit in hits
            ]
        )

    def search_matrix_offsets(
        self,
        collection_name: str,
        query_filter: models.Filter | None = None,
        limit: int = 3,
        sample: int = 10,
        using: str | None = None,
        consistency: models.ReadConsistency | None = None,
        timeout: int | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
    ) -> models.SearchMatrixOffsetsResponse:
        """The same as `search_matrix_pairs`, as a sparse matrix: rows, columns and scores."""
        require_unset(shard_key_selector=shard_key_selector)
        with self._collections.use(collection_name) as opened:
            ids, rows = _matrix(opened, query_filter, limit, sample, using)
        places = {one: place for place, one in enumerate(ids)}
        entries = [
            (row, places[hit.id], hit.score) for row, hits in enumerate(rows) for hit in hits
        ]
        return models.SearchMatrixOffsetsResponse(
            offsets_row=[row for row, _, _ in entries],
            offsets_col=[column for _, column, _ in entries],
            scores=[score for _, _, score in entries],
            ids=ids,
        )


def _matrix(
    opened: OpenCollection,
    condition: models.Filter | None,
    limit: int,
    sample: int,
    using: str | None,
) -> _Matrix:
    convert.check_number("limit", limit)
    convert.check_number("sample", sample)
    name = using or ""
    chosen = reading.query_batch_points(
        opened,
        [
            models.QueryRequest.model_construct(
                query=models.SampleQuery(sample=models.Sample.RANDOM),
                filter=convert.narrowed(
                    condition, must=[models.HasVectorCondition(has_vector=name)]
                ),
                limit=sample,
                with_vector=[name],
            )
        ],
    )[0]
    if len(chosen) < 2:  # nothing to compare
        return [], []
    chosen.sort(key=lambda point: (isinstance(point.id, str), point.id))
    ids = [point.id for point in chosen]
    among = models.Filter(must=[models.HasIdCondition.model_construct(has_id=ids)])
    found = reading.query_batch_points(
        opened,
        [
            models.QueryRequest.model_construct(
                query=models.NearestQuery.model_construct(nearest=_vector(point, name)),
                using=using,
                filter=among,
                limit=limit + 1,
                with_payload=False,
            )
            for point in chosen
        ],
    )
    return ids, [
        [hit for hit in hits if hit.id != one][:limit] for one, hits in zip(ids, found, strict=True)
    ]


def _vector(point: models.ScoredPoint, name: str) -> Any:
    return point.vector[name] if isinstance(point.vector, dict) else point.vector
