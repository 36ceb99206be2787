"""Which server answers, so that newer features are asked of newer servers only.

An older server ignores what it does not know when it comes over gRPC: a condition that it never
heard of matches everything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

_VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")


def server_version(client: Client) -> tuple[int, int, int] | None:
    """The server's version.

    Args:
        client: Whom to ask; a server is asked once per call.

    Returns:
        Major, minor, patch; None for an engine in the process, and for a server that does not
        say.
    """
    if not is_remote(client):
        return None
    found = _VERSION.match(client.info().version)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3] or 0))


def is_remote(client: object) -> bool:
    """Whether a server is behind the client: not Edge, not the client's own imitation."""
    from qdrant_client import QdrantClient

    if not isinstance(client, QdrantClient):
        return False
    try:
        return client.http is not None
    except NotImplementedError:  # QdrantClient(":memory:")
        return False
