"""One node of a server over REST: what no client's method does, with the client's own access."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self
from urllib.parse import quote, urlsplit

from qdrant_static.clients.connect import secrets_of
from qdrant_static.shipping.nodes.refusals import Refusals

if TYPE_CHECKING:
    from types import TracebackType

    import httpx
    from qdrant_client import QdrantClient

#: What a server says when it could not do something now.
_MAY_PASS = re.compile(r"time[d ]*out|consensus|leader|shut|unavailable", re.IGNORECASE)
#: A server unpacks, copies and opens a shard before it answers: so many bytes a second at least.
_UNPACKED_PER_S = 5_000_000
#: The least patience with an upload's answer, in seconds.
_PATIENCE_S = 300.0
_PIECE = 1 << 20
#: What httpx.Client takes, and may be among a QdrantClient's arguments.
_CONNECTION = ("verify", "cert", "trust_env", "proxy", "mounts")


class Sendable(Protocol):
    """What can be uploaded: its size is known before, its bytes come in pieces."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes, from the beginning at every call."""


class Node:
    """The REST door of one server node.

    Every error is one of ours, and says where; none holds the key. Nothing is tried again here:
    a `ServerUnavailableError` says that it may be.

    Args:
        url: Where it is, such as ``http://localhost:6333``; a path before the API's is kept.
        http: The connection, with key, TLS and timeouts; `node_of` makes it.
        secrets: Texts that no message may show.
    """

    def __init__(self, url: str, http: httpx.Client, *, secrets: tuple[str, ...] = ()) -> None:
        self._base = url.rstrip("/")
        self._http = http
        self._secrets = secrets
        self._refusals = Refusals(self.url, secrets)

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
        """End the connections, also those of the nodes that `at` gave."""
        self._http.close()

    @property
    def url(self) -> str:
        """Where it is, without anything secret in it."""
        parts = urlsplit(self._base)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"

    def at(self, url: str) -> Node:
        """The same access at another address."""
        return Node(url, self._http, secrets=self._secrets)

    # --- questions ---------------------------------------------------------------------------

    def get(self, path: str, **params: Any) -> Any:
        """The ``result`` of a GET; raises as `request` does."""
        return self.request("GET", path, params=params)

    def get_or_none(self, path: str, **params: Any) -> Any:
        """The ``result`` of a GET; None for what is not there (404), or has no such door (405)."""
        return self.request("GET", path, params=params, missing=(404, 405))

    def post(self, path: str, body: Any = None, **params: Any) -> Any:
        """The ``result`` of a POST; raises as `request` does."""
        return self.request("POST", path, body=body, params=params)

    def put(self, path: str, body: Any = None, **params: Any) -> Any:
        """The ``result`` of a PUT; raises as `request` does."""
        return self.request("PUT", path, body=body, params=params)

    def delete(self, path: str, **params: Any) -> Any:
        """The ``result`` of a DELETE; raises as `request` does."""
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
        """Ask once.

        Args:
            method: HTTP's.
            path: From the node's root, quoted: see `collection_path`.
            body: What goes as JSON; None for nothing.
            params: Query parameters; booleans become ``true`` and ``false``.
            missing: Statuses that mean "not there", answered with None.

        Returns:
            The answer's ``result``; the whole answer where it has none.

        Raises:
            AccessDeniedError: If the key is refused.
            ServerUnavailableError: If nobody answered, or it may be tried again.
            EngineError: If the server refuses it.
        """
        arguments: dict[str, Any] = {"params": _worded(params)}
        if body is not None:
            arguments["json"] = body
        with self._refusals.of_connection(f"{method} {path}"):
            response = self._http.request(method, self._base + path, **arguments)
        if response.status_code in missing:
            return None
        self._refusals.check(response, f"{method} {path}")
        try:
            answer = response.json()
        except ValueError as error:
            raise self._refusals.not_qdrant(path, response) from error
        return answer.get("result", answer) if isinstance(answer, dict) else answer

    # --- files -------------------------------------------------------------------------------

    @contextmanager
    def stream(self, path: str, **params: Any) -> Iterator[Iterator[bytes]]:
        """The body of a GET, in pieces; raises as `request` does, also in the middle."""
        with (
            self._refusals.of_connection(f"GET {path}"),
            self._http.stream(
                "GET",
                self._base + path,
                params=_worded(params),
                # Vectors hardly shrink, and the server would pay for trying.
                headers={"Accept-Encoding": "identity"},
            ) as response,
        ):
            if response.status_code >= 300:
                response.read()
            self._refusals.check(response, f"GET {path}")
            yield response.iter_bytes(_PIECE)

    def stream_to(
        self,
        path: str,
        file: BinaryIO,
        told: Callable[[int], None] | None = None,
        **params: Any,
    ) -> int:
        """Write the body of a GET into a file.

        Args:
            path: From the node's root, quoted.
            file: Where it goes.
            told: Hears the bytes so far.
            params: Query parameters.

        Returns:
            The bytes.
        """
        done = 0
        with self.stream(path, **params) as pieces:
            for piece in pieces:
                file.write(piece)
                done += len(piece)
                if told is not None:
                    told(done)
        return done

    def upload(
        self,
        path: str,
        name: str,
        packed: Sendable,
        told: Callable[[int], None] | None = None,
        **params: Any,
    ) -> Any:
        """Send a file as the form field ``snapshot``, with its exact length said before.

        Args:
            path: From the node's root, quoted.
            name: The file's name.
            packed: The file.
            told: Hears the bytes so far.
            params: Query parameters.

        Raises:
            AccessDeniedError: If the key is refused.
            ServerUnavailableError: If the connection broke, or it may be tried again.
            EngineError: If it is refused: also where a proxy's limit, or the server's disk, is
                too small.
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
            for chunk in packed.chunks():
                yield chunk
                sent += len(chunk)
                if told is not None:
                    told(sent)
            yield tail

        usual = self._http.timeout
        with self._refusals.of_connection(f"POST {path}"):
            response = self._http.post(
                self._base + path,
                params=_worded(params),
                content=body(),
                headers={
                    "Content-Type": f"multipart/form-data; boundary={boundary}",
                    "Content-Length": str(len(head) + packed.size + len(tail)),
                },
                timeout=httpx.Timeout(
                    connect=usual.connect,
                    pool=usual.pool,
                    write=max(usual.write or 0.0, 60.0),
                    read=max(usual.read or 0.0, _PATIENCE_S, packed.size / _UNPACKED_PER_S),
                ),
            )
        # What was taken whole and cannot be opened will not be the next time either.
        final = response.status_code == 500 and not _MAY_PASS.search(response.text)
        self._refusals.check(response, f"POST {path}", sent=packed.size, final=final)
        return response.json()


def collection_path(collection: str, *parts: object) -> str:
    """The path of a collection, or of something in it; names are quoted."""
    names = ("collections", collection, *parts)
    return "/" + "/".join(quote(str(name), safe="") for name in names)


def node_of(client: QdrantClient) -> Node:
    """The node that a client talks to, with the client's key, headers, TLS and timeout.

    Close it after use, best in a ``with`` statement.

    Args:
        client: Of a server, by gRPC or REST.
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
    base = str(client.http.client.host)
    return Node(base, http, secrets=secrets_of(client))


def _worded(params: Mapping[str, Any] | None) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (params or {}).items()
        if value is not None
    }
