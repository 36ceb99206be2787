"""Questions to a node, asked again while it is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.errors import ServerUnavailableError

T = TypeVar("T")


def persistently(
    call: Callable[[], T],
    retry: RetryPolicy,
    *,
    wait: Callable[[float], object] = time.sleep,
) -> T:
    """Call a node, again if it was away.

    Args:
        call: The call; doing it twice must leave what doing it once leaves.
        retry: When to try again, and when to give up.
        wait: How to wait, in seconds.

    Raises:
        ServerUnavailableError: If it was away for too long; it says how often it was tried.
    """
    begun = time.monotonic()
    failures = 0
    while True:
        try:
            return call()
        except ServerUnavailableError as error:
            failures += 1
            pause = retry.wait_s(failures)
            waited = time.monotonic() - begun
            if waited + pause > retry.budget_s:
                raise ServerUnavailableError(
                    where=error.where, problem=error.problem, tried=failures, waited_s=waited
                ) from error
        wait(pause)
