"""What a target is created with: every default written out, in the words of its server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qdrant_client import models

from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec
from qdrant_static.shipping.packing.segments import BuiltShard

#: Engines of this version and newer say with tiers where data lies.
TIERS_SINCE = (1, 19, 0)
#: What an engine does not say, and a server's own configuration may say otherwise.
_GRAPH = ("m", "ef_construct", "full_scan_threshold", "payload_m", "inline_storage")
_OPTIMIZER = (
    "deleted_threshold",
    "vacuum_min_vector_number",
    "default_segment_number",
    "max_segment_size",
    "indexing_threshold",
    "prevent_unoptimized",
)
#: A server that chooses the number of segments by itself keeps at least so many.
_SEGMENTS_KEPT = 2
#: Of a collection's parameters, what it is created with under the same name.
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


def creation(
    info: models.CollectionInfo,
    shards: Sequence[BuiltShard],
    *,
    tiers: bool,
    replicas: int | None = None,
) -> dict[str, Any]:
    """The body of ``PUT /collections/{name}`` for a collection as a local one is.

    Args:
        info: The local collection, as `EdgeClient.get_collection` tells it.
        shards: Its shards.
        tiers: Whether the server says with tiers where data lies.
        replicas: Copies of each shard; None for the spec's, or the server's own.

    Raises:
        ArgumentError: If the spec in its metadata cannot be read.
    """
    config, params = info.config, info.config.params
    metadata = dict(config.metadata or {})
    given = metadata.get(METADATA_KEY)
    server = CollectionSpec.from_dict(given).server if given is not None else None
    dense = params.vectors
    vectors: Any
    if isinstance(dense, models.VectorParams):
        vectors = _vector(dense, tiers=tiers)
    else:
        vectors = {name: _vector(one, tiers=tiers) for name, one in (dense or {}).items()}
    body: dict[str, Any] = {
        "vectors": vectors,
        "sparse_vectors": {
            name: _words(_dumped(one), "on_disk", tiers=tiers)
            for name, one in (params.sparse_vectors or {}).items()
        },
        "shard_number": len(shards),
        "replication_factor": replicas,
        "hnsw_config": _words(
            _chosen(_dumped(config.hnsw_config), (*_GRAPH, "on_disk", "memory")),
            "on_disk",
            tiers=tiers,
        ),
        "quantization_config": _codes(config.quantization_config, tiers=tiers),
        "optimizers_config": _optimizers(_dumped(config.optimizer_config), shards),
        **_payloads(params, tiers=tiers),
        "metadata": metadata,
    }
    if server is not None:
        body["replication_factor"] = replicas or server.replicas
        body["write_consistency_factor"] = server.write_consistency
        if server.on_disk_payload is not None:
            body["on_disk_payload"] = server.on_disk_payload
    return {name: value for name, value in body.items() if value is not None and value != {}}


def recreation(config: Mapping[str, Any]) -> dict[str, Any]:
    """The body of ``PUT /collections/{name}`` for a collection as a server describes it.

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
        name: _said(value) if isinstance(value, Mapping) else value
        for name, value in body.items()
        if value is not None
    }


def index_body(field: str, index: Mapping[str, Any], *, tiers: bool) -> dict[str, Any]:
    """The body of ``PUT /collections/{name}/index``.

    Args:
        field: The payload's field.
        index: What ``payload_schema`` says of it, as JSON.
        tiers: As for `creation`.
    """
    params = index.get("params")
    if not params:
        return {"field_name": field, "field_schema": index["data_type"]}
    words = _words({"index": _said(params)}, "on_disk", tiers=tiers)["index"]
    return {"field_name": field, "field_schema": {"type": index["data_type"], **words}}


def schema_of(info: models.CollectionInfo) -> dict[str, dict[str, Any]]:
    """A collection's payload indexes as JSON."""
    return {field: _dumped(index) for field, index in info.payload_schema.items()}


def _dumped(model: Any) -> dict[str, Any]:
    return {} if model is None else dict(json.loads(model.model_dump_json(exclude_none=True)))


def _said(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if value is not None}


def _chosen(config: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: config[name] for name in names if config.get(name) is not None}


def _vector(params: models.VectorParams, *, tiers: bool) -> dict[str, Any]:
    said = _dumped(params)
    codes = said.pop("quantization_config", None)
    words = _words(said, "on_disk", tiers=tiers)
    if not words.keys() & {"on_disk", "memory"}:
        words["on_disk"] = False  # a server's own configuration may say true
    if codes is not None:
        words["quantization_config"] = _codes(codes, tiers=tiers)
    return words


def _codes(config: Any, *, tiers: bool) -> dict[str, Any] | None:
    if config is None:
        return None
    said = config if isinstance(config, dict) else _dumped(config)
    return _words(said, "always_ram", tiers=tiers, on_disk=False)


def _words(
    config: Mapping[str, Any], flag: str, *, tiers: bool, on_disk: bool = True
) -> dict[str, Any]:
    """Tiers as flags, at every depth, for a server that knows no tiers."""
    words: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            words[name] = _words(value, flag, tiers=tiers, on_disk=on_disk)
        elif name == "memory" and not tiers:
            words[flag] = (value == "cold") == on_disk
        else:
            words.setdefault(name, value)
    if "memory" in words:  # it says more than the flag
        words.pop(flag, None)
    return words


def _payloads(params: models.CollectionParams, *, tiers: bool) -> dict[str, Any]:
    memory = params.payload.memory if params.payload is not None else None
    if memory is None:
        return {"on_disk_payload": params.on_disk_payload is not False}
    if tiers:
        return {"payload": {"memory": memory.value}}
    return {"on_disk_payload": memory == models.Memory.COLD}


def _optimizers(config: Mapping[str, Any], shards: Sequence[BuiltShard]) -> dict[str, Any]:
    """The build's own thresholds; and room for its segments, which a server would else merge."""
    words = _chosen(config, _OPTIMIZER)
    built = max((len(shard.segments) for shard in shards), default=0)
    wanted = words.get("default_segment_number") or _SEGMENTS_KEPT
    if built > wanted:
        words["default_segment_number"] = built
    return words
