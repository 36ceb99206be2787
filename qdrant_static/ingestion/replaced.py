"""What a job asks for where a migration has put another generation in the place of the one it knew.

A job names an encoder and a layout for the collection that it makes. After a cut-over its alias
stands for another collection, and after a rollback for the first one again. A job that asks for
what one of these generations is goes on with the one that serves; any other difference is refused.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qdrant_static.collection.migrationcheck import other_generations
from qdrant_static.collection.specdiff import compare

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.registry import AnyEncoder


def asked_before(
    client: Client,
    collection: str,
    there: CollectionSpec,
    *,
    spec: CollectionSpec | None,
    encoder: AnyEncoder | None,
) -> CollectionSpec | None:
    """The other generation that a job asks for; None if it asks for what is there, or for neither.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection that serves.
        there: Its spec.
        spec: What the job asks for; None if it leaves that open.
        encoder: The encoder that it names, or its name; a name is not loaded for this.
    """
    asked = None if spec == there else spec
    if _is(there, asked, encoder):
        return None
    others = other_generations(client, collection)
    return next((one for one in others if _is(one, asked, encoder)), None)


def replaced_note(there: CollectionSpec, collection: str, asked: str) -> str:
    """Describe that a job goes on with another generation than it asks for."""
    return (
        f"{asked!r} stands for {collection!r} by a migration: its encoder ({there.encoder.name}) "
        "and layout are taken, and not those that the job asks for, which are those of another "
        "generation (`pinned` refuses this)"
    )


def _is(one: CollectionSpec, spec: CollectionSpec | None, encoder: AnyEncoder | None) -> bool:
    """Whether a generation has the layout and the encoder, as far as they are said."""
    if isinstance(encoder, str | os.PathLike):
        fits = os.fspath(encoder) == one.encoder.name
    else:
        fits = encoder is None or encoder.info.fingerprint == one.encoder.fingerprint
    return fits and (spec is None or not compare(one, spec))
