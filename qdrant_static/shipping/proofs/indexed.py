"""Proves that the server has nothing left to index: no segment waits for its optimizer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qdrant_client import models

from qdrant_static.errors import AccessDeniedError, EngineError, ServerUnavailableError
from qdrant_static.shipping.nodes.node import collection_path
from qdrant_static.shipping.packing.segmentconfig import translated_state
from qdrant_static.shipping.packing.segments import translated_states
from qdrant_static.shipping.proofs.behavior import MOST_EDITED
from qdrant_static.shipping.proofs.shipped import Proof, Shipped

#: What an optimizer means for a shipment, by the first of these words in its name.
_MEANINGS = {
    "mismatch": "was built with another configuration than the collection has",
    "index": "has no index yet: call `optimize` before it is shipped",
    "merge": "is one of more segments than this server keeps: merge them with `optimize`",
    "vacuum": "holds too many deleted points: call `optimize` before it is shipped",
}


def indexed(shipped: Shipped) -> Proof:
    """Prove that no optimizer is queued or running, and that all indexes are there.

    Raises:
        ShipmentRefusedError: If something is missing; it names the optimizer, and for a difference
            in configuration the field.
    """
    path = collection_path(shipped.target)
    report = shipped.call_node(
        lambda: shipped.node.get(f"{path}/optimizations", **{"with": "queued"})
    )
    for one in [*(report.get("running") or []), *(report.get("queued") or [])]:
        raise shipped.refused("indexed", _describe(shipped, one))
    config = shipped.call_node(lambda: shipped.node.get(path))["config"]
    _, differences = translated_states(config, shipped.built)
    if differences:
        raise shipped.refused(
            "indexed", f"the collection differs from the build: {'; '.join(differences)}"
        )
    built = shipped.local.get_collection(shipped.collection)
    arrived = shipped.call_server(
        "reading the collection", lambda: shipped.server.get_collection(shipped.target)
    )
    failed = getattr(arrived.optimizer_status, "error", None)
    if failed is not None:
        raise shipped.refused("indexed", f"the server's optimizer has failed: {failed}")
    for field, problem in _schema_differences(built.payload_schema, arrived.payload_schema):
        raise shipped.refused("indexed", f"payload index {field!r} {problem}")
    figure = int(arrived.indexed_vectors_count or 0)
    wanted = int(built.indexed_vectors_count or 0)
    # An earlier proof may have edited a few points, which are no longer in the index then.
    moved = MOST_EDITED * len(shipped.built) * _vectors_of_a_point(built.config.params)
    if figure < wanted - moved:
        raise shipped.refused(
            "indexed", f"{figure:,} vectors are indexed, and {wanted:,} were indexed in the build"
        )
    fields = len(built.payload_schema)
    return Proof(
        name="indexed",
        figure=figure,
        result=f"no optimizer is queued or running; {figure:,} vectors are indexed, "
        f"{fields} payload {'field is' if fields == 1 else 'fields are'} indexed as built",
    )


def _vectors_of_a_point(params: models.CollectionParams) -> int:
    dense = len(params.vectors) if isinstance(params.vectors, Mapping) else 1
    return dense + len(params.sparse_vectors or {})


def _describe(shipped: Shipped, waiting: Mapping[str, Any]) -> str:
    name = str(waiting["optimizer"])
    segments = [one["uuid"] for one in waiting["segments"]]
    points = sum(int(one["points_count"]) for one in waiting["segments"])
    meaning = next((text for word, text in _MEANINGS.items() if word in name), None)
    problem = (
        f"the server wants to rewrite {points:,} points ({name!r})"
        if meaning is None
        else f"a segment of {points:,} points {meaning}, and the server will rewrite it ({name!r})"
    )
    if "mismatch" not in name:
        return problem
    fields = "; ".join(_differing_fields(shipped, segments))
    return f"{problem}: {fields or 'the server does not say which field'}"


def _differing_fields(shipped: Shipped, segments: Sequence[str]) -> Iterator[str]:
    """Yield the settings in which the server's segments differ from their collection."""
    path = collection_path(shipped.target)
    target = shipped.call_node(lambda: shipped.node.get(path))["config"]
    seen = set()
    for config in _segment_configs(shipped, segments):
        translated, differences = translated_state(target, {"config": config})
        # Equal settings with other JSON are a difference too: the server compares literally.
        for one in differences or _literal_differences(config, translated["config"]):
            if one not in seen:
                seen.add(one)
                yield one


def _literal_differences(built: Any, wanted: Any, path: str = "") -> Iterator[str]:
    if isinstance(built, Mapping) and isinstance(wanted, Mapping):
        for name in sorted({*built, *wanted}):
            inner = f"{path}.{name}" if path else name
            yield from _literal_differences(built.get(name), wanted.get(name), inner)
    elif built != wanted:
        yield f"{path}: built {json.dumps(built)}, target {json.dumps(wanted)}"


def _segment_configs(shipped: Shipped, segments: Sequence[str]) -> list[dict[str, Any]]:
    """Read the current configurations of segments from the nodes that hold them.

    Besides snapshots, only telemetry has them; an API key for one collection may not allow it.
    """
    nodes = {
        holder.peer_id: holder.node for holding in shipped.holders().values() for holder in holding
    }
    found = []
    for node in nodes.values():
        try:
            answer = node.get("/telemetry", details_level=4)
        except (AccessDeniedError, EngineError, ServerUnavailableError):
            continue  # without it, the error names no field
        found += list(_matching(answer, shipped.target, set(segments)))
    return found


def _matching(answer: Any, target: str, segments: set[str]) -> Iterator[dict[str, Any]]:
    collections = (answer.get("collections") or {}).get("collections") or []
    for collection in collections:
        if collection.get("id") != target:
            continue
        for shard in collection.get("shards") or []:
            for segment in (shard.get("local") or {}).get("segments") or []:
                if (segment.get("info") or {}).get("uuid") in segments:
                    yield segment["config"]


def _schema_differences(
    built: Mapping[str, models.PayloadIndexInfo], arrived: Mapping[str, models.PayloadIndexInfo]
) -> Iterator[tuple[str, str]]:
    for field in sorted({*built, *arrived}):
        if field not in arrived:
            yield field, "is missing"
        elif field not in built:
            yield field, "exists, and was not built"
        else:
            wanted, found = built[field].data_type.value, arrived[field].data_type.value
            if wanted != found:
                yield field, f"is of type {found}, and was built as {wanted}"
            elif built[field].points != arrived[field].points:
                yield (
                    field,
                    f"holds {arrived[field].points:,} points, and held {built[field].points:,} "
                    "when built",
                )
