"""Opens a collection, and completes a change of it that a crash interrupted.

A change of settings or of a named vector is written to ``collection.json`` first, as ``pending``.
The next opening applies it.

The engine adds a vector to one segment after the other and to its own settings, and drops it in the
same way. It refuses to open a shard whose files differ. An interrupted change was not acknowledged,
so the data of its vector is removed from all files, and the change is applied again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.description import Description
from qdrant_static.edge.directory import CollectionFolder, FolderLock
from qdrant_static.edge.engine import engine_errors
from qdrant_static.edge.opencollection import OpenCollection, load_shards
from qdrant_static.errors import StorageError
from qdrant_static.files import replace_file, sync_folder

_KINDS = ("vector_data", "sparse_vector_data", "vectors", "sparse_vectors")


def load_collection(folder: CollectionFolder, lock: FolderLock) -> OpenCollection:
    """Open a finished collection and apply its pending change, if it has one.

    Args:
        folder: The collection's folder.
        lock: The lock that this process holds on it.

    Raises:
        StorageError: If ``collection.json`` is damaged.
        EngineError: If the engine cannot open the files.
    """
    if folder.mark.exists() or folder.assembling.exists():
        # its creation ended, or its deletion had not begun
        folder.finish()
    content = folder.read()
    try:
        description = Description.from_json(content)
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            path=str(folder.description), problem=f"does not describe a collection ({error})"
        ) from error
    pending = description.pending
    if pending is not None and pending.startswith("vector "):
        for number in range(description.shard_number):
            drop_partial_vector(folder.shard(number), pending.removeprefix("vector "))
    with engine_errors(f"opening collection {folder.name!r} in {folder.path.parent}"):
        shards = load_shards(folder, description, change=pending == "settings")
    opened = OpenCollection(folder=folder, lock=lock, shards=shards, description=description)
    if pending is not None:
        if pending.startswith("vector "):
            apply_vector_change(opened, pending.removeprefix("vector "))
        opened.describe_as(description.changed(pending=None))
    return opened


def drop_partial_vector(shard: Path, vector_name: str) -> bool:
    """Remove a vector from the files that have it, if there are others that do not.

    Args:
        shard: The shard's folder, which must not be open.
        vector_name: The vector whose change was interrupted.

    Returns:
        Whether something was removed.
    """
    files = sorted([*shard.glob("edge_config.json"), *shard.glob("segments/*/segment.json")])
    states = {file: dict(json.loads(file.read_bytes())) for file in files}
    having = [file for file, state in states.items() if _vectors(state, vector_name)]
    if len(having) in (0, len(states)):
        return False
    for file in having:
        for vectors in _vectors(states[file], vector_name):
            del vectors[vector_name]
        # The reference goes before the data: a crash between the two leaves unused files only.
        replace_file(file, json.dumps(states[file]).encode())
        for what in ("vector_storage", "vector_index"):
            shutil.rmtree(file.parent / f"{what}-{vector_name}", ignore_errors=True)
        sync_folder(file.parent)
    return True


def _vectors(state: dict[str, Any], vector_name: str) -> list[dict[str, Any]]:
    """Return the tables of a file that have the vector.

    A segment has them below ``config``, the settings at the top.
    """
    config = state.get("config", state)
    kinds = (config.get(kind) or {} for kind in _KINDS)
    return [vectors for vectors in kinds if vector_name in vectors]


def apply_vector_change(opened: OpenCollection, name: str) -> None:
    """Add or drop a vector in the engine as the description says; may be repeated."""
    dense, sparse = opened.dense.get(name), opened.sparse.get(name)
    if dense is not None:
        operation = convert.create_vector_name(
            name,
            models.DenseVectorNameConfig(
                dense=models.DenseVectorConfig(
                    size=dense.size,
                    distance=dense.distance,
                    multivector_config=dense.multivector_config,
                    datatype=_stored_as(dense.datatype),
                )
            ),
        )
    elif sparse is not None:
        datatype = sparse.index.datatype if sparse.index else None
        operation = convert.create_vector_name(
            name,
            models.SparseVectorNameConfig(
                sparse=models.SparseVectorConfig(
                    modifier=sparse.modifier,
                    datatype=_stored_as(datatype),
                )
            ),
        )
    else:
        operation = edge.UpdateOperation.delete_vector_name(name)
    with engine_errors(f"changing the vector {name!r} of {opened.folder.name!r}"):
        for shard in opened.shards:
            shard.update(operation)
            shard.flush()


def _stored_as(datatype: models.Datatype | None) -> models.VectorStorageDatatype | None:
    """Return the same type from the other of the client's two enumerations of it."""
    return None if datatype is None else models.VectorStorageDatatype(datatype.value)
