"""Methods and parameters of QdrantClient that the embedded engine lacks, with the reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from qdrant_static.errors import NotSupportedByEdgeError

_ONE_PROCESS = "there is no cluster: the collection is in this process"
_NO_SERVER = "there is no server to talk to"
_COPY = "close the collection and copy its folder"

#: QdrantClient's other methods, each with the reason why it does not exist here.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "cluster_collection_update": _ONE_PROCESS,
        "cluster_status": _ONE_PROCESS,
        "cluster_telemetry": _ONE_PROCESS,
        "collection_cluster_info": _ONE_PROCESS,
        "create_shard_key": _ONE_PROCESS,
        "delete_shard_key": _ONE_PROCESS,
        "list_shard_keys": _ONE_PROCESS,
        "recover_current_peer": _ONE_PROCESS,
        "remove_peer": _ONE_PROCESS,
        "create_full_snapshot": _COPY,
        "create_shard_snapshot": _COPY,
        "create_snapshot": _COPY,
        "delete_full_snapshot": _COPY,
        "delete_shard_snapshot": _COPY,
        "delete_snapshot": _COPY,
        "list_full_snapshots": _COPY,
        "list_shard_snapshots": _COPY,
        "list_snapshots": _COPY,
        "recover_shard_snapshot": _COPY,
        "recover_snapshot": _COPY,
        "get_optimizations": "nothing runs in the background: optimize() builds the index",
        "migrate": "scroll this collection and upload to the other",
        "grpc_collections": _NO_SERVER,
        "grpc_points": _NO_SERVER,
        "http": _NO_SERVER,
        "init_options": _NO_SERVER,
    }
)
_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "shard_key_selector": _ONE_PROCESS,
        "sharding_method": _ONE_PROCESS,
        "wal_config": "the engine chooses the size of its write-ahead log",
        "strict_mode_config": "limits protect a server from its clients; here they are one process",
    }
)


def unsupported_method(name: str, reason: str) -> Callable[..., NoReturn]:
    """Return a method that raises `NotSupportedByEdgeError`."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise NotSupportedByEdgeError(what=f"{name}()", why=reason)

    return refuse


def require_unset(**parameters: Any) -> None:
    """Raise an error for parameters that have no meaning here.

    Raises:
        NotSupportedByEdgeError: If one is given.
    """
    for name, value in parameters.items():
        if value is not None:
            raise NotSupportedByEdgeError(what=f"the parameter {name}", why=_PARAMETERS[name])


def require_one(**counts: int | None) -> None:
    """Raise an error for numbers of replicas other than one.

    Raises:
        NotSupportedByEdgeError: If one is given.
    """
    for name, count in counts.items():
        if count not in (None, 1):
            raise NotSupportedByEdgeError(what=f"{name}={count}", why=_ONE_PROCESS)
