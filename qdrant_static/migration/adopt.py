"""Gives an alias to a collection that has none.

An alias cannot have the name of a collection. So a collection ``articles`` either gets an alias of
another name, or is copied to ``articles__v1``, point by point with its vectors, and deleted; until
the alias ``articles`` is made right after that, requests to ``articles`` fail.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.clients.aliases import aliases_of, point_alias
from qdrant_static.clients.scroll import exact_count, pages
from qdrant_static.clients.statefolder import default_state
from qdrant_static.collection.create import create_collection, read_spec
from qdrant_static.collection.generations import generation_name, read_metadata
from qdrant_static.collection.migrationcheck import under_way
from qdrant_static.collection.migrationstate import running_error
from qdrant_static.errors import (
    AliasExistsError,
    ArgumentError,
    JobRunningError,
    VerificationError,
)
from qdrant_static.journal.directwriters import DirectWriter, writers_of
from qdrant_static.migration.session import migration_lock
from qdrant_static.sinks.sink import build_index

if TYPE_CHECKING:
    from pathlib import Path

    from qdrant_static.clients.connect import Client

#: In the copy's metadata: whether it is still "copying" or "complete".
KEY = "qdrant_static_adopted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """An alias that a collection has now.

    Attributes:
        alias: The alias.
        collection: The collection that it points at.
        copied: The number of points copied; 0 where the collection was kept.
        gap_s: How long requests to the name failed, in seconds; 0 where it was kept.
    """

    alias: str
    collection: str
    copied: int = 0
    gap_s: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-like data."""
        return asdict(self)

    def __str__(self) -> str:
        if not self.copied and not self.gap_s:
            return (
                f"{self.alias} -> {self.collection}. Let applications use {self.alias!r}; requests "
                f"to {self.collection!r} go on as before"
            )
        return (
            f"{self.alias} -> {self.collection}: {self.copied:,} points were copied; for "
            f"{self.gap_s * 1e3:.0f} ms requests to {self.alias!r} failed"
        )


def describe_choices(client: Client, collection: str) -> str:
    """Return a text on the ways to give an alias to a collection, and what each costs."""
    points = exact_count(client, collection)
    return (
        f"{collection!r} is a collection of {points:,} points, and a migration moves an alias. "
        "Two ways:\n"
        f"  migrate adopt {collection} --as NAME   an alias NAME for it, now and without a gap; "
        "then let the applications use NAME\n"
        f"  migrate adopt {collection} --keep-name copy it to "
        f"{generation_name(collection, 1)!r}, delete it, and make {collection!r} an alias of the "
        "copy: applications stay as they are, must not write meanwhile, and their requests fail "
        "while the collection is deleted (half a second was seen); it takes the disk space of both"
    )


def adopt_as(client: Client, collection: str, alias: str) -> Adopted:
    """Create an alias for a collection; the collection stays as it is.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        AliasExistsError: If the alias points elsewhere, or is a collection's name.
    """
    read_metadata(client, collection)
    current = aliases_of(client).get(alias)
    if current not in (None, collection):
        raise AliasExistsError(alias=alias, collection=current)
    if client.collection_exists(alias) and current is None:
        raise AliasExistsError(alias=alias)
    point_alias(client, alias, collection)
    return Adopted(alias=alias, collection=collection)


def keep_name(client: Client, name: str, *, state: Path | None = None) -> Adopted:
    """Copy a collection to its first generation, and make its name an alias of the copy.

    Repeat it after a crash. Nobody may write meanwhile.

    Raises:
        CollectionNotFoundError: If there is neither the collection nor a finished copy.
        VerificationError: If the copy does not hold the same points, or a job wrote meanwhile;
            nothing was deleted.
        JobRunningError: If a job writes to it.
        MigrationRunningError: If it is part of a migration.
    """
    copy = generation_name(name, 1)
    with migration_lock(state or default_state(client, name), name):
        _refuse_generation(client, name, copy)
        if aliases_of(client).get(name) == copy:
            return Adopted(alias=name, collection=copy)
        exists = client.collection_exists(copy)
        mark = read_metadata(client, copy).get(KEY) if exists else None
        if exists and mark is None:
            raise ArgumentError(
                field="keep_name",
                problem=f"{copy!r} exists, and was not made by keep_name: delete it",
            )
        if not client.collection_exists(name) and mark == "complete":
            started = time.perf_counter()  # a crash between deletion and alias
            point_alias(client, name, copy)
            return Adopted(
                alias=name, collection=copy, copied=exact_count(client, copy),
                gap_s=time.perf_counter() - started,
            )  # fmt: skip
        spec = read_spec(client, name)
        if not exists:
            metadata = {**read_metadata(client, name), KEY: "copying"}
            create_collection(client, copy, spec, metadata=metadata)
        writers = _writers(client, name)
        copied = _copy(client, name, copy)
        build_index(client, copy)
        counts = [exact_count(client, one) for one in (name, copy)]
        if counts[0] != counts[1]:
            raise VerificationError(
                collection=copy,
                problem=f"{counts[1]:,} points, and {counts[0]:,} in {name!r}: somebody writes. "
                "Nothing was deleted; repeat it while nobody writes",
            )
        if _writers(client, name) != writers:
            raise VerificationError(
                collection=copy,
                problem=f"a job wrote to {name!r} while it was copied. Nothing was deleted; repeat "
                "it while nobody writes",
            )
        client.update_collection(copy, metadata={KEY: "complete"})
        started = time.perf_counter()
        client.delete_collection(name)
        point_alias(client, name, copy)
        return Adopted(
            alias=name, collection=copy, copied=copied, gap_s=time.perf_counter() - started
        )


def _refuse_generation(client: Client, name: str, copy: str) -> None:
    """Refuse a collection that is part of a migration."""
    running = under_way(client, name)
    if running is not None and aliases_of(client).get(name) != copy:
        raise running_error(running)


def _writers(client: Client, name: str) -> list[DirectWriter]:
    """Return the jobs that wrote to a collection.

    Raises:
        JobRunningError: If one of this machine is running.
    """
    known = writers_of(read_metadata(client, name))
    for one in known:
        if one.is_at_work:
            raise JobRunningError(collection=name, state=one.folder, owner=one.by)
    return known


def _copy(client: Client, name: str, copy: str) -> int:
    """Copy all points with their vectors; return how many."""
    copied = 0
    for page in pages(client, name, with_payload=True, with_vectors=True):
        client.upsert(
            copy,
            [
                models.PointStruct.model_construct(
                    id=one.id, vector=one.vector or {}, payload=one.payload or {}
                )
                for one in page
            ],
            wait=True,
        )
        copied += len(page)
    return copied
