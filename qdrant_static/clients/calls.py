"""Calls of a server with patience, and its errors as ours."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from qdrant_static.clients.retry import Failure, RetryPolicy, Verdict, failure_of
from qdrant_static.clients.serverversion import is_remote
from qdrant_static.errors import (
    AccessDeniedError,
    CollectionNotFoundError,
    EngineError,
    PointError,
    QdrantStaticError,
    ServerUnavailableError,
)

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.clients.connect import Client

T = TypeVar("T")
#: For the first call of a job: a wrong address should not take minutes to be told.
FIRST_CONTACT = RetryPolicy(budget_s=10.0)
#: How a server says that a point to be changed is not there.
_NO_POINT = re.compile(r"No point with id (\S+) found")


def patiently(
    client: Client,
    collection: str,
    operation: str,
    call: Callable[[], T],
    *,
    retry: RetryPolicy | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> T:
    """Call a server, again if it was away; an embedded collection is called once.

    Args:
        client: Whose method ``call`` uses.
        collection: Which collection it is about.
        operation: What it does, for messages, such as "counting points".
        call: The call; doing it twice must leave what doing it once leaves.
        retry: When to try again, and when to give up.
        wait: How to wait, in seconds.

    Raises:
        ServerUnavailableError: If the server did not answer for too long.
        AccessDeniedError: If it refuses the key.
        CollectionNotFoundError: If the collection is not there.
        PointError: If a point to be changed is not there.
        EngineError: If it refuses the call, or fails in another way.
    """
    if not is_remote(client):
        return call()
    policy = retry or RetryPolicy()
    begun = time.monotonic()
    failures = 0
    while True:
        try:
            return call()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            cause = error
        if failure.verdict is not Verdict.AGAIN:
            raise final_error(client, collection, operation, failure) from cause  # type: ignore[arg-type]
        failures += 1
        pause = policy.wait_s(failures, failure.retry_after_s)
        waited = time.monotonic() - begun
        if waited + pause > policy.budget_s:
            raise unavailable(client, failure, tried=failures, waited_s=waited) from cause  # type: ignore[arg-type]
        wait(pause)


def exact_count(client: Client, collection: str) -> int:
    """How many points there are, exactly; raises as `patiently` does."""
    return patiently(
        client,
        collection,
        "counting points",
        lambda: int(client.count(collection, exact=True).count),
    )


def final_error(
    client: QdrantClient, collection: str, operation: str, failure: Failure
) -> QdrantStaticError:
    """What repeating does not help with."""
    problem = without_secrets(client, failure.problem)
    where = address(client)
    if failure.verdict is Verdict.DENIED:
        return AccessDeniedError(where=where, problem=problem)
    if point := _NO_POINT.search(problem):
        name = point[1]
        return PointError(point=int(name) if name.isdigit() else name, problem="it is not there")
    if failure.verdict is Verdict.MISSING and not _is_there(client, collection):
        return CollectionNotFoundError(
            collection=collection, where=where, collections=_collections(client)
        )
    return EngineError(operation=f"{operation} in {collection!r} at {where}", problem=problem)


def unavailable(
    client: QdrantClient, failure: Failure, *, tried: int, waited_s: float
) -> ServerUnavailableError:
    """The end of patience."""
    return ServerUnavailableError(
        where=address(client),
        problem=without_secrets(client, failure.problem),
        tried=tried,
        waited_s=waited_s,
    )


def names_something_else(client: QdrantClient, collection: str, failure: Failure) -> bool:
    """Whether something is missing, and it is not the collection."""
    return failure.verdict is Verdict.MISSING and _is_there(client, collection)


def address(client: QdrantClient) -> str:
    """Where the server is, without anything secret in it."""
    options = client.init_options
    given = options.get("url") or options.get("location") or options.get("host") or "localhost"
    text = str(given)
    parts = urlsplit(text if "://" in text else f"http://{text}")
    port = parts.port or options.get("port") or 6333
    return f"{parts.scheme}://{parts.hostname}:{port}"


def without_secrets(client: QdrantClient, text: str) -> str:
    """A server's words without the client's key and headers, should it repeat them."""
    options = client.init_options
    for secret in [options.get("api_key"), *(options.get("headers") or {}).values()]:
        if secret:
            text = text.replace(str(secret), "***")
    return text


def _is_there(client: QdrantClient, collection: str) -> bool:
    try:
        return bool(client.collection_exists(collection))
    except Exception:  # then it is missing, as far as anybody knows
        return False


def _collections(client: QdrantClient) -> tuple[str, ...]:
    try:
        return tuple(one.name for one in client.get_collections().collections)
    except Exception:  # the list only helps
        return ()
