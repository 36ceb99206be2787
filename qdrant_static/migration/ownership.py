"""One process at a time carries a migration on: a lock on this machine, a heartbeat for others."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import portalocker

from qdrant_static.collection.migrationstate import running_error, who
from qdrant_static.edge.directory import make_private
from qdrant_static.edge.forks import close_in_children
from qdrant_static.errors import MigrationRunningError
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
    path = folder / LOCK
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8") as file:
        close_in_children(file)
        try:
            portalocker.lock(file, portalocker.LOCK_EX | portalocker.LOCK_NB)
        except portalocker.exceptions.LockException as error:
            owner = file.read().strip() or "another process"
            raise MigrationRunningError(
                alias=alias, green="its next generation", phase="at work", owner=owner
            ) from error
        file.truncate(0)
        file.write(who())
        file.flush()
        try:
            yield
        finally:
            if not file.closed:  # in a forked child it is
                file.seek(0)
                file.truncate(0)
                portalocker.unlock(file)


def require_mine(state: MigrationState) -> None:
    """Refuse a migration that a process on another machine is filling at this moment.

    On this machine the lock tells; a process elsewhere tells by its heartbeat.

    Raises:
        MigrationRunningError: If one is.
    """
    here = state.by.endswith(f" on {socket.gethostname()}")
    if state.phase == "building" and not here and time.time() - state.changed < LEASE_S:
        raise running_error(state)
