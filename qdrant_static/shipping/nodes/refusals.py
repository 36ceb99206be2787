"""What a node's refusals mean: its errors, and its connection's, as ours; without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from qdrant_static.clients.failures import Verdict, failure_of
from qdrant_static.errors import AccessDeniedError, EngineError, ServerUnavailableError
from qdrant_static.redaction import redact

if TYPE_CHECKING:
    import httpx

#: How a server, or the system under it, says that its disk is full. Qdrant 1.18.3 keeps the
#: system's own words to itself: all that it says is which file it "failed to unpack" (measured).
_DISK_FULL = (
    "no space left on device",
    "disk quota exceeded",
    "os error 28",
    "failed to unpack",
)


class Refusals:
    """The errors of one node.

    Args:
        url: Where it is, as it may be shown.
        secrets: Texts that no message may show.
    """

    def __init__(self, url: str, secrets: tuple[str, ...]) -> None:
        self._url = url
        self._secrets = secrets

    @contextmanager
    def of_connection(self, operation: str) -> Iterator[None]:
        """Errors of the connection as ours."""
        import httpx

        try:
            yield
        except httpx.TransportError as error:
            said = self._redacted(f"{type(error).__name__}: {error}")
            if "CERTIFICATE_VERIFY_FAILED" in said:
                raise EngineError(
                    operation=f"{operation} at {self._url}",
                    problem=f"{said}. Give the client the authority's certificate: "
                    "QdrantClient(..., verify='ca.pem')",
                ) from error
            raise self._unavailable(said) from error
        except httpx.InvalidURL as error:
            raise EngineError(
                operation=f"{operation} at {self._url}", problem=str(error)
            ) from error

    def check(
        self, response: httpx.Response, operation: str, *, sent: int = 0, final: bool = False
    ) -> None:
        """Raise what an answer means, if it is none of success.

        Args:
            response: The answer, read.
            operation: What was asked.
            sent: Bytes that went with the question.
            final: Whether a failure of the server is one that stays.

        Raises:
            AccessDeniedError: If the key is refused.
            ServerUnavailableError: If it may be tried again.
            EngineError: If it is refused.
        """
        if response.status_code < 300:
            return
        from qdrant_client.http.exceptions import UnexpectedResponse

        failure = failure_of(
            UnexpectedResponse(
                status_code=response.status_code,
                reason_phrase=response.reason_phrase,
                content=response.content,
                headers=response.headers,
            )
        )
        problem = self._redacted(failure.problem if failure else str(response.status_code))
        if response.status_code == 413:
            self._refuse(
                operation,
                f"{problem}. Not Qdrant but something before it, a proxy, takes no body of "
                f"{sent / 1e6:,.0f} MB: raise its limit (nginx: client_max_body_size), or give "
                "the nodes' own addresses (peers=, --peer)",
            )
        if response.status_code < 400:
            self._refuse(
                operation,
                f"it redirects to {response.headers.get('location', 'nowhere')!r}: give that "
                "address to the client",
            )
        if any(words in problem.lower() for words in _DISK_FULL):
            self._refuse(
                operation,
                f"{problem}. Most likely its disk is full: what is uploaded needs its size three "
                "times for a moment (the file, unpacked, in place). Make room and repeat",
            )
        if failure is not None and failure.verdict is Verdict.DENIED:
            raise AccessDeniedError(where=self._url, problem=problem)
        if failure is not None and failure.verdict is Verdict.AGAIN and not final:
            raise self._unavailable(problem)
        self._refuse(operation, problem)

    def _refuse(self, operation: str, problem: str) -> NoReturn:
        raise EngineError(operation=f"{operation} at {self._url}", problem=problem)

    def _unavailable(self, problem: str) -> ServerUnavailableError:
        return ServerUnavailableError(where=self._url, problem=problem, tried=1, waited_s=0.0)

    def not_qdrant(self, path: str, response: httpx.Response) -> EngineError:
        """The error of an answer that no Qdrant gives."""
        said = self._redacted(response.text[:80])
        return EngineError(
            operation=f"asking for {path} at {self._url}",
            problem=f"the answer is not Qdrant's: {said!r}. Is it the address of a server?",
        )

    def _redacted(self, text: str) -> str:
        return redact(text, self._secrets)
