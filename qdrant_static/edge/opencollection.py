"""A collection that this process has open: its folder, its lock and the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.description import Description
from qdrant_static.edge.directory import GROWTH_BYTES, CollectionFolder, FolderLock, require_room
from qdrant_static.edge.engine import abandon, engine_errors, unlock_folder
from qdrant_static.errors import NotSupportedByEdgeError
from qdrant_static.files import make_private


@dataclass(slots=True, kw_only=True)
class OpenCollection:
    """A collection that this process has open.

    Attributes:
        folder: Its folder.
        lock: Its lock.
        shards: The engine, one per shard; replaced by a change of settings.
        description: The content of ``collection.json``.
        written: Number of points stored since it was opened or its index was built.
    """

    folder: CollectionFolder
    lock: FolderLock
    shards: tuple[edge.EdgeShard, ...]
    description: Description
    written: int = 0

    @property
    def dense(self) -> Mapping[str, models.VectorParams]:
        """Dense vectors by name; the unnamed one is ``""``."""
        return self.description.vectors

    @property
    def sparse(self) -> Mapping[str, models.SparseVectorParams]:
        """Sparse vectors by name."""
        return self.description.sparse_vectors

    @property
    def searched(self) -> edge.EdgeShard:
        """The engine of a collection of one shard.

        Raises:
            NotSupportedByEdgeError: If it has several.
        """
        if len(self.shards) > 1:
            raise NotSupportedByEdgeError(
                what=f"searching {self.folder.name!r}, which has {len(self.shards)} shards,",
                why="several shards are for shipping, and their rankings cannot be merged exactly "
                "(fusion, the term frequencies of BM25): ship it to a server, or build it with one "
                "shard",
            )
        return self.shards[0]

    def describe_as(self, description: Description) -> None:
        """Replace the description."""
        self.folder.write(description.to_json())
        self.description = description

    def require_room(self, needed: int = 0) -> None:
        """Raise an error if the disk is nearly full: `directory.require_room`."""
        require_room(self.folder.shards, needed + (len(self.shards) - 1) * GROWTH_BYTES)

    def reload(self) -> None:
        """Open the engine again, which then uses the settings of the description."""
        what = f"changing the settings of {self.folder.name!r}"
        self.flush(what)
        self.close_shards()
        with engine_errors(what):
            self.shards = load_shards(self.folder, self.description, change=True)

    def flush(self, what: str | None = None) -> None:
        """Make all writes durable."""
        with engine_errors(what or f"flushing {self.folder.name!r}"):
            for shard in self.shards:
                shard.flush()

    def close_engine(self) -> None:
        """Flush and close the engine; keep the lock."""
        try:
            # the engine's close() flushes too, but hides errors
            self.flush(f"closing collection {self.folder.name!r}")
        finally:
            self.close_shards()

    def close(self) -> None:
        """Flush and close the engine, and release the lock."""
        try:
            self.close_engine()
        finally:
            self.lock.release()

    def leave(self) -> None:
        """Drop the engine in a forked child without touching the parent's files."""
        for number, shard in enumerate(self.shards):
            abandon(shard)
            unlock_folder(self.folder.shard(number) / "wal")

    def close_shards(self) -> None:
        """Close the engine; keep the lock."""
        for shard in self.shards:
            shard.close()


def create_shards(folder: CollectionFolder, description: Description) -> tuple[edge.EdgeShard, ...]:
    """Create the engine's files and open them."""
    config = description.edge_config()
    folders = [folder.shard(number) for number in range(description.shard_number)]
    for one in folders:
        make_private(one)
    return tuple(edge.EdgeShard.create(str(one), config) for one in folders)


def load_shards(
    folder: CollectionFolder, description: Description, *, change: bool
) -> tuple[edge.EdgeShard, ...]:
    """Open the engine on existing files.

    Args:
        folder: The collection's folder.
        description: The number of shards, and the settings.
        change: Whether to change the settings to those of the description.
    """
    config = description.edge_config() if change else None
    opened: list[edge.EdgeShard] = []
    try:
        for number in range(description.shard_number):
            opened.append(edge.EdgeShard.load(str(folder.shard(number)), config))
    except BaseException:
        for shard in opened:
            shard.close()
        raise
    return tuple(opened)


def describe(opened: OpenCollection) -> models.CollectionInfo:
    """Return the description of a collection as a client model."""
    with engine_errors("reading the collection's state"):
        infos = [shard.info() for shard in opened.shards]
    schema = {
        field: convert.payload_index_back(index) for field, index in infos[0].payload_schema.items()
    }
    for info in infos[1:]:
        for field, index in info.payload_schema.items():
            schema[field].points += index.points
    return models.CollectionInfo(
        status=models.CollectionStatus.GREEN,
        optimizer_status=models.OptimizersStatusOneOf.OK,
        points_count=sum(info.points_count for info in infos),
        indexed_vectors_count=sum(info.indexed_vectors_count for info in infos),
        segments_count=sum(info.segments_count for info in infos),
        payload_schema=schema,
        config=opened.description.config(),
    )
