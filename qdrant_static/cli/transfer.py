"""Opens the two ends of `ship` and `pull`: a folder and a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.edge import EdgeClient


def folder(place: str, option: str) -> EdgeClient:
    """Open the folder of embedded collections.

    Raises:
        ArgumentError: If it is a server's address.
    """
    from qdrant_static import EdgeClient, connect

    client = connect(place)
    if not isinstance(client, EdgeClient):
        client.close()
        raise ArgumentError(field=option, problem=f"{place!r} is a server; give a folder")
    return client


def server_at(url: str, option: str, api_key: str | None, timeout_s: int) -> QdrantClient:
    """Open the client of a server; sends no request.

    Raises:
        ArgumentError: If it is a folder.
    """
    from qdrant_static import EdgeClient, connect

    client = connect(url, api_key=api_key, timeout_s=timeout_s)
    if isinstance(client, EdgeClient):
        client.close()
        raise ArgumentError(field=option, problem=f"{url!r} is a folder; give a server's URL")
    return client
