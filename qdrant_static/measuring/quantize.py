"""Quantizes a live collection, and keeps the codes only if it still finds enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.connect import server_version
from qdrant_static.clients.indexing import wait_until_indexed
from qdrant_static.collection import fromparams
from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.create import check_version, write_spec
from qdrant_static.collection.fields import Fields
from qdrant_static.collection.foreign import carried_spec, foreign_spec, with_terms
from qdrant_static.collection.migrationcheck import refuse_layout_change
from qdrant_static.collection.planevidence import DROPPED, LAYOUT
from qdrant_static.collection.presets import preset
from qdrant_static.collection.quantization import Quantization
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.updates import (
    TERMS_FROM_FILES,
    VECTOR_NAMES_SINCE,
    create_terms_vector,
    fill_terms,
    terms_are_filled,
)
from qdrant_static.collection.vectorspec import BM25, SparseSpec, VectorSpec
from qdrant_static.errors import ArgumentError
from qdrant_static.measuring.assess import assess
from qdrant_static.measuring.codetrial import LADDER, LIMIT, QUERIES, CodeTrial, oversamplings
from qdrant_static.measuring.measurement import Measurement, points_with
from qdrant_static.measuring.quantizereport import Measured, QuantizeReport
from qdrant_static.measuring.queries import of_vectors

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client


def quantize(
    client: Client,
    collection: str,
    *,
    quantization: str | Quantization | None = "auto",
    vector: str | None = None,
    target_recall: float = 0.97,
    text: Sequence[str] = (),
    sparse: SparseSpec | None = None,
    queries: int = QUERIES,
    dry_run: bool = False,
    notify: Callable[[str], None] | None = None,
) -> QuantizeReport:
    """Add quantization to a live collection, measure it, and remove it if it falls short.

    Recall is against the exact search, on vectors of the collection itself, the point itself left
    out. The originals stay in any case. If the process dies half-way, the collection keeps the
    new codes, or goes on making them: it is searched as before, and repeating is harmless (the
    settings that were there before are then those of the codes: ``quantization=None`` takes them
    away).

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: Any collection, also one made without this package.
        quantization: ``"auto"`` is the preset of the vector's size; None takes codes away.
        vector: Which dense vector, ``""`` for the unnamed one; None takes the only one, or the
            full one of a collection of ours.
        target_recall: recall@10 below which it is taken back, above 0 up to 1.
        text: Payload fields of the text: adds BM25 too, filled from there. Its settings then go
            into the collection's metadata, also in a collection that others made.
        sparse: BM25's settings, with ``text``.
        queries: How many vectors are drawn.
        dry_run: Change nothing: predict by the same search over a sample of the vectors, in an
            embedded collection in a temporary folder.
        notify: Called with a line for each step.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        MigrationWritesError: If a migration is about to judge or replace the collection.
        ArgumentError: If the vector cannot be told, the server is too old, or there are too few
            points.
    """
    notify = notify or (lambda _: None)
    if not 0 < target_recall <= 1:
        raise ArgumentError(
            field="target_recall", problem=f"{target_recall} is not above 0 up to 1"
        )
    if sparse is not None and not text:
        raise ArgumentError(field="text", problem="BM25 needs the payload fields of the text")
    if not dry_run:
        refuse_layout_change(client, collection, "quantizing it")
    spec, now = _vector(client, collection, vector)
    wanted = replace(now, quantization=_codes(quantization, now))
    check_version(client, replace(spec, vectors=(wanted,), planned=False))
    fields = _fields(spec, text)
    if text:
        _check_terms(client, spec)
        fields.require_text(collection, TERMS_FROM_FILES)
    points = points_with(client, collection, now.name)
    if points <= LIMIT:
        raise ArgumentError(
            field="collection", problem=f"{collection!r} has {points} vectors: too few to measure"
        )
    notify(f"measuring {collection!r} as it is")
    measurement = Measurement(
        client=client, collection=collection, k=LIMIT,
        spec=replace(spec, vectors=(now,), planned=False),
        queries=of_vectors(client, collection, now, queries),
    )  # fmt: skip
    trial = CodeTrial.of(measurement, points=points)
    before = trial.measured(now, oversamplings(now, (1,)), target_recall)
    common: dict[str, Any] = {
        "collection": collection, "vector": now.name, "points": points,
        "queries": len(measurement.neighbors),
        "target_recall": target_recall, "before": before,
    }  # fmt: skip
    if dry_run:
        found, rows = trial.simulated(wanted, target_recall)
        note = _dry_note(found, rows, points, target_recall, text)
        return QuantizeReport(
            **common, after=found, simulated=rows, kept=False, terms=None, note=note
        )
    after, kept, changed = before, now.quantization is not None, False
    if wanted.quantization != now.quantization:
        after, kept, changed = _try_codes(trial, now, wanted, target_recall, notify)
    terms = None
    if text:
        notify(f"filling {BM25} from {', '.join(text)}")
        terms = _add_terms(client, collection, spec, sparse or SparseSpec(), fields)
    note = _note(now, wanted, after, target_recall, kept=kept)
    if changed and (noted := _note_in_metadata(client, collection, spec, wanted)):
        note = f"{note}; {noted}"
    return QuantizeReport(**common, after=after, simulated=None, kept=kept, terms=terms, note=note)


def _try_codes(
    trial: CodeTrial,
    now: VectorSpec,
    wanted: VectorSpec,
    target: float,
    notify: Callable[[str], None],
) -> tuple[Measured, bool, bool]:
    """Return the measurement, whether there are codes now, and whether they were changed."""
    new, old = (quantizations.describe(one.quantization) for one in (wanted, now))
    notify(f"building {new}")
    try:
        trial.change(wanted)
        notify(f"measuring {new}")
        after = trial.measured(wanted, oversamplings(wanted, LADDER), target)
        if after.recall >= target:
            return after, True, True
        notify(f"recall {after.recall:.3f} is below {target}: taking it back")
        trial.change(now)
    except BaseException as error:
        state = (
            f"{trial.measurement.collection!r} was left half-way between {old} and {new}; its "
            "vectors are untouched, it can be searched, and repeating is harmless"
        )
        error.add_note(state)
        notify(state)
        raise
    return after, now.quantization is not None, False


def _vector(client: Client, collection: str, name: str | None) -> tuple[CollectionSpec, VectorSpec]:
    """Return the spec, and the vector as the engine has it."""
    carried = carried_spec(client, collection)
    if carried is None or not carried.planned:
        spec = foreign_spec(client, collection, vector=name)
        return spec, spec.vectors[0]
    told = carried.vectors[0] if name is None else carried.vector(name)
    info = client.get_collection(collection)
    return carried, fromparams.vector_spec(told.name, info, scale=told.scale)


def _codes(asked: Any, vector: VectorSpec) -> Quantization | None:
    if asked == "auto":
        return preset(vector.size).quantization
    return quantizations.parse(asked)


def _fields(spec: CollectionSpec, text: Sequence[str]) -> Fields:
    """Return the fields of the text: those of the ingest, else the given ones."""
    if spec.fields.all_columns and tuple(text) in (spec.fields.text, spec.fields.all_columns):
        return spec.fields
    return Fields(text=tuple(text))


def _check_terms(client: Client, spec: CollectionSpec) -> None:
    if spec.sparse is not None:
        raise ArgumentError(field="text", problem=f"the collection has {BM25} already")
    version = server_version(client)
    if version is not None and version < VECTOR_NAMES_SINCE:
        needed, here = (".".join(map(str, one)) for one in (VECTOR_NAMES_SINCE, version))
        raise ArgumentError(
            field="text",
            problem=f"adding {BM25} to a collection needs Qdrant {needed}; this server is {here}",
        )


def _add_terms(
    client: Client, collection: str, spec: CollectionSpec, sparse: SparseSpec, fields: Fields
) -> int:
    create_terms_vector(client, collection)
    filled = fill_terms(client, collection, sparse, fields)
    carried = carried_spec(client, collection) or spec
    write_spec(client, collection, with_terms(carried, filled, fields))
    terms_are_filled(client, collection)
    wait_until_indexed(client, collection)
    return points_with(client, collection, BM25)


def _note_in_metadata(
    client: Client, collection: str, before: CollectionSpec, wanted: VectorSpec
) -> str:
    """Write the new codes to the metadata, without what was measured with others.

    Returns:
        A note for the report.
    """
    carried = carried_spec(client, collection)
    if carried is None:
        return ""
    vectors = tuple(
        replace(one, quantization=wanted.quantization) if one.name == wanted.name else one
        for one in carried.vectors
    )
    spec = replace(carried, vectors=vectors)
    if spec.evidence is not None and LAYOUT not in spec.evidence:
        # Evidence of an earlier version names no layout: it was of the one that is gone.
        spec = replace(spec, plan=None, evidence=None)
    if spec != carried:
        write_spec(client, collection, spec)
    told = [DROPPED] if before.evidence is not None and spec.evidence is None else []
    if spec.planned and (found := assess(client, collection, spec, by="quantize")) is not None:
        told += found.lines()
    return "; ".join(told)


def _note(
    now: VectorSpec, wanted: VectorSpec, after: Measured, target: float, *, kept: bool
) -> str:
    told = quantizations.describe(wanted.quantization)
    if wanted.quantization == now.quantization:
        return f"nothing to change: it has {told} already"
    if wanted.quantization is None:
        return "the codes are gone"
    if not kept or after.recall < target:
        left = quantizations.describe(now.quantization)
        return f"taken back: recall {after.recall:.3f} is below {target}; it has {left} as before"
    return f"kept: search it with rescoring and oversampling {after.oversampling:g}"


def _dry_note(found: Measured, rows: int, points: int, target: float, text: Sequence[str]) -> str:
    verdict = "reaches" if found.recall >= target else "falls short of"
    note = (
        f"dry run, nothing was changed: a simulation over {rows:,} of {points:,} vectors "
        f"{verdict} {target}"
    )
    if rows < points:
        note += "; over all of them recall is somewhat lower, since neighbors lie closer"
    if text:
        note += f"; {BM25} would be filled from {', '.join(text)}"
    return note
