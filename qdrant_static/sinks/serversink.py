"""Sends batches to a server, several requests at a time, and accounts for every point."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from qdrant_static import rules
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.collection.spec import BM25, CollectionSpec
from qdrant_static.sinks.delivery import Delivery, Pace, SinkStoppedError
from qdrant_static.sinks.requests import Points, check_shapes, requests_for, unfit_rows

if TYPE_CHECKING:
    from types import TracebackType

    from qdrant_client import QdrantClient

    from qdrant_static.ids import PointId
    from qdrant_static.sinks.sink import EncodedBatch

#: Bytes of one request; servers before 1.19 may refuse more than 32 MB.
MAX_BATCH_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The outcome of a batch, after the server's answer to the last of its requests.

    Attributes:
        rows: The number of rows.
        refused: The rows that are not stored, each with the reason; all others are stored.
    """

    rows: int
    refused: Mapping[int, str]

    @property
    def stored(self) -> list[int]:
        """The rows that the server acknowledged."""
        return [row for row in range(self.rows) if row not in self.refused]


@dataclass(slots=True, eq=False)
class _Batch:
    """A batch whose requests are not all answered."""

    token: Any
    rows: int
    refused: dict[int, str]
    waiting: int = 1  # its requests, and one for the batch itself until all are made


@dataclass(slots=True, eq=False)
class _Part:
    """The rows of a batch that are sent together."""

    batch: _Batch
    points: Points
    rows: list[int]
    ids: set[Hashable] = field(default_factory=set)


