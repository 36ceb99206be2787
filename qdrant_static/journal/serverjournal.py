"""The journal as a collection of the server, for writers on several machines.

::

    <name>            a collection whose vectors mean nothing
      1, 2, 3, ...    the entries, by their sequence number
      the state       one point: the last entry, the consumers, what was acknowledged
      the lock        one point: who writes now, and a number that every new owner increments

The lock is a `Lease`. Entries are in the journal once the state point counts them, which is one
write; entries beyond that, left by a writer that died, are overwritten.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from qdrant_client import models

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.clients.scroll import page
from qdrant_static.errors import StorageError
from qdrant_static.journal.changes import Change
from qdrant_static.journal.lease import Lease
from qdrant_static.journal.writejournal import Consumer, Entry, Lag, WriteJournal, last_unneeded

if TYPE_CHECKING:
    from collections.abc import Callable

    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy

T = TypeVar("T")
#: Before the name of a collection that is the journal, in place of a file.
IN_COLLECTION = "collection:"
_LOCK = "3f0c9d2e-0000-5000-8000-000000000001"
_STATE = "3f0c9d2e-0000-5000-8000-000000000002"
_VECTOR = [1.0]


class JournalCollection(WriteJournal):
    """A journal in a collection of its own; slower than `Journal`, by some requests per write.

    A writer that stops for longer than its lease (a suspended machine) and then continues finds out
    at its next request to the journal; a request to another collection that it had sent before may
    arrive late. So a key should have one writer at a time.

    Args:
        client: Where the collections are.
        name: The journal's collection, such as ``"articles__journal"``; created if missing.
        lease_s: A writer that does not renew its lease for so long has died, in seconds.
        patience_s: How long to wait for other writers, in seconds.
        retry: How long to try where the server does not answer.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        lease_s: float = 30.0,
        patience_s: float = 120.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._retry = retry
        self._lease = Lease(_LockPoint(self), name, lease_s, patience_s)
        self._created = False

    @property
    def place(self) -> str:
        """The collection, as ``--journal`` takes it."""
        return f"{IN_COLLECTION}{self._name}"

    @property
    def identity(self) -> str:
        """A unique name; a journal that is created anew has another."""
        return str(self._state()["identity"])

    def close(self) -> None:
        """Do nothing: no file or connection is open."""

    def exclusive(self, purpose: str = "writing") -> AbstractContextManager[None]:
        """Lock out all other writers of the journal, on every machine; reentrant.

        Raises:
            StorageError: If others held it for longer than the journal's patience, or another
                writer has taken over because this one did not renew its lease.
        """
        self._create()
        return self._lease.held(purpose)

    # --- consumers -----------------------------------------------------------------------------

    def consumers(self) -> dict[str, Consumer]:
        """Return the collections that receive the changes, by name."""
        return {one["name"]: Consumer(**one) for one in self._state()["targets"]}

    def lag(self, name: str) -> Lag:
        """Return what a consumer lacks."""
        consumer = self.consumer(name)
        count = self._count(consumer.position, self.last())
        oldest = self.pending(name, 1)
        return Lag(
            collection=name,
            mode=consumer.mode,
            entries=count,
            oldest_s=max(0.0, time.time() - oldest[0].at) if oldest else 0.0,
            problem=consumer.problem,
        )

    def _save(
        self,
        consumers: Mapping[str, Consumer],
        *,
        acknowledged: int | None = None,
        durable: bool = False,  # every request is: it waits for the server's write-ahead log
    ) -> None:
        state = self._state()
        rows = [asdict(one) for one in consumers.values()]
        acknowledged = max(acknowledged or 0, state["settled"])
        if rows == state["targets"] and acknowledged == state["settled"]:
            return
        before = int(state["pruned"])
        pruned = max(before, last_unneeded(consumers) or 0)
        self._write(state | {"targets": rows, "settled": acknowledged, "pruned": pruned})
        if pruned > before:
            selector = models.FilterSelector(filter=_between(0, pruned))
            self._call(
                "deleting entries", lambda: self._client.delete(self._name, selector, wait=True)
            )

    # --- entries -------------------------------------------------------------------------------

    def append(self, changes: Sequence[Change]) -> list[Entry]:
        """Append changes, all or none; they are durable when it returns."""
        state = self._state()
        first, at = int(state["last"]) + 1, time.time()
        entries = [
            Entry(seq=seq, at=at, change=change) for seq, change in enumerate(changes, first)
        ]
        if entries:
            self._lease.check()
            self._store([_entry_point(entry) for entry in entries])
            self._write(state | {"last": entries[-1].seq})
        return entries

    def pending(self, name: str, limit: int, upto: int | None = None) -> list[Entry]:
        """Return the next entries that a consumer lacks, in order."""
        position, last = self.consumer(name).position, self.last()
        end = last if upto is None else min(upto, last)
        if end <= position:
            return []
        records, _ = page(
            self._client,
            self._name,
            where=_between(position, end),
            limit=limit,
            with_payload=True,
            operation="reading the journal",
            retry=self._retry,
        )
        return [_entry(record.payload or {}) for record in records]

    def amend(self, seq: int, change: Change | None) -> None:
        """Replace or remove an entry that was never acknowledged, because it was refused."""
        self._lease.check()
        if change is None:
            entry = models.PointIdsList(points=[seq])
            self._call(
                "removing an entry", lambda: self._client.delete(self._name, entry, wait=True)
            )
        else:
            self._store([_entry_point(Entry(seq=seq, at=time.time(), change=change))])

    def acknowledged(self) -> int:
        """Return the last entry that was, or may have been, acknowledged."""
        return int(self._state()["settled"])

    def last(self) -> int:
        """Return the last entry's number; 0 before the first."""
        return int(self._state()["last"])

    def __len__(self) -> int:
        """Return how many entries are kept."""
        return self._count(0, self.last())

    # --- the collection ------------------------------------------------------------------------

    def _create(self) -> None:
        """Create what is missing; two writers that do so at once create one journal."""
        if self._created:
            return
        client, name = self._client, self._name
        if not self._call("looking for the journal", lambda: client.collection_exists(name)):
            try:
                client.create_collection(
                    name, models.VectorParams(size=1, distance=models.Distance.DOT)
                )
            except Exception:
                if not client.collection_exists(name):  # else another writer was faster
                    raise
        state = {"version": 1, "identity": uuid4().hex, "last": 0, "settled": 0, "pruned": 0}
        lock = {"ticket": 0, "holder": "", "by": ""}
        initial = {_LOCK: lock, _STATE: state | {"targets": []}}
        points = [
            models.PointStruct(id=point, vector=_VECTOR, payload=payload)
            for point, payload in initial.items()
        ]
        self._call(
            "creating the journal",
            lambda: client.upsert(
                name, points, wait=True, update_mode=models.UpdateMode.INSERT_ONLY
            ),
        )
        self._created = True

    def _state(self) -> dict[str, Any]:
        self._create()
        return self._point(_STATE)

    def _count(self, position: int, last: int) -> int:
        counted = self._call(
            "counting the journal's entries",
            lambda: self._client.count(self._name, _between(position, last), exact=True),
        )
        return int(counted.count)

    def _write(self, state: Mapping[str, Any]) -> None:
        self._lease.check()
        self._store([models.PointStruct(id=_STATE, vector=_VECTOR, payload=dict(state))])

    def _store(self, points: list[models.PointStruct]) -> None:
        self._call(
            "writing the journal", lambda: self._client.upsert(self._name, points, wait=True)
        )

    def _point(self, point: str) -> dict[str, Any]:
        records = self._call(
            "reading the journal", lambda: self._client.retrieve(self._name, [point])
        )
        if not records or not records[0].payload:
            raise StorageError(
                path=self._name,
                problem="is no journal, or it is damaged: a point that every journal has is "
                "missing. Name another collection; abort any migration that was under way",
            )
        return dict(records[0].payload)

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        return call_with_retries(self._client, self._name, operation, call, retry=self._retry)


