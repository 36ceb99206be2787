"""Reads ready vectors to train on: from files, rows in memory, or a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static.errors import ArgumentError
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.fromcollection import open_collection_source
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.sources import open_data

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.reading.sources import AnySource

#: Rows that a compression learns from; more add time and little else.
MOST_ROWS = 100_000


def read_vectors(
    data: Any, column: str, *, key: str | None = None, most: int = MOST_ROWS, seed: int = 0
) -> NDArray[np.float32]:
    """Read a column of vectors.

    Args:
        data: What `ingest` takes: paths, an Arrow table, dictionaries.
        column: The column of the vectors.
        key: The key's column, for an input without text, ``id`` and ``_id``.
        most: More rows are sampled at random.
        seed: Of the sample.

    Returns:
        float32 ``(n, D)``.

    Raises:
        SourceNotFoundError: If a path names no file.
        ColumnNotFoundError: If there is no such column.
        ArgumentError: If no row has a vector.
    """
    options = SourceOptions(vectors=column, key=() if key is None else (key,))
    return _sampled(open_data(data, options=options), column, most, seed)


def read_stored_vectors(
    client: Client, collection: str, vector: str, *, most: int = MOST_ROWS, seed: int = 0
) -> NDArray[np.float32]:
    """Read a vector of a collection's points.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        vector: The vector's name.
        most: More points are sampled at random.
        seed: Of the sample.

    Returns:
        float32 ``(n, D)``.

    Raises:
        CollectionNotFoundError: If it does not exist.
        ArgumentError: If its points have no such vector.
    """
    vectors = client.get_collection(collection).config.params.vectors
    names = sorted(vectors) if isinstance(vectors, dict) else [""]
    if vector not in names:
        raise ArgumentError.of_choice("vectors", vector, ", ".join(map(repr, names)))
    options = SourceOptions(vectors=vector)
    source = open_collection_source(client, collection, options=options)
    return _sampled(source, vector, most, seed)


def _sampled(source: AnySource, column: str, most: int, seed: int) -> NDArray[np.float32]:
    """Return the vectors of rows: all, or those with the least of random numbers."""
    generator = np.random.default_rng(seed)
    kept: NDArray[np.float32] | None = None
    draws = np.empty(0)
    problem = ""
    for batch in source.batches():
        rejects = batch.rejects if isinstance(batch, Batch) else [batch]
        problem = problem or next((f": {one.message}" for one in rejects), "")
        if not isinstance(batch, Batch) or batch.vectors is None or not len(batch.vectors):
            continue
        kept = batch.vectors if kept is None else np.vstack([kept, batch.vectors])
        draws = np.concatenate([draws, generator.random(len(batch.vectors))])
        if len(kept) > 2 * most:
            chosen = np.sort(np.argsort(draws, kind="stable")[:most])
            kept, draws = kept[chosen], draws[chosen]
    if kept is None:
        raise ArgumentError(field="vectors", problem=f"no row has a vector in {column!r}{problem}")
    chosen = np.sort(np.argsort(draws, kind="stable")[:most])
    return np.ascontiguousarray(kept[chosen], dtype=np.float32)
