"""EdgeClient: the face. QdrantClient's methods, on a directory, served by the engine itself."""

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
    refusing,
    require_one,
    require_unset,
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
    ``max_retries``) is taken and ignored: every call has happened when it returns. What cannot be
    done is a `NotSupportedByEdgeError` that says why. Nothing is opened or made before it is
    needed. Threads may share a client; a collection has one opener at a time. A forked child
    cannot use its parent's client, and a closed one cannot be used (`ClientForkedError`,
    `ClientClosedError`).

    Texts and images (``models.Document``, ``models.Image``) may stand for vectors in points and
    queries, as in QdrantClient: see docs/plugin.md.

    Args:
        path: The directory of the collections.
        index_after_load: Whether `upload_points` and `upload_collection` build the index at their
            end, if so much is new that it pays. The process stands still meanwhile.
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
        """QdrantClient's other methods are there, and say why they cannot be."""
        reason = REASONS.get(name)
        if reason is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return refusing(name, reason)

    def close(self, grpc_grace: float | None = None) -> None:
        """Write what is pending and close all collections; a later call is an error.

        Raises:
            EngineError: If something could not be written.
        """
        self._collections.close()

    def info(self) -> models.VersionInfo:
        """The engine's version."""
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
            collection_name: Its name, and its folder's.
            vectors_config: Dense vectors: one without a name, or several by name.
            sparse_vectors_config: Sparse vectors by name.
            shard_number: How many shards; None is one. Several are for shipping: points lie where
                a server would look for them, and searching is a `NotSupportedByEdgeError`.
            sharding_method: ``auto``, if given.
            replication_factor: 1, if given.
            write_consistency_factor: 1, if given.
            on_disk_payload: Where payloads lie.
            hnsw_config: What the vectors' graphs inherit.
            optimizers_config: When ``optimize`` merges, cleans and indexes.
            wal_config: Not supported.
            quantization_config: What the dense vectors inherit.
            timeout: Ignored.
            strict_mode_config: Not supported.
            metadata: The user's own, as JSON.
            payload: Where payloads lie, in the newer words.
            id_tracker: Where the ids of indexed segments lie.
            wal: Whether writes go through a write-ahead log (not a parameter of QdrantClient's).
                With it, what was acknowledged survives the death of the process. Without it,
                writes are faster and only `flush` makes them durable; they are reported as
                ``acknowledged``, not ``completed``. Fixed for the life of the collection.

        Raises:
            CollectionExistsError: If it is there already.
            CollectionNameError: If the name cannot be a folder's.
            AliasExistsError: If an alias has the name.
            NotSupportedByEdgeError: If a setting cannot be expressed.
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
        """Merge settings, and keys of the metadata (None removes one), over what is there.

        The engine takes settings when it opens a collection, so this one is closed and opened
        again. What is indexed already follows at the next `optimize`.

        Raises:
            ArgumentError: If a vector is not there.
            NotSupportedByEdgeError: If a setting cannot be expressed, or not be changed.
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
        """Delete a collection and its aliases; whether there was one of that name."""
        return self._collections.delete(collection_name)

    def collection_exists(self, collection_name: str) -> bool:
        """Whether there is such a collection, or an alias of one."""
        return (
            self._collections.exists(collection_name)
            or collection_name in self._collections.live_aliases()
        )

    def get_collection(self, collection_name: str) -> models.CollectionInfo:
        """Describe a collection: its settings, its metadata, its approximate counts."""
        with self._collections.use(collection_name) as opened:
            return describe(opened)

    def get_collections(self) -> models.CollectionsResponse:
        """The names of all collections."""
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
        """Add a named vector to a collection; the same one again is no error."""
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
        """Drop a named vector with all its values; one that is not there is no error."""
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
        """Index a payload field, so that filters on it are fast."""
        if field_type is not None:
            warnings.warn(
                "`field_type` is deprecated: use `field_schema`", DeprecationWarning, stacklevel=2
            )
            field_schema = field_type
        if field_schema is None:
            raise ArgumentError(field="field_schema", problem="say what the field holds")
        schema = field_schema
        return self._carry_out(
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
        """Drop the index of a payload field; a field without one is no error."""
        return self._carry_out(
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
        """All aliases."""
        return _aliases(self._collections.live_aliases())

    def get_collection_aliases(self, collection_name: str) -> models.CollectionsAliasesResponse:
        """The aliases of a collection; none for one that is not there."""
        table = self._collections.live_aliases()
        return _aliases({alias: to for alias, to in table.items() if to == collection_name})

    # --- the embedded engine's own -----------------------------------------------------------

    def flush(self, collection_name: str | None = None) -> None:
        """Make all writes so far durable; only a collection without a log needs it.

        Args:
            collection_name: Which collection; all open ones if None.
        """
        if collection_name is None:
            self._collections.each_open(OpenCollection.flush)
            return
        with self._collections.use(collection_name) as opened:
            opened.flush()

    def release(self) -> None:
        """Close all collections until they are used again, so that another process can open them.

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
        """Build the indexes of all that was stored; returns whether there was anything to do.

        The engine has no background: nothing is indexed before this is called. It keeps the
        interpreter, so every thread of the process stands still meanwhile.

        Args:
            collection_name: Which collection.
            another_process: Build in another process. The threads of this one go on, but the
                collection is closed here meanwhile: using it is a `CollectionLockedError`. A
                program that serves queries builds the next collection so, and then switches the
                alias.
            progress: Called about ten times a second while another process builds.
        """
        if not another_process:
            if progress is not None:
                raise ArgumentError(
                    field="progress",
                    problem="the interpreter stands still while it builds here: set "
                    "another_process=True too",
                )
            with self._collections.use(collection_name) as opened:
                return build_here(opened)
        with self._collections.lent(collection_name) as name:
            return build_elsewhere(self.path, name, progress)

    def receiving(self, collection_name: str) -> AbstractContextManager[Incoming]:
        """Take in a collection of a server's, as snapshots of its shards (`qdrant_static.pull`).

        It is there when the ``with`` block ends in which it was finished, and not before; if the
        block ends otherwise, nothing is left.

        Args:
            collection_name: Its name here, and its folder's.

        Raises:
            CollectionExistsError: If it is there already.
            CollectionNameError: If the name cannot be a folder's.
            CollectionLockedError: If it is being made, here or in another process.
            AliasExistsError: If an alias has the name.
        """
        return self._collections.receiving(collection_name)

    def at_rest(self, collection_name: str) -> AbstractContextManager[tuple[Path, ...]]:
        """The folders of a collection's shards, for as long as the context lasts.

        Everything is written, the engine is closed, and nobody can open the collection: using it
        is a `CollectionLockedError`, here too. That is how its files can be read.
        """
        return self._collections.at_rest(collection_name)

    def shard_counts(self, collection_name: str) -> list[int]:
        """How many points each shard holds, exactly."""
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
        """Points of each shard, drawn by chance.

        Args:
            collection_name: Which collection.
            count: How many of each shard, at most.
            with_payload: Which payload comes with them.
            with_vectors: Which vectors come with them.

        Returns:
            By shard. ``version`` is the number of the operation that wrote a point last; it is 0
            for a point without a dense vector, of which the engine does not tell it.
        """
        with self._collections.use(collection_name) as opened:
            return shards.sample_points(opened, count, payload=with_payload, vectors=with_vectors)

    def nearest(
        self, collection_name: str, vector_name: str, vectors: Sequence[Any], *, limit: int = 10
    ) -> list[list[models.ScoredPoint]]:
        """The best hits of plain searches by one vector, also over several shards.

        Scores of one vector can be merged, as a server merges them; a plan's stages and fusions
        over several shards cannot, so `query_points` refuses these.

        Args:
            collection_name: Which collection.
            vector_name: Which vector; the unnamed one is ``""``.
            vectors: The queries: numbers, or `models.SparseVector`.
            limit: Hits of each.

        Returns:
            By query, the nearest first.
        """
        with self._collections.use(collection_name) as opened:
            return shards.nearest(opened, vector_name, vectors, limit)

    def shard_ids(
        self, collection_name: str, *, page: int = 10_000
    ) -> Iterator[tuple[int, list[int | str]]]:
        """All ids, as the shards hold them.

        Args:
            collection_name: Which collection.
            page: How many at a time.

        Yields:
            A shard's number, and some of its ids in their order.
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
        """Store points, all of them or none; what is acknowledged survives a crash.

        Raises:
            PointError: If a point does not fit the collection; it names the point.
            StorageError: If the disk is full.
            EngineError: If the engine fails.
        """
        require_unset(shard_key_selector=shard_key_selector)
        given = self._inference.points(convert.parsed_points(points, models.PointStruct))
        return self._carry_out(
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
        """Store points in batches; the last good batch stays if a later one fails.

        Vectors may be numpy rows where the points were made by ``model_construct``: that is the
        cheapest way. At the end the index is built, if that pays (``index_after_load``).
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
        """Store columns: a matrix, or columns by name (matrices, lists of sparse vectors).

        Args:
            collection_name: Which collection.
            vectors: float32 (n, dim), or a mapping of names to columns, or an iterable of what a
                point's ``vector`` may be.
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
        """Store points of columns in one request, all or none: the fastest way in.

        `QdrantClient` has no such method; `qdrant_static.ingest` uses it.

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
        self._carry_out(
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
        return self._carry_out(
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
        """Delete vectors of points that ids or a filter choose."""
        require_unset(shard_key_selector=shard_key_selector)
        inner = models.DeleteVectors.model_construct(
            vector=list(vectors), **writing.selected(points)
        )
        return self._operate(
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
        """Delete points that ids or a filter choose; ids that are not there are no error."""
        require_unset(shard_key_selector=shard_key_selector)
        return self._operate(
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
        return self._operate(
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
        return self._operate(
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
        return self._operate(
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
        """Empty payloads."""
        require_unset(shard_key_selector=shard_key_selector)
        return self._operate(
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
        """Carry out operations in their order.

        All are checked before the first is carried out. If one fails nevertheless (a point that
        it changes is not there), the ones before it stay, as on a server.
        """
        operations = self._inference.operations(
            convert.parsed(update_operations, models.UpdateOperation, "update_operations")
        )
        with self._collections.use(collection_name) as opened:
            writes = [writing.operation(opened, one) for one in operations]
            for write in writes:
                writing.carry_out(opened, write)
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
        """Read points by id; ids that are not there are left out."""
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
        """Search: nearest points, prefetched candidates rescored, fused lists, and the rest."""
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
        """Several searches in one call, planned together."""
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

    # --- inside ------------------------------------------------------------------------------

    def _operate(self, name: str, operation: models.UpdateOperation) -> models.UpdateResult:
        return self._carry_out(name, lambda opened: writing.operation(opened, operation))

    def _carry_out(
        self, name: str, prepare: Callable[[OpenCollection], writing.Write], *, flush: bool = False
    ) -> models.UpdateResult:
        with self._collections.use(name) as opened:
            writing.carry_out(opened, prepare(opened))
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
