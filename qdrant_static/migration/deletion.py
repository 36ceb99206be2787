"""Deletes a collection and the files of its jobs, unless something still needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdrant_static.clients.aliases import aliases_of
from qdrant_static.clients.statefolder import State, default_state
from qdrant_static.collection.migrationstate import find_states
from qdrant_static.errors import CollectionInUseError, CollectionNotFoundError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: What jobs leave in their folder; what else is there is not theirs, and stays.
_OWN_FILES = (
    "ledger.sqlite*", "rejects-*.jsonl", "retry-*.jsonl", "manifest-*.json", "lock",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletable:
    """A collection that nothing points at.

    Attributes:
        collection: Its name.
        points: Exact count.
        state: The folder of its jobs; None if there is none.
    """

    collection: str
    points: int
    state: Path | None


def check_deletable(client: Client, collection: str, *, state: Path | None = None) -> Deletable:
    """Look whether a collection may be deleted; nothing is changed.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: Its name; an alias is none.
        state: The folder of its jobs; None takes the usual one.

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
    names = [one.name for one in client.get_collections().collections]
    if collection not in names:
        where = str(getattr(client, "path", "the server"))
        raise CollectionNotFoundError(
            collection=collection, where=where, collections=tuple(sorted(names))
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
        points=int(client.count(collection, exact=True).count),
        state=folder if folder.is_dir() else None,
    )


def delete_collection(
    client: Client,
    collection: str | Deletable,
    *,
    state: Path | None = None,
    keep_state: bool = False,
) -> bool:
    """Delete a collection, and the ledger, rejects files and manifests of its jobs.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: Its name, or what `check_deletable` returned for it.
        state: The folder of its jobs; None takes the usual one.
        keep_state: Leave the files of its jobs; a later collection of that name begins anew in
            the same ledger.

    Returns:
        Whether the folder of its jobs is gone, too.

    Raises:
        JobRunningError: If a job of it is running.
        CollectionLockedError: If another process has it open.
        CollectionNotFoundError: If there is no such collection.
        CollectionInUseError: If it is an alias, an alias points at it, or a migration needs it.
    """
    found = (
        collection
        if isinstance(collection, Deletable)
        else check_deletable(client, collection, state=state)
    )
    if found.state is None:
        client.delete_collection(found.collection)
        return True
    with State(found.state, found.collection):
        client.delete_collection(found.collection)
        if keep_state:
            return False
        for pattern in _OWN_FILES:
            for path in found.state.glob(pattern):
                path.unlink(missing_ok=True)
    if any(found.state.iterdir()):
        return False
    found.state.rmdir()
    return True
