"""The journal as a collection of the server, for writers on several machines.

::

    <name>            a collection without vectors that mean anything
      1, 2, 3, ...    the entries, by their place
      the state       one point: the last entry, the targets, what was acknowledged
      the lock        one point: who writes now, and a number that rises with every change of hands

The lock is taken by a conditional write ("if the number is still 41, it is 42 and mine") and read
back. Whoever finds the same number for the whole lease, by its own clock, takes it: no two clocks
are compared. A holder renews it as it goes on. An entry is there once the state says so, in one
write; what a dying writer left beyond that is overwritten.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from qdrant_client import models

from qdrant_static.errors import SpecError, StorageError
from qdrant_static.ingest.server.calls import patiently
from qdrant_static.migrate import targets as rules
from qdrant_static.migrate.entries import Change, Entry, Lag, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from qdrant_static.connect import Client
    from qdrant_static.ingest.server.retry import RetryPolicy

T = TypeVar("T")
_LOCK = "3f0c9d2e-0000-5000-8000-000000000001"
_STATE = "3f0c9d2e-0000-5000-8000-000000000002"
_VECTOR = [1.0]
#: How long a waiting writer sleeps between attempts, in seconds.
_PAUSE_S = 0.02


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
        self._lease_s = lease_s
        self._patience_s = patience_s
        self._retry = retry
        self._me = f"{socket.gethostname()} process {os.getpid()} {uuid4().hex[:8]}"
        self._guard = threading.RLock()
        self._depth = 0
        self._ticket = -1
        self._renewed = 0.0
        self._made = False

    @property
    def place(self) -> str:
        """The collection, in words."""
        return f"the collection {self._name!r}"

    @property
    def identity(self) -> str:
        """A name that no other journal has; a journal made anew has another."""
        return str(self._state()["identity"])

    def close(self) -> None:
        """Nothing is held."""

    # --- the lock ------------------------------------------------------------------------------

    @contextmanager
    def exclusive(self, why: str = "writing") -> Iterator[None]:
        """Hold all writers of the journal off, on every machine; may be nested.

        Raises:
            StorageError: If others held it for longer than the journal's patience, or it was
                taken from this one because it gave no sign of life.
        """
        if not self._guard.acquire(timeout=self._patience_s):
            raise StorageError(path=self._name, problem="another thread writes for too long")
        try:
            if not self._depth:
                self._take(why)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth:
                    self._release()
        finally:
            self._guard.release()

    def _take(self, why: str) -> None:
        self._make()
        end = time.monotonic() + self._patience_s
        seen, since = self._lock(), time.monotonic()
        while True:
            now = time.monotonic()
            if not seen["holder"] or now - since >= self._lease_s:
                if self._claim(int(seen["ticket"]), f"{self._me}: {why}"):
                    return
            elif now >= end:
                raise StorageError(
                    path=self._name,
                    problem=f"others wrote for longer than {self._patience_s:g} s "
                    f"({seen['holder']}). Nothing was written; repeat it later",
                )
            else:
                time.sleep(_PAUSE_S)
            found = self._lock()
            if found["ticket"] != seen["ticket"]:
                seen, since = found, time.monotonic()

    def _claim(self, ticket: int, holder: str) -> bool:
        """Take the lock, or renew or release it, if the number is still that one."""
        condition = models.Filter(
            must=[models.FieldCondition(key="ticket", match=models.MatchValue(value=ticket))]
        )
        point = models.PointStruct(
            id=_LOCK,
            vector=_VECTOR,
            payload={"ticket": ticket + 1, "holder": holder, "by": self._me},
        )
        self._call(
            "taking the journal",
            lambda: self._client.upsert(self._name, [point], wait=True, update_filter=condition),
        )
        found = self._lock()
        mine = found["ticket"] == ticket + 1 and found.get("by") == self._me
        if mine:
            self._ticket, self._renewed = ticket + 1, time.monotonic()
        return mine

    def _release(self) -> None:
        self._claim(self._ticket, "")

    def _check_held(self) -> None:
        """Whether it is still this one's; renews it in time.

        Raises:
            StorageError: If it is not.
        """
        if not self._depth:
            raise SpecError(field="journal", problem="is changed outside of exclusive()")
        if time.monotonic() - self._renewed < self._lease_s / 3:
            return
        if not self._claim(self._ticket, f"{self._me}: goes on"):
            raise StorageError(
                path=self._name,
                problem=f"this writer gave no sign of life for {self._lease_s:g} s, and another "
                "has taken over; what was appended is carried out by it. Repeat the rest",
            )

    def _lock(self) -> Mapping[str, Any]:
        return self._point(_LOCK)

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
            self._check_held()
            self._store([_entry_point(entry) for entry in entries])
            self._write(state | {"last": entries[-1].seq})
        return entries

    def pending(self, name: str, limit: int, upto: int | None = None) -> list[Entry]:
        """The next changes that a target lacks, in order."""
        position, last = self._target(name).position, self.last()
        end = last if upto is None else min(upto, last)
        if end <= position:
            return []
        found, _ = self._call(
            "reading the journal",
            lambda: self._client.scroll(
                self._name,
                scroll_filter=_between(position, end),
                limit=limit,
                with_payload=True,
                with_vectors=False,
            ),
        )
        return [_entry(one.payload or {}) for one in found]

    def amend(self, seq: int, change: Change | None) -> None:
        """Replace or remove an entry that was never acknowledged, because it was refused."""
        self._check_held()
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
        self._check_held()
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
        return patiently(self._client, self._name, operation, call, retry=self._retry)


def _between(position: int, last: int) -> models.Filter:
    """Entries behind one and up to another."""
    between = models.Range(gt=position, lte=last)
    return models.Filter(must=[models.FieldCondition(key="seq", range=between)])


def _entry_point(entry: Entry) -> models.PointStruct:
    change = entry.change
    # As text: a server folds some numbers and names in a payload, and a change must stay as it is.
    told = json.dumps([change.op, change.ids, change.payloads, change.names], ensure_ascii=False)
    payload = {"seq": entry.seq, "at": entry.at, "change": told}
    return models.PointStruct(id=entry.seq, vector=_VECTOR, payload=payload)


def _entry(payload: Mapping[str, Any]) -> Entry:
    op, ids, payloads, names = json.loads(payload["change"])
    change = Change(op=op, ids=tuple(ids), payloads=tuple(payloads), names=tuple(names))
    return Entry(seq=int(payload["seq"]), at=float(payload["at"]), change=change)
