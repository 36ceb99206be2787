"""Sends REST requests to one node of a server, for what no method of the client does."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self
from urllib.parse import quote, urlsplit

from qdrant_static.clients.connect import secrets_of
from qdrant_static.shipping.nodes.nodeerrors import NodeErrors

if TYPE_CHECKING:
    from types import TracebackType

    import httpx
    from qdrant_client import QdrantClient

#: In the message of a status 500: the server may be able to do it later.
_TEMPORARY = re.compile(r"time[d ]*out|consensus|leader|shut|unavailable", re.IGNORECASE)
#: A server unpacks, copies and opens a shard before it answers, at this rate at least.
_UNPACKED_BYTES_S = 5_000_000
#: The shortest timeout for the answer to an upload, in seconds.
_UPLOAD_TIMEOUT_S = 300.0
_CHUNK_BYTES = 1 << 20
#: Arguments of a QdrantClient that are passed on to httpx.Client.
_CONNECTION = ("verify", "cert", "trust_env", "proxy", "mounts")


class Upload(Protocol):
    """A file to upload, whose size is known before it is read."""

    @property
    def size(self) -> int:
        """The size in bytes."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in chunks, from the beginning at every call."""


class Node:
    """The REST interface of one server node.

    All errors are `QdrantStaticError`s that name the node, and never show the API key. Requests
    are not retried here: after a `ServerUnavailableError` the caller may retry.

    Args:
        url: The node's URL, such as ``http://localhost:6333``; a path is kept.
        http: The connection, with API key, TLS and timeouts; `node_of` makes it.
        secrets: Texts that no message may show.
    """

    def __init__(self, url: str, http: httpx.Client, *, secrets: tuple[str, ...] = ()) -> None:
        self._base = url.rstrip("/")
        self._http = http
        self._secrets = secrets
        self._errors = NodeErrors(self.url, secrets)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Node({self.url!r})"

    def close(self) -> None:
        """Close the connections, also those of the nodes that `at` returned."""
        self._http.close()

    @property
    def url(self) -> str:
        """The node's URL, without user and password."""
        parts = urlsplit(self._base)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"

    def at(self, url: str) -> Node:
        """Return a node at another URL, with the same API key and connection settings."""
        return Node(url, self._http, secrets=self._secrets)

    def get(self, path: str, **params: Any) -> Any:
        """Return the ``result`` of a GET; raises as `request` does."""
        return self.request("GET", path, params=params)

    def get_or_none(self, path: str, **params: Any) -> Any:
        """Return the ``result`` of a GET; None if the server answers 404 or 405."""
        return self.request("GET", path, params=params, missing=(404, 405))

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        """Return the ``result`` of a POST; raises as `request` does."""
        return self.request("POST", path, body=body, params=params)

    def put(self, path: str, body: Any = None, **params: Any) -> Any:
        """Return the ``result`` of a PUT; raises as `request` does."""
        return self.request("PUT", path, body=body, params=params)

    def delete(self, path: str, **params: Any) -> Any:
        """Return the ``result`` of a DELETE; raises as `request` does."""
        return self.request("DELETE", path, params=params)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        missing: tuple[int, ...] = (),
    ) -> Any:
        """Send one request.

        Args:
            method: The HTTP method.
            path: The path from the node's root, quoted: see `collection_path`.
            body: The JSON body; None for none.
            params: Query parameters; booleans become ``true`` and ``false``.
            missing: Statuses for which None is returned.

        Returns:
            The ``result`` of the answer; the whole answer if it has none.

        Raises:
            AccessDeniedError: If the API key is refused.
            ServerUnavailableError: If there is no answer, or the request may be retried.
            EngineError: If the server refuses the request.
        """
        arguments: dict[str, Any] = {"params": _query(params)}
        if body is not None:
            arguments["json"] = body
        with self._errors.mapped(f"{method} {path}"):
            response = self._http.request(method, self._base + path, **arguments)
        if response.status_code in missing:
            return None
        self._errors.check(response, f"{method} {path}")
        try:
            answer = response.json()
        except ValueError as error:
            raise self._errors.not_qdrant(path, response) from error
        return answer.get("result", answer) if isinstance(answer, dict) else answer

    @contextmanager
    def stream(self, path: str, **params: Any) -> Iterator[Iterator[bytes]]:
        """Stream the body of a GET in chunks; raises as `request` does, also during the stream."""
        with (
            self._errors.mapped(f"GET {path}"),
            self._http.stream(
                "GET",
                self._base + path,
                params=_query(params),
                # Vectors hardly compress, and trying costs the server time.
                headers={"Accept-Encoding": "identity"},
            ) as response,
        ):
            if response.status_code >= 300:
                response.read()
            self._errors.check(response, f"GET {path}")
            yield response.iter_bytes(_CHUNK_BYTES)

    def stream_to(
        self,
        path: str,
        file: BinaryIO,
        progress: Callable[[int], None] | None = None,
        **params: Any,
    ) -> int:
        """Write the body of a GET into a file.

        Args:
            path: The path from the node's root, quoted.
            file: The file.
            progress: Called with the number of bytes so far.
            params: Query parameters.

        Returns:
            The number of bytes.
        """
        done = 0
        with self.stream(path, **params) as chunks:
            for chunk in chunks:
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done)
        return done

    def upload(
        self,
        path: str,
        name: str,
        content: Upload,
        progress: Callable[[int], None] | None = None,
        **params: Any,
    ) -> Any:
        """Upload a file as the form field ``snapshot``, with a Content-Length.

        Args:
            path: The path from the node's root, quoted.
            name: The file's name.
            content: The file.
            progress: Called with the number of bytes so far.
            params: Query parameters.

        Raises:
            AccessDeniedError: If the API key is refused.
            ServerUnavailableError: If the connection broke, or the upload may be retried.
            EngineError: If it is refused; also if a proxy's limit, or the server's disk, is too
                small.
        """
        import httpx

        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="snapshot"; '
            f'filename="{quote(name)}"\r\nContent-Type: application/x-tar\r\n\r\n'
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        def body() -> Iterator[bytes]:
            yield head
            sent = 0
            for chunk in content.chunks():
                yield chunk
                sent += len(chunk)
                if progress is not None:
                    progress(sent)
            yield tail

        timeout = self._http.timeout
        with self._errors.mapped(f"POST {path}"):
            response = self._http.post(
                self._base + path,
                params=_query(params),
                content=body(),
                headers={
                    "Content-Type": f"multipart/form-data; boundary={boundary}",
                    "Content-Length": str(len(head) + content.size + len(tail)),
                },
                timeout=httpx.Timeout(
                    connect=timeout.connect,
                    pool=timeout.pool,
                    write=max(timeout.write or 0.0, 60.0),
                    read=max(
                        timeout.read or 0.0, _UPLOAD_TIMEOUT_S, content.size / _UNPACKED_BYTES_S
                    ),
                ),
            )
        # A file that arrived complete and cannot be opened will not open the next time either.
        final = response.status_code == 500 and not _TEMPORARY.search(response.text)
        self._errors.check(response, f"POST {path}", sent=content.size, final=final)
        return response.json()


def collection_path(collection: str, *parts: object) -> str:
    """Return the path of a collection, or of something in it; names are quoted."""
    names = ("collections", collection, *parts)
    return "/" + "/".join(quote(str(name), safe="") for name in names)


def node_of(client: QdrantClient) -> Node:
    """Return the node that a client talks to, with the client's API key, headers, TLS and timeout.

    Close it after use, best with a ``with`` statement.

    Args:
        client: The client of a server, over gRPC or REST.
    """
    import httpx
    from qdrant_client.auth.bearer_auth import BearerAuth

    options = client.init_options
    headers = {**(options.get("metadata") or {}), **(options.get("headers") or {})}
    if options.get("api_key"):
        headers["api-key"] = str(options["api_key"])
    provider = options.get("auth_token_provider")
    connection = {name: options[name] for name in _CONNECTION if name in options}
    http = httpx.Client(
        headers=headers,
        timeout=float(options.get("timeout") or 60),
        auth=BearerAuth(provider) if provider is not None else None,
        **connection,
    )
    return Node(str(client.http.client.host), http, secrets=secrets_of(client))


def _query(params: Mapping[str, Any] | None) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (params or {}).items()
        if value is not None
    }
