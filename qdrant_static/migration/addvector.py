"""Adds a vector to a live collection, and fills it from the points that are stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qdrant_static.clients.aliases import resolve_alias
from qdrant_static.clients.connect import check_client
from qdrant_static.clients.indexing import wait_until_indexed
from qdrant_static.clients.scroll import exact_count
from qdrant_static.collection.applydiff import apply
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.diff import diff
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.updates import fill_prefix, fill_terms
from qdrant_static.collection.vectorspec import BM25, SparseSpec
from qdrant_static.errors import ArgumentError
from qdrant_static.measuring.measurement import points_with

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedVector:
    """A vector that was added.

    Attributes:
        collection: The collection.
        vector: Its name.
        points: The number of points in the collection.
        filled: The number of points that have the vector.
    """

    collection: str
    vector: str
    points: int
    filled: int

    def __str__(self) -> str:
        return (
            f"{self.collection}: {self.filled:,} of {self.points:,} points have {self.vector!r}. "
            "Try it with `search --plan`, or let `tune` choose"
        )


def add_vector(
    client: Client, collection: str, vector: str, *, notify: Callable[[str], None] | None = None
) -> AddedVector:
    """Add a Matryoshka size (``mrl_<size>``) or ``bm25`` to a live collection, and fill it.

    Searches are unaffected: the collection's default plan stays. Repeat it after a crash. Points
    that were written meanwhile without the vector get it in a second pass. A vector of another
    encoder needs a migration.

    Args:
        client: An `EdgeClient` or a `QdrantClient` of a server from 1.18 on.
        collection: A collection or an alias.
        vector: The vector's name.
        notify: Called with a line for every change.

    Raises:
        ArgumentError: If the vector has another name, or the server is too old.
        SpecMismatchError: If the collection has a vector of that name that differs.
    """
    check_client(client, "add_vector(client, collection, vector)")
    collection = resolve_alias(client, collection)
    wanted = _with(read_spec(client, collection), vector)
    apply(client, collection, diff(client, collection, wanted), notify=notify)
    points = exact_count(client, collection)
    filled = points_with(client, collection, vector)
    if filled < points:  # written by clients that had read the spec before
        spec = read_spec(client, collection)
        if vector == BM25 and spec.sparse is not None:
            fill_terms(client, collection, spec.sparse, spec.fields)
        else:
            fill_prefix(client, collection, spec.vectors[0], spec.vector(vector))
        filled = points_with(client, collection, vector)
    wait_until_indexed(client, collection)
    return AddedVector(collection=collection, vector=vector, points=points, filled=filled)


def _with(spec: CollectionSpec, vector: str) -> CollectionSpec:
    if vector == BM25:
        return spec if spec.sparse is not None else replace(spec, sparse=SparseSpec())
    kind, _, size = vector.partition("_")
    if kind != "mrl" or not size.isdecimal():
        raise ArgumentError(
            field="vector", problem=f"{vector!r} is neither 'mrl_<size>' nor 'bm25'; a vector of "
            "another encoder needs `migrate start`",
        )  # fmt: skip
    if any(one.name == vector for one in spec.vectors):
        return spec
    template = CollectionSpec.for_encoder(spec.encoder, matryoshka=(int(size),), sparse=None)
    new = replace(template.vector(vector), hnsw=None)  # the full vector keeps the graph
    later = sorted([*spec.vectors[1:], new], key=lambda one: -one.size)
    return replace(spec, vectors=(spec.vectors[0], *later))
