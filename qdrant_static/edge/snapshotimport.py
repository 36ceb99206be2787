"""A collection that arrives as snapshots of a server's shards, one after the other.

All of it lies below ``shards/`` of a folder that has the mark ``unfinished`` and no
``collection.json`` yet, so it is no collection before `Incoming.finish`, and whatever ends it
sooner leaves nothing that the next creation or deletion would not clear away.

A snapshot holds the segments of one shard. Their folders have names that never repeat, and a
point is in one shard, so the segments of all shards together are a shard as good as any: with all
the points, and with the indexes that they had.
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

#: What is left of a server's shard; the rest of a snapshot is about its cluster.
_SEGMENTS, _LOG = "segments", "wal"


class Incoming:
    """What has arrived of a collection.

    Attributes:
        room: A folder for what is being downloaded, on the collection's own disk.
        shard: The engine, once it is finished.
        description: What it is then.
    """

    def __init__(self, folder: CollectionFolder) -> None:
        self.room = folder.shards / "incoming"
        self.shard: edge.EdgeShard | None = None
        self.description: Description | None = None
        self._folder = folder
        make_private(self.room)
        make_private(folder.shard(0) / _SEGMENTS)

    def take(self, snapshot: Path) -> int:
        """Add the segments of a shard; its snapshot is removed.

        Args:
            snapshot: A file in `room`.

        Returns:
            How many segments it held.

        Raises:
            EngineError: If it cannot be unpacked.
            StorageError: If it holds no shard, or one that was taken before.
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
                    path=str(snapshot), problem=f"the segment {segment.name} is here already"
                )
            segment.rename(place)
        self._take_log(unpacked / _LOG)
        shutil.rmtree(unpacked)
        return len(segments)

    def segments(self) -> int:
        """How many segments are here."""
        return sum(1 for _ in (self._folder.shard(0) / _SEGMENTS).glob("*/segment.json"))

    def finish(
        self,
        description: Description,
        payload_indexes: Mapping[str, models.PayloadFieldSchema],
    ) -> int:
        """Make a collection of what is here.

        Args:
            description: Its settings; those that the segments were made with, or the next
                `EdgeClient.optimize` makes them anew.
            payload_indexes: The indexes that it is to have; those that are here are kept.

        Returns:
            How many points it has, exactly.

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
                problem=f"what came holds {points:,} points with {ids:,} different ids, and an "
                "embedded collection has one point of an id. Shards of different shard keys are "
                "collections of their own: pull them one by one (--shard). Else the server was "
                "rewriting it: repeat it",
            )
        _make_durable(folder)
        self.description = description
        return ids

    def close(self) -> None:
        """Let go of the files."""
        if self.shard is not None:
            self.shard.close()
            self.shard = None

    def _next_number(self, log: Path) -> int:
        try:
            return next_number(log, self.room / "numbering")
        except EngineError:  # a log of another form: the engine begins one of its own
            shutil.rmtree(log, ignore_errors=True)
            return 0

    def _take_log(self, log: Path) -> None:
        """Keep the log that numbers highest: it is empty, and says where numbers go on."""
        place = self._folder.shard(0) / _LOG
        if log.is_dir() and (not place.exists() or _number(log) > _number(place)):
            shutil.rmtree(place, ignore_errors=True)
            log.rename(place)


def number_beyond(shard: edge.EdgeShard, number: int, newest: int) -> None:
    """Bring the engine's operation numbers above those that the stored points carry.

    Every point carries the number of the operation that wrote it, and the engine takes an
    operation with a lower one for old and ignores it, in silence. The numbers go on from the log,
    which came along, but need not fit: a shard that was itself restored from a snapshot may hold
    higher ones.

    Args:
        shard: The engine.
        number: The number of the next operation, see `next_number`.
        newest: The highest number that a point carries.
    """
    for _ in range(newest - number + 1):  # a deletion counts, also of a point that is not there
        shard.update(edge.UpdateOperation.delete_points([uuid4()]))


def next_number(log: Path, room: Path) -> int:
    """The number of the operation that the engine would write next into a log.

    It is read off a point, which is stored with a copy of the log in a shard of its own: even a
    point that is deleted at once would count in the weights of a sparse vector's terms.

    Args:
        log: The folder of the log; where it is missing, the engine begins a new one.
        room: A folder for the shard; it is removed.

    Raises:
        EngineError: If the engine cannot open the log, or does not say.
    """
    make_private(room)
    try:
        if log.exists():
            shutil.copytree(log, room / _LOG)
        config = edge.EdgeConfig(
            vectors={"": edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot)}
        )
        with engine_errors("reading where the log's numbers go on"):
            shard = edge.EdgeShard.load(str(room), config)
            try:
                shard.update(edge.UpdateOperation.upsert_points([edge.Point(1, [1.0], {})]))
                # The engine tells the number to those alone that ask for nearness.
                nearest = edge.Query.Nearest([1.0], using="")
                found = shard.query(edge.QueryRequest(limit=1, query=nearest))
            finally:
                shard.close()
    finally:
        shutil.rmtree(room, ignore_errors=True)
    if not found:
        raise EngineError(
            operation="reading where the log's numbers go on",
            problem="the engine does not find what it stored",
        )
    return int(found[0].version)


def _newest(folder: Path) -> int:
    """The highest operation number that a point of a shard's folder carries; -1 if none does."""
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
    """Where a log goes on, as its files' names tell it (``closed-23``)."""
    endings = [one.name.rpartition("-")[2] for one in log.iterdir()]
    return max((int(ending) for ending in endings if ending.isdigit()), default=-1)


def _make_durable(folder: Path) -> None:
    """Put the files on the disk: the description, which follows, is."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            handle = os.open(path, os.O_RDWR)  # Windows syncs what may be written alone
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    sync_folder(folder)
