"""Builds the requests that create a target, with every default written out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qdrant_client import models

from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec
from qdrant_static.shipping.packing.segments import BuiltShard

#: Servers from this version on configure the placement of data with memory tiers.
TIERS_SINCE = (1, 19, 0)
#: Settings that are written out, because a server's own configuration may have other defaults.
_GRAPH = ("m", "ef_construct", "full_scan_threshold", "payload_m", "inline_storage")
_OPTIMIZER = (
    "deleted_threshold",
    "vacuum_min_vector_number",
    "default_segment_number",
    "max_segment_size",
    "indexing_threshold",
    "prevent_unoptimized",
)
#: A server that chooses the number of segments itself keeps at least this many.
_SEGMENTS_KEPT = 2
#: Collection parameters that have the same name in the request that creates it.
_PARAMS = (
    "vectors",
    "sparse_vectors",
    "shard_number",
    "sharding_method",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
    "payload",
    "id_tracker",
)


def create_body(
    info: models.CollectionInfo,
    shards: Sequence[BuiltShard],
    *,
    tiers: bool,
    replicas: int | None = None,
) -> dict[str, Any]:
    """Build the body of ``PUT /collections/{name}`` for a copy of a local collection.

    Args:
        info: The local collection, as described by `EdgeClient.get_collection`.
        shards: Its shards.
        tiers: Whether the server configures the placement of data with memory tiers.
        replicas: Copies of each shard; None for the spec's, or the server's own.

    Raises:
        ArgumentError: If the spec in its metadata cannot be read.
    """
    config, params = info.config, info.config.params
    metadata = dict(config.metadata or {})
    spec = metadata.get(METADATA_KEY)
    server = CollectionSpec.from_dict(spec).server if spec is not None else None
    dense = params.vectors
    vectors: Any
    if isinstance(dense, models.VectorParams):
        vectors = _vector(dense, tiers=tiers)
    else:
        vectors = {name: _vector(one, tiers=tiers) for name, one in (dense or {}).items()}
    body: dict[str, Any] = {
        "vectors": vectors,
        "sparse_vectors": {
            name: _placed(_json(one), "on_disk", tiers=tiers)
            for name, one in (params.sparse_vectors or {}).items()
        },
        "shard_number": len(shards),
        "replication_factor": replicas,
        "hnsw_config": _placed(
            _selected(_json(config.hnsw_config), (*_GRAPH, "on_disk", "memory")),
            "on_disk",
            tiers=tiers,
        ),
        "quantization_config": _codes(config.quantization_config, tiers=tiers),
        "optimizers_config": _optimizers(_json(config.optimizer_config), shards),
        **_payloads(params, tiers=tiers),
        "metadata": metadata,
    }
    if server is not None:
        body["replication_factor"] = replicas or server.replicas
        body["write_consistency_factor"] = server.write_consistency
        if server.on_disk_payload is not None:
            body["on_disk_payload"] = server.on_disk_payload
    return {name: value for name, value in body.items() if value is not None and value != {}}


def recreate_body(config: Mapping[str, Any]) -> dict[str, Any]:
    """Build the body of ``PUT /collections/{name}`` from a server's description.

    Args:
        config: The ``config`` of the answer to ``GET /collections/{name}``, as JSON.
    """
    params = config["params"]
    body = {name: params.get(name) for name in _PARAMS}
    body |= {
        "hnsw_config": config.get("hnsw_config"),
        "optimizers_config": config.get("optimizer_config"),
        "wal_config": config.get("wal_config"),
        "quantization_config": config.get("quantization_config"),
        "strict_mode_config": config.get("strict_mode_config"),
        "metadata": config.get("metadata"),
    }
    return {
        name: _without_nulls(value) if isinstance(value, Mapping) else value
        for name, value in body.items()
        if value is not None
    }


def index_body(field: str, index: Mapping[str, Any], *, tiers: bool) -> dict[str, Any]:
    """Build the body of ``PUT /collections/{name}/index``.

    Args:
        field: The payload's field.
        index: Its entry in ``payload_schema``, as JSON.
        tiers: As for `create_body`.
    """
    params = index.get("params")
    if not params:
        return {"field_name": field, "field_schema": index["data_type"]}
    placed = _placed({"index": _without_nulls(params)}, "on_disk", tiers=tiers)["index"]
    return {"field_name": field, "field_schema": {"type": index["data_type"], **placed}}


def schema_of(info: models.CollectionInfo) -> dict[str, dict[str, Any]]:
    """Return a collection's payload indexes as JSON."""
    return {field: _json(index) for field, index in info.payload_schema.items()}


def _json(model: Any) -> dict[str, Any]:
    return {} if model is None else dict(json.loads(model.model_dump_json(exclude_none=True)))


def _without_nulls(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if value is not None}


def _selected(config: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: config[name] for name in names if config.get(name) is not None}


def _vector(params: models.VectorParams, *, tiers: bool) -> dict[str, Any]:
    settings = _json(params)
    codes = settings.pop("quantization_config", None)
    placed = _placed(settings, "on_disk", tiers=tiers)
    if not placed.keys() & {"on_disk", "memory"}:
        placed["on_disk"] = False  # a server's own configuration may have true
    if codes is not None:
        placed["quantization_config"] = _codes(codes, tiers=tiers)
    return placed


def _codes(config: Any, *, tiers: bool) -> dict[str, Any] | None:
    if config is None:
        return None
    settings = config if isinstance(config, dict) else _json(config)
    return _placed(settings, "always_ram", tiers=tiers, on_disk=False)


def _placed(
    config: Mapping[str, Any], flag: str, *, tiers: bool, on_disk: bool = True
) -> dict[str, Any]:
    """Replace memory tiers by flags, at every depth, for a server without tiers.

    Args:
        config: The settings.
        flag: The flag that a server without tiers has.
        tiers: Whether the server has tiers; then they are kept.
        on_disk: Whether the flag means that data is on disk, rather than in RAM.
    """
    placed: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            placed[name] = _placed(value, flag, tiers=tiers, on_disk=on_disk)
        elif name == "memory" and not tiers:
            placed[flag] = (value == "cold") == on_disk
        else:
            placed.setdefault(name, value)
    if "memory" in placed:  # a tier is more specific than the flag
        placed.pop(flag, None)
    return placed


def _payloads(params: models.CollectionParams, *, tiers: bool) -> dict[str, Any]:
    memory = params.payload.memory if params.payload is not None else None
    if memory is None:
        return {"on_disk_payload": params.on_disk_payload is not False}
    if tiers:
        return {"payload": {"memory": memory.value}}
    return {"on_disk_payload": memory == models.Memory.COLD}


def _optimizers(config: Mapping[str, Any], shards: Sequence[BuiltShard]) -> dict[str, Any]:
    """Return the build's thresholds, and a number of segments that keeps a server from merging."""
    placed = _selected(config, _OPTIMIZER)
    built = max((len(shard.segments) for shard in shards), default=0)
    wanted = placed.get("default_segment_number") or _SEGMENTS_KEPT
    if built > wanted:
        placed["default_segment_number"] = built
    return placed
