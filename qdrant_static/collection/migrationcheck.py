"""Whether a collection is part of a migration, for whoever is about to write to it or change it.

On a folder the states of migrations are files. On a server green's metadata holds the state, and
blue's has a pointer to green, so that a job finds out by one request, about its own collection.
The pointer is written before the first row is read for green; what it points at may be gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_static.clients.aliases import target_of
from qdrant_static.clients.connect import is_embedded
from qdrant_static.collection.generationnames import read_metadata
from qdrant_static.collection.migrationstate import KEY, MigrationState, find_states
from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec
from qdrant_static.errors import CollectionNotFoundError, MigrationWritesError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: In blue's metadata: the collection that is to take its place.
POINTER_KEY = "qdrant_static_green"
#: In green's metadata: the specs of the generations before it, the latest first.
EARLIER_KEY = "qdrant_static_earlier"
_KEPT_GENERATIONS = 5


def under_way(client: Client, name: str) -> MigrationState | None:
    """The migration that a collection, or what an alias stands for, is part of.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        name: A collection or an alias.
    """
    if is_embedded(client):
        target = target_of(client, name)
        for state in find_states(client):
            if not state.is_over and (name == state.alias or target in (state.blue, state.green)):
                return state
        return None
    there = metadata_of(client, name)
    found = _state(there) or _state(metadata_of(client, str(there.get(POINTER_KEY) or "")))
    return None if found is None or found.is_over else found


def other_generations(client: Client, collection: str) -> list[CollectionSpec]:
    """The specs of a collection's other generations: those before it, and one beside it."""
    data = list(metadata_of(client, collection).get(EARLIER_KEY) or ())
    state = under_way(client, collection)
    for name in () if state is None else (state.blue, state.green):
        if name != collection:
            data.append(metadata_of(client, name).get(METADATA_KEY))
    return [CollectionSpec.from_dict(one) for one in data if one]


def earlier(client: Client, blue: str) -> list[dict[str, Any]]:
    """What green's metadata keep of blue and of those before it, the latest first."""
    there = metadata_of(client, blue)
    known = [there.get(METADATA_KEY), *(there.get(EARLIER_KEY) or ())]
    return [one for one in known if one][:_KEPT_GENERATIONS]


def refuse_layout_change(client: Client, name: str, change: str) -> None:
    """Refuse to change the layout of a generation that a migration is about to judge or replace.

    After the cut-over the new generation may be changed: it serves.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        name: A collection or an alias.
        change: What is to be done, in words.

    Raises:
        MigrationWritesError: If it is one.
    """
    state = under_way(client, name)
    if state is None:
        return
    target = target_of(client, name)
    if target == state.green == target_of(client, state.alias):
        return
    raise refusal(
        state,
        target,
        f"{change} now would be lost at the cut-over, or not be seen by the gates. Finish the "
        "migration (`migrate cutover`, `migrate retire`) or give it up (`migrate abort`) first; "
        "the layout of the new generation is chosen by `migrate start --spec`",
    )


def refusal(state: MigrationState, collection: str, problem: str) -> MigrationWritesError:
    """The error for a collection that is part of a migration."""
    return MigrationWritesError(
        collection=collection,
        alias=state.alias,
        blue=state.blue,
        green=state.green,
        phase=state.phase,
        problem=problem,
    )


def metadata_of(client: Client, name: str) -> dict[str, Any]:
    """What a collection, or that of an alias, carries; nothing if it is not there."""
    if not name:
        return {}
    if is_embedded(client):
        name = target_of(client, name)
    try:
        return dict(read_metadata(client, name))
    except CollectionNotFoundError:  # a collection that is still to be made, or one that has gone
        return {}


def _state(metadata: dict[str, Any]) -> MigrationState | None:
    data = metadata.get(KEY)
    return None if not data else MigrationState.from_dict(data)
