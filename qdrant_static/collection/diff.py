"""Compares a collection with a spec, and returns how each difference can be removed.

Three things are compared: the wanted spec, the spec in the collection's metadata, and the engine's
own configuration, which may have been changed later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qdrant_static import rules
from qdrant_static.clients.connect import check_client, is_remote, server_version
from qdrant_static.collection import fromparams
from qdrant_static.collection.create import (
    knows_tiers,
    read_spec,
)
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.specdiff import Difference, Remedy, compare
from qdrant_static.collection.updates import (
    VECTOR_NAMES_SINCE,
)

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

__all__ = ["CollectionDiff", "Difference", "Remedy", "diff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionDiff:
    """The differences between a collection and a spec.

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
        """Whether codes, graphs, vectors or queries change, and not only where they are stored."""
        return any(
            difference.field in ("sparse", "late", "queries")
            or (
                difference.field.startswith("vectors.")
                and not difference.field.endswith((".placement", ".codes"))
            )
            for difference in self.differences
        )

    def needing(self, remedy: Remedy) -> tuple[Difference, ...]:
        """Return the differences with that remedy."""
        return tuple(difference for difference in self.differences if difference.remedy == remedy)

    def __str__(self) -> str:
        """Return a line for every difference, with its remedy."""
        if not self:
            return f"{self.collection}: no difference"
        return "\n".join(
            f"{difference} [{difference.remedy}: {difference.reason}]"
            for difference in self.differences
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the differences as JSON-like data."""
        names = ("field", "is_", "wanted", "remedy", "reason")
        return {
            "collection": self.collection,
            "differences": [
                {name.rstrip("_"): getattr(difference, name) for name in names}
                for difference in self.differences
            ],
        }


def diff(client: Client, collection: str, spec: CollectionSpec) -> CollectionDiff:
    """Compare a collection with a spec, without changing anything.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: The wanted spec. Values that it leaves open (mean length, fields, default plan, a
            server's settings) are not compared.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        NotAPlannedCollectionError: If its metadata holds no spec.
    """
    check_client(client, "diff(client, collection, spec)")
    rules.check_instance("spec", spec, CollectionSpec)
    stored = read_spec(client, collection)
    info = client.get_collection(collection)
    server = is_remote(client)
    wanted = spec if server else replace(spec, server=ServerSpec())
    tiers = knows_tiers(client)
    real = fromparams.actual(stored, info, server=server)
    drift = {
        difference.field: difference
        for difference in compare(stored, real, tiers=tiers)
        # A server has values for all settings, also for those that the metadata leaves open.
        if not difference.field.startswith("server.")
    }
    differences = []
    for difference in compare(real, wanted, tiers=tiers):
        changed = drift.pop(difference.field, None)
        if changed is None:
            differences.append(difference)
        elif (changed.is_, changed.wanted) == ("absent", difference.is_):
            differences.append(difference)  # an index or a vector that was added later
        else:
            reason = f"{difference.reason} (the metadata says {changed.is_}: it was changed since)"
            differences.append(replace(difference, reason=reason))
    differences += [
        Difference(
            field=field, is_=f"{difference.is_} in the metadata", wanted=difference.wanted,
            remedy="in place",
            reason="the engine has this value already; only the metadata changes",
        )
        for field, difference in drift.items()
    ]  # fmt: skip
    if wanted.plan is not None and wanted.plan != stored.plan:
        differences.append(
            Difference(
                field="plan", is_=str(stored.plan or "open"), wanted=str(wanted.plan),
                remedy="in place", reason="only the metadata changes",
            )
        )  # fmt: skip
    version = server_version(client)
    if version is not None and version < VECTOR_NAMES_SINCE:
        differences = [_without_new_vectors(difference, version) for difference in differences]
    return CollectionDiff(collection=collection, wanted=spec, differences=tuple(differences))


def _without_new_vectors(difference: Difference, version: Sequence[int]) -> Difference:
    if difference.remedy != "new vector":
        return difference
    needed, here = (".".join(map(str, numbers)) for numbers in (VECTOR_NAMES_SINCE, version))
    reason = f"adding a vector to a collection needs Qdrant {needed}; this server is {here}"
    return replace(difference, remedy="migration", reason=reason)
