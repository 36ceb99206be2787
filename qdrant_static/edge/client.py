"""EdgeClient: the methods of QdrantClient on a directory, answered by the embedded engine.

Its length is that of QdrantClient's interface: every method only checks its arguments and calls the
module that does the work.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qdrant_client import models
from qdrant_client.http.models import QueryResponse  # models.QueryResponse is fastembed's

from qdrant_static import rules
from qdrant_static.edge import collectionupdates, convert, enginepoints, grouping, shards, uploads
from qdrant_static.edge import pointreads as reading
from qdrant_static.edge import pointwrites as writing
from qdrant_static.edge.collectionstore import Collections
from qdrant_static.edge.description import Description, VectorsConfig, by_name
from qdrant_static.edge.distances import DistanceMatrices
from qdrant_static.edge.indexbuild import BuildProgress, build_elsewhere, build_here, worth_building
from qdrant_static.edge.inference import Inference, ModelLists
from qdrant_static.edge.opencollection import OpenCollection, describe
from qdrant_static.edge.payloads import metadata as plain_metadata
from qdrant_static.edge.snapshotimport import Incoming
from qdrant_static.edge.unsupported import (
    REASONS,
    require_one,
    require_unset,
    unsupported_method,
)
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from qdrant_static.encoders.sparsevectors import SparseRows


class EdgeClient(DistanceMatrices, ModelLists):
    """`qdrant_client.QdrantClient`'s interface over Qdrant Edge.

    Methods, parameters, models and results are QdrantClient's. A parameter that means nothing in
    one process (``wait``, ``ordering``, ``consistency``, ``timeout``, ``parallel``, ``method``,
    ``max_retries``) is accepted and ignored: every call is complete when it returns. What the
    engine cannot do raises `NotSupportedByEdgeError` with the reason. Nothing is opened or created
    before it is needed. Threads may share a client; one client at a time can open a collection. A
    forked child cannot use its parent's client, nor can a closed one be used
    (`ClientForkedError`, `ClientClosedError`).

    Texts and images (``models.Document``, ``models.Image``) may be given in place of vectors in
    points and queries, as in QdrantClient: see docs/plugin.md.

    Args:
        path: The directory of the collections.
        index_after_load: Whether `upload_points` and `upload_collection` build the index at their
            end, if enough points are new. All threads of the process wait meanwhile.
    """

    def __init__(self, path: str | os.PathLike[str], *, index_after_load: bool = True) -> None:
        self.path = Path(rules.location("path", path))
        self.index_after_load = index_after_load
        self._collections = Collections(self.path)
        self._inference = Inference()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        """Give QdrantClient's other methods, which raise an error with the reason."""
        reason = REASONS.get(name)
        if reason is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return unsupported_method(name, reason)

    def close(self, grpc_grace: float | None = None) -> None:
        """Write what is pending and close all collections; a later call is an error.

        Raises:
            EngineError: If something could not be written.
        """
        self._collections.close()

    def info(self) -> models.VersionInfo:
        """Return the engine's version."""
        self._collections.require_usable()
        return models.VersionInfo(title="Qdrant Edge", version=version("qdrant-edge-py"))

    # --- collections -------------------------------------------------------------------------

    def create_collection(
        self,
        collection_name: str,
        vectors_config: VectorsConfig = None,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        shard_number: int | None = None,
        sharding_method: models.ShardingMethod | None = None,
        replication_factor: int | None = None,
        write_consistency_factor: int | None = None,
        on_disk_payload: bool | None = None,
        hnsw_config: models.HnswConfigDiff | None = None,
        optimizers_config: models.OptimizersConfigDiff | None = None,
        wal_config: models.WalConfigDiff | None = None,
        quantization_config: models.QuantizationConfig | None = None,
        timeout: int | None = None,
        strict_mode_config: models.StrictModeConfig | None = None,
        metadata: Mapping[str, Any] | None = None,
        payload: models.PayloadStorageParams | None = None,
        id_tracker: models.IdTrackerParams | None = None,
        *,
        wal: bool = True,
    ) -> bool:
        """Create an empty collection.

        Args:
            collection_name: Its name, which is also the name of its folder.
            vectors_config: Dense vectors: one without a name, or several by name.
            sparse_vectors_config: Sparse vectors by name.
            shard_number: How many shards; None is one. Several are for shipping: points are stored
                in the shard that a server would use, and searching raises
                `NotSupportedByEdgeError`.
            sharding_method: ``auto``, if given.
            replication_factor: 1, if given.
            write_consistency_factor: 1, if given.
            on_disk_payload: Whether payloads are on disk.
            hnsw_config: HNSW settings, which a vector's own override.
            optimizers_config: When ``optimize`` merges, vacuums and indexes segments.
            wal_config: Not supported.
            quantization_config: Quantization, which a vector's own overrides.
            timeout: Ignored.
            strict_mode_config: Not supported.
            metadata: Your own metadata, as JSON.
            payload: Where payloads are stored; the newer form of ``on_disk_payload``.
            id_tracker: Where the ids of indexed segments are stored.
            wal: Whether writes go through a write-ahead log (not a parameter of QdrantClient's).
                With it, acknowledged writes survive a crash of the process. Without it, writes
                are faster and only `flush` makes them durable; they are reported as
                ``acknowledged``, not ``completed``. It cannot be changed later.

        Raises:
            CollectionExistsError: If it exists.
            CollectionNameError: If the name cannot be the name of a folder.
            AliasExistsError: If an alias has the name.
            NotSupportedByEdgeError: If the engine lacks a setting.
            ArgumentError: If the number of shards is below 1.
        """
        require_one(
            replication_factor=replication_factor,
            write_consistency_factor=write_consistency_factor,
        )
        if shard_number is not None:
            convert.check_number("shard_number", shard_number)
        if sharding_method != models.ShardingMethod.AUTO:
            require_unset(sharding_method=sharding_method)
        require_unset(wal_config=wal_config, strict_mode_config=strict_mode_config)
        given = convert.parsed_collection(
            sparse_vectors_config=sparse_vectors_config or {},
            hnsw_config=hnsw_config,
            quantization_config=quantization_config,
            optimizers_config=optimizers_config,
            payload=payload,
            id_tracker=id_tracker,
        )
        self._collections.create(
            collection_name,
            Description(
                vectors=by_name(convert.parsed_vectors(vectors_config)),
                sparse_vectors=given.pop("sparse_vectors_config"),
                on_disk_payload=on_disk_payload,
                metadata=plain_metadata(metadata),
                wal=wal,
                shard_number=shard_number or 1,
                **given,
            ),
        )
        return True

    def recreate_collection(
        self,
        collection_name: str,
        vectors_config: VectorsConfig = None,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        shard_number: int | None = None,
        sharding_method: models.ShardingMethod | None = None,
        replication_factor: int | None = None,
        write_consistency_factor: int | None = None,
        on_disk_payload: bool | None = None,
        hnsw_config: models.HnswConfigDiff | None = None,
        optimizers_config: models.OptimizersConfigDiff | None = None,
        wal_config: models.WalConfigDiff | None = None,
        quantization_config: models.QuantizationConfig | None = None,
        timeout: int | None = None,
        strict_mode_config: models.StrictModeConfig | None = None,
        metadata: Mapping[str, Any] | None = None,
        payload: models.PayloadStorageParams | None = None,
        id_tracker: models.IdTrackerParams | None = None,
        *,
        wal: bool = True,
    ) -> bool:
        """Delete a collection if it is there, and create it. Deprecated, as in the client."""
        warnings.warn(
            "`recreate_collection` is deprecated: use `collection_exists` and `create_collection`",
            DeprecationWarning,
            stacklevel=2,
        )
        self.delete_collection(collection_name)
        return self.create_collection(
            collection_name,
            vectors_config=vectors_config,
            sparse_vectors_config=sparse_vectors_config,
            shard_number=shard_number,
            sharding_method=sharding_method,
            replication_factor=replication_factor,
            write_consistency_factor=write_consistency_factor,
            on_disk_payload=on_disk_payload,
            hnsw_config=hnsw_config,
            optimizers_config=optimizers_config,
            wal_config=wal_config,
            quantization_config=quantization_config,
            strict_mode_config=strict_mode_config,
            metadata=metadata,
            payload=payload,
            id_tracker=id_tracker,
            wal=wal,
        )

    def update_collection(
        self,
        collection_name: str,
        optimizers_config: models.OptimizersConfigDiff | None = None,
        collection_params: models.CollectionParamsDiff | None = None,
        vectors_config: Mapping[str, models.VectorParamsDiff] | None = None,
        hnsw_config: models.HnswConfigDiff | None = None,
        quantization_config: models.QuantizationConfigDiff | None = None,
        timeout: int | None = None,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        strict_mode_config: models.StrictModeConfig | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> bool:
        """Merge settings into the collection's; merge metadata by key, where None removes a key.

        The engine reads settings when it opens a collection, so the collection is closed and
        opened again. Existing indexes are rebuilt by the next `optimize`.

        Raises:
            ArgumentError: If there is no vector of a name.
            NotSupportedByEdgeError: If the engine lacks a setting, or cannot change it.
        """
        require_unset(strict_mode_config=strict_mode_config)
        given = convert.parsed_collection(
            optimizers_config=optimizers_config,
            collection_params=collection_params,
            hnsw_config=hnsw_config,
            quantization_config=quantization_config,
            sparse_vectors_config=sparse_vectors_config,
        )
        vectors = convert.parsed(
            vectors_config, dict[str, models.VectorParamsDiff], "vectors_config"
        )
        with self._collections.use(collection_name) as opened:
            collectionupdates.change_settings(
                opened,
                optimizers=given["optimizers_config"],
                params=given["collection_params"],
                vectors=vectors,
                hnsw=given["hnsw_config"],
                quantization=given["quantization_config"],
                sparse=given["sparse_vectors_config"],
                metadata=plain_metadata(metadata),
            )
        return True

    def delete_collection(self, collection_name: str, timeout: int | None = None) -> bool:
        """Delete a collection and its aliases; return whether there was one of that name."""
        return self._collections.delete(collection_name)

    def collection_exists(self, collection_name: str) -> bool:
        """Return whether there is a collection or an alias of that name."""
        return (
            self._collections.exists(collection_name)
            or collection_name in self._collections.live_aliases()
        )

    def get_collection(self, collection_name: str) -> models.CollectionInfo:
        """Describe a collection: its settings, its metadata, its approximate counts."""
        with self._collections.use(collection_name) as opened:
            return describe(opened)

    def get_collections(self) -> models.CollectionsResponse:
        """Return the names of all collections."""
        names = self._collections.names()
        return models.CollectionsResponse(
            collections=[models.CollectionDescription(name=name) for name in names]
        )

    def create_vector_name(
        self,
        collection_name: str,
        vector_name: str,
        vector_name_config: models.VectorNameConfig,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Add a named vector to a collection; adding the same one again is no error."""
        with self._collections.use(collection_name) as opened:
            collectionupdates.create_vector(
                opened,
                vector_name,
                convert.parsed(vector_name_config, models.VectorNameConfig, "vector_name_config"),
            )
            return _done(opened)

    def delete_vector_name(
        self,
        collection_name: str,
        vector_name: str,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Delete a named vector with all its values; a missing one is no error."""
        with self._collections.use(collection_name) as opened:
            collectionupdates.delete_vector(opened, vector_name)
            return _done(opened)

    def create_payload_index(
        self,
        collection_name: str,
        field_name: str,
        field_schema: models.PayloadFieldSchema | str | None = None,
        field_type: models.PayloadFieldSchema | str | None = None,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Create the index of a payload field, so that filters on it are fast."""
        if field_type is not None:
            warnings.warn(
                "`field_type` is deprecated: use `field_schema`", DeprecationWarning, stacklevel=2
            )
            field_schema = field_type
        if field_schema is None:
            raise ArgumentError(field="field_schema", problem="give the type of the field's values")
        schema = field_schema
        return self._execute(
            collection_name,
            lambda opened: writing.create_index(opened, field_name, schema),
            flush=True,
        )

    def delete_payload_index(
        self,
        collection_name: str,
        field_name: str,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Delete the index of a payload field; a field without one is no error."""
        return self._execute(
            collection_name, lambda opened: writing.delete_index(opened, field_name), flush=True
        )

    # --- aliases -----------------------------------------------------------------------------

    def update_collection_aliases(
        self,
        change_aliases_operations: Sequence[models.AliasOperations],
        timeout: int | None = None,
    ) -> bool:
        """Create, rename and delete aliases: all of them, or none after an error."""
        self._collections.change_aliases(
            convert.parsed(
                change_aliases_operations, models.AliasOperations, "change_aliases_operations"
            )
        )
        return True

    def get_aliases(self) -> models.CollectionsAliasesResponse:
        """Return all aliases."""
        return _aliases(self._collections.live_aliases())

    def get_collection_aliases(self, collection_name: str) -> models.CollectionsAliasesResponse:
        """Return the aliases of a collection; none for a missing collection."""
        table = self._collections.live_aliases()
        return _aliases({alias: to for alias, to in table.items() if to == collection_name})

    # --- only of the embedded engine -----------------------------------------------------------

    def flush(self, collection_name: str | None = None) -> None:
        """Make all writes so far durable; needed only without a write-ahead log.

        Args:
            collection_name: Which collection; all open ones if None.
        """
        if collection_name is None:
            self._collections.each_open(OpenCollection.flush)
            return
        with self._collections.use(collection_name) as opened:
            opened.flush()

    def release(self) -> None:
        """Close all collections until their next use, so that other processes can open them.

        Raises:
            EngineError: If something could not be written.
        """
        self._collections.release()

    def optimize(
        self,
        collection_name: str,
        *,
        another_process: bool = False,
        progress: Callable[[BuildProgress], None] | None = None,
    ) -> bool:
        """Build the indexes of all stored points; return whether there was anything to do.

        The engine has no background threads: nothing is indexed before this is called. It holds
        the GIL, so all threads of the process wait.

        Args:
            collection_name: Which collection.
            another_process: Build in another process. The threads of this one continue, but the
                collection is closed here meanwhile: using it raises `CollectionLockedError`. A
                program that serves queries should build the next collection in this way, and then
                switch the alias.
            progress: Called about ten times a second while another process builds.
        """
        if not another_process:
            if progress is not None:
                raise ArgumentError(
                    field="progress",
                    problem="all threads wait while the index is built in this process: set "
                    "another_process=True too",
                )
            with self._collections.use(collection_name) as opened:
                return build_here(opened)
        with self._collections.closed_meanwhile(collection_name) as name:
            return build_elsewhere(self.path, name, progress)

    def receiving(self, collection_name: str) -> AbstractContextManager[Incoming]:
        """Receive a server's collection as snapshots of its shards (`qdrant_static.pull`).

        The collection exists when the ``with`` block ends in which `Incoming.finish` was called; if
        it was not called, all files are removed.

        Args:
            collection_name: Its name here, which is also the name of its folder.

        Raises:
            CollectionExistsError: If it exists.
            CollectionNameError: If the name cannot be the name of a folder.
            CollectionLockedError: If it is being created, here or in another process.
            AliasExistsError: If an alias has the name.
        """
        return self._collections.receiving(collection_name)

    def shard_folders(self, collection_name: str) -> AbstractContextManager[tuple[Path, ...]]:
        """Close a collection for a ``with`` block and give the folders of its shards.

        All writes are flushed and the engine is closed, but the lock is kept: using the collection
        raises `CollectionLockedError`, in this process too. So its files can be read.
        """
        return self._collections.shard_folders(collection_name)

    def shard_counts(self, collection_name: str) -> list[int]:
        """Return the exact number of points in each shard."""
        with self._collections.use(collection_name) as opened:
            return shards.shard_counts(opened)

    def sample_points(
        self,
        collection_name: str,
        count: int,
        *,
        with_payload: Any = False,
        with_vectors: bool | Sequence[str] = False,
    ) -> list[list[models.ScoredPoint]]:
        """Return random points of each shard.

        Args:
            collection_name: Which collection.
            count: The most points of each shard.
            with_payload: Which payload to return with them.
            with_vectors: Which vectors to return with them.

        Returns:
            A list per shard. ``version`` is the number of the operation that wrote the point last,
            or 0 for a point without a dense vector, where the engine does not report it.
        """
        with self._collections.use(collection_name) as opened:
            return shards.sample_points(opened, count, payload=with_payload, vectors=with_vectors)

    def nearest(
        self, collection_name: str, vector_name: str, vectors: Sequence[Any], *, limit: int = 10
    ) -> list[list[models.ScoredPoint]]:
        """Search by one vector, also over several shards.

        Scores by one vector can be merged, as a server does; prefetches and fusions over several
        shards cannot, so `query_points` refuses these.

        Args:
            collection_name: Which collection.
            vector_name: Which vector; the unnamed one is ``""``.
            vectors: The queries: numbers, or `models.SparseVector`.
            limit: The number of hits of each.

        Returns:
            A list per query, the nearest first.
        """
        with self._collections.use(collection_name) as opened:
            return shards.nearest(opened, vector_name, vectors, limit)

    def shard_ids(
        self, collection_name: str, *, page: int = 10_000
    ) -> Iterator[tuple[int, list[int | str]]]:
        """Yield the ids of all points, shard by shard.

        Args:
            collection_name: Which collection.
            page: How many ids at a time.

        Yields:
            The number of a shard, and some of its ids in ascending order.
        """
        for number in range(len(self.shard_counts(collection_name))):
            following: Any = None
            while True:
                with self._collections.use(collection_name) as opened:
                    ids, following = shards.shard_ids(opened, number, offset=following, limit=page)
                yield number, ids
                if following is None:
                    break

    # --- writing -----------------------------------------------------------------------------

    def upsert(
        self,
        collection_name: str,
        points: models.Batch | models.PointsList | Sequence[models.PointStruct],
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        update_filter: models.Filter | None = None,
        update_mode: models.UpdateMode | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Store points, all of them or none; acknowledged points survive a crash.

        Raises:
            PointError: If a point does not fit the collection; it names the point.
            StorageError: If the disk is full.
            EngineError: If the engine fails.
        """
        require_unset(shard_key_selector=shard_key_selector)
        given = self._inference.points(convert.parsed_points(points, models.PointStruct))
        return self._execute(
            collection_name,
            lambda opened: writing.upsert(opened, given, condition=update_filter, mode=update_mode),
        )

    def upload_points(
        self,
        collection_name: str,
        points: Iterable[models.PointStruct],
        batch_size: int = 64,
        parallel: int = 1,
        method: str | None = None,
        max_retries: int = 3,
        wait: bool = False,
        shard_key_selector: models.ShardKeySelector | None = None,
        update_filter: models.Filter | None = None,
        update_mode: models.UpdateMode | None = None,
    ) -> None:
        """Store points in batches; if a batch fails, the batches before it stay.

        Vectors may be numpy rows if the points were made by ``model_construct``, which is the
        fastest. At the end the index is built if enough points are new (``index_after_load``).
        """
        require_unset(shard_key_selector=shard_key_selector)
        for batch in uploads.batches(points, batch_size):
            self.upsert(
                collection_name, batch, update_filter=update_filter, update_mode=update_mode
            )
        if self.index_after_load:
            with self._collections.use(collection_name) as opened:
                if worth_building(opened):
                    build_here(opened)

    def upload_collection(
        self,
        collection_name: str,
        vectors: Any,
        payload: Iterable[Mapping[Any, Any]] | None = None,
        ids: Iterable[int | str] | None = None,
        batch_size: int = 64,
        parallel: int = 1,
        method: str | None = None,
        max_retries: int = 3,
        wait: bool = False,
        shard_key_selector: models.ShardKeySelector | None = None,
        update_filter: models.Filter | None = None,
        update_mode: models.UpdateMode | None = None,
    ) -> None:
        """Store points from a matrix, or from columns by name (matrices, lists of sparse vectors).

        Args:
            collection_name: Which collection.
            vectors: float32 (n, dim), or a mapping of names to columns, or an iterable of values
                that a point's ``vector`` may have.
            payload: Payloads in the same order.
            ids: Ids in the same order; random UUIDs if None.
            batch_size: Points per request.
            parallel: Ignored.
            method: Ignored.
            max_retries: Ignored.
            wait: Ignored.
            shard_key_selector: Not supported.
            update_filter: As for `upsert`.
            update_mode: As for `upsert`.

        Raises:
            ArgumentError: If ids or payloads end before the vectors.
        """
        self.upload_points(
            collection_name,
            uploads.columns(vectors, payload, ids),
            batch_size=batch_size,
            shard_key_selector=shard_key_selector,
            update_filter=update_filter,
            update_mode=update_mode,
        )

    def upsert_matrices(
        self,
        collection_name: str,
        ids: Sequence[int | str],
        *,
        dense: Mapping[str, NDArray[np.float32]],
        sparse: Mapping[str, SparseRows],
        payloads: Sequence[Mapping[str, Any]],
    ) -> None:
        """Store points from matrices in one request, all or none: the fastest way to write.

        `QdrantClient` has no such method. `qdrant_static.ingest` uses it.

        Args:
            collection_name: Which collection.
            ids: n point ids.
            dense: Vector name -> float32 (n, size).
            sparse: Vector name -> n sparse vectors; an empty one is left out of its point.
            payloads: n payloads of JSON values.

        Raises:
            ArgumentError: If a name, a shape or a length is not the collection's.
            PointError: If a point does not fit; nothing is stored.
        """
        self._execute(
            collection_name,
            lambda opened: writing.upsert_built(
                opened, enginepoints.points_of_matrices(opened, ids, dense, sparse, payloads)
            ),
        )

    def update_vectors(
        self,
        collection_name: str,
        points: Sequence[models.PointVectors],
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        update_filter: models.Filter | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Replace vectors of stored points; their other vectors and payloads stay."""
        require_unset(shard_key_selector=shard_key_selector)
        given = self._inference.points(convert.parsed_points(points, models.PointVectors))
        return self._execute(
            collection_name,
            lambda opened: writing.update_vectors(opened, given, condition=update_filter),
        )

    def delete_vectors(
        self,
        collection_name: str,
        vectors: Sequence[str],
        points: Any,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Delete vectors of points, chosen by ids or by a filter."""
        require_unset(shard_key_selector=shard_key_selector)
        inner = models.DeleteVectors.model_construct(
            vector=list(vectors), **writing.selected(points)
        )
        return self._update(
            collection_name, models.DeleteVectorsOperation.model_construct(delete_vectors=inner)
        )

    def delete(
        self,
        collection_name: str,
        points_selector: Any,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Delete points by ids or by a filter; missing ids are no error."""
        require_unset(shard_key_selector=shard_key_selector)
        return self._update(
            collection_name,
            models.DeleteOperation.model_construct(delete=_selector(points_selector)),
        )

    def set_payload(
        self,
        collection_name: str,
        payload: Mapping[str, Any],
        points: Any,
        key: str | None = None,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Set fields of payloads, or of the object at ``key`` in them; the others stay."""
        require_unset(shard_key_selector=shard_key_selector)
        inner = models.SetPayload.model_construct(
            payload=payload, key=key, **writing.selected(points)
        )
        return self._update(
            collection_name, models.SetPayloadOperation.model_construct(set_payload=inner)
        )

    def overwrite_payload(
        self,
        collection_name: str,
        payload: Mapping[str, Any],
        points: Any,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Replace whole payloads."""
        require_unset(shard_key_selector=shard_key_selector)
        inner = models.SetPayload.model_construct(payload=payload, **writing.selected(points))
        return self._update(
            collection_name,
            models.OverwritePayloadOperation.model_construct(overwrite_payload=inner),
        )

    def delete_payload(
        self,
        collection_name: str,
        keys: Sequence[str],
        points: Any,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Delete fields of payloads."""
        require_unset(shard_key_selector=shard_key_selector)
        inner = models.DeletePayload.model_construct(keys=list(keys), **writing.selected(points))
        return self._update(
            collection_name, models.DeletePayloadOperation.model_construct(delete_payload=inner)
        )

    def clear_payload(
        self,
        collection_name: str,
        points_selector: Any,
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Delete all fields of payloads."""
        require_unset(shard_key_selector=shard_key_selector)
        return self._update(
            collection_name,
            models.ClearPayloadOperation.model_construct(clear_payload=_selector(points_selector)),
        )

    def batch_update_points(
        self,
        collection_name: str,
        update_operations: Sequence[models.UpdateOperation],
        wait: bool = True,
        ordering: models.WriteOrdering | None = None,
        timeout: int | None = None,
    ) -> list[models.UpdateResult]:
        """Execute update operations in their order.

        All are checked before the first is executed. If one fails nevertheless (a point that it
        changes is missing), the ones before it stay, as on a server.
        """
        operations = self._inference.operations(
            convert.parsed(update_operations, models.UpdateOperation, "update_operations")
        )
        with self._collections.use(collection_name) as opened:
            writes = [writing.operation(opened, one) for one in operations]
            for write in writes:
                writing.execute(opened, write)
            return [_done(opened) for _ in writes]

    # --- reading -----------------------------------------------------------------------------

    def retrieve(
        self,
        collection_name: str,
        ids: Sequence[int | str],
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        consistency: models.ReadConsistency | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> list[models.Record]:
        """Read points by id; missing ids are left out."""
        require_unset(shard_key_selector=shard_key_selector)
        with self._collections.use(collection_name) as opened:
            return reading.retrieve(opened, ids, payload=with_payload, vectors=with_vectors)

    def scroll(
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        limit: int = 10,
        order_by: models.OrderBy | str | None = None,
        offset: int | str | None = None,
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        consistency: models.ReadConsistency | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> tuple[list[models.Record], int | str | None]:
        """Read points page by page, in the order of their ids or of a payload field."""
        require_unset(shard_key_selector=shard_key_selector)
        with self._collections.use(collection_name) as opened:
            return reading.scroll(
                opened,
                scroll_filter,
                limit=limit,
                offset=offset,
                payload=with_payload,
                vectors=with_vectors,
                order_by=order_by,
            )

    def count(
        self,
        collection_name: str,
        count_filter: models.Filter | None = None,
        exact: bool = True,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> models.CountResult:
        """Count points."""
        require_unset(shard_key_selector=shard_key_selector)
        with self._collections.use(collection_name) as opened:
            return models.CountResult(count=reading.count(opened, count_filter, exact=exact))

    def facet(
        self,
        collection_name: str,
        key: str,
        facet_filter: models.Filter | None = None,
        limit: int = 10,
        exact: bool = False,
        consistency: models.ReadConsistency | None = None,
        timeout: int | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
    ) -> models.FacetResponse:
        """Count points by the values of an indexed payload field."""
        require_unset(shard_key_selector=shard_key_selector)
        with self._collections.use(collection_name) as opened:
            return reading.facet(opened, key, condition=facet_filter, limit=limit, exact=exact)

    def query_points(
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: models.Prefetch | Sequence[models.Prefetch] | None = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        score_threshold: float | None = None,
        lookup_from: models.LookupLocation | None = None,
        consistency: models.ReadConsistency | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> QueryResponse:
        """Search by any query of `models.Query`, with prefetches."""
        require_unset(shard_key_selector=shard_key_selector)
        query, prefetch = self._inference.query(convert.parsed_stages(query, prefetch))
        request = models.QueryRequest.model_construct(
            query=query,
            using=using,
            prefetch=convert.listed(prefetch) or None,
            filter=query_filter,
            params=search_params,
            limit=limit,
            offset=offset,
            with_payload=with_payload,
            with_vector=with_vectors,
            score_threshold=score_threshold,
            lookup_from=convert.parsed(lookup_from, models.LookupLocation, "lookup_from"),
        )
        with self._collections.use(collection_name) as opened:
            (hits,) = reading.query_batch_points(opened, [request], look_up=self._collections.open)
        return QueryResponse.model_construct(points=hits)

    def query_batch_points(
        self,
        collection_name: str,
        requests: Sequence[models.QueryRequest],
        consistency: models.ReadConsistency | None = None,
        timeout: int | None = None,
    ) -> list[QueryResponse]:
        """Search with several requests in one call."""
        requests = self._inference.query([convert.parsed_request(one) for one in requests])
        with self._collections.use(collection_name) as opened:
            lists = reading.query_batch_points(opened, requests, look_up=self._collections.open)
        return [QueryResponse.model_construct(points=hits) for hits in lists]

    def query_points_groups(
        self,
        collection_name: str,
        group_by: str,
        query: Any = None,
        using: str | None = None,
        prefetch: models.Prefetch | Sequence[models.Prefetch] | None = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        group_size: int = 3,
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        score_threshold: float | None = None,
        with_lookup: models.WithLookup | str | None = None,
        lookup_from: models.LookupLocation | None = None,
        consistency: models.ReadConsistency | None = None,
        shard_key_selector: models.ShardKeySelector | None = None,
        timeout: int | None = None,
    ) -> models.GroupsResult:
        """Search, and group the hits by a payload field."""
        require_unset(shard_key_selector=shard_key_selector)
        query, prefetch = self._inference.query(convert.parsed_stages(query, prefetch))
        with self._collections.use(collection_name) as opened:
            return grouping.query_points_groups(
                opened,
                query,
                group_by=group_by,
                limit=limit,
                group_size=group_size,
                using=using,
                prefetch=prefetch,
                condition=query_filter,
                params=search_params,
                payload=with_payload,
                vectors=with_vectors,
                score_threshold=score_threshold,
                lookup_from=convert.parsed(lookup_from, models.LookupLocation, "lookup_from"),
                with_lookup=with_lookup,
                look_up=self._collections.open,
            )

    # --- private ------------------------------------------------------------------------------

    def _update(self, name: str, operation: models.UpdateOperation) -> models.UpdateResult:
        return self._execute(name, lambda opened: writing.operation(opened, operation))

    def _execute(
        self, name: str, prepare: Callable[[OpenCollection], writing.Write], *, flush: bool = False
    ) -> models.UpdateResult:
        with self._collections.use(name) as opened:
            writing.execute(opened, prepare(opened))
            if flush:
                opened.flush()
            return _done(opened)


def _done(opened: OpenCollection) -> models.UpdateResult:
    status = models.UpdateStatus.COMPLETED
    if not opened.description.wal:  # durable only after flush()
        status = models.UpdateStatus.ACKNOWLEDGED
    return models.UpdateResult.model_construct(operation_id=None, status=status)


def _selector(selector: Any) -> models.PointsSelector:
    chosen = writing.selected(selector)
    if chosen["filter"] is not None:
        return models.FilterSelector.model_construct(filter=chosen["filter"])
    return models.PointIdsList.model_construct(points=chosen["points"])


def _aliases(table: Mapping[str, str]) -> models.CollectionsAliasesResponse:
    return models.CollectionsAliasesResponse(
        aliases=[
            models.AliasDescription(alias_name=alias, collection_name=name)
            for alias, name in sorted(table.items())
        ]
    )
