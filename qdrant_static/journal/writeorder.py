"""One write at a time: the journal, then what the alias points at, then those that follow."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.retry import RetryPolicy, call_with_retries
from qdrant_static.clients.statefolder import default_state
from qdrant_static.collection.create import write_spec
from qdrant_static.errors import ArgumentError, PointError
from qdrant_static.journal.entries import Change, WriteJournal
from qdrant_static.journal.generation import Generation
from qdrant_static.journal.generations import Generations
from qdrant_static.journal.replay import BATCH_ENTRIES, settle, step
from qdrant_static.journal.sqlitejournal import Journal

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.ids import PointId

#: In a collection's metadata: the journal that its writers use.
JOURNAL_KEY = "qdrant_static_journal"
#: How long a collection that only follows may hold a write up, in seconds.
_FOLLOWER_PATIENCE = RetryPolicy(first_s=0.05, longest_s=0.2, budget_s=0.5)
#: After a failure a follower is left alone for so long, in seconds, then twice as long, ...
_REST_S, _LONGEST_REST_S = 1.0, 60.0


def default_journal(client: Client, alias: str) -> Path:
    """Where the journal of an alias is: beside the embedded data, or below the working directory.

    Args:
        client: Where the collections are.
        alias: The alias, or the collection.
    """
    return default_state(client, alias) / "journal.sqlite"


class Turns:
    """The turns of one writer; arguments as for `LiveWriter`."""

    def __init__(
        self,
        client: Client,
        alias: str,
        *,
        journal: WriteJournal | str | os.PathLike[str] | None,
        encoders: Sequence[AnyEncoder],
        take_over: bool,
        retry: RetryPolicy | None,
        patience_s: float,
    ) -> None:
        self._client = client
        self._alias = alias
        self._given = journal
        self._generations = Generations(client, encoders)
        self._take_over = take_over
        self._retry = retry
        self._patience_s = patience_s
        self._guard = threading.Lock()
        self._opened: Journal | None = None
        self._rests: dict[str, tuple[float, float]] = {}

    @property
    def journal(self) -> WriteJournal:
        """The journal; opened now if it was not."""
        given = self._given
        if given is not None and not isinstance(given, str | os.PathLike):
            return given
        with self._guard:
            if self._opened is None:
                path = default_journal(self._client, self._alias) if given is None else given
                self._opened = Journal(path, patience_s=self._patience_s)
            return self._opened

    def close(self) -> None:
        """Close the journal, if it was opened here."""
        with self._guard:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def flush(self) -> None:
        """Finish what is unfinished, on the primary and on all that follow."""
        with self.writing():
            self._rests.clear()
            for name in self._followers():
                while self._follow(name):
                    pass

    @contextmanager
    def writing(self) -> Iterator[Generation]:
        """Hold the journal; gives what the alias points at, with nothing unfinished before it."""
        with self.journal.exclusive(f"writing to {self._alias}"):
            name = self.resolved()
            metadata = self._generations.metadata(name, self._retry)
            self._check_journal(name, metadata)
            primary = self._generations.of(name, metadata, self._retry)
            if not primary.spec.fields.all_columns:  # from now on it says where its text is
                spec = primary.spec.with_source(fields=primary.fields, mean_length=None)
                write_spec(self._client, name, spec)
                primary = self._generations.of(name, None, self._retry)
            self.journal.set_primary(name)
            self._settle(primary)
            yield primary

    def resolved(self) -> str:
        """The collection that the name stands for now."""
        aliases = call_with_retries(
            self._client,
            self._alias,
            "reading the aliases",
            self._client.get_aliases,
            retry=self._retry,
        ).aliases
        found = [one.collection_name for one in aliases if one.alias_name == self._alias]
        return found[0] if found else self._alias

    def _check_journal(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Two journals know nothing of each other; and a lost one took its changes along."""
        journal = self.journal
        there = metadata.get(JOURNAL_KEY) or {}
        if there.get("identity") == journal.identity:
            return
        if there and not self._take_over:
            raise ArgumentError(
                field="journal",
                problem=f"collection {name!r} is written through the journal {there.get('place')}, "
                f"and this is {journal.place}. All writers must have the same: name it with "
                "journal=. If that one is lost, abort any migration under way and write with "
                "take_over=True",
            )
        told = {"identity": journal.identity, "place": journal.place}
        self._client.update_collection(name, metadata={JOURNAL_KEY: told})

    def commit(self, primary: Generation, changes: Sequence[Change]) -> int:
        """Append, carry out, and let the others follow; how many points."""
        if not changes:
            return 0
        refused = self.carry_out(primary, changes)
        if refused:
            point, problem = next(iter(refused.items()))
            error = PointError(point=point, problem=problem)
            error.add_note(f"{len(refused)} points of this part were refused, the rest is stored")
            raise error
        return sum(len(change.ids) for change in changes)

    def carry_out(self, primary: Generation, changes: Sequence[Change]) -> dict[PointId, str]:
        """Append and apply changes, and let other generations follow; which points were refused."""
        self.journal.append(changes)
        refused = self._settle(primary)
        for name in self._followers():
            if time.monotonic() >= self._rests.get(name, (0.0, 0.0))[0]:
                self._follow(name)
        return refused

    def _settle(self, primary: Generation) -> dict[PointId, str]:
        return settle(self.journal, primary, self._retry)

    def _followers(self) -> list[str]:
        return [one.name for one in self.journal.targets().values() if one.mode == "follow"]

    def _follow(self, name: str) -> int:
        """Carry out the next entries on a follower; what goes wrong there only makes it lag."""
        try:
            moved = step(
                self.journal, self._generations, name, BATCH_ENTRIES, retry=_FOLLOWER_PATIENCE
            )
        except Exception as error:
            _, rest = self._rests.get(name, (0.0, _REST_S / 2))
            rest = min(2 * rest, _LONGEST_REST_S)
            self._rests[name] = (time.monotonic() + rest, rest)
            self.journal.note_problem(name, f"{type(error).__name__}: {error}")
            return 0
        self._rests.pop(name, None)
        return moved
