"""Compares two collection specs, and returns how each difference between them can be removed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.specdescription import (
    describe_encoder,
    describe_fields,
    describe_graph,
    describe_late,
    describe_terms,
    describe_vector,
    describe_words,
)
from qdrant_static.collection.vectorspec import Hnsw, LateSpec, Placement, SparseSpec, VectorSpec

Remedy = Literal["in place", "new vector", "migration"]

#: Why an attribute cannot be changed in place, or what `apply` leaves alone.
_FIXED = "is fixed when the vector is made"
_KEPT = "nothing is dropped here; call delete_vector_name yourself to remove it"
_REFILL = "filled from the stored points"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One attribute in which a collection differs from the wanted spec.

    Attributes:
        field: The attribute's path in the spec: ``"vectors.full.quantization"``.
        is_: The collection's value, for display.
        wanted: The wanted value, for display.
        remedy: ``"in place"``: a setting that `apply` changes on the live collection.
            ``"new vector"``: a named vector that `apply` adds. ``"migration"``: another
            collection must be built.
        reason: Why that remedy, or what follows from it.
    """

    field: str
    is_: str
    wanted: str
    remedy: Remedy
    reason: str

    def __str__(self) -> str:
        """Return a sentence such as ``vector full: quantization is turbo4, wanted none``."""
        subject, attribute = _subject(self.field)
        text = f"{attribute} is" if attribute else "is"
        return f"{subject}: {text} {self.is_}, wanted {self.wanted}"


def compare(
    current: CollectionSpec, wanted: CollectionSpec, *, tiers: bool = True
) -> tuple[Difference, ...]:
    """Return all differences between two specs, in the order of the spec.

    Values that the wanted spec leaves open (mean length, fields, plan, a server's defaults) are
    not compared.

    Args:
        current: The collection's spec.
        wanted: The wanted spec.
        tiers: Whether the engine distinguishes pinned, cached and cold data; otherwise RAM and
            cache are the same.
    """
    return (
        *_encoders(current, wanted),
        *_vectors(current, wanted, tiers=tiers),
        *_sparse(current.sparse, wanted.sparse, tiers=tiers),
        *_late(current.late, wanted.late, tiers=tiers),
        *_payload_indexes(current, wanted),
        *_server(current, wanted),
        *_source(current, wanted),
    )


def _encoders(current: CollectionSpec, wanted: CollectionSpec) -> Iterator[Difference]:
    if current.encoder.fingerprint != wanted.encoder.fingerprint:
        yield _differ(
            "encoder", describe_encoder(current.encoder), describe_encoder(wanted.encoder),
            remedy="migration", reason="vectors of two encoders cannot be compared",
        )  # fmt: skip
        return
    pair = (current.query_encoder, wanted.query_encoder)
    if pair[0].fingerprint != pair[1].fingerprint:
        yield _differ(
            "queries", *map(describe_encoder, pair),
            remedy="in place", reason="only the metadata changes: no point is encoded by it",
        )  # fmt: skip


def _vectors(
    current: CollectionSpec, wanted: CollectionSpec, *, tiers: bool
) -> Iterator[Difference]:
    have = {vector.name: vector for vector in current.vectors}
    want = {vector.name: vector for vector in wanted.vectors}
    for name in [*want, *(name for name in have if name not in want)]:
        if name not in have:
            yield Difference(
                field=f"vectors.{name}", is_="absent", wanted=describe_vector(want[name]),
                remedy="new vector",
                reason=f"{_REFILL}, as prefixes of {current.vectors[0].name!r}",
            )  # fmt: skip
        elif name not in want:
            yield Difference(
                field=f"vectors.{name}", is_=describe_vector(have[name]), wanted="absent",
                remedy="migration", reason=_KEPT,
            )  # fmt: skip
        else:
            yield from _vector(have[name], want[name], tiers=tiers)


def _vector(current: VectorSpec, wanted: VectorSpec, *, tiers: bool) -> Iterator[Difference]:
    where = f"vectors.{current.name}"
    for name in ("size", "distance", "datatype", "scale"):
        pair = (getattr(current, name), getattr(wanted, name))
        if pair[0] != pair[1]:
            yield _differ(f"{where}.{name}", *pair, remedy="migration", reason=_FIXED)
    if not _same_place(current.placement, wanted.placement, tiers=tiers):
        yield _differ(
            f"{where}.placement", current.placement, wanted.placement,
            remedy="in place", reason="the vectors are rewritten",
        )  # fmt: skip
    if not _same_graph(current.hnsw, wanted.hnsw, tiers=tiers):
        gone = wanted.hnsw is None
        yield _differ(
            f"{where}.hnsw", describe_graph(current.hnsw), describe_graph(wanted.hnsw),
            remedy="in place", reason="the graph is dropped" if gone else "the graph is rebuilt",
        )  # fmt: skip
    if current.quantization != wanted.quantization:
        yield _differ(
            f"{where}.quantization",
            *(v.quantization and quantizations.describe(v.quantization) for v in (current, wanted)),
            remedy="in place", reason="the codes are recomputed; the originals stay",
        )  # fmt: skip
    elif current.quantization is not None and not _same_place(
        current.codes, wanted.codes, tiers=tiers
    ):
        yield _differ(
            f"{where}.codes", current.codes, wanted.codes,
            remedy="in place", reason="the codes move; the originals stay",
        )  # fmt: skip


