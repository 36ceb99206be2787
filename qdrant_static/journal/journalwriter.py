"""Writes changes to the journal first, then to the primary, then to the collections that follow."""

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
from qdrant_static.journal.changes import Change
from qdrant_static.journal.collectionwriter import CollectionWriter, CollectionWriters
from qdrant_static.journal.replay import BATCH_ENTRIES, apply_next, apply_pending
from qdrant_static.journal.serverjournal import IN_COLLECTION, JournalCollection
from qdrant_static.journal.sqlitejournal import Journal
from qdrant_static.journal.writejournal import WriteJournal

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.ids import PointId

#: In a collection's metadata: the journal that its writers use.
JOURNAL_KEY = "qdrant_static_journal"
#: How long a collection that follows may delay a write.
_FOLLOWER_RETRY = RetryPolicy(first_s=0.05, longest_s=0.2, budget_s=0.5)
#: After a failure a follower is skipped for so long, in seconds; twice as long after the next.
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


def default_journal(client: Client, alias: str) -> Path:
    """Return the default path of an alias's journal: beside embedded data, or in the state folder.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        alias: The alias, or the collection.
    """
    return default_state(client, alias) / "journal.sqlite"


def open_journal(client: Client, place: str | os.PathLike[str]) -> WriteJournal:
    """Open a journal: a file, or ``collection:NAME``."""
    if isinstance(place, str) and place.startswith(IN_COLLECTION):
        return JournalCollection(client, place.removeprefix(IN_COLLECTION))
    return Journal(place)


class JournalWriter:
    """Writes changes to what an alias points at, through a journal.

    Arguments are those of `LiveWriter`.
    """

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
        self._place = journal
        self._writers = CollectionWriters(client, encoders)
        self._take_over = take_over
        self._retry = retry
        self._patience_s = patience_s
        self._guard = threading.Lock()
        self._opened: Journal | None = None
        self._pauses: dict[str, tuple[float, float]] = {}

    @property
    def journal(self) -> WriteJournal:
        """The journal; opened at the first use."""
        place = self._place
        if place is not None and not isinstance(place, str | os.PathLike):
            return place
        with self._guard:
            if self._opened is None:
                path = default_journal(self._client, self._alias) if place is None else place
                self._opened = Journal(path, patience_s=self._patience_s)
            return self._opened

    def close(self) -> None:
        """Close the journal, if it was opened here."""
        with self._guard:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def flush(self) -> None:
        """Apply what is pending, to the primary and to all collections that follow."""
        with self.writing():
            self._pauses.clear()
            for name in self._followers():
                while self._follow(name):
                    pass

    @contextmanager
    def writing(self) -> Iterator[CollectionWriter]:
        """Hold the journal for a block; gives the primary's writer, with nothing pending."""
        with self.journal.exclusive(f"writing to {self._alias}"):
            name = self.collection()
            metadata = self._writers.metadata(name, self._retry)
            self._check_journal(name, metadata)
            primary = self._writers.of(name, metadata, self._retry)
            if not primary.spec.fields.all_columns:  # write the field of the text into the spec
                spec = primary.spec.with_source(fields=primary.fields, mean_length=None)
                write_spec(self._client, name, spec)
                primary = self._writers.of(name, None, self._retry)
            self.journal.set_primary(name)
            apply_pending(self.journal, primary, self._retry)
            yield primary

    def collection(self) -> str:
        """Return the collection that the alias points at now."""
        aliases = call_with_retries(
            self._client,
            self._alias,
            "reading the aliases",
            self._client.get_aliases,
            retry=self._retry,
        ).aliases
        names = [one.collection_name for one in aliases if one.alias_name == self._alias]
        return names[0] if names else self._alias

    def _check_journal(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Refuse a second journal: the two would not know of each other's changes."""
        journal = self.journal
        noted = metadata.get(JOURNAL_KEY) or {}
        if noted.get("identity") == journal.identity:
            return
        if noted and not self._take_over:
            raise ArgumentError(
                field="journal",
                problem=f"collection {name!r} is written through the journal {noted.get('place')}, "
                f"and this is {journal.place}. All writers must have the same: name it with "
                "journal=. If that one is lost, abort any migration under way and write with "
                "take_over=True",
            )
        note = {"identity": journal.identity, "place": journal.place}
        self._client.update_collection(name, metadata={JOURNAL_KEY: note})

    def write(self, primary: CollectionWriter, changes: Sequence[Change]) -> int:
        """Append and apply changes; return how many points they name.

        Raises:
            PointError: If points were refused; the others are stored.
        """
        if not changes:
            return 0
        refused = self.write_partly(primary, changes)
        if refused:
            point, problem = next(iter(refused.items()))
            error = PointError(point=point, problem=problem)
            error.add_note(f"{len(refused)} points of this part were refused, the rest is stored")
            raise error
        return sum(len(change.ids) for change in changes)

    def write_partly(
        self, primary: CollectionWriter, changes: Sequence[Change]
    ) -> dict[PointId, str]:
        """Append and apply changes; return the points that were refused, each with the reason."""
        self.journal.append(changes)
        refused = apply_pending(self.journal, primary, self._retry)
        for name in self._followers():
            if time.monotonic() >= self._pauses.get(name, (0.0, 0.0))[0]:
                self._follow(name)
        return refused

    def _followers(self) -> list[str]:
        return [one.name for one in self.journal.consumers().values() if one.mode == "follow"]

    def _follow(self, name: str) -> int:
        """Apply the next entries to a follower; an error there only makes it lag."""
        try:
            count = apply_next(
                self.journal, self._writers, name, BATCH_ENTRIES, retry=_FOLLOWER_RETRY
            )
        except Exception as error:
            _, pause = self._pauses.get(name, (0.0, _PAUSE_S / 2))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            self._pauses[name] = (time.monotonic() + pause, pause)
            self.journal.note_problem(name, f"{type(error).__name__}: {error}")
            return 0
        self._pauses.pop(name, None)
        return count
