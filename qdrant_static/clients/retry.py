"""What may be tried again, when, and for how long."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from enum import Enum
from typing import Any

from qdrant_static.errors import ArgumentError


class Verdict(Enum):
    """What a failed request means."""

    AGAIN = "again"  # nobody knows whether it was carried out; it may be repeated
    REFUSED = "refused"  # something in it is not acceptable
    DENIED = "denied"  # this key may not do that
    MISSING = "missing"  # what it names is not there
    BROKEN = "broken"  # neither: repeating does not help


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed request, as far as the server or the connection tells.

    Attributes:
        verdict: What it means.
        problem: The server's words, or the connection's.
        retry_after_s: How long the server asks to wait, in seconds; None if it says nothing.
        overload: The server takes no more for now, or not so much at once.
        too_slow: It was not answered in time.
    """

    verdict: Verdict
    problem: str
    retry_after_s: float | None = None
    overload: bool = False
    too_slow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to wait before the next attempt, and when to give up.

    The wait is drawn evenly from zero to a bound that doubles with every attempt ("full jitter",
    M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015), so that requests
    which failed together do not come back together.

    Attributes:
        first_s: The bound of the first wait, in seconds.
        longest_s: The bound of any wait, in seconds; a wait that the server asks for may be
            longer.
        budget_s: How long a request may go on failing, in seconds. Where the server says when to
            come back, the clock starts anew with everything that it takes meanwhile.
    """

    first_s: float = 0.2
    longest_s: float = 15.0
    budget_s: float = 300.0

    def __post_init__(self) -> None:
        for name in ("first_s", "longest_s", "budget_s"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ArgumentError(
                    field=name, problem=f"{value} is not a positive number of seconds"
                )

    def wait_s(self, failures: int, asked_s: float | None = None) -> float:
        """The next wait.

        Args:
            failures: How often the request failed, from 1.
            asked_s: The wait that the server asks for, in seconds.
        """
        bound = min(self.longest_s, self.first_s * 2 ** min(failures - 1, 60))
        jitter = random.uniform(0.0, bound)  # noqa: S311 - a wait is no secret
        return jitter if asked_s is None else asked_s + min(jitter, self.first_s)


#: gRPC's status codes; INTERNAL is what the server's own 500 is over gRPC, and a connection that
#: breaks in the middle may come as CANCELLED or UNKNOWN. An upsert may be repeated after any of
#: them, because it leaves the same points.
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
    """What an error of the client means; None for one that is not about the request."""
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
        known = isinstance(source, httpx.TransportError)
        return Failure(
            verdict=Verdict.AGAIN if known else Verdict.BROKEN,
            problem=f"{type(source).__name__}: {source}",
            too_slow=isinstance(source, httpx.TimeoutException),
        )
    return None


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
        said = json.loads(content)["status"]["error"]
    except (ValueError, KeyError, TypeError):
        said = content[:200].decode(errors="replace") or reason
    verdict = Verdict.AGAIN if status >= 500 else _HTTP.get(status, Verdict.BROKEN)
    return Failure(verdict=verdict, problem=f"{status}: {said}", overload=status == 429)