class ServerSink:
    """Stores batches in a server's collection, with several requests under way.

    A batch is settled once every one of its rows is either acknowledged by the server, durably,
    or refused for a reason. What is not settled may be stored or not: send it again, which is
    harmless. A point whose request is under way is never overtaken by a later one of the same id.

    `submit`, `flush`, `close` and `abort` are for one thread, in which ``on_settled`` is called
    too.

    Args:
        client: A client of a server; over gRPC if it prefers that, else over REST.
        collection: The collection.
        sizes: Dense vector name -> size, as the collection has them.
        sparse: The name of the collection's sparse vector, or None.
        in_flight: Requests under way at a time; as many more are kept ready.
        max_batch_bytes: Bytes of one request, at most.
        max_point_bytes: Bytes of one point, at most; a larger one is refused without being sent.
        retry: When to try again, and when to give up.
        timeout_s: The timeout of a request, in seconds (over REST the client's own holds).
        on_settled: Called with the token and the outcome of each batch.
    """

    def __init__(
        self,
        client: QdrantClient,
        collection: str,
        sizes: Mapping[str, int],
        *,
        sparse: str | None = None,
        in_flight: int = 4,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        max_point_bytes: int = 30 * 2**20,
        retry: RetryPolicy | None = None,
        timeout_s: float = 60.0,
        on_settled: Callable[[Any, Settled], None],
    ) -> None:
        for name, value in (("in_flight", in_flight), ("max_batch_bytes", max_batch_bytes)):
            rules.check_integer(name, value, greatest=rules.GREATEST_BYTES)
        self._sizes = dict(sizes)
        self._sparse = sparse
        self._on_settled = on_settled
        self._pace = Pace()
        self._requests = requests_for(
            client, collection, sparse_name=sparse or "", timeout_s=timeout_s
        )
        self._delivery = Delivery(
            client,
            collection,
            self._requests,
            self._sizes,
            self._pace,
            retry or RetryPolicy(),
            max_batch_bytes=max_batch_bytes,
            max_point_bytes=max_point_bytes,
        )
        self._window = 2 * in_flight
        self._threads = ThreadPoolExecutor(in_flight, thread_name_prefix="upsert")
        self._changed = threading.Condition()
        self._parts = 0
        self._ids: set[Hashable] = set()
        self._open: dict[int, _Batch] = {}
        self._settled: deque[_Batch] = deque()
        self._failure: BaseException | None = None

    @classmethod
    def for_spec(
        cls, client: QdrantClient, collection: str, spec: CollectionSpec, **options: Any
    ) -> Self:
        """Make the sink of a collection with this spec; ``options`` are those of the class."""
        sizes = {vector.name: vector.size for vector in spec.vectors}
        sparse = None if spec.sparse is None else BM25
        return cls(client, collection, sizes, sparse=sparse, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    @property
    def unsettled(self) -> list[Any]:
        """The tokens of the batches that are not settled, in the order of their submission."""
        with self._changed:
            return [batch.token for batch in self._open.values()]

    def submit(
        self,
        token: Any,
        ids: Sequence[PointId],
        vectors: EncodedBatch,
        payloads: Sequence[Mapping[str, Any]],
    ) -> None:
        """Send a batch; wait while enough requests are under way.

        Args:
            token: Passed to ``on_settled``.
            ids: n point ids.
            vectors: n vectors of each of the collection's names.
            payloads: n payloads of JSON values.

        Raises:
            ArgumentError: If names or shapes are not the collection's; nothing of the batch is
                sent.
            ServerUnavailableError: If the server took no request for too long.
            AccessDeniedError: If it refuses the key.
            CollectionNotFoundError: If the collection is gone.
            SpecMismatchError: If the collection's vectors were changed.
            EveryPointRefusedError: If the server refuses every point.
            EngineError: If it fails in another way.
        """
        self._raise_failure()
        dense, terms = vectors.dense, vectors.sparse
        check_shapes(
            len(ids), dense, terms, payloads, sizes=self._sizes, has_sparse=self._sparse is not None
        )
        batch = _Batch(token, len(ids), unfit_rows(dense, terms))
        points = self._requests.points(ids, dense, terms, payloads)
        with self._changed:
            self._open[id(batch)] = batch
        for rows in _without_repeats(ids, batch.refused):
            for some in _even(rows, self._pace.points):
                self._start(_Part(batch, points, some, {ids[row] for row in some}))
        self._answered(batch)
        self._raise_failure()

    def flush(self) -> None:
        """Wait until everything submitted is settled; raises what `submit` raises."""
        with self._changed:
            self._changed.wait_for(lambda: not self._parts or self._failure is not None)
        self._raise_failure()

    def close(self) -> None:
        """Flush, and end the threads."""
        try:
            self.flush()
        finally:
            self.abort()

    def abort(self, *, patience_s: float = 5.0) -> None:
        """Send nothing more; call ``on_settled`` for what was settled.

        Args:
            patience_s: How long to wait for the answers to requests under way, in seconds.
        """
        self._delivery.stop()
        with self._changed:
            self._changed.wait_for(lambda: not self._parts, timeout=patience_s)
        self._threads.shutdown(wait=False)
        self._call_settled()

    def _start(self, part: _Part) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._failure is not None or self._free_for(part))
            if self._failure is None:
                self._ids |= part.ids
                self._parts += 1
                part.batch.waiting += 1
                self._threads.submit(self._run, part)
        self._raise_failure()

    def _free_for(self, part: _Part) -> bool:
        return self._parts < self._window and self._ids.isdisjoint(part.ids)

    def _raise_failure(self) -> None:
        self._call_settled()
        if self._failure is not None:
            raise self._failure

    def _call_settled(self) -> None:
        while self._settled:
            batch = self._settled.popleft()
            self._on_settled(batch.token, Settled(rows=batch.rows, refused=batch.refused))

    def _run(self, part: _Part) -> None:
        refused: Mapping[int, str] = {}
        failure: BaseException | None = None
        try:
            refused = self._delivery.deliver(part.points, part.rows)
        except BaseException as error:
            # The submitting thread raises it; nothing more is sent.
            failure = error
            self._delivery.stop()
        with self._changed:
            part.batch.refused.update(refused)
            self._ids -= part.ids
            self._parts -= 1
            if failure is None:
                self._answered(part.batch)
            elif not isinstance(failure, SinkStoppedError) and self._failure is None:
                self._failure = failure
            self._changed.notify_all()

    def _answered(self, batch: _Batch) -> None:
        with self._changed:
            batch.waiting -= 1
            if not batch.waiting:
                del self._open[id(batch)]
                self._settled.append(batch)


def _without_repeats(ids: Sequence[PointId], refused: Mapping[int, str]) -> list[list[int]]:
    """Return the rows to send, in order, in runs in which no id comes twice."""
    rows = [row for row in range(len(ids)) if row not in refused]
    if len({ids[row] for row in rows}) == len(rows):
        return [rows] if rows else []
    runs: list[list[int]] = [[]]
    seen: set[Hashable] = set()
    for row in rows:
        if ids[row] in seen:
            runs.append([])
            seen = set()
        seen.add(ids[row])
        runs[-1].append(row)
    return runs


def _even(rows: list[int], most: int) -> list[list[int]]:
    """Divide rows into parts of about the same length, none above ``most``."""
    count = -(-len(rows) // most)
    cuts = [len(rows) * part // count for part in range(count + 1)]
    return [rows[begin:end] for begin, end in pairwise(cuts)]
