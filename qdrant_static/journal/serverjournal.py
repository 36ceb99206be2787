"""The journal as a collection of the server, for writers on several machines.

::

    <name>            a collection without vectors that mean anything
      1, 2, 3, ...    the entries, by their place
      the state       one point: the last entry, the targets, what was acknowledged
      the lock        one point: who writes now, and a number that rises with every change of hands

The lock is a `Lease`. An entry is there once the state says so, in one
write; what a dying writer left beyond that is overwritten.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from qdrant_client import models

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.clients.scroll import page
from qdrant_static.errors import StorageError
from qdrant_static.journal import journaltargets as rules
from qdrant_static.journal.entries import Change, Entry, Lag, Target
from qdrant_static.journal.serverlock import Lease

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


class JournalCollection:
    """The same as `Journal`, in a collection of its own; slower, by some requests per write.

    A writer that is held up for longer than the lease (a suspended machine) and then goes on finds
    out at its next request to the journal; a request to another collection that it had sent before
    may come late. So a key should have one writer at a time.

    Args:
        client: Where the collections are.
        name: The journal's collection, such as ``"articles__journal"``; it is made if missing.
        lease_s: After so long without a sign of life a writer is taken for dead, in seconds.
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
        self._made = False

    @property
    def place(self) -> str:
        """The collection, as ``--journal`` takes it."""
        return f"{IN_COLLECTION}{self._name}"

    @property
    def identity(self) -> str:
        """A name that no other journal has; a journal made anew has another."""
        return str(self._state()["identity"])

    def close(self) -> None:
        """Nothing is held."""

    def exclusive(self, why: str = "writing") -> AbstractContextManager[None]:
        """Hold all writers of the journal off, on every machine; may be nested.

        Raises:
            StorageError: If others held it for longer than the journal's patience, or it was
                taken from this one because it gave no sign of life.
        """
        self._make()
        return self._lease.held(why)

    # --- targets -------------------------------------------------------------------------------

    def targets(self) -> dict[str, Target]:
        """The collections that get the changes, by name."""
        return {one["name"]: Target(**one) for one in self._state()["targets"]}

    def primary(self) -> str | None:
        """The collection that the alias pointed at when a writer last looked."""
        return rules.primary(self.targets())

    def set_primary(self, name: str) -> None:
        """Make a collection the primary; see `WriteJournal`."""
        self._become(rules.with_primary(self.targets(), name, self.last()))

    def activate(self, name: str, *, primary: str) -> Target:
        """From now on keep what a collection that is being built will need; see `WriteJournal`."""
        after = rules.with_built(rules.with_primary(self.targets(), primary, self.last()), name)
        self._become(after)
        return after[name]

    def rewind(self, name: str) -> None:
        """Before a collection is filled again: replay is to begin where `activate` began."""
        self._become(rules.rewound(self.targets(), self._target(name)))

    def retire(self, name: str) -> None:
        """Forget a target, and what only it needed."""
        self._become(rules.retired(self.targets(), name))

    def note_problem(self, name: str, problem: str | None) -> None:
        """Why a target gets no more."""
        self._become({**self.targets(), name: replace(self._target(name), problem=problem)})

    def advance(self, name: str, seq: int) -> None:
        """A target has everything up to an entry; what nobody needs is forgotten."""
        target = self._target(name)
        settled = seq if target.mode == "primary" else 0
        self._become(rules.advanced(self.targets(), target, seq), settled=settled)

    def lag(self, name: str) -> Lag:
        """What a target lacks."""
        target = self._target(name)
        count = self._call(
            "counting the journal's entries",
            lambda: (
                self._client.count(
                    self._name, _between(target.position, self.last()), exact=True
                ).count
            ),
        )
        oldest = self.pending(name, 1)
        return Lag(
            target=name,
            mode=target.mode,
            entries=int(count),
            oldest_s=max(0.0, time.time() - oldest[0].at) if oldest else 0.0,
            problem=target.problem,
        )

    def _target(self, name: str) -> Target:
        return rules.known(self.targets(), name, self.place)

    def _become(self, after: rules.Targets, *, settled: int = 0) -> None:
        state = self._state()
        rows = [asdict(one) for one in after.values()]
        if rows == state["targets"] and settled <= state["settled"]:
            return
        needed = rules.needed(after) or 0
        before = int(state["pruned"])
        self._write(
            state
            | {
                "targets": rows,
                "settled": max(settled, state["settled"]),
                "pruned": max(before, needed),
            }
        )
        if needed > before:
            selector = models.FilterSelector(filter=_between(0, needed))
            self._call(
                "forgetting entries", lambda: self._client.delete(self._name, selector, wait=True)
            )

    # --- entries -------------------------------------------------------------------------------

    def append(self, changes: Sequence[Change]) -> list[Entry]:
        """Write changes down, all or none, durable when it returns."""
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
        """The next changes that a target lacks, in order."""
        position, last = self._target(name).position, self.last()
        end = last if upto is None else min(upto, last)
        if end <= position:
            return []
        found, _ = page(
            self._client,
            self._name,
            where=_between(position, end),
            limit=limit,
            with_payload=True,
            operation="reading the journal",
            retry=self._retry,
        )
        return [_entry(one.payload or {}) for one in found]

    def amend(self, seq: int, change: Change | None) -> None:
        """Replace or remove an entry that was never acknowledged, because it was refused."""
        self._lease.check()
        if change is None:
            self._call(
                "removing an entry",
                lambda: self._client.delete(
                    self._name, models.PointIdsList(points=[seq]), wait=True
                ),
            )
        else:
            self._store([_entry_point(Entry(seq=seq, at=time.time(), change=change))])

    def settled(self) -> int:
        """The last entry that was acknowledged, or may have been."""
        return int(self._state()["settled"])

    def last(self) -> int:
        """The last entry; 0 before the first."""
        return int(self._state()["last"])

    def __len__(self) -> int:
        """How many entries are kept."""
        return int(self._client.count(self._name, _between(0, self.last()), exact=True).count)

    # --- the collection ------------------------------------------------------------------------

    def _make(self) -> None:
        """Make what is missing; two who do so at once make one."""
        if self._made:
            return
        client, name = self._client, self._name
        if not self._call("looking for the journal", lambda: client.collection_exists(name)):
            try:
                client.create_collection(
                    name, models.VectorParams(size=1, distance=models.Distance.DOT)
                )
            except Exception:
                if not client.collection_exists(name):  # else another was faster
                    raise
        beginning = {
            _LOCK: {"ticket": 0, "holder": "", "by": ""},
            _STATE: {
                "version": 1, "identity": uuid4().hex, "last": 0, "settled": 0, "pruned": 0,
                "targets": [],
            },
        }  # fmt: skip
        points = [
            models.PointStruct(id=one, vector=_VECTOR, payload=payload)
            for one, payload in beginning.items()
        ]
        self._call(
            "making the journal",
            lambda: client.upsert(
                name, points, wait=True, update_mode=models.UpdateMode.INSERT_ONLY
            ),
        )
        self._made = True

    def _state(self) -> dict[str, Any]:
        self._make()
        return self._point(_STATE)

    def _write(self, state: Mapping[str, Any]) -> None:
        self._lease.check()
        self._store([models.PointStruct(id=_STATE, vector=_VECTOR, payload=dict(state))])

    def _store(self, points: list[models.PointStruct]) -> None:
        self._call(
            "writing the journal", lambda: self._client.upsert(self._name, points, wait=True)
        )

    def _point(self, one: str) -> dict[str, Any]:
        found = self._call("reading the journal", lambda: self._client.retrieve(self._name, [one]))
        if not found or not found[0].payload:
            raise StorageError(
                path=self._name,
                problem="is no journal, or it is damaged: a point that every journal has is "
                "missing. Name another; abort any migration that was under way",
            )
        return dict(found[0].payload)

    def _call(self, operation: str, call: Callable[[], T]) -> T:
        return call_with_retries(self._client, self._name, operation, call, retry=self._retry)


