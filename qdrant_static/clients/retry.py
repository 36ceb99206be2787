"""Retries requests: one policy, one count of attempts, and the loops that use them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from qdrant_static.clients.connect import address, is_remote, secrets_of, server_version
from qdrant_static.clients.failures import Verdict, failure_of, final_error
from qdrant_static.errors import ArgumentError, ServerUnavailableError
from qdrant_static.redaction import redact

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long to wait before the next attempt, and when to give up.

    The wait is drawn evenly from zero to a bound that doubles with every attempt ("full jitter",
    M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015), so that requests
    which failed together are not repeated together.

    Attributes:
        first_s: The bound of the first wait, in seconds.
        longest_s: The bound of any wait, in seconds; a wait that the server asks for may be
            longer.
        budget_s: How long to keep retrying a request that fails, in seconds. While the server
            says when to come back, the budget starts anew with every request that it accepts.
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

    def wait_s(self, failures: int, retry_after_s: float | None = None) -> float:
        """Draw the wait before the next attempt.

        Args:
            failures: How often the request has failed, from 1.
            retry_after_s: The wait that the server asks for, in seconds.
        """
        bound = min(self.longest_s, self.first_s * 2 ** min(failures - 1, 60))
        jitter = random.uniform(0.0, bound)  # noqa: S311 - a wait is no secret
        return jitter if retry_after_s is None else retry_after_s + min(jitter, self.first_s)


#: For the first request of a job: a wrong address is reported after seconds, not minutes.
FIRST_CONTACT = RetryPolicy(budget_s=10.0)


class Attempts:
    """Counts the failed attempts of one request, and decides how long to wait for the next.

    Args:
        policy: When to retry, and when to give up.
        started: When the first attempt was made, by the clock; None for now.
        clock: Returns seconds; the budget is counted by it.

    Attributes:
        failures: How many attempts have failed since the start, or since `restart`.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        started: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._started = clock() if started is None else started
        self.failures = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first attempt, or since `restart`."""
        return self._clock() - self._started

    def restart(self) -> None:
        """Start counting anew: the request has made progress."""
        self._started = self._clock()
        self.failures = 0

    def next_wait_s(
        self, *, retry_after_s: float | None = None, accepted_at: float = float("-inf")
    ) -> float | None:
        """Count a failed attempt and draw the wait before the next one.

        Args:
            retry_after_s: The wait that the server asks for, in seconds.
            accepted_at: When the server last accepted any request, by the clock.

        Returns:
            The wait in seconds; None if the budget does not allow another attempt.
        """
        self.failures += 1
        pause = self._policy.wait_s(self.failures, retry_after_s)
        since = self._started if retry_after_s is None else max(self._started, accepted_at)
        return None if self._clock() + pause - since > self._policy.budget_s else pause

    def gave_up(self, where: str, problem: str) -> ServerUnavailableError:
        """Return the error to raise when the budget is used up."""
        return ServerUnavailableError(
            where=where, problem=problem, tried=self.failures, waited_s=self.elapsed_s
        )


def retry_unavailable(
    call: Callable[[], T],
    policy: RetryPolicy,
    *,
    wait: Callable[[float], object] = time.sleep,
) -> T:
    """Call a function, and again while it raises `ServerUnavailableError`.

    Args:
        call: The function; calling it twice must have the same effect as calling it once.
        policy: When to retry, and when to give up.
        wait: Sleeps for a number of seconds.

    Raises:
        ServerUnavailableError: If the budget is used up; it says how often the call was tried.
    """

    def outage_of(error: Exception) -> _Outage | None:
        if isinstance(error, ServerUnavailableError):
            return _Outage(where=error.where, problem=error.problem)
        return None

    return _retry(call, policy, outage_of, wait)


def call_with_retries(
    client: Client,
    collection: str,
    operation: str,
    call: Callable[[], T],
    *,
    retry: RetryPolicy | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> T:
    """Call a method of a client, and again while its server is unavailable.

    An embedded collection is called once.

    Args:
        client: The client whose method ``call`` uses.
        collection: The collection that it is about.
        operation: What it does, for messages, such as "counting points".
        call: The call; executing it twice must have the same effect as executing it once.
        retry: When to retry, and when to give up.
        wait: Sleeps for a number of seconds.

    Raises:
        ServerUnavailableError: If the server did not answer until the budget was used up.
        AccessDeniedError: If the server refuses the API key.
        CollectionNotFoundError: If the collection does not exist.
        PointError: If a point to be changed does not exist.
        EngineError: If the server refuses the call, or it fails in another way.
    """
    if not is_remote(client):
        return call()

    def outage_of(error: Exception) -> _Outage | None:
        failure = failure_of(error)
        if failure is None:
            return None
        if failure.verdict is Verdict.AGAIN:
            return _Outage(
                where=address(client),
                problem=redact(failure.problem, secrets_of(client)),
                retry_after_s=failure.retry_after_s,
            )
        raise final_error(client, collection, operation, failure) from error

    return _retry(call, retry or RetryPolicy(), outage_of, wait)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outage:
    """A failure that may be retried: where, why, and the wait that the server asks for."""

    where: str
    problem: str
    retry_after_s: float | None = None


def first_version(client: Client, collection: str) -> tuple[int, int, int] | None:
    """Return the version of a server, as the first request of a job to it.

    Args:
        client: The client of the server.
        collection: The collection that the job is about, for messages.

    Raises:
        ServerUnavailableError: If the server does not answer within seconds.
    """
    return call_with_retries(
        client,
        collection,
        "asking for the version",
        lambda: server_version(client),
        retry=FIRST_CONTACT,
    )


def _retry(
    call: Callable[[], T],
    policy: RetryPolicy,
    outage_of: Callable[[Exception], _Outage | None],
    wait: Callable[[float], object],
) -> T:
    """Call a function until it returns; errors that are no outage are raised as they are."""
    attempts = Attempts(policy)
    while True:
        try:
            return call()
        except Exception as error:
            outage = outage_of(error)
            if outage is None:
                raise
            pause = attempts.next_wait_s(retry_after_s=outage.retry_after_s)
            if pause is None:
                raise attempts.gave_up(outage.where, outage.problem) from error
        wait(pause)
