"""Notes in a collection's metadata which jobs wrote to it directly, and which of them still do.

A migration must know: rows that are written directly, and not through its journal, are in green
only if they were there before green was filled. A job notes itself before its first write and then
looks for a migration; a migration first writes its state and then looks for jobs. So one of the two
sees the other.

::

    "qdrant_static_writers": [
      {"host": "...", "folder": "...", "run": 7, "since": "...", "by": "process 12", "open": true}
    ],
    "qdrant_static_written_by": "<ledger> <since>"

A collection may have jobs with several ledgers: by its alias and by its own name, or from several
machines. A ledger does not know the rows that another job wrote, so each job that writes leaves its
mark, and a job that finds the mark of another ledger reads all points again.
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
#: The ledger of the job that wrote last, and when it began, through a journal or directly.
LAST_KEY = "qdrant_static_written_by"
#: The lock file of the job that uses a state folder.
LOCK = "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectWriter:
    """A job that wrote to a collection directly.

    Attributes:
        host: Its machine.
        folder: The folder of its ledger.
        run: The number of its run in the ledger.
        since: When it began to write, ISO 8601; no other run has the same.
        by: Its process.
        open: Whether it has not noted its end yet.
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
        """Whether it runs, or ran, on this machine."""
        return self.host == socket.gethostname()

    @property
    def is_at_work(self) -> bool | None:
        """Whether it may still write, by its lock file; None if it runs on another machine."""
        if not self.open:
            return False
        return is_locked(Path(self.folder) / LOCK) if self.is_here else None

    def __str__(self) -> str:
        return f"run {self.run} of {self.folder} ({self.by} on {self.host}, since {self.since})"


def enter(client: Client, collection: str, folder: Path, run: int, ledger: str) -> str:
    """Note that a job is about to write; the notes of other open jobs stay.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection.
        folder: The folder of the job's ledger.
        run: The number of its run.
        ledger: The ledger's unique name.

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
    known = writers_of(_read(client, collection))
    others = [one for one in known if one.open and one.name != mine.name]
    mark = f"{ledger} {mine.since}"
    _write(client, collection, {KEY: _data([*others, mine]), LAST_KEY: mark})
    return mark


def leave(client: Client, collection: str, folder: Path, mark: str) -> bool:
    """Note that the job of a folder has ended.

    Returns:
        Whether no job of another ledger has written meanwhile. If one has, neither ledger knows
        every row: the mark is written again, so that the other job finds that out, too.
    """
    name = f"{socket.gethostname()}:{folder.resolve()}"
    metadata = _read(client, collection)
    writers = writers_of(metadata)
    if any(one.name == name and one.open for one in writers):
        changed = [replace(one, open=False) if one.name == name else one for one in writers]
        _write(client, collection, {KEY: _data(changed)})
    alone = metadata.get(LAST_KEY) == mark
    if not alone:
        sign(client, collection, mark.partition(" ")[0])
    return alone


def sign(client: Client, collection: str, ledger: str) -> None:
    """Leave the mark of a job that writes through a journal."""
    _write(client, collection, {LAST_KEY: f"{ledger} {datetime.now(UTC).isoformat()}"})


def other_ledger(metadata: Mapping[str, Any], ledger: str) -> str | None:
    """Return the mark of the last job, if it has another ledger; else None."""
    mark = metadata.get(LAST_KEY)
    return None if not mark or str(mark).partition(" ")[0] == ledger else str(mark)


def writers_of(metadata: Mapping[str, Any]) -> list[DirectWriter]:
    """Return the jobs that a collection's metadata names."""
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
        "noting the job that writes",
        lambda: client.update_collection(collection, metadata=metadata),
    )
