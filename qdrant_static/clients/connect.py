"""Opens clients, and reports of a client its kind, its address and its server's version."""

from __future__ import annotations

import os
import re
import warnings
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from qdrant_static import rules
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from typing_extensions import TypeIs

    from qdrant_static.edge import EdgeClient

    Client: TypeAlias = QdrantClient | EdgeClient


_REST_PORT = 6333
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+")
_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
#: Values of headers that are shorter are not taken for secrets: they would occur in many messages.
_SECRET_LENGTH = 4


def connect(
    target: str | os.PathLike[str], *, api_key: str | None = None, timeout_s: int = 60
) -> Client:
    """Open a client; creates nothing and sends no request.

    Args:
        target: A directory (``"./data"``), a server's URL (``"http://localhost:6333"``), or
            ``":memory:"`` for qdrant-client's local mode, which ignores quantization and is for
            unit tests only.
        api_key: The API key, for a server that requires one.
        timeout_s: How long a server may take for one request, in seconds.

    Returns:
        An object with `qdrant_client.QdrantClient`'s methods: an `EdgeClient` for a directory,
        else a `QdrantClient`, which uses gRPC if the URL has the usual port 6333 (or none) and
        REST otherwise.

    Raises:
        ArgumentError: If a URL is malformed or lacks its scheme, or the target is empty.
    """
    place = rules.location("target", target)
    if place == ":memory:":
        from qdrant_client import QdrantClient

        return QdrantClient(":memory:")
    scheme, colon, _ = place.partition("://")
    if colon and scheme.lower() in ("http", "https"):
        return _server(place, api_key, timeout_s)
    if colon:
        raise ArgumentError(field="target", problem=f"{scheme}:// is unknown; known: http, https")
    if _HOST_AND_PORT.fullmatch(place):
        raise ArgumentError(
            field="target", problem=f"{place!r} has no scheme; for a server write http://{place}"
        )
    folder = os.path.expanduser(place)
    if os.path.isfile(folder):
        raise ArgumentError(
            field="target", problem=f"{place!r} is a file; name a folder or a server's URL"
        )
    from qdrant_static.edge import EdgeClient

    return EdgeClient(folder)


def _server(url: str, api_key: str | None, timeout_s: int) -> QdrantClient:
    from qdrant_client import QdrantClient

    # If REST is not on its usual port, gRPC's port cannot be guessed, and the client's default may
    # belong to another server.
    prefer_grpc = _port(url) in (None, _REST_PORT)
    with warnings.catch_warnings():
        # The warning below has the server's name and the caller's line.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        client = QdrantClient(
            url=url,
            api_key=api_key,
            prefer_grpc=prefer_grpc,
            timeout=timeout_s,
            # The client's own check warns of every older server, also of those that work well.
            check_compatibility=False,
            # By default a channel tries to reconnect only every two minutes after a long outage.
            grpc_options={"grpc.max_reconnect_backoff_ms": 5000},
        )
    parts = urlsplit(url)
    if api_key and parts.scheme == "http":
        warnings.warn(
            f"Api key is used with an insecure connection to {parts.hostname}: anyone on the way "
            "can read the key. Use https",
            stacklevel=3,
        )
    return client


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError as error:
        raise ArgumentError(field="target", problem=f"{url!r} is no URL: {error}") from error


def check_client(client: object, call: str, *, argument: str = "client") -> None:
    """Raise `ArgumentError` if ``client`` is not a client, such as a path or a name.

    Args:
        client: What the caller passed.
        call: The call with its arguments in order, for the message.
        argument: The name of the argument.
    """
    if hasattr(client, "get_collection"):
        return
    is_path = isinstance(client, str | os.PathLike)
    shown = repr(client) if is_path else f"an object of type {type(client).__name__}"
    raise ArgumentError(
        field=argument,
        problem=f"{shown} is not a client. Call {call}; connect(folder or URL) opens a client",
    )


def is_remote(client: object) -> bool:
    """Return whether the client talks to a server: neither Edge nor the client's local mode."""
    from qdrant_client import QdrantClient

    if not isinstance(client, QdrantClient):
        return False
    try:
        return client.http is not None
    except NotImplementedError:  # QdrantClient(":memory:")
        return False


def is_embedded(client: object) -> TypeIs[EdgeClient]:
    """Return whether the client is an `EdgeClient`: its collections are in a folder.

    One process at a time has such a collection open.
    """
    from qdrant_static.edge import EdgeClient

    return isinstance(client, EdgeClient)


def server_version(client: Client) -> tuple[int, int, int] | None:
    """Ask a server for its version.

    An older server ignores what it does not know when it comes over gRPC: a filter condition that
    it does not know matches everything. So newer features are sent to newer servers only.

    Returns:
        Major, minor, patch; None for an engine in the process, and for a server that does not
        report a version.
    """
    if not is_remote(client):
        return None
    found = _VERSION.match(client.info().version)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3] or 0))


def address(client: Client) -> str:
    """Return where a client's collections are, for messages; holds no secrets.

    Returns:
        A server's URL without user, password and path; an embedded client's folder;
        ``":memory:"`` for the client's local mode.
    """
    folder = getattr(client, "path", None)
    if folder is not None:
        return str(folder)
    options = getattr(client, "init_options", None)
    if options is None:  # a client that wraps another
        return "the server"
    named = (options.get(name) for name in ("url", "location", "host"))
    target = str(next((one for one in named if one), "localhost"))
    if target == ":memory:":
        return target
    parts = urlsplit(target if "://" in target else f"http://{target}")
    port = parts.port or options.get("port") or _REST_PORT
    return f"{parts.scheme}://{parts.hostname}:{port}"


def secrets_of(client: Client) -> tuple[str, ...]:
    """Return what a client is configured with and no message may show: its key and headers."""
    options = client.init_options
    headers = {**(options.get("metadata") or {}), **(options.get("headers") or {})}
    parts = urlsplit(str(options.get("url") or ""))
    found = [options.get("api_key"), parts.username, parts.password]
    found += [value for value in headers.values() if len(str(value)) >= _SECRET_LENGTH]
    return tuple(str(secret) for secret in found if secret)
