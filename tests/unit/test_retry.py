"""What may be tried again, when, and for how long."""

from __future__ import annotations

import grpc
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from qdrant_static.clients.failures import Verdict, failure_of
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.errors import ArgumentError


class RpcError(grpc.RpcError):
    def __init__(self, code: str, details: str | None = "why") -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode[self._code]

    def details(self) -> str | None:
        return self._details


def http(
    status: int, content: bytes = b'{"status":{"error":"why"},"time":0}'
) -> UnexpectedResponse:
    return UnexpectedResponse(status, "Reason", content, httpx.Headers())


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        *(
            (RpcError(code), Verdict.AGAIN)
            for code in (
                "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "CANCELLED",
                "UNKNOWN", "ABORTED",
            )
        ),
        (RpcError("INVALID_ARGUMENT"), Verdict.REFUSED),
        (RpcError("OUT_OF_RANGE"), Verdict.REFUSED),
        (RpcError("UNAUTHENTICATED"), Verdict.DENIED),
        (RpcError("PERMISSION_DENIED"), Verdict.DENIED),
        (RpcError("NOT_FOUND"), Verdict.MISSING),
        (RpcError("UNIMPLEMENTED"), Verdict.BROKEN),
        (RpcError("DATA_LOSS"), Verdict.BROKEN),
        *((http(status), Verdict.AGAIN) for status in (408, 429, 500, 502, 503, 504)),
        *((http(status), Verdict.REFUSED) for status in (400, 413, 422)),
        *((http(status), Verdict.DENIED) for status in (401, 403)),
        (http(404), Verdict.MISSING),
        (http(405), Verdict.BROKEN),
        (ResponseHandlingException(httpx.ConnectError("refused")), Verdict.AGAIN),
        (ResponseHandlingException(httpx.ReadTimeout("slow")), Verdict.AGAIN),
        (ResponseHandlingException(ValueError("not JSON")), Verdict.BROKEN),
    ],
)  # fmt: skip
def test_what_an_error_means(error, verdict):
    failure = failure_of(error)
    assert failure is not None
    assert failure.verdict is verdict
    assert failure.retry_after_s is None


def test_what_the_server_asks_for_is_heard():
    failure = failure_of(ResourceExhaustedResponse("too much", 7))
    assert failure is not None
    assert (failure.verdict, failure.retry_after_s, failure.overload) == (Verdict.AGAIN, 7.0, True)
    assert failure.problem == "too much"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RpcError("UNAVAILABLE", "Socket closed"), "UNAVAILABLE: Socket closed"),
        (RpcError("UNAVAILABLE", None), "UNAVAILABLE: no details"),
        (http(400), "400: why"),
        (http(502, b"<html>Bad gateway"), "502: <html>Bad gateway"),
        (http(503, b""), "503: Reason"),
        (http(500, b'{"status":"error"}'), '500: {"status":"error"}'),
        (ResponseHandlingException(httpx.ConnectError("refused")), "ConnectError: refused"),
    ],
)
def test_the_servers_own_words_are_kept(error, said):
    failure = failure_of(error)
    assert failure is not None
    assert failure.problem == said


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), grpc.RpcError()])
def test_other_errors_are_not_the_servers(error):
    assert failure_of(error) is None


@given(st.integers(1, 10_000), st.none() | st.floats(0, 100))
def test_a_wait_stays_within_its_bounds(failures, asked):
    policy = RetryPolicy(first_s=0.5, longest_s=8.0)
    wait = policy.wait_s(failures, asked)
    if asked is None:
        assert 0 <= wait <= min(8.0, 0.5 * 2 ** min(failures - 1, 9))
    else:
        assert asked <= wait <= asked + 0.5


def test_waits_are_spread_over_the_whole_bound():
    policy = RetryPolicy(first_s=1.0, longest_s=8.0)
    waits = [policy.wait_s(10) for _ in range(500)]
    assert min(waits) < 1 < 7 < max(waits)


@pytest.mark.parametrize("name", ["first_s", "longest_s", "budget_s"])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_times_are_positive(name, value):
    with pytest.raises(ArgumentError, match=f"{name}: {value} is not a positive number of seconds"):
        RetryPolicy(**{name: value})
