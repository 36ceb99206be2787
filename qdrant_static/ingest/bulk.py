"""Bulk mode: a server indexes after the load, not during it.

What it was set to before is in the ledger before anything is changed, so that the next run of any
job on the collection restores it where a crash did not let this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.edge import EdgeClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qdrant_static.connect import Client

#: A server's default, in kilobytes.
_DEFAULT_THRESHOLD = 10_000


def settings(client: Client, collection: str) -> dict[str, Any] | None:
    """What is to be restored later; None where nothing indexes by itself."""
    if isinstance(client, EdgeClient) or not hasattr(client, "http"):
        return None
    optimizers = client.get_collection(collection).config.optimizer_config
    threshold = optimizers.indexing_threshold
    if threshold == 0:  # deferred already, by somebody who will know when to end it
        return None
    return {"indexing_threshold": _DEFAULT_THRESHOLD if threshold is None else threshold}


def defer(client: Client, collection: str) -> None:
    """Stop indexing."""
    _set(client, collection, {"indexing_threshold": 0})


def restore(client: Client, collection: str, before: Mapping[str, Any]) -> None:
    """Index again, as before."""
    _set(client, collection, before)


def _set(client: Client, collection: str, values: Mapping[str, Any]) -> None:
    client.update_collection(collection, optimizers_config=models.OptimizersConfigDiff(**values))
