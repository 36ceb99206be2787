"""Bulk loads into a server: indexing deferred and restored in every case, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.clients.connect import is_remote
from qdrant_static.clients.failures import Verdict, failure_of
from qdrant_static.clients.retry import call_with_retries
from qdrant_static.errors import EngineError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: Under this prefix and the collection's name a note lies while indexing is deferred.
NOTE = "indexing_threshold:"
#: What servers take where a collection says nothing, in KB of vectors per segment.
_DEFAULT_THRESHOLD = 10_000
#: How often a server is asked whether it has finished indexing, in seconds.
_POLL_S = 0.2


@contextmanager
def deferred_indexing(
    client: Client, collection: str, notes: MutableMapping[str, Any]
) -> Iterator[None]:
    """Have a server build no index while points come in; afterwards it builds them all at once.

    What the collection had is noted before it is changed, so that the next run restores it if
    this one never gets to: call `restore_indexing` at the start of every run.

    Args:
        client: Of a server; an embedded collection builds no index by itself, and is left alone.
        collection: Which one.
        notes: A durable place: what is set in it must be on disk when the assignment returns.
    """
    restore_indexing(client, collection, notes)
    if not is_remote(client):
        yield
        return
    threshold = client.get_collection(collection).config.optimizer_config.indexing_threshold
    if threshold == 0:  # somebody else's choice; it stays
        yield
        return
    notes[NOTE + collection] = threshold
    try:
        _set_threshold(client, collection, 0)
        yield
    finally:
        restore_indexing(client, collection, notes)


def restore_all_indexing(client: Client, notes: MutableMapping[str, Any]) -> None:
    """Restore what earlier runs deferred, in whichever collection: an alias may have been moved."""
    for name in [one.removeprefix(NOTE) for one in notes if one.startswith(NOTE)]:
        restore_indexing(client, name, notes)


def restore_indexing(client: Client, collection: str, notes: MutableMapping[str, Any]) -> bool:
    """Restore what an earlier run deferred and did not restore.

    Args:
        client: Of a server, or an `EdgeClient`.
        collection: Which one; it may be gone.
        notes: The same place that `deferred_indexing` was given.

    Returns:
        Whether there was something to restore.
    """
    name = NOTE + collection
    if name not in notes:
        return False
    if client.collection_exists(collection):
        threshold = notes[name]
        _set_threshold(client, collection, _DEFAULT_THRESHOLD if threshold is None else threshold)
    del notes[name]
    return True


def _set_threshold(client: Client, collection: str, threshold: int) -> None:
    client.update_collection(
        collection,
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=threshold),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexProgress:
    """How far a server is with its indexes.

    Attributes:
        ready: All that is to be indexed is.
        status: The collection's: ``green``, ``yellow`` (at work), ``grey`` (it will go on with
            the next change), ``red`` (an error).
        queued_points: Points in segments that wait; None where the server does not tell.
        running_points: Points in segments at work; None where the server does not tell.
        fraction: How much of the segments at work is done, 0.0 to 1.0; None if nobody knows.
    """

    ready: bool
    status: str
    queued_points: int | None = None
    running_points: int | None = None
    fraction: float | None = None


def index_progress(client: Client, collection: str) -> IndexProgress:
    """Ask a server how far its indexes are.

    Newer servers tell it in detail, over REST; of others only the status is known.

    Args:
        client: Of a server, or an `EdgeClient`.
        collection: Which one.
    """
    status = client.get_collection(collection).status
    ready = status == models.CollectionStatus.GREEN
    report = _optimizations(client, collection) if is_remote(client) else None
    if report is None:
        return IndexProgress(ready=ready, status=status.value)
    running = sum(segment.points_count for one in report.running for segment in one.segments)
    counted = [part for one in report.running for part in _counted(one.progress)]
    total = sum(of for _, of in counted)
    return IndexProgress(
        ready=ready and not report.running and not report.summary.queued_optimizations,
        status=status.value,
        queued_points=report.summary.queued_points,
        running_points=running,
        fraction=sum(done for done, _ in counted) / total if total else None,
    )


def wait_for_indexes(
    client: Client,
    collection: str,
    *,
    told: Callable[[IndexProgress], None] | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Return when a server has indexed all that it is to index.

    A server that was restarted goes on with its indexes only when the collection is changed next:
    until then it is ``grey``. It is given a change that changes nothing.

    Args:
        client: Of a server.
        collection: Which one.
        told: Hears how far it is, several times a second.
        wait: How to wait, in seconds.

    Raises:
        EngineError: If the server cannot index the collection.
        ServerUnavailableError: If it did not answer for too long.
    """
    while True:
        progress = call_with_retries(
            client,
            collection,
            "asking for the state of the indexes",
            lambda: index_progress(client, collection),
        )
        if told is not None:
            told(progress)
        if progress.ready:
            return
        if progress.status == models.CollectionStatus.RED.value:
            status = client.get_collection(collection).optimizer_status
            raise EngineError(operation=f"indexing {collection!r}", problem=f"the server: {status}")
        if progress.status == models.CollectionStatus.GREY.value:
            client.update_collection(collection, optimizers_config=models.OptimizersConfigDiff())
        wait(_POLL_S)


def _optimizations(client: Any, collection: str) -> models.OptimizationsResponse | None:
    """The server's report; None from a server that has none to give."""
    try:
        report: models.OptimizationsResponse = client.get_optimizations(collection)
    except Exception as error:
        failure = failure_of(error)
        # Without the endpoint a server says 404 or 405; a REST port may be closed to the outside.
        if failure is None or failure.verdict is Verdict.DENIED:
            raise
        return None
    return report


def _counted(tree: models.ProgressTree) -> Iterator[tuple[int, int]]:
    """What is counted in a tree of steps: done, and of how many."""
    if tree.done is not None and tree.total:
        yield tree.done, tree.total
    for child in tree.children or ():
        yield from _counted(child)
