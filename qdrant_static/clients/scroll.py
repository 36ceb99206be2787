"""Reads the points of a collection page by page, and counts them, with retries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.retry import RetryPolicy, call_with_retries

if TYPE_CHECKING:
    from qdrant_client import models

    from qdrant_static.clients.connect import Client

#: Points in a page; with vectors of 1,024 dimensions, 2 MB.
PAGE = 500


def page(
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
) -> tuple[list[models.Record], Any]:
    """Read one page of points, in the order of their ids.

    Args:
        client: The client of a server, or an `EdgeClient`.
        collection: The collection.
        where: Only points that match this filter.
        offset: The id to start from; None for the first.
        limit: How many points the page has at most.
        with_payload: Whether payloads are read, or which fields.
        with_vectors: Whether vectors are read, or which of them.
        operation: What the request is for, for messages.
        retry: When to retry, and when to give up.

    Returns:
        The points, and the offset of the next page; None after the last one.

    Raises:
        QdrantStaticError: As `call_with_retries`.
    """
    return call_with_retries(
        client,
        collection,
        operation,
        lambda: client.scroll(
            collection,
            scroll_filter=where,
            limit=limit,
            offset=offset,
            with_payload=with_payload,
            with_vectors=with_vectors,
        ),
        retry=retry,
    )


def pages(client: Client, collection: str, **options: Any) -> Iterator[list[models.Record]]:
    """Yield all points of a collection page by page, in the order of their ids.

    Args:
        client: The client of a server, or an `EdgeClient`.
        collection: The collection.
        options: As for `page`.

    Raises:
        QdrantStaticError: As `call_with_retries`.
    """
    while True:
        points, options["offset"] = page(client, collection, **options)
        if points:
            yield points
        if options["offset"] is None:
            return


def exact_count(client: Client, collection: str) -> int:
    """Return the exact number of points; raises as `call_with_retries` does."""
    return call_with_retries(
        client,
        collection,
        "counting points",
        lambda: int(client.count(collection, exact=True).count),
    )
