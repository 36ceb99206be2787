"""A proof that the server has nothing left to do: no segment waits for its optimizer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qdrant_client import models

from qdrant_static.errors import AccessDeniedError, EngineError, ServerUnavailableError
from qdrant_static.shipping.nodes.node import collection_path
from qdrant_static.shipping.packing.segments import in_words_of, same_settings
from qdrant_static.shipping.proofs.edits import MOST_EDITED
from qdrant_static.shipping.proofs.shipped import Proof, Shipped

#: What an optimizer's name means for a shipment, by the first word that fits.
_MEANINGS = {
    "mismatch": "was built with another configuration than the collection has",
    "index": "has no index yet: build it whole before it is shipped (`optimize`)",
    "merge": "is one of more segments than this server keeps: build fewer (`optimize`)",
    "vacuum": "holds too many deleted points: `optimize` before it is shipped",
}


def indexed(shipped: Shipped) -> Proof:
    """Nothing is queued or running, and payload fields and vectors are indexed as built.

    Raises:
        ShipmentRefusedError: It names the optimizer, and for a difference in configuration the
            field.
    """
    path = collection_path(shipped.target)
    waiting = shipped.again(lambda: shipped.node.get(f"{path}/optimizations", **{"with": "queued"}))
    for one in [*(waiting.get("running") or []), *(waiting.get("queued") or [])]:
        raise shipped.refused("indexed", _told(shipped, one))
    config = shipped.again(lambda: shipped.node.get(path))["config"]
    _, differences = same_settings(config, shipped.built)
    if differences:
        raise shipped.refused(
            "indexed", f"the collection is not what was built: {'; '.join(differences)}"
        )
    built = shipped.local.get_collection(shipped.collection)
    there = shipped.asked(
        "reading the collection", lambda: shipped.server.get_collection(shipped.target)
    )
    failed = getattr(there.optimizer_status, "error", None)
    if failed is not None:
        raise shipped.refused("indexed", f"the server's optimizer has failed: {failed}")
    for field, problem in _schema_differences(built.payload_schema, there.payload_schema):
        raise shipped.refused("indexed", f"payload index {field!r} {problem}")
    figure = int(there.indexed_vectors_count or 0)
    wanted = int(built.indexed_vectors_count or 0)
    # A proof that is repeated finds a few points edited, and those moved out of their index.
    moved = MOST_EDITED * len(shipped.built) * _vectors_of_a_point(built.config.params)
    if figure < wanted - moved:
        raise shipped.refused(
            "indexed", f"{figure:,} vectors have their index, and {wanted:,} had it when built"
        )
    fields = len(built.payload_schema)
    return Proof(
        name="indexed",
        figure=figure,
        told=f"nothing is queued or running; {figure:,} vectors have their index, "
        f"{fields} payload {'field is' if fields == 1 else 'fields are'} indexed as built",
    )


def _vectors_of_a_point(params: models.CollectionParams) -> int:
    dense = len(params.vectors) if isinstance(params.vectors, Mapping) else 1
    return dense + len(params.sparse_vectors or {})


def _told(shipped: Shipped, waiting: Mapping[str, Any]) -> str:
    name = str(waiting["optimizer"])
    segments = [one["uuid"] for one in waiting["segments"]]
    points = sum(int(one["points_count"]) for one in waiting["segments"])
    meaning = next((text for word, text in _MEANINGS.items() if word in name), None)
    told = (
        f"the server wants to rewrite {points:,} points by itself ({name!r})"
        if meaning is None
        else f"a segment of {points:,} points {meaning}, and the server will rewrite it ({name!r})"
    )
    if "mismatch" not in name:
        return told
    fields = "; ".join(_differing_fields(shipped, segments))
    return f"{told}: {fields or 'the server does not say which field'}"


def _differing_fields(shipped: Shipped, segments: Sequence[str]) -> Iterator[str]:
    """In what the server's segments differ from what it asks of the collection."""
    path = collection_path(shipped.target)
    target = shipped.again(lambda: shipped.node.get(path))["config"]
    seen = set()
    for config in _segment_configs(shipped, segments):
        worded, differences = in_words_of(target, {"config": config})
        # The same in other words is a difference too: the server compares words.
        for one in differences or _in_other_words(config, worded["config"]):
            if one not in seen:
                seen.add(one)
                yield one


def _in_other_words(built: Any, wanted: Any, path: str = "") -> Iterator[str]:
    if isinstance(built, Mapping) and isinstance(wanted, Mapping):
        for name in sorted({*built, *wanted}):
            inner = f"{path}.{name}" if path else name
            yield from _in_other_words(built.get(name), wanted.get(name), inner)
    elif built != wanted:
        yield f"{path}: built {json.dumps(built)}, target {json.dumps(wanted)}"


def _segment_configs(shipped: Shipped, segments: Sequence[str]) -> list[dict[str, Any]]:
    """The configurations of segments, as the server that holds them has them now.

    Telemetry is the one door that shows them short of a snapshot; a key for one collection may
    not open it.
    """
    nodes = {
        holder.peer_id: holder.node for holding in shipped.holders().values() for holder in holding
    }
    found = []
    for node in nodes.values():
        try:
            answer = node.get("/telemetry", details_level=4)
        except (AccessDeniedError, EngineError, ServerUnavailableError):
            continue  # a refusal that names no field is still one
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
    built: Mapping[str, models.PayloadIndexInfo], there: Mapping[str, models.PayloadIndexInfo]
) -> Iterator[tuple[str, str]]:
    for field in sorted({*built, *there}):
        if field not in there:
            yield field, "is not there"
        elif field not in built:
            yield field, "is there, and was not built"
        else:
            wanted, found = built[field].data_type.value, there[field].data_type.value
            if wanted != found:
                yield field, f"is of type {found}, and was built as {wanted}"
            elif built[field].points != there[field].points:
                yield (
                    field,
                    f"holds {there[field].points:,} points, and held {built[field].points:,} "
                    "when built",
                )
