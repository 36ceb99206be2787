"""One request with points to a server: over gRPC as bytes, else as the client sends it.

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

from qdrant_client import models

from qdrant_static.sinks.payloadbytes import UnfitPayloadError
from qdrant_static.sinks.pointbytes import PointBytes, request_head

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from qdrant_client import QdrantClient

    from qdrant_static.encoders.sparsevectors import SparseRows
    from qdrant_static.ids import PointId

_UPSERT = "/qdrant.Points/Upsert"


class Points(Protocol):
    """The points of one batch, each made when it is asked for."""

    def point(self, row: int) -> tuple[Any, int]:
        """What is sent for a row, and how many bytes it takes.

        Raises:
            UnfitPayloadError: If its payload cannot travel.
        """


class Requests(Protocol):
    """How points get to the server."""

    def points(
        self,
        ids: Sequence[PointId],
        dense: Mapping[str, NDArray[np.float32]],
        sparse: SparseRows | None,
        payloads: Sequence[Mapping[str, Any]],
    ) -> Points:
        """The points of a batch."""

    def send(self, points: Sequence[Any]) -> None:
        """Store points of one or several batches, and wait until it is done."""


def requests_for(
    client: QdrantClient, collection: str, *, sparse_name: str, timeout_s: float
) -> Requests:
    """The faster way that the client is set up for.

    Args:
        client: A client of a server.
        collection: Where the points go.
        sparse_name: The name of the sparse vector.
        timeout_s: How long one request may take, in seconds. Over REST the client's own timeout
            holds.
    """
    if client.init_options.get("prefer_grpc"):
        return GrpcRequests(client, collection, sparse_name=sparse_name, timeout_s=timeout_s)
    return RestRequests(client, collection, sparse_name=sparse_name)


class GrpcRequests:
    """Requests written as bytes."""

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
        """The points of a batch."""
        made = PointBytes(ids, dense, payloads, sparse=sparse, sparse_name=self._sparse_name)
        return _Measured(made)

    def send(self, points: Sequence[bytes]) -> None:
        """Store points, and wait until it is done."""
        next(self._calls)(b"".join([self._head, *points]), self._timeout_s)


class _Measured:
    """Points as bytes, whose length is their size."""

    def __init__(self, points: PointBytes) -> None:
        self._points = points

    def point(self, row: int) -> tuple[bytes, int]:
        made = self._points.point(row)
        return made, len(made)


def _upsert_calls(client: QdrantClient) -> list[Callable[[bytes, float], Any]]:
    """A call per channel: the request as bytes, the timeout in seconds."""
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
    """Requests as the client makes them."""

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
        """The points of a batch."""
        return _Structs(ids, dense, sparse, payloads, self._sparse_name)

    def send(self, points: Sequence[models.PointStruct]) -> None:
        """Store points, and wait until it is done."""
        self._client.upsert(self._collection, list(points), wait=True)


#: A float32 in JSON takes up to so many characters, with its comma.
_JSON_NUMBER = 23


class _Structs:
    """Points as the client's models."""

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
        # Ours are valid; validating them again would cost more than sending them.
        made = models.PointStruct.model_construct(
            id=self._ids[row], vector=named, payload=dict(payload)
        )
        return made, size + _JSON_NUMBER * numbers
