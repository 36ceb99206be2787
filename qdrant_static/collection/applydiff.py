"""Changes a live collection to match a spec, as far as that is possible in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static import rules
from qdrant_static.clients.connect import check_client
from qdrant_static.collection import fromparams, params
from qdrant_static.collection.create import (
    check_version,
    create_collection,
    info_of,
    knows_tiers,
    read_spec,
    write_spec,
)
from qdrant_static.collection.diff import CollectionDiff, diff
from qdrant_static.collection.migrationcheck import refuse_layout_change
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.planevidence import DROPPED, LAYOUT, current, layout_of
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.spec import CollectionSpec, Fields
from qdrant_static.collection.specdiff import Difference
from qdrant_static.collection.updates import (
    TERMS_FROM_FILES,
    change_vectors,
    create_dense_vector,
    create_terms_vector,
    fill_prefix,
    fill_terms,
    terms_are_filled,
    vector_diff,
)
from qdrant_static.collection.vectorspec import BM25, LATE, SparseSpec
from qdrant_static.errors import ArgumentError, SpecMismatchError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client


def ensure_collection(
    client: Client, collection: str, spec: CollectionSpec, *, apply: bool = False
) -> CollectionDiff:
    """Create the collection, or check that it matches the spec.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: The wanted spec.
        apply: Whether to change what can be changed on the live collection, as `apply` does.

    Returns:
        The differences that were changed; none if there were none.

    Raises:
        SpecMismatchError: If it differs, and ``apply`` is False or cannot change that; nothing
            was changed.
        NotAPlannedCollectionError: If it was made without this package.
    """
    check_client(client, "ensure_collection(client, collection, spec)")
    if not client.collection_exists(collection):
        create_collection(client, collection, spec)
        return CollectionDiff(collection=collection, wanted=spec, differences=())
    changes = diff(client, collection, spec)
    if changes and not apply:
        raise _refused(collection, changes.differences)
    apply_diff(client, collection, changes)
    return changes


def apply(
    client: Client,
    collection: str,
    changes: CollectionDiff,
    *,
    notify: Callable[[str], None] | None = None,
) -> None:
    """Change a collection in place so that it matches the spec of a diff.

    A server then rebuilds its indexes in the background, an embedded collection at its next
    `optimize`. A new Matryoshka size is filled with prefixes of the full
    vector, BM25 with terms of the texts in the payload; a late-interaction vector stays empty
    until the records are ingested again. The metadata is written last, so no search uses a vector
    that is half filled; after a crash, `diff` shows what remains, and repeating is harmless.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        changes: What `diff` returned.
        notify: Called with one line per difference, before anything is changed.

    Raises:
        SpecMismatchError: If a difference needs a migration; nothing was changed.
        MigrationWritesError: If a migration is about to compare or replace the collection.
        ArgumentError: If the server is too old for the spec, or the collection's texts are
            not in its payload, so that BM25 cannot be filled; nothing was changed.
    """
    check_client(client, "apply(client, collection, changes)")
    rules.check_instance("changes", changes, CollectionDiff)
    if impossible := changes.needing("migration"):
        raise _refused(collection, impossible)
    if not changes:
        return
    refuse_layout_change(client, collection, "changing its layout")
    wanted = changes.wanted
    check_version(client, wanted)
    stored = read_spec(client, collection)
    fields = stored.fields if stored.fields.all_columns else wanted.fields
    terms_missing = any(
        difference.field == "sparse" for difference in changes.needing("new vector")
    )
    if terms_missing:
        fields.require_text(collection, TERMS_FROM_FILES)
    if terms_missing and not fields.text:
        raise ArgumentError(
            field="fields.text",
            problem="nothing was ingested yet, so the fields of the texts are not known: BM25 "
            "cannot be added. Create the collection again, or give the fields",
        )
    notify = notify or (lambda _: None)
    for difference in changes.differences:
        notify(str(difference))
    before = info_of(client, collection)
    _change_settings(client, collection, changes)
    _change_payload_indexes(client, collection, changes)
    sparse = _add_vectors(client, collection, changes, stored, fields)
    spec = _merged(wanted, stored, fields=fields, sparse=sparse)
    if changes.changes_layout:
        spec = _without_evidence(spec, stored, before, info_of(client, collection), notify)
    write_spec(client, collection, spec)
    if terms_missing:
        terms_are_filled(client, collection)


# `ensure_collection` has an argument of that name.
apply_diff = apply


def _change_settings(client: Client, collection: str, changes: CollectionDiff) -> None:
    """Change all settings of existing vectors in one request."""
    wanted, tiers = changes.wanted, knows_tiers(client)
    fields = [difference.field for difference in changes.needing("in place")]
    vectors = {
        vector.name: vector_diff(vector, tiers=tiers)
        for vector in wanted.vectors
        if any(field.startswith(f"vectors.{vector.name}.") for field in fields)
    }
    if wanted.late is not None and "late.placement" in fields:
        late = params.late_params(wanted.late, tiers=tiers)
        vectors[LATE] = models.VectorParamsDiff(on_disk=late.on_disk, memory=late.memory)
    arguments: dict[str, Any] = {}
    if wanted.sparse is not None and "sparse.placement" in fields:
        given_sparse = params.sparse_params(wanted.sparse, tiers=tiers)
        index = given_sparse.index or models.SparseIndexParams(
            **({"memory": models.Memory.PINNED} if tiers else {"on_disk": False})
        )
        arguments["sparse_vectors_config"] = {
            BM25: given_sparse.model_copy(update={"index": index})
        }
    if any(field.startswith("server.") for field in fields):
        settings = params.server_arguments(wanted)
        settings.pop("shard_number", None)
        arguments["collection_params"] = models.CollectionParamsDiff(**settings)
    if vectors or arguments:
        change_vectors(client, collection, vectors, **arguments)


def _change_payload_indexes(client: Client, collection: str, changes: CollectionDiff) -> None:
    existing = fromparams.payload_indexes(client.get_collection(collection))
    wanted = changes.wanted.payload_indexes
    for difference in changes.needing("in place"):
        head, _, name = difference.field.partition(".")
        if head != "payload_indexes" or existing.get(name) == wanted.get(name):
            continue
        if name in existing:
            client.delete_payload_index(collection, name)
        if name in wanted:
            client.create_payload_index(collection, name, models.PayloadSchemaType(wanted[name]))


def _add_vectors(
    client: Client, collection: str, changes: CollectionDiff, stored: CollectionSpec, fields: Fields
) -> SparseSpec | None:
    """Create and fill the missing vectors, and return the resulting BM25 settings."""
    wanted, tiers = changes.wanted, knows_tiers(client)
    sparse = wanted.sparse
    if sparse is not None and stored.sparse is not None and sparse.mean_length is None:
        sparse = replace(sparse, mean_length=stored.sparse.mean_length)
    for difference in changes.needing("new vector"):
        if difference.field == "late" and wanted.late is not None:
            model = params.late_params(wanted.late, tiers=tiers)
            create_dense_vector(client, collection, LATE, model)
        elif difference.field == "sparse" and sparse is not None:
            create_terms_vector(client, collection)
            sparse = fill_terms(client, collection, sparse, fields)
        else:
            vector = wanted.vector(difference.field.removeprefix("vectors."))
            create_dense_vector(
                client, collection, vector.name, params.vector_params(vector, tiers=tiers)
            )
            client.update_collection(
                collection, vectors_config={vector.name: vector_diff(vector, tiers=tiers)}
            )
            fill_prefix(client, collection, wanted.vectors[0], vector)
    return sparse


def _merged(
    wanted: CollectionSpec, stored: CollectionSpec, *, fields: Fields, sparse: SparseSpec | None
) -> CollectionSpec:
    """Return the spec for the metadata: the wanted one, with the old values where it has none."""
    settings = {**stored.server.to_dict(), **wanted.server.to_dict()}
    return replace(
        wanted,
        fields=fields,
        sparse=sparse,
        server=ServerSpec(**settings),
        plan=stored.plan if wanted.plan is None else wanted.plan,
        evidence=stored.evidence if wanted.plan in (None, stored.plan) else None,
        measured=stored.measured,
    )


def _without_evidence(
    spec: CollectionSpec,
    stored: CollectionSpec,
    before: models.CollectionInfo,
    after: models.CollectionInfo,
    notify: Callable[[str], None],
) -> CollectionSpec:
    """Return the spec without the measurements and the tuned plan of the previous layout."""
    if stored.evidence is not None and LAYOUT not in stored.evidence and stored.plan is not None:
        # Evidence of an earlier version has no fingerprint: it was of the previous layout.
        plan = SearchPlan.of(stored.plan)
        evidence = {**stored.evidence, LAYOUT: layout_of(plan, stored, before)}
        spec = replace(spec, evidence=None if spec.evidence is None else evidence)
    checked = current(spec, after, "")
    if spec.evidence is not None and checked.evidence is None:
        notify(DROPPED)
    return checked


def _refused(collection: str, differences: Iterable[Difference]) -> SpecMismatchError:
    return SpecMismatchError(
        collection=collection,
        differences=tuple(
            f"{difference} [{difference.remedy}: {difference.reason}]" for difference in differences
        ),
    )
