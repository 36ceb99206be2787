"""Checks whether a collection is part of a migration, before it is written to or changed.

On a folder the states of migrations are files. On a server green's metadata holds the state, and
blue's metadata has a pointer to green, so that a job needs only one request, for its own
collection. The pointer is written before the first row is read for green; green may have been
deleted since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_static.clients.aliases import resolve_alias
from qdrant_static.clients.connect import is_embedded
from qdrant_static.collection.generations import read_metadata
from qdrant_static.collection.migrationstate import KEY, MigrationState, find_states
from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec
from qdrant_static.errors import CollectionNotFoundError, MigrationWritesError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: In blue's metadata: the name of green.
POINTER_KEY = "qdrant_static_green"
#: In green's metadata: the specs of the generations before it, the latest first.
EARLIER_KEY = "qdrant_static_earlier"
_KEPT_GENERATIONS = 5


def under_way(client: Client, name: str) -> MigrationState | None:
    """Return the migration that a collection (or that of an alias) is part of; else None.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        name: A collection or an alias.
    """
    if is_embedded(client):
        target = resolve_alias(client, name)
        for state in find_states(client):
            if not state.is_over and (name == state.alias or target in (state.blue, state.green)):
                return state
        return None
    metadata = metadata_of(client, name)
    green = str(metadata.get(POINTER_KEY) or "")
    current = _state(metadata) or _state(metadata_of(client, green))
    return None if current is None or current.is_over else current


def other_generations(client: Client, collection: str) -> list[CollectionSpec]:
    """Return the specs of earlier generations, and of the other one of a migration."""
    data = list(metadata_of(client, collection).get(EARLIER_KEY) or ())
    state = under_way(client, collection)
    for name in () if state is None else (state.blue, state.green):
        if name != collection:
            data.append(metadata_of(client, name).get(METADATA_KEY))
    return [CollectionSpec.from_dict(spec) for spec in data if spec]


def earlier(client: Client, blue: str) -> list[dict[str, Any]]:
    """Return the specs of blue and of earlier generations, the latest first, for green."""
    metadata = metadata_of(client, blue)
    specs = [metadata.get(METADATA_KEY), *(metadata.get(EARLIER_KEY) or ())]
    return [spec for spec in specs if spec][:_KEPT_GENERATIONS]


def refuse_layout_change(client: Client, name: str, change: str) -> None:
    """Refuse to change the layout of a generation that a migration compares or replaces.

    After the cut-over the new generation may be changed.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        name: A collection or an alias.
        change: The change, as the beginning of a sentence.

    Raises:
        MigrationWritesError: If it is such a generation.
    """
    state = under_way(client, name)
    if state is None:
        return
    target = resolve_alias(client, name)
    if target == state.green == resolve_alias(client, state.alias):
        return
    raise refusal(
        state,
        target,
        f"{change} now would be lost at the cut-over, or be unknown to the gates. Finish the "
        "migration (`migrate cutover`, `migrate retire`) or give it up (`migrate abort`) first; "
        "the layout of the new generation is set by `migrate start --spec`",
    )


def refusal(state: MigrationState, collection: str, problem: str) -> MigrationWritesError:
    """Make the error for a collection that is part of a migration."""
    return MigrationWritesError(
        collection=collection,
        alias=state.alias,
        blue=state.blue,
        green=state.green,
        phase=state.phase,
        problem=problem,
    )


def metadata_of(client: Client, name: str) -> dict[str, Any]:
    """Return the metadata of a collection, or an alias's collection; empty if it is missing."""
    if not name:
        return {}
    if is_embedded(client):
        name = resolve_alias(client, name)
    try:
        return dict(read_metadata(client, name))
    except CollectionNotFoundError:  # it is not created yet, or was deleted
        return {}


def _state(metadata: dict[str, Any]) -> MigrationState | None:
    data = metadata.get(KEY)
    return None if not data else MigrationState.from_dict(data)
