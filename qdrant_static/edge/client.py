"""EdgeClient: the face. QdrantClient's methods, on a directory, served by the engine itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qdrant_client import models
from qdrant_client.http.models import QueryResponse  # models.QueryResponse is fastembed's

from qdrant_static.edge import points as writing
from qdrant_static.edge import queries as reading
from qdrant_static.edge.collections import Collections, describe, engine_errors
from qdrant_static.edge.directory import bytes_on_disk, require_room

if TYPE_CHECKING:
    from types import TracebackType

_DONE = models.UpdateResult(operation_id=None, status=models.UpdateStatus.COMPLETED)


class EdgeClient:
    """`qdrant_client.QdrantClient`'s interface over Qdrant Edge.

    Methods, parameters, models and results are QdrantClient's; a parameter that has no meaning
    in one process (``wait``, ``timeout``) is taken and ignored. Nothing is opened or made before
    it is needed. A collection has one opener at a time.

    Args:
        path: The directory of the collections.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._collections = Collections(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is pending and close all collections."""
        self._collections.close()

    # --- collections -------------------------------------------------------------------------

    def create_collection(
        self,
        collection_name: str,
        vectors_config: models.VectorParams | Mapping[str, models.VectorParams] | None = None,
        sparse_vectors_config: Mapping[str, models.SparseVectorParams] | None = None,
        *,
        metadata: dict[str, Any] | None = None,
        timeout: int | None = None,
    ) -> bool:
        """Create an empty collection.

        Raises:
            CollectionExistsError: If it is there already.
            CollectionNameError: If the name cannot be a folder's.
            NotSupportedByEdgeError: If a setting cannot be expressed.
        """
        self._collections.create(
            collection_name,
            vectors=vectors_config,
            sparse=sparse_vectors_config,
            metadata=metadata,
        )
        return True

    def update_collection(
        self,
        collection_name: str,
        *,
        metadata: Mapping[str, Any],
        timeout: int | None = None,
    ) -> bool:
        """Merge keys into the collection's metadata."""
        self._collections.set_metadata(collection_name, metadata)
        return True

    def delete_collection(self, collection_name: str, timeout: int | None = None) -> bool:
        """Delete a collection; returns whether there was one."""
        return self._collections.delete(collection_name)

    def collection_exists(self, collection_name: str) -> bool:
        """Whether there is such a collection."""
        return self._collections.exists(collection_name)

    def get_collection(self, collection_name: str) -> models.CollectionInfo:
        """Describe a collection: its vectors, its metadata, its approximate counts."""
        return describe(self._collections.open(collection_name))

    def get_collections(self) -> models.CollectionsResponse:
        """The names of all collections."""
        names = self._collections.names()
        return models.CollectionsResponse(
            collections=[models.CollectionDescription(name=name) for name in names]
        )

    def create_payload_index(
        self,
        collection_name: str,
        field_name: str,
        field_schema: models.PayloadSchemaType | str,
        wait: bool = True,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Index a payload field, so that filters on it are fast."""
        writing.create_payload_index(
            self._collections.open(collection_name), field_name, field_schema
        )
        return _DONE

    def optimize(self, collection_name: str) -> bool:
        """Build the indexes of all that was stored; returns whether there was anything to do.

        The engine has no background: nothing is indexed before this is called. It holds the
        interpreter, so every thread of the process stands still meanwhile.
        """
        opened = self._collections.open(collection_name)
        # The engine writes the new segments beside the old ones.
        require_room(opened.folder.shard, bytes_on_disk(opened.folder.shard))
        with engine_errors(f"building the index of {collection_name!r}"):
            changed = opened.shard.optimize()
            opened.shard.flush()
        return changed

    # --- writing -----------------------------------------------------------------------------

    def upsert(
        self,
        collection_name: str,
        points: Sequence[models.PointStruct] | models.PointsList,
        wait: bool = True,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Store points, all of them or none; what is acknowledged survives a crash.

        Raises:
            PointError: If a point does not fit the collection.
            EngineError: If the engine fails.
        """
        structs = points.points if isinstance(points, models.PointsList) else points
        writing.upsert(self._collections.open(collection_name), structs)
        return _DONE

    def delete(
        self,
        collection_name: str,
        points_selector: models.PointsSelector | models.Filter | Sequence[int | str],
        wait: bool = True,
        timeout: int | None = None,
    ) -> models.UpdateResult:
        """Delete points by their ids or by a filter."""
        writing.delete(self._collections.open(collection_name), points_selector)
        return _DONE

    # --- reading -----------------------------------------------------------------------------

    def count(
        self,
        collection_name: str,
        count_filter: models.Filter | None = None,
        exact: bool = True,
        timeout: int | None = None,
    ) -> models.CountResult:
        """Count points."""
        opened = self._collections.open(collection_name)
        return models.CountResult(count=reading.count(opened, count_filter, exact=exact))

    def retrieve(
        self,
        collection_name: str,
        ids: Sequence[int | str],
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        timeout: int | None = None,
    ) -> list[models.Record]:
        """Read points by id; ids that are not there are left out."""
        opened = self._collections.open(collection_name)
        return reading.retrieve(opened, ids, payload=with_payload, vectors=with_vectors)

    def scroll(
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        limit: int = 10,
        *,
        offset: int | str | None = None,
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        timeout: int | None = None,
    ) -> tuple[list[models.Record], int | str | None]:
        """Read points page by page, in the order of their ids."""
        return reading.scroll(
            self._collections.open(collection_name),
            scroll_filter,
            limit=limit,
            offset=offset,
            payload=with_payload,
            vectors=with_vectors,
        )

    def query_points(
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: models.Prefetch | Iterable[models.Prefetch] | None = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: bool | Sequence[str] = False,
        score_threshold: float | None = None,
        timeout: int | None = None,
    ) -> QueryResponse:
        """Search: nearest points, prefetched candidates rescored, fused lists."""
        hits = reading.query_points(
            self._collections.open(collection_name),
            query,
            using=using,
            prefetch=prefetch,
            condition=query_filter,
            params=search_params,
            limit=limit,
            offset=offset,
            payload=with_payload,
            vectors=with_vectors,
            score_threshold=score_threshold,
        )
        return QueryResponse.model_construct(points=hits)
