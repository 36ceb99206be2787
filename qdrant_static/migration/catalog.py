"""Lists collections with their aliases and migrations, and deletes those that nothing needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.aliases import aliases_of
from qdrant_static.clients.connect import address, check_client
from qdrant_static.clients.scroll import exact_count
from qdrant_static.clients.statefolder import StateFolder, default_state
from qdrant_static.collection.generations import read_metadata, split_name
from qdrant_static.collection.migrationstate import find_states
from qdrant_static.collection.spec import METADATA_KEY
from qdrant_static.edge.directory import CREATED_KEY
from qdrant_static.errors import (
    CollectionInUseError,
    CollectionLockedError,
    CollectionNotFoundError,
)
from qdrant_static.measuring.measurement import disk_bytes

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: The files of jobs in their state folder; other files are kept.
_JOB_FILES = (
    "ledger.sqlite*", "rejects-*.jsonl", "retry-*.jsonl", "manifest-*.json", "lock",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionLine:
    """One collection in a list.

    Attributes:
        name: The collection's name.
        aliases: The aliases that point at it.
        number: The number of its generation, if its name has one.
        encoder: The encoder that filled it, if its metadata says so.
        created: When it was created, ISO 8601; None if that was not noted.
        rows: The exact number of points; None where another process has it open.
        disk_bytes: Its size on disk; None for a server's, which does not say.
        migration: The phase of the migration whose new generation it is.
        open_elsewhere: Whether another process has it open.
    """

    name: str
    aliases: tuple[str, ...]
    number: int | None
    encoder: str | None
    created: str | None
    rows: int | None
    disk_bytes: int | None
    migration: str | None
    open_elsewhere: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data."""
        return asdict(self)


def list_collections(client: Client) -> list[CollectionLine]:
    """Return all collections, with the generations of an alias next to each other."""
    check_client(client, "list_collections(client)")
    migrations = {state.green: state for state in find_states(client)}
    aliases: dict[str, list[str]] = {}
    for alias, target in aliases_of(client).items():
        aliases.setdefault(target, []).append(alias)
    lines = []
    for name in _names(client):
        try:
            metadata = read_metadata(client, name)
        except CollectionNotFoundError:  # deleted since the list was read
            continue
        migration = migrations.get(name)
        rows, locked = None, False
        try:
            rows = exact_count(client, name)
        except CollectionLockedError:
            locked = True
        spec = metadata.get(METADATA_KEY) or {}
        lines.append(
            CollectionLine(
                name=name,
                aliases=tuple(sorted(aliases.get(name, ()))),
                number=split_name(name)[1],
                encoder=(spec.get("encoder") or {}).get("name"),
                created=metadata.get(CREATED_KEY) or (migration.started if migration else None),
                rows=rows,
                disk_bytes=disk_bytes(client, name),
                migration=None if migration is None else migration.phase,
                open_elsewhere=locked,
            )
        )
    return sorted(lines, key=lambda line: (split_name(line.name)[0], line.number or 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletable:
    """A collection that nothing points at.

    Attributes:
        collection: Its name.
        points: The exact number of its points.
        state: The state folder of its jobs; None if there is none.
    """

    collection: str
    points: int
    state: Path | None


def check_deletable(client: Client, collection: str, *, state: Path | None = None) -> Deletable:
    """Check whether a collection may be deleted; nothing is changed.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: Its name, not an alias.
        state: The state folder of its jobs; None for the default one.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        CollectionInUseError: If it is an alias, an alias points at it, or a migration needs it.
    """
    aliases = aliases_of(client)
    if collection in aliases:
        raise CollectionInUseError(
            collection=collection,
            problem=f"it is an alias, of {aliases[collection]!r}: name the collection itself",
        )
    names = _names(client)
    if collection not in names:
        raise CollectionNotFoundError(
            collection=collection, where=address(client), collections=tuple(sorted(names))
        )
    pointing = sorted(alias for alias, target in aliases.items() if target == collection)
    if pointing:
        which = ", ".join(map(repr, pointing))
        raise CollectionInUseError(
            collection=collection,
            problem=f"the alias {which} points at it: point it elsewhere, or delete it, first",
        )
    for one in find_states(client):
        if not one.is_over and collection in (one.blue, one.green):
            raise CollectionInUseError(
                collection=collection,
                problem=f"a migration of {one.alias!r} from {one.blue!r} to {one.green!r} is under "
                f"way (phase {one.phase}); next is {one.what_next}, or `migrate abort`",
            )
    folder = state or default_state(client, collection)
    return Deletable(
        collection=collection,
        points=exact_count(client, collection),
        state=folder if folder.is_dir() else None,
    )


def delete_collection(
    client: Client, collection: str, *, state: Path | None = None, keep_state: bool = False
) -> bool:
    """Delete a collection, and the ledger, rejects files and manifests of its jobs.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: Its name, not an alias.
        state: The state folder of its jobs; None for the default one.
        keep_state: Keep the files of its jobs. A later collection of that name continues the same
            ledger.

    Returns:
        Whether the state folder is gone, too.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        CollectionInUseError: If it is an alias, an alias points at it, or a migration needs it.
        JobRunningError: If a job of it is running.
        CollectionLockedError: If another process has it open.
    """
    check_client(client, "delete_collection(client, collection)")
    folder = check_deletable(client, collection, state=state).state
    if folder is None:
        client.delete_collection(collection)
        return True
    with StateFolder(folder, collection):
        client.delete_collection(collection)
        if keep_state:
            return False
        for pattern in _JOB_FILES:
            for path in folder.glob(pattern):
                path.unlink(missing_ok=True)
    if any(folder.iterdir()):
        return False
    folder.rmdir()
    return True


def _names(client: Client) -> list[str]:
    return [one.name for one in client.get_collections().collections]
