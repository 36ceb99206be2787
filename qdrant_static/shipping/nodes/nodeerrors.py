"""Maps the errors of a node and of its connection to ours, without secrets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from qdrant_static.clients.failures import Verdict, failure_of
from qdrant_static.errors import AccessDeniedError, EngineError, ServerUnavailableError
from qdrant_static.redaction import redact

if TYPE_CHECKING:
    import httpx

#: Parts of the message of a server whose disk is full. Qdrant 1.18.3 does not pass on the
#: operating system's message: it only names the file that it "failed to unpack" (measured).
_DISK_FULL = (
    "no space left on device",
    "disk quota exceeded",
    "os error 28",
    "failed to unpack",
)


class NodeErrors:
    """Maps the errors of one node.

    Args:
        url: The node's URL, as it may be shown.
        secrets: Texts that no message may show.
    """

    def __init__(self, url: str, secrets: tuple[str, ...]) -> None:
        self._url = url
        self._secrets = secrets

    @contextmanager
    def mapped(self, operation: str) -> Iterator[None]:
        """Map errors of the connection that are raised in a block."""
        import httpx

        try:
            yield
        except httpx.TransportError as error:
            problem = self._redacted(f"{type(error).__name__}: {error}")
            if "CERTIFICATE_VERIFY_FAILED" in problem:
                raise EngineError(
                    operation=f"{operation} at {self._url}",
                    problem=f"{problem}. Give the client the certificate of the authority: "
                    "QdrantClient(..., verify='ca.pem')",
                ) from error
            raise self._unavailable(problem) from error
        except httpx.InvalidURL as error:
            raise EngineError(
                operation=f"{operation} at {self._url}", problem=str(error)
            ) from error

    def check(
        self, response: httpx.Response, operation: str, *, sent: int = 0, final: bool = False
    ) -> None:
        """Raise the error of an answer, unless its status is one of success.

        Args:
            response: The answer, with its body read.
            operation: What was requested.
            sent: The size of the request's body in bytes.
            final: Whether an error of the server is permanent.

        Raises:
            AccessDeniedError: If the API key is refused.
            ServerUnavailableError: If the request may be retried.
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
                f"{problem}. Not Qdrant but a proxy before it refuses a body of "
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
                f"{problem}. Most likely its disk is full: an upload temporarily needs three "
                "times its size (the file, unpacked, in place). Free space and repeat",
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
        """Return the error for an answer that is not Qdrant's."""
        text = self._redacted(response.text[:80])
        return EngineError(
            operation=f"GET {path} at {self._url}",
            problem=f"the answer is not Qdrant's: {text!r}. Is it the address of a server?",
        )

    def _redacted(self, text: str) -> str:
        return redact(text, self._secrets)
