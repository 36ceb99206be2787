"""Collections on disk: created, opened once, described, deleted."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qdrant_edge as edge
from pydantic import TypeAdapter, ValidationError
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.directory import CollectionFolder, FolderLock, collection_names
from qdrant_static.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    EngineError,
    SpecError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_VECTORS = TypeAdapter(models.VectorParams | dict[str, models.VectorParams] | None)
_SPARSE = TypeAdapter(dict[str, models.SparseVectorParams] | None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCollection:
    """A collection that this process has open.

    Attributes:
        folder: Where it lies.
        lock: Our right to it.
        shard: The engine.
        dense: Dense vectors by name; the unnamed one is ``""``.
        sparse: Sparse vectors by name.
        description: The content of ``collection.json``.
    """

    folder: CollectionFolder
    lock: FolderLock
    shard: edge.EdgeShard
    dense: Mapping[str, models.VectorParams]
    sparse: Mapping[str, models.SparseVectorParams]
    description: dict[str, Any]

    def close(self) -> None:
        """Write what is pending and let others open it."""
        try:
            with engine_errors(f"closing collection {self.folder.name!r}"):
                self.shard.flush()  # close() flushes too, but hides its errors
        finally:
            self.shard.close()
            self.lock.release()


class Collections:
    """The collections of one directory; each is opened at its first use and stays open.

    Args:
        root: The directory; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: dict[str, OpenCollection] = {}
        self._guard = threading.RLock()

    def names(self) -> list[str]:
        """The collections in the directory, sorted."""
        return collection_names(self.root)

    def exists(self, name: str) -> bool:
        """Whether there is such a collection."""
        return CollectionFolder(self.root, name).exists()

    def open(self, name: str) -> OpenCollection:
        """The open collection, opened now if it was not.

        Raises:
            CollectionNotFoundError: If there is none of that name.
            CollectionLockedError: If somebody else has it open.
            EngineError: If its files are damaged.
        """
        with self._guard:
            if name in self._open:
                return self._open[name]
            folder = CollectionFolder(self.root, name)
            if not folder.exists():
                raise CollectionNotFoundError(
                    collection=name, where=str(self.root), collections=tuple(self.names())
                )
            lock = FolderLock(folder)
            try:
                description = folder.read()
                with engine_errors(f"opening collection {name!r} in {self.root}"):
                    shard = edge.EdgeShard.load(str(folder.shard))
                return self._keep(folder, lock, shard, description)
            except ValidationError as error:
                lock.release()
                raise StorageError(
                    path=str(folder.description), problem=f"is damaged: {error.errors()[0]['msg']}"
                ) from error
            except BaseException:
                lock.release()
                raise

    def create(
        self,
        name: str,
        *,
        vectors: models.VectorParams | Mapping[str, models.VectorParams] | None,
        sparse: Mapping[str, models.SparseVectorParams] | None,
        metadata: dict[str, Any] | None,
    ) -> None:
        """Make an empty collection; what an unfinished creation or deletion left is cleared.

        Raises:
            CollectionExistsError: If it is there.
            SpecError: If it has no vector at all.
        """
        folder = CollectionFolder(self.root, name)
        if not vectors and not sparse:
            raise SpecError(field="vectors_config", problem="a collection needs a vector")
        config = edge.EdgeConfig(
            vectors={key: convert.vector_params(one) for key, one in _named(vectors).items()},
            sparse_vectors={
                key: convert.sparse_vector_params(one) for key, one in (sparse or {}).items()
            },
        )
        with self._guard:
            if name in self._open or folder.exists():
                raise CollectionExistsError(collection=name, where=str(self.root))
            folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FolderLock(folder)
            try:
                if folder.exists():  # made by another process since we looked
                    raise CollectionExistsError(collection=name, where=str(self.root))
                folder.clear()
                folder.shard.mkdir(mode=0o700, parents=True)
                with engine_errors(f"creating collection {name!r} in {self.root}"):
                    shard = edge.EdgeShard.create(str(folder.shard), config)
                description = {
                    "vectors": _VECTORS.dump_python(vectors, mode="json", exclude_none=True),  # type: ignore[arg-type]
                    "sparse_vectors": _SPARSE.dump_python(sparse, mode="json", exclude_none=True),  # type: ignore[arg-type]
                    "metadata": metadata or {},
                }
                folder.write(description)
                self._keep(folder, lock, shard, description)
            except BaseException:
                lock.release()
                raise

    def delete(self, name: str) -> bool:
        """Delete a collection; whether there was one."""
        with self._guard:
            if not self.exists(name):
                return False
            opened = self._open.get(name)
            lock = opened.lock if opened else FolderLock(CollectionFolder(self.root, name))
            folder = CollectionFolder(self.root, name)
            if opened:
                del self._open[name]
                opened.shard.close()
            folder.clear()
            lock.remove()
            # Somebody else's file in it, or a creation that has just begun, keeps the folder.
            with suppress(OSError):
                folder.path.rmdir()
            return True

    def set_metadata(self, name: str, metadata: Mapping[str, Any]) -> None:
        """Merge keys into a collection's metadata, as a server does."""
        opened = self.open(name)
        with self._guard:
            opened.description["metadata"] = {**opened.description["metadata"], **metadata}
            opened.folder.write(
                {key: value for key, value in opened.description.items() if key != "format"}
            )

    def close(self) -> None:
        """Close all collections."""
        with self._guard:
            while self._open:
                self._open.popitem()[1].close()

    def _keep(
        self,
        folder: CollectionFolder,
        lock: FolderLock,
        shard: edge.EdgeShard,
        description: dict[str, Any],
    ) -> OpenCollection:
        opened = OpenCollection(
            folder=folder,
            lock=lock,
            shard=shard,
            dense=_named(_VECTORS.validate_python(description["vectors"])),
            sparse=_SPARSE.validate_python(description["sparse_vectors"]) or {},
            description=description,
        )
        self._open[folder.name] = opened
        return opened


