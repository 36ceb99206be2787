"""Which jobs wrote to a collection directly, and which of them still do; in its metadata.

A migration must know: what is written directly, and not through its journal, is in green only if it
was there before green was filled. A job enters itself before its first write and then looks for a
migration; a migration is first written down and then looks for jobs. So one of them sees the other.

::

    "qdrant_static_writers": [
      {"host": "...", "folder": "...", "run": 7, "since": "...", "by": "process 12", "open": true}
    ],
    "qdrant_static_written_by": "<ledger> <since>"

A collection may have jobs with several ledgers: by its alias and by its own name, or from several
machines. What one of them writes the other ledgers do not know, so each job that writes leaves its
mark, and one that finds the mark of another ledger takes nothing that its own knows for granted.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.files import is_locked

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

KEY = "qdrant_static_writers"
#: The ledger of the job that wrote last, and when that began, by a journal or directly.
LAST_KEY = "qdrant_static_written_by"
#: The lock of the job that works in a folder of state.
LOCK = "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectWriter:
    """A job that wrote to a collection directly.

    Attributes:
        host: Its machine.
        folder: The folder of its ledger.
        run: The run of the ledger.
        since: When it began to write, ISO 8601; no other run has the same.
        by: Its process.
        open: Whether it has not left yet.
    """

    host: str
    folder: str
    run: int
    since: str
    by: str
    open: bool

    @property
    def name(self) -> str:
        """The ledger's machine and folder."""
        return f"{self.host}:{self.folder}"

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine, or did."""
        return self.host == socket.gethostname()

    @property
    def is_at_work(self) -> bool | None:
        """Whether it may still write, by the lock of its folder; None if that is not known here."""
        if not self.open:
            return False
        return is_locked(Path(self.folder) / LOCK) if self.is_here else None

    def __str__(self) -> str:
        return f"run {self.run} of {self.folder} ({self.by} on {self.host}, since {self.since})"


def enter(client: Client, collection: str, folder: Path, run: int, ledger: str) -> str:
    """Note that a run of the ledger in a folder is about to write.

    What other jobs have entered stays while it is open.

    Returns:
        The mark that it leaves.
    """
    mine = DirectWriter(
        host=socket.gethostname(),
        folder=str(folder.resolve()),
        run=run,
        since=datetime.now(UTC).isoformat(),
        by=f"process {os.getpid()}",
        open=True,
    )
    there = writers_of(_read(client, collection))
    others = [one for one in there if one.open and one.name != mine.name]
    mark = f"{ledger} {mine.since}"
    _write(client, collection, {KEY: _data([*others, mine]), LAST_KEY: mark})
    return mark


def leave(client: Client, collection: str, folder: Path, mark: str) -> bool:
    """Note that the job of a folder writes no more.

    Returns:
        Whether no job of another ledger has written meanwhile. If one has, neither ledger knows
        all: the mark is renewed, so that the other job finds that out too.
    """
    name = f"{socket.gethostname()}:{folder.resolve()}"
    there = _read(client, collection)
    writers = writers_of(there)
    if any(one.name == name and one.open for one in writers):
        changed = [replace(one, open=False) if one.name == name else one for one in writers]
        _write(client, collection, {KEY: _data(changed)})
    alone = there.get(LAST_KEY) == mark
    if not alone:
        sign(client, collection, mark.partition(" ")[0])
    return alone


def sign(client: Client, collection: str, ledger: str) -> None:
    """Leave the mark of a job that writes, and is no direct writer."""
    _write(client, collection, {LAST_KEY: f"{ledger} {datetime.now(UTC).isoformat()}"})


def other_ledger(metadata: Mapping[str, Any], ledger: str) -> str | None:
    """The mark of another ledger's job, if that wrote last; None if this one's, or none."""
    mark = metadata.get(LAST_KEY)
    return None if not mark or str(mark).partition(" ")[0] == ledger else str(mark)


def writers_of(metadata: Mapping[str, Any]) -> list[DirectWriter]:
    """The jobs that a collection's metadata names."""
    known = [one.name for one in fields(DirectWriter)]
    return [
        DirectWriter(**{name: data[name] for name in known}) for data in metadata.get(KEY) or ()
    ]


def _read(client: Client, collection: str) -> Mapping[str, Any]:
    info = call_with_retries(
        client,
        collection,
        "reading the collection's description",
        lambda: client.get_collection(collection),
    )
    return info.config.metadata or {}


def _data(writers: Sequence[DirectWriter]) -> list[dict[str, Any]]:
    return [asdict(one) for one in writers]


def _write(client: Client, collection: str, metadata: dict[str, Any]) -> None:
    call_with_retries(
        client,
        collection,
        "noting who writes",
        lambda: client.update_collection(collection, metadata=metadata),
    )
