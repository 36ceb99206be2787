"""One process at a time carries a migration on: a lock on this machine, a heartbeat for others."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qdrant_static.collection.migrationstate import running_error
from qdrant_static.errors import MigrationRunningError
from qdrant_static.files import LockFile, LockHeldError, make_private
from qdrant_static.migration.fill import BEAT_S

if TYPE_CHECKING:
    from qdrant_static.collection.migrationstate import MigrationState

#: A process on another machine that was silent for so long has died, in seconds.
LEASE_S = 4 * BEAT_S
LOCK = "migrate.lock"


@contextmanager
def held(folder: Path, alias: str) -> Iterator[None]:
    """Hold the migration of an alias, against every process and thread of this machine.

    Raises:
        MigrationRunningError: If another one holds it.
    """
    make_private(folder)
    lock = LockFile(folder / LOCK)
    try:
        lock.acquire(f"migrating {alias}")
    except LockHeldError as error:
        raise MigrationRunningError(
            alias=alias, green="its next generation", phase="at work", owner=str(error.owner)
        ) from error
    try:
        yield
    finally:
        lock.release()


def require_mine(state: MigrationState) -> None:
    """Refuse a migration that a process on another machine is filling at this moment.

    On this machine the lock tells; a process elsewhere tells by its heartbeat.

    Raises:
        MigrationRunningError: If one is.
    """
    here = state.by.endswith(f" on {socket.gethostname()}")
    if state.phase == "building" and not here and time.time() - state.changed < LEASE_S:
        raise running_error(state)
