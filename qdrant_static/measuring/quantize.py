"""Quantizes a live collection, and keeps the codes only if recall reaches a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.connect import check_client, server_version
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
from qdrant_static.measuring.ownqueries import own_queries
from qdrant_static.measuring.quantizereport import MeasuredCodes, QuantizeReport

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.registry import AnyEncoder


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
    encoder: AnyEncoder | None = None,
) -> QuantizeReport:
    """Add quantization to a live collection, measure it, and remove it if it falls short.

    Recall is measured against exact search. The queries are vectors of the collection itself,
    whose own points are left out. The originals always stay. If the process dies half-way, the
    collection keeps the new codes, or continues to make them: it can be searched, and repeating is
    harmless. A repeated call then regards the new codes as the previous setting;
    ``quantization=None`` removes them.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: Any collection, also one made without this package.
        quantization: ``"auto"`` is the preset of the vector's size; None removes the codes.
        vector: The dense vector's name, ``""`` for the unnamed one; None takes the only one, or
            the full one of a collection that this package made.
        target_recall: recall@10 below which the change is undone, above 0 up to 1.
        text: Payload fields of the text: BM25 is added too, and filled from them. Its settings
            are stored in the metadata, also of a collection that was made without this package.
        sparse: BM25's settings, with ``text``.
        queries: Number of vectors that are drawn as queries.
        dry_run: Change nothing: predict by the same search over a sample of the vectors, in an
            embedded collection in a temporary folder.
        notify: Called with one line for each step.
        encoder: The encoder of queries or its name, which only an asymmetric search needs: its
            queries are the beginnings of the points' texts. None loads it by name.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        MigrationWritesError: If a migration is about to compare or replace the collection.
        ArgumentError: If several vectors fit, the server is too old, or there are too few points.
    """
    check_client(client, "quantize(client, collection)")
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
    notify(f"measuring {collection!r} before the change")
    measurement = Measurement(
        client=client, collection=collection, k=LIMIT,
        spec=replace(spec, vectors=(now,), planned=False),
        queries=own_queries(client, collection, spec, now, queries, encoder=encoder),
    )  # fmt: skip
    trial = CodeTrial.of(measurement, points=points)
    before = trial.measured(now, oversamplings(now, (1,)), target_recall)
    common: dict[str, Any] = {
        "collection": collection, "vector": now.name, "points": points,
        "queries": len(measurement.neighbors),
        "target_recall": target_recall, "before": before,
    }  # fmt: skip
    if dry_run:
        predicted, rows = trial.simulated(wanted, target_recall)
        note = _dry_note(predicted, rows, points, target_recall, text)
        return QuantizeReport(
            **common, after=predicted, simulated=rows, kept=False, terms=None, note=note
        )
    after, kept, changed = before, now.quantization is not None, False
    if wanted.quantization != now.quantization:
        after, kept, changed = _try_codes(trial, now, wanted, target_recall, notify)
    terms = None
    if text:
        notify(f"filling {BM25} from {', '.join(text)}")
        terms = _add_terms(client, collection, spec, sparse or SparseSpec(), fields)
    note = _note(now, wanted, after, target_recall, kept=kept)
    if changed and (noted := _note_in_metadata(client, collection, spec, wanted, encoder)):
        note = f"{note}; {noted}"
    return QuantizeReport(**common, after=after, simulated=None, kept=kept, terms=terms, note=note)


def _try_codes(
    trial: CodeTrial,
    now: VectorSpec,
    wanted: VectorSpec,
    target: float,
    notify: Callable[[str], None],
) -> tuple[MeasuredCodes, bool, bool]:
    """Return the measurement, whether there are codes now, and whether they were changed."""
    new, old = (quantizations.describe(vector.quantization) for vector in (wanted, now))
    notify(f"building {new}")
    try:
        trial.change(wanted)
        notify(f"measuring {new}")
        after = trial.measured(wanted, oversamplings(wanted, LADDER), target)
        if after.recall >= target:
            return after, True, True
        notify(f"recall {after.recall:.3f} is below {target}: undoing the change")
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
    spec = carried_spec(client, collection)
    if spec is None or not spec.planned:
        spec = foreign_spec(client, collection, vector=name)
        return spec, spec.vectors[0]
    stored = spec.vectors[0] if name is None else spec.vector(name)
    info = client.get_collection(collection)
    return spec, fromparams.vector_spec(stored.name, info, scale=stored.scale)


def _codes(quantization: Any, vector: VectorSpec) -> Quantization | None:
    if quantization == "auto":
        return preset(vector.size).quantization
    return quantizations.parse(quantization)


def _fields(spec: CollectionSpec, text: Sequence[str]) -> Fields:
    """Return the fields of the text: those of the ingest if they agree, else only `text`."""
    if spec.fields.all_columns and tuple(text) in (spec.fields.text, spec.fields.all_columns):
        return spec.fields
    return Fields(text=tuple(text))


def _check_terms(client: Client, spec: CollectionSpec) -> None:
    if spec.sparse is not None:
        raise ArgumentError(field="text", problem=f"the collection has {BM25} already")
    version = server_version(client)
    if version is not None and version < VECTOR_NAMES_SINCE:
        needed, here = (".".join(map(str, numbers)) for numbers in (VECTOR_NAMES_SINCE, version))
        raise ArgumentError(
            field="text",
            problem=f"adding {BM25} to a collection needs Qdrant {needed}; this server is {here}",
        )


def _add_terms(
    client: Client, collection: str, spec: CollectionSpec, sparse: SparseSpec, fields: Fields
) -> int:
    create_terms_vector(client, collection)
    filled = fill_terms(client, collection, sparse, fields)
    stored = carried_spec(client, collection) or spec
    write_spec(client, collection, with_terms(stored, filled, fields))
    terms_are_filled(client, collection)
    wait_until_indexed(client, collection)
    return points_with(client, collection, BM25)


def _note_in_metadata(
    client: Client,
    collection: str,
    before: CollectionSpec,
    wanted: VectorSpec,
    encoder: AnyEncoder | None,
) -> str:
    """Write the new codes to the metadata, without measurements of the previous ones.

    Returns:
        A note for the report.
    """
    stored = carried_spec(client, collection)
    if stored is None:
        return ""
    vectors = tuple(
        replace(vector, quantization=wanted.quantization) if vector.name == wanted.name else vector
        for vector in stored.vectors
    )
    spec = replace(stored, vectors=vectors)
    if spec.evidence is not None and LAYOUT not in spec.evidence:
        # Evidence of an earlier version has no fingerprint: it was of the previous layout.
        spec = replace(spec, plan=None, evidence=None)
    if spec != stored:
        write_spec(client, collection, spec)
    notes = [DROPPED] if before.evidence is not None and spec.evidence is None else []
    if spec.planned:
        assessment = assess(client, collection, spec, by="quantize", encoder=encoder)
        notes += [] if assessment is None else assessment.lines()
    return "; ".join(notes)


def _note(
    now: VectorSpec, wanted: VectorSpec, after: MeasuredCodes, target: float, *, kept: bool
) -> str:
    new = quantizations.describe(wanted.quantization)
    if wanted.quantization == now.quantization:
        return f"nothing to change: it has {new} already"
    if wanted.quantization is None:
        return "the codes are removed"
    if not kept or after.recall < target:
        old = quantizations.describe(now.quantization)
        return f"undone: recall {after.recall:.3f} is below {target}; it has {old} as before"
    return f"kept: search it with rescoring and oversampling {after.oversampling:g}"


def _dry_note(
    predicted: MeasuredCodes, rows: int, points: int, target: float, text: Sequence[str]
) -> str:
    verdict = "reaches" if predicted.recall >= target else "falls short of"
    note = (
        f"dry run, nothing was changed: a simulation over {rows:,} of {points:,} vectors "
        f"{verdict} {target}"
    )
    if rows < points:
        note += "; over all of them recall is somewhat lower, since neighbors lie closer"
    if text:
        note += f"; {BM25} would be filled from {', '.join(text)}"
    return note
