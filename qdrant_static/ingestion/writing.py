"""Encoded batches -> the engine -> the ledger: what is acknowledged is settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from qdrant_client import models

from qdrant_static.clients.connect import is_remote
from qdrant_static.clients.retry import call_with_retries
from qdrant_static.errors import PointError
from qdrant_static.ids import id_digest
from qdrant_static.ingestion.deciding import Decided, settlement
from qdrant_static.ingestion.modes import Mode
from qdrant_static.journal.jobwriter import JobSink
from qdrant_static.ledger.records import Encoded
from qdrant_static.reading.rejects import RejectsFile
from qdrant_static.sinks import sink
from qdrant_static.sinks.encoding import BatchEncoder, LateVectors
from qdrant_static.sinks.sink import EdgeSink, EncodedBatch, Sink

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ids import PointId
    from qdrant_static.reading.batch import Batch

T = TypeVar("T")
#: So many stored rows are kept, chosen by chance, to be read back at the end.
SAMPLED_ROWS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """A stored row, for the check at the end."""

    id: PointId
    text: str
    payload: Mapping[str, Any]
    ready: NDArray[np.float32] | None


class Writer:
    """Sends batches and settles them; for one thread.

    Args:
        mode: The run's mode: where rows are written.
        spec: The collection's spec.
        run: The run's number.
        rejected: The rejects file.
        encoder: For rows that need to be encoded after all.
        late: Fills the late-interaction vector; None if there is none.

    Attributes:
        spec: The collection's spec.
        totals: The sum of the rows, over all attempts.
        sampled: Stored rows to be read back at the end.
    """

    def __init__(
        self,
        mode: Mode,
        spec: CollectionSpec,
        run: int,
        rejected: RejectsFile,
        encoder: BatchEncoder,
        late: LateVectors | None,
    ) -> None:
        self.spec = spec
        self._mode = mode
        self._late = late if mode.journaled is None else None  # the journal fills it
        self._ledger = mode.workspace.ledger
        self._run = run
        self._rejected = rejected
        self._encoder = encoder
        self._sink = self._open_sink()
        self._dice = np.random.default_rng(run)
        self._stored = 0
        self.totals = self._ledger.runs.totals(run)
        self.sampled: dict[PointId, Sampled] = {}

    def _open_sink(self) -> Sink:
        client, collection = self._mode.client, self._mode.collection
        if self._mode.journaled is not None:
            return JobSink(self._mode.journaled, self._settled)
        if not is_remote(client):
            return EdgeSink(client, collection, self._settled)
        from qdrant_static.sinks.serversink import ServerSink

        return ServerSink.for_spec(
            client,  # type: ignore[arg-type]
            collection,
            self.spec,
            on_settled=lambda token, done: self._settled(token, done.refused),
        )

    def write(self, decided: Decided, vectors: EncodedBatch | None) -> None:
        """Send a batch whose vectors are ready; None if none of its rows needs any."""
        prepared = decided.prepared
        if decided.write or decided.payload:
            self._mode.before_writing()
        if decided.displaced:
            self._sink.flush()  # the older rows of its keys must be settled before it
        refused = self._update_payloads(decided) if decided.payload else {}
        if vectors is None:
            self._settle(decided, refused)
            return
        ids = [prepared.ids[row] for row in decided.write]
        payloads = self._payloads(prepared.batch.take(decided.write))
        self._sample(decided, ids, payloads)
        terms = 0 if vectors.sparse is None else vectors.sparse.n_terms
        encoded = Encoded(texts=len(ids), terms=terms, zeros=vectors.zeros)
        self._sink.submit((decided, refused, encoded), ids, vectors, payloads)

    def flush(self) -> None:
        """Wait until everything that was sent is settled, and durable in the ledger."""
        self._sink.flush()
        self._ledger.rows.merge()
        self._ledger.commit()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What is under way may be acknowledged yet; what is not is sent again by the next attempt.
        self._sink.abort()
        if error is None:
            self._ledger.commit()

    def _settled(
        self, token: tuple[Decided, dict[int, str], Encoded], refused: Mapping[int, str]
    ) -> None:
        """The engine has answered: rows of what was sent are counted from 0."""
        decided, earlier, encoded = token
        self._store_late(decided, [row for n, row in enumerate(decided.write) if n not in refused])
        refused = {decided.write[row]: why for row, why in refused.items()}
        self._settle(decided, earlier | refused, encoded)

    def _store_late(self, decided: Decided, rows: Sequence[int]) -> None:
        if self._late is not None and rows:
            texts = decided.prepared.batch.texts
            ids = [decided.prepared.ids[row] for row in rows]
            self._late.store(ids, [texts[row].as_py() for row in rows])

    def _settle(
        self, decided: Decided, refused: Mapping[int, str], encoded: Encoded | None = None
    ) -> None:
        done, rejects = settlement(
            decided, refused, on_duplicate=self._mode.request.options.on_duplicate
        )
        done.encoded = encoded
        for row in refused:
            self.sampled.pop(decided.prepared.ids[row], None)
        self._rejected.add(*rejects)
        self._ledger.settle(self._run, done, rejects_bytes=self._rejected.bytes)
        self.totals += done.totals

    def _update_payloads(self, decided: Decided) -> dict[int, str]:
        """Replace payloads alone; rows whose points turn out to be missing are stored whole."""
        prepared = decided.prepared
        waiting = list(decided.payload)
        payloads = self._payloads(prepared.batch.take(waiting))
        if self._mode.journaled is not None:
            found = self._mode.journaled.upsert([prepared.ids[row] for row in waiting], payloads)
            return {waiting[number]: problem for number, problem in found.items()}
        by_row = dict(zip(waiting, payloads, strict=True))
        refused: dict[int, str] = {}
        while waiting:
            operations = [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload.model_construct(
                        payload=by_row[row], points=[prepared.ids[row]]
                    )
                )
                for row in waiting
            ]
            try:
                self._call(
                    "updating payloads",
                    partial(
                        self._mode.client.batch_update_points,
                        self._mode.collection,
                        operations,
                        wait=True,
                    ),
                )
            except PointError as error:
                # What comes before it in the batch may be stored: sending it again is harmless.
                bad = next(row for row in waiting if prepared.ids[row] == error.point)
                waiting.remove(bad)
                refused |= self._store_whole(decided, bad)
            else:
                break
        return refused

    def _payloads(self, batch: Batch) -> Sequence[Mapping[str, Any]]:
        """Return the payloads of a batch; they must hold its texts if the journal encodes them."""
        payloads = batch.payload_rows()
        if self._mode.journaled is not None:
            texts = [] if batch.vectors is not None else batch.texts.to_pylist()
            self._mode.journaled.check_texts(self.spec.fields, texts, payloads)
        return payloads

    def _store_whole(self, decided: Decided, row: int) -> dict[int, str]:
        batch = decided.prepared.batch
        ready = None if batch.vectors is None else batch.vectors[[row]]
        vectors = self._encoder.encode(batch.texts.slice(row, 1), ready)
        found = self._call(
            "storing a point",
            lambda: sink.store(
                self._mode.client, self._mode.collection, [decided.prepared.ids[row]], vectors,
                [batch.payloads[row]],
            ),
        )  # fmt: skip
        if not found:
            self._store_late(decided, [row])
        return dict.fromkeys([row][: len(found)], next(iter(found.values()), ""))

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        return call_with_retries(self._mode.client, self._mode.collection, operation, call)

    def _sample(
        self,
        decided: Decided,
        ids: Sequence[PointId],
        payloads: Sequence[Mapping[str, Any]],
    ) -> None:
        """Keep some rows, each with the same chance (reservoir sampling, by batch)."""
        for digest in decided.displaced:
            for point in [one for one in self.sampled if id_digest(one) == digest]:
                del self.sampled[point]
        self._stored += len(ids)
        wanted = self._dice.binomial(len(ids), min(1.0, SAMPLED_ROWS / self._stored))
        batch = decided.prepared.batch
        for place in self._dice.choice(len(ids), min(wanted, SAMPLED_ROWS), replace=False).tolist():
            if len(self.sampled) >= SAMPLED_ROWS:
                del self.sampled[list(self.sampled)[self._dice.integers(len(self.sampled))]]
            row = decided.write[place]
            self.sampled[ids[place]] = Sampled(
                id=ids[place],
                text=batch.texts[row].as_py(),
                payload=payloads[place],
                ready=None if batch.vectors is None else batch.vectors[[row]].copy(),
            )
