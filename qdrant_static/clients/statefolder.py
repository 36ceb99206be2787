"""Defines the folder that holds the files of one collection's jobs, and locks it for one job.

::

    <state>/
      ledger.sqlite         the state of every row
      rejects-<time>.jsonl  the rows that were not stored
      manifest-<run>.json   the report of a finished run
      lock                  locked by the running job, with its process id
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from qdrant_static import rules
from qdrant_static.edge.directory import STATE_FOLDER, check_name
from qdrant_static.errors import JobRunningError, StorageError
from qdrant_static.files import LockFile, LockHeldError, make_private

if TYPE_CHECKING:
    from types import TracebackType

    from qdrant_static.clients.connect import Client

#: The folder of the state of a server's collections, in the working directory.
SERVER_STATE = "qdrant-static-state"


def default_state(client: Client, collection: str) -> Path:
    """Return the default folder: in the embedded data, or in the working directory for a server."""
    home = getattr(client, "path", None)
    folder = Path(SERVER_STATE) if home is None else Path(home) / STATE_FOLDER
    return folder / check_name(collection)


def state_folder(state: str | os.PathLike[str] | None, client: Client, collection: str) -> Path:
    """Return the given folder, or the default one if it is None.

    Raises:
        ArgumentError: If the path is empty.
    """
    if state is None:
        return default_state(client, collection)
    return Path(rules.location("state", state)).expanduser()


class StateFolder:
    """The folder of a collection's jobs, locked by one job at a time.

    Args:
        path: The folder; it is created.
        collection: The collection, for messages.

    Raises:
        JobRunningError: If another job has locked it.
        StorageError: If it cannot be created.
    """

    def __init__(self, path: Path, collection: str) -> None:
        self.path = path
        self._lock = LockFile(path / "lock")
        try:
            make_private(path)
            self._lock.acquire()
        except OSError as error:
            raise StorageError(
                path=str(path), problem=f"cannot be created or written ({error.strerror})"
            ) from error
        except LockHeldError as error:
            raise JobRunningError(
                collection=collection, state=str(path), owner=str(error.owner)
            ) from error

    @property
    def ledger(self) -> Path:
        """The file of the ledger."""
        return self.path / "ledger.sqlite"

    def new_rejects(self) -> Path:
        """Return the path of a new rejects file."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return self.path / f"rejects-{moment}.jsonl"

    def manifest(self, run: int) -> Path:
        """Return the path of a run's manifest."""
        return self.path / f"manifest-{run}.json"

    def close(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
