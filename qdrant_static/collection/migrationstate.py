"""The state of a migration, stored where every process that may continue it can read it.

On a server that is green's metadata. On a folder, where another process may have green open, it is
a file: ``<db>/_state/<alias>/migration.json``.

::

    "qdrant_static_migration": {
      "version": 1, "alias": "articles", "blue": "articles__v1", "green": "articles__v2",
      "phase": "building", "started": "...", "changed": "...", "by": "process 12 on host",
      "source": {...}, "encoder": "...", "gates": [...], "switched": null
    }

On a server a migration begins with green's creation, which has the state in its metadata: of two
processes that try, only one can create the collection. The phase says what was begun; what the
alias points at says whether it was done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from qdrant_static.clients.connect import is_embedded
from qdrant_static.clients.statefolder import default_state
from qdrant_static.collection.generations import read_metadata
from qdrant_static.edge.directory import STATE_FOLDER
from qdrant_static.errors import (
    CollectionNotFoundError,
    MigrationRunningError,
    MigrationStepError,
    StorageError,
)
from qdrant_static.files import make_private, replace_file, this_process

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: The key of the state in green's metadata, and in the file.
KEY = "qdrant_static_migration"
FILE = "migration.json"
VERSION = 1

Phase = Literal[
    "building", "replaying", "verified", "switching", "switched", "returning", "rolled_back",
    "retiring", "retired", "aborting",
]  # fmt: skip
PHASES: tuple[Phase, ...] = get_args(Phase)
#: Phases of a migration that is over; another may begin.
OVER: tuple[Phase, ...] = ("retired",)

Step = Literal["build", "verify", "cutover", "rollback", "retire", "abort"]
#: The phases in which a step is possible. A step that crashed may be repeated.
STEPS: Mapping[Step, tuple[Phase, ...]] = {
    "build": ("building", "replaying", "verified"),
    "verify": ("replaying", "verified", "rolled_back"),
    "cutover": ("verified", "switching", "switched"),
    "rollback": ("switching", "switched", "returning", "rolled_back"),
    "retire": ("switched", "retiring", "retired"),
    "abort": (
        "building",
        "replaying",
        "verified",
        "switching",
        "returning",
        "rolled_back",
        "aborting",
    ),
}
#: What to do next, by phase.
NEXT: Mapping[Phase, str] = {
    "building": "repeat `migrate start {alias}`: it continues where it stopped",
    "replaying": "`migrate verify {alias}`",
    "verified": "`migrate cutover {alias}`",
    "switching": "repeat `migrate cutover {alias}`, or `migrate rollback {alias}`",
    "switched": "watch it; then `migrate retire {alias}`, or `migrate rollback {alias}`",
    "returning": "repeat `migrate rollback {alias}`",
    "rolled_back": "`migrate verify {alias}` and `migrate cutover {alias}` once more, or "
    "`migrate abort {alias}`",
    "retiring": "repeat `migrate retire {alias}`",
    "retired": "nothing: it is over",
    "aborting": "repeat `migrate abort {alias}`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationState:
    """The state of a migration.

    Attributes:
        alias: The alias.
        blue: The collection that the alias pointed at when the migration began.
        green: The new collection.
        phase: The phase that was begun last.
        started: When the migration began, ISO 8601.
        changed: When the state was last written, in seconds since 1970.
        by: The process that wrote it.
        source: ``{"kind": "collection"}``, or ``{"kind": "files", "paths": [...], ...}``.
        encoder: Green's encoder: name, fingerprint, and the fingerprint of an encoder of queries.
        frozen: Whether the applications promised not to write.
        journal: The identity of its applications' journal.
        journal_place: Where that journal is, for jobs; empty if an earlier version began.
        gates: The gates of the last verification.
        switched: When the alias was last moved, in seconds since 1970.
        writers: The jobs that had written to blue directly when green was last filled, each with
            the time when it began; None in a migration that an earlier version began.
    """

    alias: str
    blue: str
    green: str
    phase: Phase = "building"
    started: str = ""
    changed: float = 0.0
    by: str = ""
    source: Mapping[str, Any]
    encoder: Mapping[str, str]
    frozen: bool = False
    journal: str = ""
    journal_place: str = ""
    gates: Sequence[Mapping[str, Any]] = ()
    switched: float | None = None
    writers: Mapping[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data."""
        return {"version": VERSION, **asdict(self), "gates": [dict(gate) for gate in self.gates]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Make one of what `to_dict` returned.

        Raises:
            MigrationStepError: If a later version of this package wrote it.
        """
        if data.get("version") != VERSION:
            raise MigrationStepError(
                alias=str(data.get("alias")),
                step="reading the state",
                phase=str(data.get("phase")),
                problem=f"it was written in version {data.get('version')}: upgrade qdrant-static",
            )
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})

    @property
    def is_over(self) -> bool:
        """Whether another migration of the alias may begin."""
        return self.phase in OVER

    @property
    def what_next(self) -> str:
        """What to do next."""
        return NEXT[self.phase].format(alias=self.alias)

    def check(self, step: Step) -> None:
        """Refuse a step that is not possible now.

        Raises:
            MigrationStepError: It says which step is next.
        """
        if self.phase not in STEPS[step]:
            raise MigrationStepError(
                alias=self.alias, step=step, phase=self.phase, problem=f"next is {self.what_next}"
            )

    def at(self, phase: Phase, **changes: Any) -> Self:
        """Return the state in another phase."""
        return replace(self, phase=phase, **changes)


def write_state(client: Client, state: MigrationState) -> MigrationState:
    """Store a state; return it with the time and the process that wrote it."""
    written = replace(state, changed=time.time(), by=this_process())
    if is_embedded(client):
        path = _file(client, state.alias)
        make_private(path.parent)
        replace_file(path, json.dumps({KEY: written.to_dict()}, indent=2).encode())
    else:
        client.update_collection(state.green, metadata={KEY: written.to_dict()})
    return written


def forget_state(client: Client, state: MigrationState) -> None:
    """Delete a state; on a server it is deleted with green."""
    if is_embedded(client):
        _file(client, state.alias).unlink(missing_ok=True)
    elif client.collection_exists(state.green):
        client.update_collection(state.green, metadata={KEY: None})


def find_states(client: Client, alias: str | None = None) -> list[MigrationState]:
    """Return all stored states, of one alias or of all, the oldest first."""
    states = _in_files(client) if is_embedded(client) else _in_metadata(client)
    chosen = [state for state in states if alias is None or state.alias == alias]
    return sorted(chosen, key=lambda state: state.started)


def running_state(client: Client, alias: str) -> MigrationState | None:
    """Return the migration of an alias that is not over; None if there is none."""
    states = [state for state in find_states(client, alias) if not state.is_over]
    return states[-1] if states else None


def _in_metadata(client: Client) -> list[MigrationState]:
    states = []
    for description in client.get_collections().collections:
        try:
            data = read_metadata(client, description.name).get(KEY)
        except CollectionNotFoundError:  # deleted since the list was read
            continue
        if data:
            states.append(MigrationState.from_dict(data))
    return states


def _in_files(client: Client) -> list[MigrationState]:
    states = []
    for path in sorted((_root(client) / STATE_FOLDER).glob(f"*/{FILE}")):
        try:
            states.append(MigrationState.from_dict(json.loads(path.read_bytes())[KEY]))
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(path=str(path), problem=f"cannot be read ({error})") from error
    return states


def _root(client: Client) -> Path:
    return Path(client.path)  # type: ignore[union-attr]


def _file(client: Client, alias: str) -> Path:
    return default_state(client, alias) / FILE


def running_error(state: MigrationState) -> MigrationRunningError:
    """Make the error for a process that would interfere with a migration under way."""
    return MigrationRunningError(
        alias=state.alias, green=state.green, phase=state.phase, owner=state.by
    )
