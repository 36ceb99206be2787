"""All collections, with what points at them, who filled them and what a migration says of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.aliases import aliases_of
from qdrant_static.collection.generationnames import read_metadata, split_name
from qdrant_static.collection.migrationstate import find_states
from qdrant_static.collection.spec import METADATA_KEY
from qdrant_static.edge.directory import CREATED_KEY
from qdrant_static.errors import CollectionLockedError, CollectionNotFoundError
from qdrant_static.measuring.measurement import disk_bytes

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionLine:
    """One collection, as a list of them shows it.

    Attributes:
        name: The collection's name.
        aliases: What points at it.
        number: Of its generation, if its name has one.
        encoder: Who filled it, if its metadata says so.
        created: When, ISO 8601; None if that was not noted (by others, or an earlier version).
        rows: Points, exactly; None where another process has it open.
        disk_bytes: What it takes on disk; None for a server's, which does not tell.
        migration: The phase of the migration that it is the green side of.
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
        """JSON-like data."""
        return asdict(self)


def list_collections(client: Client) -> list[CollectionLine]:
    """All collections with what is known of them, an alias's generations together."""
    migrations = {state.green: state for state in find_states(client)}
    by_target: dict[str, list[str]] = {}
    for alias, target in aliases_of(client).items():
        by_target.setdefault(target, []).append(alias)
    found = []
    for one in client.get_collections().collections:
        try:
            metadata = read_metadata(client, one.name)
        except CollectionNotFoundError:  # deleted since the list was read
            continue
        migration = migrations.get(one.name)
        rows, locked = None, False
        try:
            rows = int(client.count(one.name, exact=True).count)
        except CollectionLockedError:
            locked = True
        spec = metadata.get(METADATA_KEY) or {}
        found.append(
            CollectionLine(
                name=one.name,
                aliases=tuple(sorted(by_target.get(one.name, ()))),
                number=split_name(one.name)[1],
                encoder=(spec.get("encoder") or {}).get("name"),
                created=metadata.get(CREATED_KEY) or (migration.started if migration else None),
                rows=rows,
                disk_bytes=disk_bytes(client, one.name),
                migration=None if migration is None else migration.phase,
                open_elsewhere=locked,
            )
        )
    return sorted(found, key=lambda one: (split_name(one.name)[0], one.number or 0))
