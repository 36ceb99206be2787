"""Defers the indexing of a server during a bulk load, and waits until a collection is indexed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.clients.connect import is_embedded, is_remote
from qdrant_static.clients.failures import Verdict, failure_of
from qdrant_static.clients.retry import call_with_retries
from qdrant_static.errors import EngineError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: While indexing is deferred, a note exists under this prefix and the collection's name.
NOTE = "indexing_threshold:"
#: The server's default indexing threshold, in KB of vectors per segment.
_DEFAULT_THRESHOLD = 10_000
#: How often a server is asked whether it has finished indexing, in seconds.
_POLL_S = 0.2
#: How many consecutive answers must say that the indexes are ready.
_READY_ANSWERS = 2


@contextmanager
def deferred_indexing(
    client: Client, collection: str, notes: MutableMapping[str, Any]
) -> Iterator[None]:
    """Switch a server's indexing off while points are uploaded; afterwards it indexes all at once.

    The collection's own threshold is noted before it is changed, so that the next run can restore
    it if this one is killed: call `restore_indexing` at the start of every run.

    Args:
        client: The client of a server; an embedded collection does not index by itself, and is not
            changed.
        collection: The collection.
        notes: A durable mapping: an item must be on disk when its assignment returns.
    """
    restore_indexing(client, collection, notes)
    if not is_remote(client):
        yield
        return
    threshold = client.get_collection(collection).config.optimizer_config.indexing_threshold
    if threshold == 0:  # the user has switched indexing off: keep it so
        yield
        return
    notes[NOTE + collection] = threshold
    try:
        _set_threshold(client, collection, 0)
        yield
    finally:
        restore_indexing(client, collection, notes)


def restore_all_indexing(client: Client, notes: MutableMapping[str, Any]) -> None:
    """Restore what earlier runs deferred in any collection: an alias may have been moved since."""
    for name in [one.removeprefix(NOTE) for one in notes if one.startswith(NOTE)]:
        restore_indexing(client, name, notes)


def restore_indexing(client: Client, collection: str, notes: MutableMapping[str, Any]) -> bool:
    """Restore the threshold that an earlier run changed and did not restore.

    Args:
        client: The client of a server, or an `EdgeClient`.
        collection: The collection; it may no longer exist.
        notes: The same mapping that `deferred_indexing` was given.

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
    """How much of a collection a server has indexed.

    Attributes:
        ready: Whether everything that is to be indexed is indexed.
        status: The collection's status: ``green``, ``yellow`` (optimizing), ``grey`` (it goes on
            with the next change), ``red`` (an error).
        queued_points: Points in segments that wait for the optimizer; None if the server does not
            report it.
        running_points: Points in segments that are being optimized; None if the server does not
            report it.
        fraction: How much of the running segments is done, 0.0 to 1.0; None if it is not known.
    """

    ready: bool
    status: str
    queued_points: int | None = None
    running_points: int | None = None
    fraction: float | None = None


def index_progress(client: Client, collection: str) -> IndexProgress:
    """Ask how much of a collection is indexed.

    Newer servers report details, over REST; older ones only have a status.

    Args:
        client: The client of a server, or an `EdgeClient`.
        collection: The collection.
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


def wait_until_indexed(
    client: Client,
    collection: str,
    *,
    progress: Callable[[IndexProgress], None] | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> None:
    """Return when everything that is to be indexed is indexed; an embedded collection is built now.

    A server is ready when it says so in two consecutive answers: between two of its optimizations
    it may be idle for a moment. A server that was restarted goes on indexing only when the
    collection is changed next; until then its status is ``grey``. It is sent a change that changes
    nothing.

    Args:
        client: The client of a server, or an `EdgeClient`.
        collection: The collection.
        progress: Called with every answer of the server, several times a second.
        wait: Sleeps for a number of seconds.

    Raises:
        EngineError: If the server cannot index the collection: its status is ``red``.
        ServerUnavailableError: If the server does not answer for too long.
    """
    if is_embedded(client):
        client.optimize(collection)
        return
    ready_answers = 0
    while True:
        seen = call_with_retries(
            client,
            collection,
            "reading the state of the indexes",
            lambda: index_progress(client, collection),
        )
        if progress is not None:
            progress(seen)
        ready_answers = ready_answers + 1 if seen.ready else 0
        if ready_answers == _READY_ANSWERS:
            return
        if seen.status == models.CollectionStatus.RED.value:
            status = client.get_collection(collection).optimizer_status
            raise EngineError(operation=f"indexing {collection!r}", problem=f"the server: {status}")
        if seen.status == models.CollectionStatus.GREY.value:
            client.update_collection(collection, optimizers_config=models.OptimizersConfigDiff())
        wait(_POLL_S)


def _optimizations(client: Any, collection: str) -> models.OptimizationsResponse | None:
    """Ask for the report of the optimizers; None from a server without one."""
    try:
        report: models.OptimizationsResponse = client.get_optimizations(collection)
    except Exception as error:
        failure = failure_of(error)
        # A server without the endpoint answers 404 or 405; its REST port may not be reachable.
        if failure is None or failure.verdict is Verdict.DENIED:
            raise
        return None
    return report


def _counted(tree: models.ProgressTree) -> Iterator[tuple[int, int]]:
    """Yield what is counted in a tree of steps: how many are done, and of how many."""
    if tree.done is not None and tree.total:
        yield tree.done, tree.total
    for child in tree.children or ():
        yield from _counted(child)