def describe(opened: OpenCollection) -> models.CollectionInfo:
    """A collection as the client's models describe it."""
    with engine_errors("reading the collection's state"):
        info = opened.shard.info()
    named = dict(opened.dense)
    return models.CollectionInfo(
        status=models.CollectionStatus.GREEN,
        optimizer_status=models.OptimizersStatusOneOf.OK,
        points_count=info.points_count,
        indexed_vectors_count=info.indexed_vectors_count,
        segments_count=info.segments_count,
        payload_schema={
            field: models.PayloadIndexInfo(
                data_type=convert.payload_schema_back(index.data_type), points=index.points
            )
            for field, index in info.payload_schema.items()
        },
        config=models.CollectionConfig(
            params=models.CollectionParams(
                vectors=named.get("") if set(named) == {""} else named,
                sparse_vectors=dict(opened.sparse) or None,
            ),
            hnsw_config=models.HnswConfig(**convert.HNSW_DEFAULTS),
            # Nothing happens in the background: these are the engine's defaults at optimize().
            optimizer_config=models.OptimizersConfig(
                default_segment_number=0, flush_interval_sec=0
            ),
            metadata=opened.description["metadata"],
        ),
    )


@contextmanager
def engine_errors(operation: str) -> Iterator[None]:
    """The engine raises bare exceptions with a text; give them a type and say what was done.

    A panic of the engine (files that it finds damaged) is no `Exception`: it comes by its name.
    """
    try:
        yield
    except BaseException as error:
        kind = type(error)
        if kind not in (Exception, ValueError, TypeError) and kind.__name__ != "PanicException":
            raise
        raise EngineError(operation=operation, problem=str(error)) from error


def _named(
    vectors: models.VectorParams | Mapping[str, models.VectorParams] | None,
) -> dict[str, models.VectorParams]:
    if vectors is None:
        return {}
    return {"": vectors} if isinstance(vectors, models.VectorParams) else dict(vectors)
