"""A collection against a spec: what differs, what can be changed in place, and changing it.

Three things are compared: what is wanted, what the collection's metadata says that it is, and
what the engine says, since somebody may have changed its settings since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.clients.connect import is_remote, server_version
from qdrant_static.collection import fromparams, params
from qdrant_static.collection.create import (
    check_version,
    create_collection,
    info_of,
    knows_tiers,
    read_spec,
    write_spec,
)
from qdrant_static.collection.migrationcheck import refuse_layout_change
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.planevidence import DROPPED, LAYOUT, current, layout_of
from qdrant_static.collection.spec import CollectionSpec, Fields, ServerSpec
from qdrant_static.collection.specdiff import Difference, Remedy, compare
from qdrant_static.collection.updates import (
    TERMS_FROM_FILES,
    VECTOR_NAMES_SINCE,
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

__all__ = ["CollectionDiff", "Difference", "Remedy", "apply", "diff", "ensure_collection"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionDiff:
    """What a collection differs in from a spec.

    Attributes:
        collection: The collection's name.
        wanted: The spec that it was compared with.
        differences: All of them, in the order of the spec; empty if there is none.
    """

    collection: str
    wanted: CollectionSpec
    differences: tuple[Difference, ...]

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.differences)

    @property
    def changes_layout(self) -> bool:
        """Whether codes, graphs or vectors change, and not only where they lie."""
        return any(
            one.field in ("sparse", "late")
            or (
                one.field.startswith("vectors.")
                and not one.field.endswith((".placement", ".codes"))
            )
            for one in self.differences
        )

    def needing(self, remedy: Remedy) -> tuple[Difference, ...]:
        """The differences with that remedy."""
        return tuple(one for one in self.differences if one.remedy == remedy)

    def __str__(self) -> str:
        """A line for every difference, with what it takes."""
        if not self:
            return f"{self.collection}: no difference"
        return "\n".join(f"{one} [{one.remedy}: {one.reason}]" for one in self.differences)

    def to_dict(self) -> dict[str, Any]:
        """The differences as JSON-like data."""
        names = ("field", "is_", "wanted", "remedy", "reason")
        return {
            "collection": self.collection,
            "differences": [
                {name.rstrip("_"): getattr(one, name) for name in names} for one in self.differences
            ],
        }


def diff(client: Client, collection: str, spec: CollectionSpec) -> CollectionDiff:
    """Compare a collection with a spec; nothing is changed.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: What it should be. What it leaves open (mean length, fields, default plan, a
            server's settings) is no difference.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        NotAPlannedCollectionError: If its metadata holds no spec.
    """
    told = read_spec(client, collection)
    info = client.get_collection(collection)
    server = is_remote(client)
    wanted = spec if server else replace(spec, server=ServerSpec())
    tiers = knows_tiers(client)
    real = fromparams.actual(told, info, server=server)
    drift = {
        one.field: one
        for one in compare(told, real, tiers=tiers)
        if not one.field.startswith("server.")  # what the metadata leaves open has a value there
    }
    found = []
    for one in compare(real, wanted, tiers=tiers):
        changed = drift.pop(one.field, None)
        if changed is None:
            found.append(one)
        elif (changed.is_, changed.wanted) == ("absent", one.is_):
            found.append(one)  # an index, or a vector, that somebody added
        else:
            reason = f"{one.reason} (the metadata says {changed.is_}: it was changed since)"
            found.append(replace(one, reason=reason))
    found += [
        Difference(
            field=field, is_=f"{one.is_} in the metadata", wanted=one.wanted, remedy="in place",
            reason="the engine has it so already; the metadata follows",
        )
        for field, one in drift.items()
    ]  # fmt: skip
    if wanted.plan is not None and wanted.plan != told.plan:
        found.append(
            Difference(
                field="plan", is_=str(told.plan or "open"), wanted=str(wanted.plan),
                remedy="in place", reason="it stands in the metadata alone",
            )
        )  # fmt: skip
    version = server_version(client)
    if version is not None and version < VECTOR_NAMES_SINCE:
        found = [_without_new_vectors(one, version) for one in found]
    return CollectionDiff(collection=collection, wanted=spec, differences=tuple(found))


def ensure_collection(
    client: Client, collection: str, spec: CollectionSpec, *, apply: bool = False
) -> CollectionDiff:
    """Create the collection, or see that it is what the spec says.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: What it is to be.
        apply: Change what can be changed on the live collection, as `apply` does.

    Returns:
        What differed: nothing, or what was changed.

    Raises:
        SpecMismatchError: If it differs, and ``apply`` is not given or does not help; nothing
            was changed.
        NotAPlannedCollectionError: If it was made otherwise.
    """
    if not client.collection_exists(collection):
        create_collection(client, collection, spec)
        return CollectionDiff(collection=collection, wanted=spec, differences=())
    found = diff(client, collection, spec)
    if found and not apply:
        raise _refused(collection, found.differences)
    apply_diff(client, collection, found)
    return found


def apply(
    client: Client,
    collection: str,
    found: CollectionDiff,
    *,
    notify: Callable[[str], None] | None = None,
) -> None:
    """Make a collection what a diff wants, as far as that is possible where it is.

    Settings are changed in place: a server then builds anew in the background, an embedded
    collection at its next `optimize`. A new Matryoshka size is filled with prefixes of the full
    vector, BM25 with terms of the texts in the payload; a late-interaction vector stays empty
    until the records are ingested again. The metadata follow last, so no search uses a vector
    that is half filled; after a crash, `diff` tells what is left, and repeating is harmless.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        found: What `diff` gave.
        notify: Called with a line for each difference before it is changed.

    Raises:
        SpecMismatchError: If a difference needs a migration; nothing was changed.
        MigrationWritesError: If a migration is about to judge or replace the collection.
        ArgumentError: If the server is too old for what is wanted, or the collection's texts are
            not in its payload, so that BM25 cannot be filled; nothing was changed.
    """
    if impossible := found.needing("migration"):
        raise _refused(collection, impossible)
    if not found:
        return
    refuse_layout_change(client, collection, "changing its layout")
    wanted = found.wanted
    check_version(client, wanted)
    told = read_spec(client, collection)
    fields = told.fields if told.fields.all_columns else wanted.fields
    terms_missing = any(one.field == "sparse" for one in found.needing("new vector"))
    if terms_missing:
        fields.require_text(collection, TERMS_FROM_FILES)
    if terms_missing and not fields.text:
        raise ArgumentError(
            field="fields.text",
            problem="nothing was ingested yet, so nobody knows where the texts lie: BM25 cannot "
            "be added. Create the collection anew, or give the fields",
        )
    notify = notify or (lambda _: None)
    for one in found.differences:
        notify(str(one))
    before = info_of(client, collection)
    _change_settings(client, collection, found)
    _change_payload_indexes(client, collection, found)
    sparse = _add_vectors(client, collection, found, told, fields)
    spec = _settled(wanted, told, fields=fields, sparse=sparse)
    if found.changes_layout:
        spec = _without_evidence(spec, told, before, info_of(client, collection), notify)
    write_spec(client, collection, spec)
    if terms_missing:
        terms_are_filled(client, collection)


# `ensure_collection` has an argument of that name.
apply_diff = apply


def _change_settings(client: Client, collection: str, found: CollectionDiff) -> None:
    """One request for all settings of what is there."""
    wanted, tiers = found.wanted, knows_tiers(client)
    fields = [one.field for one in found.needing("in place")]
    vectors = {
        vector.name: vector_diff(vector, tiers=tiers)
        for vector in wanted.vectors
        if any(field.startswith(f"vectors.{vector.name}.") for field in fields)
    }
    if wanted.late is not None and "late.placement" in fields:
        given = params.late_params(wanted.late, tiers=tiers)
        vectors[LATE] = models.VectorParamsDiff(on_disk=given.on_disk, memory=given.memory)
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


def _change_payload_indexes(client: Client, collection: str, found: CollectionDiff) -> None:
    there = fromparams.payload_indexes(client.get_collection(collection))
    wanted = found.wanted.payload_indexes
    for one in found.needing("in place"):
        head, _, name = one.field.partition(".")
        if head != "payload_indexes" or there.get(name) == wanted.get(name):
            continue
        if name in there:
            client.delete_payload_index(collection, name)
        if name in wanted:
            client.create_payload_index(collection, name, models.PayloadSchemaType(wanted[name]))


def _add_vectors(
    client: Client, collection: str, found: CollectionDiff, told: CollectionSpec, fields: Fields
) -> SparseSpec | None:
    """Create and fill what is missing; the BM25 settings that resulted."""
    wanted, tiers = found.wanted, knows_tiers(client)
    sparse = wanted.sparse
    if sparse is not None and told.sparse is not None and sparse.mean_length is None:
        sparse = replace(sparse, mean_length=told.sparse.mean_length)
    for one in found.needing("new vector"):
        if one.field == "late" and wanted.late is not None:
            given = params.late_params(wanted.late, tiers=tiers)
            create_dense_vector(client, collection, LATE, given)
        elif one.field == "sparse" and sparse is not None:
            create_terms_vector(client, collection)
            sparse = fill_terms(client, collection, sparse, fields)
        else:
            vector = wanted.vector(one.field.removeprefix("vectors."))
            create_dense_vector(
                client, collection, vector.name, params.vector_params(vector, tiers=tiers)
            )
            client.update_collection(
                collection, vectors_config={vector.name: vector_diff(vector, tiers=tiers)}
            )
            fill_prefix(client, collection, wanted.vectors[0], vector)
    return sparse


def _settled(
    wanted: CollectionSpec, told: CollectionSpec, *, fields: Fields, sparse: SparseSpec | None
) -> CollectionSpec:
    """What the metadata say in the end: what is wanted, and as it was where that is open."""
    said = {**told.server.to_dict(), **wanted.server.to_dict()}
    return replace(
        wanted,
        fields=fields,
        sparse=sparse,
        server=ServerSpec(**said),
        plan=told.plan if wanted.plan is None else wanted.plan,
        evidence=told.evidence if wanted.plan in (None, told.plan) else None,
        measured=told.measured,
    )


def _without_evidence(
    spec: CollectionSpec,
    told: CollectionSpec,
    before: models.CollectionInfo,
    after: models.CollectionInfo,
    notify: Callable[[str], None],
) -> CollectionSpec:
    """Leave out what was measured on the layout before, and the plan that was tuned on it."""
    if told.evidence is not None and LAYOUT not in told.evidence and told.plan is not None:
        # Evidence of an earlier version names no layout: it was of the one before.
        plan = SearchPlan.of(told.plan)
        evidence = {**told.evidence, LAYOUT: layout_of(plan, told, before)}
        spec = replace(spec, evidence=None if spec.evidence is None else evidence)
    found = current(spec, after, "")
    if spec.evidence is not None and found.evidence is None:
        notify(DROPPED)
    return found


def _without_new_vectors(one: Difference, version: Sequence[int]) -> Difference:
    if one.remedy != "new vector":
        return one
    needed, here = (".".join(map(str, numbers)) for numbers in (VECTOR_NAMES_SINCE, version))
    reason = f"adding a vector to a collection needs Qdrant {needed}; this server is {here}"
    return replace(one, remedy="migration", reason=reason)


def _refused(collection: str, differences: Iterable[Difference]) -> SpecMismatchError:
    return SpecMismatchError(
        collection=collection,
        differences=tuple(f"{one} [{one.remedy}: {one.reason}]" for one in differences),
    )