def _sparse(
    current: SparseSpec | None, wanted: SparseSpec | None, *, tiers: bool
) -> Iterator[Difference]:
    if current is None or wanted is None:
        if current is not wanted:
            new = current is None
            yield _differ(
                "sparse", describe_terms(current), describe_terms(wanted),
                remedy="new vector" if new else "migration",
                reason=f"{_REFILL}, by their texts" if new else _KEPT,
            )  # fmt: skip
        return
    reason = "every weight of the vector was made with it"
    if current.language != wanted.language:
        yield _differ(
            "sparse.language", current.language, wanted.language, remedy="migration", reason=reason
        )
    if wanted.tokenizer is not None and (current.tokenizer or "word") != wanted.tokenizer:
        yield _differ(
            "sparse.tokenizer", current.tokenizer or "word", wanted.tokenizer,
            remedy="migration", reason=reason,
        )  # fmt: skip
    if current.stop_words != wanted.stop_words:
        yield _differ(
            "sparse.stop_words", describe_words(current), describe_words(wanted),
            remedy="migration", reason=reason,
        )  # fmt: skip
    if None not in (current.mean_length, wanted.mean_length) and (
        current.mean_length != wanted.mean_length
    ):
        yield _differ(
            "sparse.mean_length", current.mean_length, wanted.mean_length,
            remedy="migration", reason=reason,
        )  # fmt: skip
    if not _same_place(current.placement, wanted.placement, tiers=tiers):
        yield _differ(
            "sparse.placement", current.placement, wanted.placement,
            remedy="in place", reason="the postings are rewritten",
        )  # fmt: skip


def _late(
    current: LateSpec | None, wanted: LateSpec | None, *, tiers: bool
) -> Iterator[Difference]:
    if current is None or wanted is None:
        if current is not wanted:
            new = current is None
            yield _differ(
                "late", describe_late(current), describe_late(wanted),
                remedy="new vector" if new else "migration",
                reason="empty until the records are ingested again" if new else _KEPT,
            )  # fmt: skip
        return
    for name in ("encoder", "size", "datatype"):
        pair = (getattr(current, name), getattr(wanted, name))
        if pair[0] != pair[1]:
            yield _differ(f"late.{name}", *pair, remedy="migration", reason=_FIXED)
    if not _same_place(current.placement, wanted.placement, tiers=tiers):
        yield _differ(
            "late.placement", current.placement, wanted.placement,
            remedy="in place", reason="the vectors are rewritten",
        )  # fmt: skip


def _payload_indexes(current: CollectionSpec, wanted: CollectionSpec) -> Iterator[Difference]:
    for name in sorted({*current.payload_indexes, *wanted.payload_indexes}):
        pair = [spec.payload_indexes.get(name, "absent") for spec in (current, wanted)]
        if pair[0] != pair[1]:
            dropped = "the index is dropped; the payload stays"
            made = "the index is built from the payload; filtered searches by a graph gain from "
            yield _differ(
                f"payload_indexes.{name}", *pair, remedy="in place",
                reason=dropped if pair[1] == "absent" else f"{made}it once the graph is rebuilt",
            )  # fmt: skip


def _server(current: CollectionSpec, wanted: CollectionSpec) -> Iterator[Difference]:
    for name in wanted.server.__slots__:
        pair = (getattr(current.server, name), getattr(wanted.server, name))
        if pair[1] is None or pair[0] == pair[1]:
            continue
        moves = name == "shards"
        yield _differ(
            f"server.{name}", *pair, remedy="migration" if moves else "in place",
            reason="points are assigned to shards when they are stored" if moves else "a setting",
        )  # fmt: skip


def _source(current: CollectionSpec, wanted: CollectionSpec) -> Iterator[Difference]:
    filled = current.fields.all_columns and wanted.fields.all_columns
    if filled and not current.fields.agrees(wanted.fields):
        pair = [describe_fields(spec.fields) for spec in (current, wanted)]
        yield _differ(
            "fields", *pair, remedy="migration", reason="the vectors were made from other text"
        )


def _differ(field: str, is_: Any, wanted: Any, *, remedy: Remedy, reason: str) -> Difference:
    text = ["none" if value is None else str(value) for value in (is_, wanted)]
    return Difference(field=field, is_=text[0], wanted=text[1], remedy=remedy, reason=reason)


def _subject(field: str) -> tuple[str, str]:
    """Split a field's path into the subject and the attribute of a sentence."""
    head, _, rest = field.partition(".")
    if head == "vectors":
        # The name of a vector may have a dot in it; an attribute has none.
        name, dot, attribute = rest.rpartition(".")
        known = ("hnsw", *VectorSpec.__slots__)
        if not dot or attribute not in known:
            name, attribute = rest, ""
        return f"vector {name or 'without a name'}", {"hnsw": "graph"}.get(attribute, attribute)
    if head == "payload_indexes":
        return f"payload index {rest}", ""
    names = {"sparse": "bm25", "fields": "filled from", "queries": "encoder of queries"}
    return names.get(head, head), rest.replace("_", " ")


def _same_place(current: Placement, wanted: Placement, *, tiers: bool) -> bool:
    if tiers:
        return current == wanted
    return (current == "disk") == (wanted == "disk")


def _same_graph(current: Hnsw | None, wanted: Hnsw | None, *, tiers: bool) -> bool:
    if current is None or wanted is None:
        return current is wanted
    return (current.m, current.ef_construct) == (wanted.m, wanted.ef_construct) and _same_place(
        current.placement, wanted.placement, tiers=tiers
    )
