"""Stores batches of vectors in the engine, and builds its indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from qdrant_client import models

from qdrant_static.clients.indexing import IndexProgress, wait_until_indexed
from qdrant_static.collection.spec import BM25
from qdrant_static.edge import EdgeClient
from qdrant_static.errors import PointError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qdrant_static.clients.connect import Client
    from qdrant_static.edge.indexbuild import BuildProgress
    from qdrant_static.encoders.sparsevectors import SparseQuery, SparseRows
    from qdrant_static.ids import PointId


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedBatch:
    """The vectors of a batch.

    Attributes:
        dense: Vector name -> float32 ``(n, size)``.
        sparse: n BM25 vectors; None where the collection has none.
        zeros: How many full vectors are zeros, because no token of their text is known.
    """

    dense: Mapping[str, NDArray[np.float32]]
    sparse: SparseRows | None
    zeros: int = 0


def store(
    client: Client,
    collection: str,
    ids: Sequence[PointId],
    vectors: EncodedBatch,
    payloads: Sequence[Mapping[str, Any]],
) -> dict[int, str]:
    """Store a batch, and wait for the acknowledgement.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection.
        ids: n point ids.
        vectors: n vectors of each name.
        payloads: n payloads.

    Returns:
        The rows that were refused, each with the reason; all others are stored.
    """
    if isinstance(client, EdgeClient):
        terms = {} if vectors.sparse is None else {BM25: vectors.sparse}
        try:
            client.upsert_matrices(
                collection, ids, dense=vectors.dense, sparse=terms, payloads=payloads
            )
        except PointError:
            pass  # nothing of the batch was stored: below, the others are, and the bad ones named
        else:
            return {}
    points = dict(enumerate(_points(ids, vectors, payloads)))
    refused: dict[int, str] = {}
    while points:
        try:
            client.upsert(collection, list(points.values()), wait=True)
        except PointError as error:
            # Nothing of the batch was stored: leave that one out and send the rest.
            bad = next(row for row, point in points.items() if point.id == error.point)
            del points[bad]
            refused[bad] = error.problem
        else:
            break
    return refused


class Sink(Protocol):
    """Takes batches, and calls back when the engine has acknowledged them."""

    def submit(
        self,
        token: Any,
        ids: Sequence[PointId],
        vectors: EncodedBatch,
        payloads: Sequence[Mapping[str, Any]],
    ) -> None:
        """Send a batch."""

    def flush(self) -> None:
        """Wait until everything that was sent is settled."""

    def abort(self) -> None:
        """Send nothing more, and release the resources of sending."""


class EdgeSink:
    """Stores one batch after the other in the embedded engine, which has one writer.

    Args:
        client: The client.
        collection: The collection.
        on_settled: Called with the token of every batch and the rows that were refused.
    """

    def __init__(
        self,
        client: Client,
        collection: str,
        on_settled: Callable[[Any, Mapping[int, str]], None],
    ) -> None:
        self._client = client
        self._collection = collection
        self._on_settled = on_settled

    def submit(
        self,
        token: Any,
        ids: Sequence[PointId],
        vectors: EncodedBatch,
        payloads: Sequence[Mapping[str, Any]],
    ) -> None:
        """Store a batch."""
        refused = store(self._client, self._collection, ids, vectors, payloads)
        self._on_settled(token, refused)

    def flush(self) -> None:
        """Do nothing: every batch was acknowledged."""

    def abort(self) -> None:
        """Do nothing: no resource is held."""


def build_index(
    client: Client,
    collection: str,
    *,
    progress: Callable[[BuildProgress], None] | None = None,
    waiting: Callable[[IndexProgress], None] | None = None,
) -> None:
    """Bring the indexes up to date, and return when they are.

    Args:
        client: An `EdgeClient` builds now; a server builds by itself and is waited for.
        collection: The collection.
        progress: Called while the index of an embedded collection is built. It is then built by
            another process, because the engine stops every thread of the process that it works
            in; without ``progress`` it is built here.
        waiting: Called with the progress while a server builds.
    """
    if isinstance(client, EdgeClient):
        client.optimize(collection, another_process=progress is not None, progress=progress)
        return
    wait_until_indexed(client, collection, progress=waiting)


def _points(
    ids: Sequence[PointId],
    vectors: EncodedBatch,
    payloads: Sequence[Mapping[str, Any]],
) -> Iterator[models.PointStruct]:
    dense: dict[str, Any] = {name: matrix.tolist() for name, matrix in vectors.dense.items()}
    terms = vectors.sparse
    for row, (point, payload) in enumerate(zip(ids, payloads, strict=True)):
        named: dict[str, Any] = {name: matrix[row] for name, matrix in dense.items()}
        if terms is not None and terms.pointers[row] < terms.pointers[row + 1]:
            named[BM25] = _sparse_vector(terms.row(row))
        # These are valid; validating them again would cost more than storing them.
        yield models.PointStruct.model_construct(id=point, vector=named, payload=payload)


def _sparse_vector(terms: SparseQuery) -> models.SparseVector:
    return models.SparseVector.model_construct(
        indices=terms.indices.tolist(), values=terms.values.tolist()
    )
