"""Requests with points to a server: checked, then sent over gRPC as bytes, or as the client does.

What is checked is what a server accepts and should not: over gRPC it stores NaN, and refuses a
wrong name only after it has stored the points before it.

What is used of `QdrantClient` beside its public face is one thing: the list of gRPC channels
behind it (``_client._grpc_channel_pool``), because its public stub takes messages only, and
making messages of bytes costs more than making the bytes. The channels carry the client's
key, headers, TLS and options. A client without that list is served by its public stub.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from qdrant_client import models

from qdrant_static.errors import ArgumentError
from qdrant_static.sinks.pointbytes import PointBytes, UnfitPayloadError, request_head

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qdrant_client import QdrantClient

    from qdrant_static.encoders.sparsevectors import SparseRows
    from qdrant_static.ids import PointId

_UPSERT = "/qdrant.Points/Upsert"


class Points(Protocol):
    """The points of one batch, each made on demand."""

    def point(self, row: int) -> tuple[Any, int]:
        """Return what is sent for a row, and how many bytes it takes.

        Raises:
            UnfitPayloadError: If its payload cannot be sent.
        """


class Requests(Protocol):
    """Makes requests with points, and sends them."""

    def points(
        self,
        ids: Sequence[PointId],
        dense: Mapping[str, NDArray[np.float32]],
        sparse: SparseRows | None,
        payloads: Sequence[Mapping[str, Any]],
    ) -> Points:
        """Return the points of a batch."""

    def send(self, points: Sequence[Any]) -> None:
        """Store points of one or several batches, and wait for the acknowledgement."""


def requests_for(
    client: QdrantClient, collection: str, *, sparse_name: str, timeout_s: float
) -> Requests:
    """Return requests over gRPC if the client prefers that, else over REST.

    Args:
        client: The client of a server.
        collection: The collection.
        sparse_name: The name of the sparse vector.
        timeout_s: The timeout of a request, in seconds. Over REST the client's own timeout holds.
    """
    if client.init_options.get("prefer_grpc"):
        return GrpcRequests(client, collection, sparse_name=sparse_name, timeout_s=timeout_s)
    return RestRequests(client, collection, sparse_name=sparse_name)


class GrpcRequests:
    """Requests that are written as bytes, without protobuf's classes."""

    def __init__(
        self, client: QdrantClient, collection: str, *, sparse_name: str, timeout_s: float
    ) -> None:
        self._head = request_head(collection)
        self._sparse_name = sparse_name
        self._timeout_s = timeout_s
        self._calls = itertools.cycle(_upsert_calls(client))

    def points(
        self,
        ids: Sequence[PointId],
        dense: Mapping[str, NDArray[np.float32]],
        sparse: SparseRows | None,
        payloads: Sequence[Mapping[str, Any]],
    ) -> Points:
        """Return the points of a batch."""
        made = PointBytes(ids, dense, payloads, sparse=sparse, sparse_name=self._sparse_name)
        return _Measured(made)

    def send(self, points: Sequence[bytes]) -> None:
        """Store points, and wait for the acknowledgement."""
        next(self._calls)(b"".join([self._head, *points]), self._timeout_s)


class _Measured:
    """Points as bytes, with their length."""

    def __init__(self, points: PointBytes) -> None:
        self._points = points

    def point(self, row: int) -> tuple[bytes, int]:
        made = self._points.point(row)
        return made, len(made)


def _upsert_calls(client: QdrantClient) -> list[Callable[[bytes, float], Any]]:
    """Return a call for each channel, which takes the request as bytes and a timeout in seconds."""
    from qdrant_client import grpc

    stub = client.grpc_points  # makes the channels
    channels = getattr(getattr(client, "_client", None), "_grpc_channel_pool", None)
    if not channels:
        return [
            lambda request, timeout: stub.Upsert(grpc.UpsertPoints.FromString(request), timeout)
        ]
    answer = grpc.PointsOperationResponse.FromString
    return [
        channel.unary_unary(_UPSERT, request_serializer=None, response_deserializer=answer)
        for channel in channels
    ]


class RestRequests:
    """Requests that the client makes."""

    def __init__(self, client: QdrantClient, collection: str, *, sparse_name: str) -> None:
        self._client = client
        self._collection = collection
        self._sparse_name = sparse_name

    def points(
        self,
        ids: Sequence[PointId],
        dense: Mapping[str, NDArray[np.float32]],
        sparse: SparseRows | None,
        payloads: Sequence[Mapping[str, Any]],
    ) -> Points:
        """Return the points of a batch."""
        return _Structs(ids, dense, sparse, payloads, self._sparse_name)

    def send(self, points: Sequence[models.PointStruct]) -> None:
        """Store points, and wait for the acknowledgement."""
        self._client.upsert(self._collection, list(points), wait=True)


