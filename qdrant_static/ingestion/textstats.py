"""What a run measures of its texts: by a sample before the load, by all of them after it.

Every BM25 weight depends on the mean length of the texts. It is sampled before the load, which
counts the terms of all texts; where the sample was too far off, the weights are made again from
those that are stored, before any index is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain

from qdrant_client import models

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.clients.scroll import pages
from qdrant_static.collection.bm25 import measured
from qdrant_static.collection.create import write_spec
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.vectorspec import BM25
from qdrant_static.encoders.reweighing import reweigh
from qdrant_static.ingestion.modes import Mode
from qdrant_static.ingestion.runspec import RunSpec, Workspace
from qdrant_static.ledger.runs import SAMPLED
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.passages import split, token_offsets
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.textsample import spread
from qdrant_static.sinks.encoding import SAMPLE_ROWS

Item = Batch | Reject

#: A sample from all over the input must have this many texts to take the place of its beginning.
_ENOUGH = 500
#: From these relative errors on, a sampled mean length is reported, and corrected: one that is a
#: third too high costs up to 6% of NDCG.
REPORTED, CORRECTED = 0.01, 0.05


def in_passages(items: Iterator[Item], request: RunSpec) -> Iterator[Item]:
    """Cut the rows of batches into passages, if the run does."""
    passages = request.passages
    if passages is None:
        yield from items
        return
    offsets = token_offsets(request.encoder, request.late_encoder)
    fields = request.source.selection.fields.text
    for item in items:
        if isinstance(item, Reject):
            yield item
        else:
            yield from split(item, passages, offsets, fields)


def sample_texts(
    items: Iterator[Item], request: RunSpec, workspace: Workspace, spec: CollectionSpec
) -> tuple[Iterator[Item], CollectionSpec]:
    """Measure by a sample what BM25 needs to know of the texts.

    Args:
        items: The batches of the run, cut into passages.
        request: The run.
        workspace: Its ledger and display.
        spec: The collection's spec.

    Returns:
        The same items from the beginning, and the spec with what was measured.
    """
    if spec.sparse is None or spec.sparse.mean_length is not None:
        return items, spec
    sampled = in_passages(iter(spread(request.source, SAMPLE_ROWS)), request)
    texts = [text for one in sampled if isinstance(one, Batch) for text in one.texts.to_pylist()]
    whole = False
    if len(texts) < _ENOUGH:
        texts, whole, items = _first_texts(items)
    if not texts:
        return items, spec
    sparse, notes = measured(spec.sparse, texts, whole=whole)
    workspace.ledger.encoded.start_counting_terms(sparse.mean_length or 1.0)
    for line in notes:
        workspace.display.note(line)
    return items, replace(spec, sparse=sparse)


def _first_texts(items: Iterator[Item]) -> tuple[list[str], bool, Iterator[Item]]:
    """Return the first texts, whether these are all, and the same items from the beginning."""
    ahead: list[Item] = []
    texts: list[str] = []
    for item in items:
        ahead.append(item)
        if isinstance(item, Batch):
            texts += item.texts.to_pylist()
        if len(texts) >= SAMPLE_ROWS:
            return texts, False, chain(ahead, items)
    return texts, True, iter(ahead)


def note_zero_vectors(
    request: RunSpec, workspace: Workspace, spec: CollectionSpec, zeros: int
) -> None:
    """Note how many vectors are zeros: of texts without a known token, or ready vectors."""
    if not zeros:
        return
    known = "; only BM25 finds them" if spec.sparse is not None else ""
    if request.source.selection.vectors is not None:
        note = f"ready vectors that are all zeros, and near to no query: {zeros:,}{known}"
    else:
        note = (
            f"{zeros:,} texts have no token that the encoder knows: their vectors are zeros{known}"
        )
    workspace.display.note(note)


def correct_mean_length(
    mode: Mode, spec: CollectionSpec, *, texts: int, terms: int
) -> CollectionSpec | None:
    """Give BM25 the mean length of all texts, if that of the sample was too far off.

    Args:
        mode: Where the collection is.
        spec: Its spec, with the sampled mean length.
        texts: Texts that were encoded since the mean length was sampled.
        terms: Their terms.

    Returns:
        The spec with the mean length that its weights have; None if the run was stopped before.
    """
    ledger_notes, note = mode.workspace.ledger.notes, mode.workspace.display.note
    sparse, tried = spec.sparse, ledger_notes.get(SAMPLED)
    if tried is None or sparse is None or sparse.mean_length is None:
        return spec
    used = sparse.mean_length
    if used not in tried:  # of a collection that was deleted since
        del ledger_notes[SAMPLED]
        return spec
    true = max(1.0, terms / texts) if texts else used
    off = used / true - 1
    lengths = f"BM25's mean length is {used:.1f} terms by a sample, {true:.1f} by all texts"
    if abs(off) <= CORRECTED and tried == [used]:
        if abs(off) > REPORTED:
            note(f"{lengths}: {off:+.0%}, too little to matter")
        del ledger_notes[SAMPLED]
        return spec
    # An attempt that died in the middle has left weights of several mean lengths.
    means = [used, *(one for one in tried if one != used)]
    ledger_notes[SAMPLED] = [*means, true]
    note(f"{lengths} ({off:+.0%}): its weights are computed again")
    unclear = _reweigh(mode, [*means, true], true)
    if unclear is None:
        return None
    if unclear:
        note(f"{unclear:,} texts keep the BM25 weights of the sampled mean length")
    first = sparse.sampled_length or used
    spec = replace(spec, sparse=replace(sparse, mean_length=true, sampled_length=first))
    write_spec(mode.client, mode.collection, spec)
    del ledger_notes[SAMPLED]
    return spec


def _reweigh(mode: Mode, means: list[float], mean: float) -> int | None:
    """Make all weights again; return how many could not be, None if the run was stopped."""
    unclear = 0
    for page in pages(mode.client, mode.collection, with_vectors=[BM25]):
        if mode.request.must_stop:
            return None
        points = []
        for point in page:
            stored = point.vector.get(BM25) if isinstance(point.vector, dict) else None
            if not isinstance(stored, models.SparseVector) or not stored.values:
                continue
            values = reweigh(stored.values, means=means, mean=mean)
            if values is None:
                unclear += 1
                continue
            vector = models.SparseVector(indices=stored.indices, values=values.tolist())
            points.append(models.PointVectors(id=point.id, vector={BM25: vector}))
        if points:
            call_with_retries(
                mode.client,
                mode.collection,
                "writing BM25 weights",
                partial(mode.client.update_vectors, mode.collection, points, wait=True),
            )
    return unclear