class _LockPoint:
    """The point that holds the lease."""

    def __init__(self, journal: JournalCollection) -> None:
        self._journal = journal

    def read(self) -> Mapping[str, Any]:
        return self._journal._point(_LOCK)

    def write(self, payload: Mapping[str, Any], condition: models.Filter) -> None:
        journal = self._journal
        point = models.PointStruct(id=_LOCK, vector=_VECTOR, payload=dict(payload))
        journal._call(
            "locking the journal",
            lambda: journal._client.upsert(
                journal._name, [point], wait=True, update_filter=condition
            ),
        )


def _between(position: int, last: int) -> models.Filter:
    """Select the entries after one number and up to another."""
    between = models.Range(gt=position, lte=last)
    return models.Filter(must=[models.FieldCondition(key="seq", range=between)])


def _entry_point(entry: Entry) -> models.PointStruct:
    # As text: engines return some numbers of a payload with a different last digit, and a change
    # must come back as it was.
    change = entry.change
    values = [entry.at, change.op, change.ids, change.payloads, change.names]
    payload = {"seq": entry.seq, "change": json.dumps(values, ensure_ascii=False)}
    return models.PointStruct(id=entry.seq, vector=_VECTOR, payload=payload)


def _entry(payload: Mapping[str, Any]) -> Entry:
    at, op, ids, payloads, names = json.loads(payload["change"])
    change = Change(op=op, ids=tuple(ids), payloads=tuple(payloads), names=tuple(names))
    return Entry(seq=int(payload["seq"]), at=at, change=change)
