"""Reads the points of a collection page by page, and counts them, with retries."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.retry import RetryPolicy, call_with_retries

if TYPE_CHECKING:
    from qdrant_client import models

    from qdrant_static.clients.connect import Client

#: Points in a page; with vectors of 1,024 dimensions, 2 MB.
PAGE = 500


def pages(
    client: Client,
    collection: str,
    *,
    where: models.Filter | None = None,
    offset: Any = None,
    limit: int = PAGE,
    with_payload: bool | list[str] = False,
    with_vectors: bool | list[str] = False,
    operation: str = "reading points",
    retry: RetryPolicy | None = None,
) -> Iterator[list[models.Record]]:
    """Yield all points of a collection, page by page, in the order of their ids.

    Args:
        client: The client of a server, or an `EdgeClient`.
        collection: The collection.
        where: Only points that match this filter.
        offset: The id to start from; None for the first.
        limit: How many points a page has at most.
        with_payload: Whether payloads are read, or which fields.
        with_vectors: Whether vectors are read, or which of them.
        operation: What the request is for, for messages.
        retry: When to retry, and when to give up.

    Raises:
        QdrantStaticError: As `call_with_retries`.
    """
    while True:
        points, offset = call_with_retries(
            client,
            collection,
            operation,
            partial(
                client.scroll,
                collection,
                scroll_filter=where,
                limit=limit,
                offset=offset,
                with_payload=with_payload,
                with_vectors=with_vectors,
            ),
            retry=retry,
        )
        if points:
            yield points
        if offset is None:
            return


def exact_count(client: Client, collection: str) -> int:
    """Return the exact number of points; raises as `call_with_retries` does."""
    return call_with_retries(
        client,
        collection,
        "counting points",
        lambda: int(client.count(collection, exact=True).count),
    )