class _LockPoint:
    """The lock's point."""

    def __init__(self, journal: JournalCollection) -> None:
        self._journal = journal

    def read(self) -> Mapping[str, Any]:
        return self._journal._point(_LOCK)

    def write(self, payload: Mapping[str, Any], condition: models.Filter) -> None:
        journal = self._journal
        point = models.PointStruct(id=_LOCK, vector=_VECTOR, payload=dict(payload))
        journal._call(
            "taking the journal",
            lambda: journal._client.upsert(
                journal._name, [point], wait=True, update_filter=condition
            ),
        )


def _between(position: int, last: int) -> models.Filter:
    """Entries behind one and up to another."""
    between = models.Range(gt=position, lte=last)
    return models.Filter(must=[models.FieldCondition(key="seq", range=between)])


def _entry_point(entry: Entry) -> models.PointStruct:
    # As text: an engine reads some numbers of a payload a last digit off, and a change must stay.
    change = entry.change
    told = [entry.at, change.op, change.ids, change.payloads, change.names]
    payload = {"seq": entry.seq, "change": json.dumps(told, ensure_ascii=False)}
    return models.PointStruct(id=entry.seq, vector=_VECTOR, payload=payload)


def _entry(payload: Mapping[str, Any]) -> Entry:
    at, op, ids, payloads, names = json.loads(payload["change"])
    change = Change(op=op, ids=tuple(ids), payloads=tuple(payloads), names=tuple(names))
    return Entry(seq=int(payload["seq"]), at=at, change=change)
