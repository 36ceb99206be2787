"""Imports a collection from snapshots of a server's shards.

All files are below ``shards/`` of a folder with the mark ``unfinished`` and without
``collection.json``, so that it is no collection before `Incoming.finish`, and the next creation or
deletion removes what an interrupted import leaves.

A snapshot holds the segments of one shard. The names of their folders are unique, and a point is in
one shard only, so that the segments of all shards together are a valid shard with all the points
and their indexes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.description import Description
from qdrant_static.edge.directory import CollectionFolder
from qdrant_static.edge.engine import engine_errors
from qdrant_static.errors import EngineError, StorageError, VerificationError
from qdrant_static.files import make_private, sync_folder

#: The folders of a snapshot that are used; the rest concerns the server's cluster.
_SEGMENTS, _LOG = "segments", "wal"


class Incoming:
    """The received part of a collection.

    Attributes:
        room: A folder for downloads, on the disk of the collection.
        shard: The engine, after `finish`.
        description: The description, after `finish`.
    """

    def __init__(self, folder: CollectionFolder) -> None:
        self.room = folder.shards / "incoming"
        self.shard: edge.EdgeShard | None = None
        self.description: Description | None = None
        self._folder = folder
        make_private(self.room)
        make_private(folder.shard(0) / _SEGMENTS)

    def take(self, snapshot: Path) -> int:
        """Add the segments of a shard and delete its snapshot.

        Args:
            snapshot: A file in `room`.

        Returns:
            How many segments it held.

        Raises:
            EngineError: If it cannot be unpacked.
            StorageError: If it holds no shard, or one that was added before.
        """
        unpacked = self.room / "unpacked"
        make_private(unpacked)
        with engine_errors(f"unpacking {snapshot.name}"):
            edge.EdgeShard.unpack_snapshot(str(snapshot), str(unpacked))
        snapshot.unlink()
        segments = [
            one
            for one in (unpacked / _SEGMENTS).glob("*")
            if not one.name.startswith(".") and (one / "segment.json").is_file()
        ]
        if not segments:
            raise StorageError(path=str(snapshot), problem="holds no segment of a shard")
        for segment in segments:
            place = self._folder.shard(0) / _SEGMENTS / segment.name
            if place.exists():
                raise StorageError(
                    path=str(snapshot), problem=f"the segment {segment.name} was received before"
                )
            segment.rename(place)
        self._take_log(unpacked / _LOG)
        shutil.rmtree(unpacked)
        return len(segments)

    def segments(self) -> int:
        """Return the number of received segments."""
        return sum(1 for _ in (self._folder.shard(0) / _SEGMENTS).glob("*/segment.json"))

    def finish(
        self,
        description: Description,
        payload_indexes: Mapping[str, models.PayloadFieldSchema],
    ) -> int:
        """Open the received segments as one shard, and complete the collection.

        Args:
            description: Its settings; if the segments were made with others, the next
                `EdgeClient.optimize` rebuilds them.
            payload_indexes: Its payload indexes; existing ones are kept.

        Returns:
            The exact number of its points.

        Raises:
            EngineError: If the engine cannot open it.
            VerificationError: If shards hold different points of the same id.
        """
        name, folder = self._folder.name, self._folder.shard(0)
        newest = _newest(folder)
        number = self._next_number(folder / _LOG)
        shutil.rmtree(self.room)
        with engine_errors(f"opening what was received of {name!r}"):
            self.shard = shard = edge.EdgeShard.load(str(folder), description.edge_config())
            number_beyond(shard, number, newest)
            _complete_indexes(shard, payload_indexes)
            shard.flush()
            ids = int(shard.count(edge.CountRequest(exact=True)))
            points = int(shard.info().points_count)  # the sum over the segments
        if ids != points:
            raise VerificationError(
                collection=name,
                problem=f"the received shards hold {points:,} points with {ids:,} different ids, "
                "and an embedded collection has one point per id. Shards of different shard keys "
                "are separate collections: pull them one by one (--shard). Otherwise the server "
                "was rewriting the collection: repeat it",
            )
        _make_durable(folder)
        self.description = description
        return ids

    def close(self) -> None:
        """Close the engine."""
        if self.shard is not None:
            self.shard.close()
            self.shard = None

    def _next_number(self, log: Path) -> int:
        try:
            return next_number(log, self.room / "numbering")
        except EngineError:  # a log of another format: the engine begins a new one
            shutil.rmtree(log, ignore_errors=True)
            return 0

    def _take_log(self, log: Path) -> None:
        """Keep the log with the highest number; it is empty and gives the next number."""
        place = self._folder.shard(0) / _LOG
        if log.is_dir() and (not place.exists() or _number(log) > _number(place)):
            shutil.rmtree(place, ignore_errors=True)
            log.rename(place)


def number_beyond(shard: edge.EdgeShard, number: int, newest: int) -> None:
    """Raise the engine's operation number above those of the stored points.

    Every point has the number of the operation that wrote it, and the engine silently ignores an
    operation with a lower number as outdated. Numbers continue from the log of the snapshot, but
    may be too low: a shard that was itself restored from a snapshot may hold higher ones.

    Args:
        shard: The engine.
        number: The number of the next operation, see `next_number`.
        newest: The highest number that a point carries.
    """
    for _ in range(newest - number + 1):  # deleting a missing point raises the number, too
        shard.update(edge.UpdateOperation.delete_points([uuid4()]))


def next_number(log: Path, room: Path) -> int:
    """Return the number of the next operation of a log.

    It is the version of a point that is stored with a copy of the log in a separate shard: in the
    collection itself even a deleted point would count in the IDF of sparse vectors.

    Args:
        log: The folder of the log; if it is missing, the engine begins a new one.
        room: A folder for the separate shard; it is deleted.

    Raises:
        EngineError: If the engine cannot open the log, or reports no number.
    """
    make_private(room)
    try:
        if log.exists():
            shutil.copytree(log, room / _LOG)
        config = edge.EdgeConfig(
            vectors={"": edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot)}
        )
        with engine_errors("reading the next operation number of the log"):
            shard = edge.EdgeShard.load(str(room), config)
            try:
                shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, [1.0], {})]))
                # Only a vector search returns the number.
                nearest = edge.Query.Nearest([1.0], using="")
                found = shard.query(edge.QueryRequest(limit=1, query=nearest))
            finally:
                shard.close()
    finally:
        shutil.rmtree(room, ignore_errors=True)
    if not found:
        raise EngineError(
            operation="reading the next operation number of the log",
            problem="the engine does not find the point that it stored",
        )
    return int(found[0].version)


def _newest(folder: Path) -> int:
    """Return the highest operation number of the points in a shard's folder; -1 if none."""
    states = [json.loads(one.read_bytes()) for one in folder.glob(f"{_SEGMENTS}/*/segment.json")]
    versions = [state.get("version") for state in states]
    return max((version for version in versions if version is not None), default=-1)


def _complete_indexes(
    shard: edge.EdgeShard, wanted: Mapping[str, models.PayloadFieldSchema]
) -> None:
    there = shard.info().payload_schema
    for field, schema in wanted.items():
        if field not in there:
            operation = edge.UpdateOperation.create_field_index(
                field, convert.payload_schema(schema)
            )
            shard.update(operation)


def _number(log: Path) -> int:
    """Return the number of a log from the names of its files (``closed-23``)."""
    endings = [one.name.rpartition("-")[2] for one in log.iterdir()]
    return max((int(ending) for ending in endings if ending.isdigit()), default=-1)


def _make_durable(folder: Path) -> None:
    """Flush all files to disk, before ``collection.json`` is written."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            handle = os.open(
                path, os.O_RDWR
            )  # Windows flushes only files that are open for writing
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    sync_folder(folder)
