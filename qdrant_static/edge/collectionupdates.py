"""Changes the settings, the metadata and the named vectors of a collection.

``collection.json`` gets the new description first, marked as ``pending``; then the engine is
changed; then the mark is removed. An opening that finds the mark applies the change
(``pendingchanges``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.edge.description import Description, merged
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.edge.pendingchanges import apply_vector_change
from qdrant_static.errors import ArgumentError, NotSupportedByEdgeError


def change_settings(
    opened: OpenCollection,
    *,
    optimizers: models.OptimizersConfigDiff | None = None,
    params: models.CollectionParamsDiff | None = None,
    vectors: Mapping[str, models.VectorParamsDiff] | None = None,
    hnsw: models.HnswConfigDiff | None = None,
    quantization: models.QuantizationConfigDiff | None = None,
    sparse: Mapping[str, models.SparseVectorParams] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Merge settings into those of the collection, as a server does.

    Existing indexes that differ from the settings are rebuilt by the next ``optimize()``.

    Raises:
        ArgumentError: If there is no vector of a name.
        NotSupportedByEdgeError: If the engine lacks a setting, or cannot change it.
    """
    before = opened.description
    described = before.changed(metadata=_metadata(before.metadata, metadata or {}))
    after = described.changed(
        optimizers_config=merged(before.optimizers_config, optimizers),
        hnsw_config=merged(before.hnsw_config, hnsw),
        quantization_config=_quantization(before.quantization_config, quantization),
        vectors=_vectors(before, vectors or {}),
        sparse_vectors=_sparse(before, sparse or {}),
        **_payload_place(before, params),
    )
    if after == described:
        opened.describe_as(described)
        return
    after.edge_config()  # an error of it comes before anything is written
    opened.describe_as(after.changed(pending="settings"))
    try:
        opened.reload()
    except BaseException:
        opened.describe_as(before)
        opened.reload()
        raise
    opened.describe_as(after)


def create_vector(opened: OpenCollection, name: str, config: models.VectorNameConfig) -> None:
    """Add a named vector, which the stored points do not have.

    Raises:
        ArgumentError: If there is another vector of that name.
    """
    before = opened.description
    dense, sparse = dict(before.vectors), dict(before.sparse_vectors)
    if isinstance(config, models.DenseVectorNameConfig):
        values = config.dense.model_dump(exclude_none=True)
        new: Any = models.VectorParams(**values)
        dense[name] = new
    elif isinstance(config, models.SparseVectorNameConfig):
        datatype = config.sparse.datatype
        new = models.SparseVectorParams(
            modifier=config.sparse.modifier,
            index=None
            if datatype is None
            else models.SparseIndexParams(datatype=models.Datatype(datatype.value)),
        )
        sparse[name] = new
    else:
        raise ArgumentError(
            field="vector_name_config",
            problem=f"must be a DenseVectorNameConfig or a SparseVectorNameConfig, not "
            f"{type(config).__name__}",
        )
    there: Any = before.vectors.get(name) or before.sparse_vectors.get(name)
    if there is not None:
        if not _same_vector(there, new):
            raise ArgumentError(
                field=f"vector {name!r}",
                problem="another vector has this name: delete it first",
            )
        return
    after = before.changed(vectors=dense, sparse_vectors=sparse)
    convert.check_vectors(dense, sparse)
    after.edge_config()
    _change_vector(opened, name, after)


def delete_vector(opened: OpenCollection, name: str) -> None:
    """Delete a named vector with all its values; a missing one is no error."""
    before = opened.description
    if name not in before.vectors and name not in before.sparse_vectors:
        return
    after = before.changed(
        vectors={key: one for key, one in before.vectors.items() if key != name},
        sparse_vectors={key: one for key, one in before.sparse_vectors.items() if key != name},
    )
    if not after.vectors and not after.sparse_vectors:
        raise NotSupportedByEdgeError(
            what=f"deleting {name!r}, the last vector",
            why="the engine needs at least one: delete the collection instead",
        )
    _change_vector(opened, name, after)


def _change_vector(opened: OpenCollection, name: str, after: Description) -> None:
    before = opened.description
    opened.describe_as(after.changed(pending=f"vector {name}"))
    try:
        apply_vector_change(opened, name)
    except BaseException:
        opened.describe_as(before)
        raise
    opened.describe_as(after)


def _metadata(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Merge metadata by key; None removes a key."""
    gone = {key for key, value in new.items() if value is None}
    return {key: value for key, value in {**old, **new}.items() if key not in gone}


def _quantization(old: Any, new: Any) -> Any:
    if new is None:
        return old
    if isinstance(new, str):  # models.Disabled is one
        if new != models.Disabled.DISABLED:
            raise ArgumentError(
                field="quantization_config",
                problem=f"{new!r} is neither a quantization nor {models.Disabled.DISABLED.value!r}",
            )
        return None
    return new


def _vectors(
    before: Description, diffs: Mapping[str, models.VectorParamsDiff]
) -> dict[str, models.VectorParams]:
    vectors = dict(before.vectors)
    for name, diff in diffs.items():
        if name not in vectors:
            raise _no_vector(name, before)
        old = vectors[name]
        vectors[name] = old.model_copy(
            update={
                "hnsw_config": merged(old.hnsw_config, diff.hnsw_config),
                "quantization_config": _quantization(
                    old.quantization_config, diff.quantization_config
                ),
                "on_disk": old.on_disk if diff.on_disk is None else diff.on_disk,
                "memory": old.memory if diff.memory is None else diff.memory,
            }
        )
    return vectors


def _sparse(
    before: Description, diffs: Mapping[str, models.SparseVectorParams]
) -> dict[str, models.SparseVectorParams]:
    vectors = dict(before.sparse_vectors)
    for name, diff in diffs.items():
        if name not in vectors:
            raise _no_vector(name, before)
        old = vectors[name]
        if diff.modifier is not None and diff.modifier != old.modifier:
            raise NotSupportedByEdgeError(
                what=f"changing the modifier of {name!r}",
                why="the engine fixes it when the vector is made",
            )
        vectors[name] = old.model_copy(update={"index": merged(old.index, diff.index)})
    return vectors


def _payload_place(
    before: Description, params: models.CollectionParamsDiff | None
) -> dict[str, Any]:
    if params is None:
        return {}
    for name in type(params).model_fields:
        if name not in ("on_disk_payload", "payload", "id_tracker") and (
            getattr(params, name) not in (None, 1)
        ):
            raise NotSupportedByEdgeError(
                what=f"CollectionParamsDiff.{name}", why="an embedded collection has no replicas"
            )
    given = {name: getattr(params, name, None) for name in ("payload", "id_tracker")}
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if params.on_disk_payload is not None:
        values["on_disk_payload"] = params.on_disk_payload
    return values


def _same_vector(there: Any, new: Any) -> bool:
    if type(there) is not type(new):
        return False
    names = ("size", "distance", "multivector_config", "datatype", "modifier")
    return all(getattr(there, name, None) == getattr(new, name, None) for name in names)


def _no_vector(name: str, before: Description) -> ArgumentError:
    known = ", ".join(repr(one) for one in [*before.vectors, *before.sparse_vectors])
    return ArgumentError(field=f"vector {name!r}", problem=f"there is none; there are: {known}")
