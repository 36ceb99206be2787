"""A proof that the server has nothing left to do: no segment waits for its optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qdrant_static.errors import AccessDeniedError, EngineError
from qdrant_static.ship.node import collection_path
from qdrant_static.ship.segments import in_words_of
from qdrant_static.ship.shipped import Proof, Shipped

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
    waiting = shipped.told_by(shipped.node, f"{path}/optimizations", **{"with": "queued"})
    for one in [*(waiting.get("running") or []), *(waiting.get("queued") or [])]:
        raise shipped.refused("indexed", _told(shipped, one))
    there = shipped.told_by(shipped.node, path)
    built = shipped.local.get_collection(shipped.collection)
    for field, problem in _schema_differences(built.payload_schema, there["payload_schema"]):
        raise shipped.refused("indexed", f"payload index {field!r} {problem}")
    figure = int(there.get("indexed_vectors_count") or 0)
    fields = len(built.payload_schema)
    return Proof(
        name="indexed",
        figure=figure,
        told=f"nothing is queued or running; {figure:,} vectors have their index, "
        f"{fields} payload {'field is' if fields == 1 else 'fields are'} indexed as built",
    )


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
    seen = set()
    for config in _segment_configs(shipped, segments):
        _, differences = in_words_of(shipped.told_by(shipped.node, path)["config"], config)
        for one in differences:
            if str(one) not in seen:
                seen.add(str(one))
                yield str(one)


def _segment_configs(shipped: Shipped, segments: Sequence[str]) -> list[dict[str, Any]]:
    """The configurations of segments, as the server that holds them has them now.

    Telemetry is the one door that shows them short of a snapshot; a key for one collection may
    not open it.
    """
    nodes = {
        holder.peer_id: holder.node
        for holding in shipped.peers.holders(shipped.target).values()
        for holder in holding
    }
    found = []
    for node in nodes.values():
        try:
            answer = shipped.told_by(node, "/telemetry", details_level=4)
        except (AccessDeniedError, EngineError):
            continue
        found += list(_matching(answer, shipped.target, set(segments)))
    if found:
        return found
    return [{"config": one.state["config"]} for shard in shipped.built for one in shard.segments]


def _matching(answer: Any, target: str, segments: set[str]) -> Iterator[dict[str, Any]]:
    collections = (answer.get("collections") or {}).get("collections") or []
    for collection in collections:
        if collection.get("id") != target:
            continue
        for shard in collection.get("shards") or []:
            for segment in (shard.get("local") or {}).get("segments") or []:
                if (segment.get("info") or {}).get("uuid") in segments:
                    yield {"config": segment["config"]}


def _schema_differences(
    built: Mapping[str, Any], there: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    for field in sorted({*built, *there}):
        if field not in there:
            yield field, "is not there"
        elif field not in built:
            yield field, "is there, and was not built"
        else:
            wanted, found = str(built[field].data_type.value), str(there[field]["data_type"])
            if wanted != found:
                yield field, f"is of type {found}, and was built as {wanted}"
            elif built[field].points != there[field].get("points"):
                yield (
                    field,
                    f"holds {there[field].get('points'):,} points, and was built with "
                    f"{built[field].points:,}",
                )
