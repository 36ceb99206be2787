"""The folder in which the jobs of one collection keep their files, and who may work in it.

::

    <state>/
      ledger.sqlite         what happened to every row
      rejects-<time>.jsonl  rows that were not stored
      manifest-<run>.json   a finished run, for whoever asks later
      lock                  held by the job that runs, with its process in it
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

#: Where the state of a server's collections lies, below the working directory.
SERVER_STATE = "qdrant-static-state"


def default_state(client: Client, collection: str) -> Path:
    """Beside the embedded data, or in the working directory for a server."""
    home = getattr(client, "path", None)
    folder = Path(SERVER_STATE) if home is None else Path(home) / STATE_FOLDER
    return folder / check_name(collection)


def state_folder(state: str | os.PathLike[str] | None, client: Client, collection: str) -> Path:
    """The folder that is asked for, or the default one.

    Raises:
        ArgumentError: If an empty path is asked for.
    """
    if state is None:
        return default_state(client, collection)
    return Path(rules.location("state", state)).expanduser()


class State:
    """The files of a collection's jobs, held by one job at a time.

    Args:
        path: The folder; it is made.
        collection: The collection, for messages.

    Raises:
        JobRunningError: If another job holds it.
        StorageError: If it cannot be made.
    """

    def __init__(self, path: Path, collection: str) -> None:
        self.path = path
        self._lock = LockFile(path / "lock")
        try:
            make_private(path)
            self._lock.acquire()
        except OSError as error:
            raise StorageError(
                path=str(path), problem=f"cannot be made or written ({error.strerror})"
            ) from error
        except LockHeldError as error:
            raise JobRunningError(
                collection=collection, state=str(path), owner=str(error.owner)
            ) from error

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.path / "ledger.sqlite"

    def new_rejects(self) -> Path:
        """A rejects file that is not there yet."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return self.path / f"rejects-{moment}.jsonl"

    def manifest(self, run: int) -> Path:
        """The manifest of a run."""
        return self.path / f"manifest-{run}.json"

    def close(self) -> None:
        """Let another job work."""
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
