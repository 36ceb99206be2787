"""Classifies failed requests: which are retried, and which of our errors the others become."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.connect import address, secrets_of
from qdrant_static.errors import (
    AccessDeniedError,
    CollectionNotFoundError,
    EngineError,
    PointError,
    QdrantStaticError,
)
from qdrant_static.redaction import redact

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: The server's message about a point that is to be changed and does not exist.
_NO_POINT = re.compile(r"No point with id (\S+) found")


class Verdict(Enum):
    """What a failed request means."""

    AGAIN = "again"  # it may or may not have been executed; it may be repeated
    REFUSED = "refused"  # something in the request is not acceptable
    DENIED = "denied"  # the API key does not allow it
    MISSING = "missing"  # what the request names does not exist
    BROKEN = "broken"  # anything else: repeating it does not help


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed request.

    Attributes:
        verdict: What it means.
        problem: The message of the server or of the connection.
        retry_after_s: The wait that the server asks for, in seconds; None if it asks for none.
        overload: Whether the server accepts no more requests for now, or none of this size.
        too_slow: Whether the request timed out.
    """

    verdict: Verdict
    problem: str
    retry_after_s: float | None = None
    overload: bool = False
    too_slow: bool = False


#: Verdicts by gRPC status code. INTERNAL is the server's own 500 over gRPC, and a connection that
#: breaks during a request may be reported as CANCELLED or UNKNOWN. An upsert may be repeated after
#: any of them, because it leaves the same points.
_GRPC = {
    "UNAVAILABLE": Verdict.AGAIN,
    "DEADLINE_EXCEEDED": Verdict.AGAIN,
    "RESOURCE_EXHAUSTED": Verdict.AGAIN,
    "INTERNAL": Verdict.AGAIN,
    "ABORTED": Verdict.AGAIN,
    "CANCELLED": Verdict.AGAIN,
    "UNKNOWN": Verdict.AGAIN,
    "INVALID_ARGUMENT": Verdict.REFUSED,
    "OUT_OF_RANGE": Verdict.REFUSED,  # a message above the server's limit
    "UNAUTHENTICATED": Verdict.DENIED,
    "PERMISSION_DENIED": Verdict.DENIED,
    "NOT_FOUND": Verdict.MISSING,
}

#: Verdicts by HTTP status; every status from 500 on may be retried.
_HTTP = {
    400: Verdict.REFUSED,
    401: Verdict.DENIED,
    403: Verdict.DENIED,
    404: Verdict.MISSING,
    408: Verdict.AGAIN,
    413: Verdict.REFUSED,  # a body above the server's limit
    422: Verdict.REFUSED,
    429: Verdict.AGAIN,
}


def failure_of(error: BaseException) -> Failure | None:
    """Return what an error of the client means; None if it is not about a request."""
    import grpc
    import httpx
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    if isinstance(error, ResourceExhaustedResponse):
        return Failure(
            verdict=Verdict.AGAIN,
            problem=str(error),
            retry_after_s=float(error.retry_after_s),
            overload=True,
        )
    if isinstance(error, grpc.RpcError) and hasattr(error, "code"):
        return _grpc_failure(error)
    if isinstance(error, UnexpectedResponse):
        return _http_failure(error.status_code or 0, error.content, error.reason_phrase)
    if isinstance(error, ResponseHandlingException):
        source = error.source
        transport = isinstance(source, httpx.TransportError)
        return Failure(
            verdict=Verdict.AGAIN if transport else Verdict.BROKEN,
            problem=f"{type(source).__name__}: {source}",
            too_slow=isinstance(source, httpx.TimeoutException),
        )
    return None


def final_error(
    client: Client, collection: str, operation: str, failure: Failure
) -> QdrantStaticError:
    """Return the error for a failure that is not retried.

    Args:
        client: The client of the server that refused the request.
        collection: The collection that the request was about.
        operation: What the request does, for the message.
        failure: What is known of it.
    """
    problem = redact(failure.problem, secrets_of(client))
    where = address(client)
    if failure.verdict is Verdict.DENIED:
        return AccessDeniedError(where=where, problem=problem)
    if point := _NO_POINT.search(problem):
        name = point[1]
        return PointError(point=int(name) if name.isdigit() else name, problem="it is not there")
    if failure.verdict is Verdict.MISSING and not _exists(client, collection):
        return CollectionNotFoundError(
            collection=collection, where=where, collections=_collections(client)
        )
    return EngineError(operation=f"{operation} in {collection!r} at {where}", problem=problem)


def names_something_else(client: Client, collection: str, failure: Failure) -> bool:
    """Return whether the request names something that does not exist, while its collection does."""
    return failure.verdict is Verdict.MISSING and _exists(client, collection)


def _exists(client: Client, collection: str) -> bool:
    try:
        return bool(client.collection_exists(collection))
    except Exception:  # without an answer it counts as missing
        return False


def _collections(client: Client) -> tuple[str, ...]:
    try:
        return tuple(one.name for one in client.get_collections().collections)
    except Exception:  # the list only makes the message more helpful
        return ()


def _grpc_failure(error: Any) -> Failure:
    name = error.code().name
    return Failure(
        verdict=_GRPC.get(name, Verdict.BROKEN),
        problem=f"{name}: {error.details() or 'no details'}",
        overload=name == "RESOURCE_EXHAUSTED",
        too_slow=name == "DEADLINE_EXCEEDED",
    )


def _http_failure(status: int, content: bytes, reason: str) -> Failure:
    try:
        message = json.loads(content)["status"]["error"]
    except (ValueError, KeyError, TypeError):
        message = content[:200].decode(errors="replace") or reason
    verdict = Verdict.AGAIN if status >= 500 else _HTTP.get(status, Verdict.BROKEN)
    return Failure(verdict=verdict, problem=f"{status}: {message}", overload=status == 429)