#: The most characters that a float32 takes in JSON, with its comma.
_JSON_NUMBER = 23


class _Structs:
    """Points as the client's models, with their size in JSON."""

    def __init__(
        self,
        ids: Sequence[PointId],
        dense: Mapping[str, NDArray[np.float32]],
        sparse: SparseRows | None,
        payloads: Sequence[Mapping[str, Any]],
        sparse_name: str,
    ) -> None:
        self._ids = ids
        self._dense = dense
        self._sparse = sparse
        self._payloads = payloads
        self._sparse_name = sparse_name
        self._numbers = sum(matrix.shape[1] for matrix in dense.values())

    def point(self, row: int) -> tuple[models.PointStruct, int]:
        payload = self._payloads[row]
        try:
            size = len(json.dumps(payload, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise UnfitPayloadError(f"the payload is no JSON: {error}") from error
        named: dict[str, Any] = {name: matrix[row].tolist() for name, matrix in self._dense.items()}
        terms = None if self._sparse is None else self._sparse.row(row)
        numbers = self._numbers
        if terms is not None and len(terms.indices):
            numbers += 2 * len(terms.indices)
            named[self._sparse_name] = models.SparseVector.model_construct(
                indices=terms.indices.tolist(), values=terms.values.tolist()
            )
        # These are valid; validating them again would cost more than sending them.
        made = models.PointStruct.model_construct(
            id=self._ids[row], vector=named, payload=dict(payload)
        )
        return made, size + _JSON_NUMBER * numbers


def check_shapes(
    rows: int,
    dense: Mapping[str, NDArray[np.float32]],
    sparse: SparseRows | None,
    payloads: Sequence[Any],
    *,
    sizes: Mapping[str, int],
    has_sparse: bool,
) -> None:
    """Check that names and shapes of a batch are those of its collection.

    Args:
        rows: n, the number of ids.
        dense: Vector name -> float32 ``(n, size)``.
        sparse: n sparse vectors, or None.
        payloads: n payloads.
        sizes: Vector name -> size, as the collection has it.
        has_sparse: Whether the collection has a sparse vector.

    Raises:
        ArgumentError: If they are not; it names the vector.
    """
    if set(dense) != set(sizes):
        raise ArgumentError(
            field="vectors",
            problem=f"the batch has {', '.join(sorted(dense)) or 'none'}; the collection has "
            f"{', '.join(sorted(sizes)) or 'none'}",
        )
    for name, matrix in dense.items():
        if matrix.shape != (rows, sizes[name]):
            raise ArgumentError(
                field=f"vectors.{name}",
                problem=f"shape {matrix.shape}, not {(rows, sizes[name])}",
            )
    if sparse is not None and not has_sparse:
        raise ArgumentError(field="vectors", problem="the collection has no sparse vector")
    if sparse is not None and len(sparse) != rows:
        raise ArgumentError(field="vectors.sparse", problem=f"{len(sparse)} rows for {rows} ids")
    if len(payloads) != rows:
        raise ArgumentError(field="payloads", problem=f"{len(payloads)} for {rows} ids")


def unfit_rows(
    dense: Mapping[str, NDArray[np.float32]], sparse: SparseRows | None
) -> dict[int, str]:
    """Return the rows with a number that is not finite, each with what is wrong.

    Args:
        dense: Vector name -> float32 ``(n, size)``.
        sparse: n sparse vectors, or None.
    """
    unfit: dict[int, str] = {}
    for name, matrix in dense.items():
        for row in _not_finite(matrix):
            unfit.setdefault(row, f"vector {name!r} holds a number that is not finite")
    if sparse is not None and not np.isfinite(sparse.values).all():
        places = np.flatnonzero(~np.isfinite(sparse.values))
        for row in np.searchsorted(sparse.pointers, places, side="right") - 1:
            unfit.setdefault(int(row), "the sparse vector holds a number that is not finite")
    return unfit


def _not_finite(matrix: NDArray[np.float32]) -> list[int]:
    """Return rows with NaN or infinity: a row's sum is finite only if all its numbers are."""
    with np.errstate(over="ignore", invalid="ignore"):
        sums = matrix.sum(axis=1)
    suspects = np.flatnonzero(~np.isfinite(sums))
    # A sum of large numbers may overflow although each of them is finite.
    return [int(row) for row in suspects if not np.isfinite(matrix[row]).all()]
