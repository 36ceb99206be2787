"""Target -> client: a path gives the engine in the process, a URL a server."""

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

    from qdrant_static.edge import EdgeClient

    Client: TypeAlias = QdrantClient | EdgeClient


_REST_PORT = 6333
_HOST_AND_PORT = re.compile(r"[\w.-]+:\d+")


def connect(
    target: str | os.PathLike[str], *, api_key: str | None = None, timeout_s: int = 60
) -> Client:
    """Open a client; nothing is created and nobody is asked yet.

    Args:
        target: A directory (``"./data"``), a server's URL (``"http://localhost:6333"``), or
            ``":memory:"`` for the client's own imitation of a server, which knows no
            quantization and is good for unit tests only.
        api_key: For a server that asks for one.
        timeout_s: How long a server may take for one request, in seconds.

    Returns:
        An object with `qdrant_client.QdrantClient`'s methods: an `EdgeClient` for a directory,
        a `QdrantClient` for the rest: over gRPC if the URL has the usual port 6333 (or none),
        else over REST.

    Raises:
        ArgumentError: If a URL is malformed, or lacks its scheme, or if the target is empty.
    """
    place = rules.place("target", target)
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
    from qdrant_static.edge import EdgeClient

    return EdgeClient(os.path.expanduser(place))


def _server(url: str, api_key: str | None, timeout_s: int) -> QdrantClient:
    from qdrant_client import QdrantClient

    # Behind another port than the usual one, gRPC's port cannot be guessed, and the client's
    # default may belong to another server.
    prefer_grpc = _port(url) in (None, _REST_PORT)
    with warnings.catch_warnings():
        # Said below, with the server's name and the caller's line.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        client = QdrantClient(
            url=url,
            api_key=api_key,
            prefer_grpc=prefer_grpc,
            timeout=timeout_s,
            # The client's own check prints a warning for every older server that works well.
            check_compatibility=False,
            # Else a channel whose server was away for long looks for it every two minutes only.
            grpc_options={"grpc.max_reconnect_backoff_ms": 5000},
        )
    parts = urlsplit(url)
    if api_key and parts.scheme == "http":
        warnings.warn(
            f"Api key is used with an insecure connection to {parts.hostname}: whoever carries it "
            "can read the key. Use https",
            stacklevel=3,
        )
    return client


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError as error:
        raise ArgumentError(field="target", problem=f"{url!r} is no URL: {error}") from error
