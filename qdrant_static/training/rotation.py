"""Rotates a static model's table, so that prefixes or codes of one bit of its vectors keep more.

A rotation changes no cosine of whole vectors, and costs nothing at encoding: it is multiplied into
the table. Whitening and token weights do change the vectors, and are options.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static import rules
from qdrant_static.encoders.registry import AnyEncoder, as_encoder
from qdrant_static.errors import ArgumentError
from qdrant_static.training.corpusaxes import MOST_PASSAGES, corpus_axes
from qdrant_static.training.directions import common_direction
from qdrant_static.training.modelfolder import require_ours, save_model
from qdrant_static.training.sentencescatter import OwnPassages, found_first, own_passages
from qdrant_static.training.tablemodel import TableModel
from qdrant_static.training.texts import TrainingTexts
from qdrant_static.vectors import normalize

#: What a rotation may be made for.
PURPOSES = ("prefixes", "binary")
#: Passages that are kept apart, and measured with.
_MEASURED = 1000
_SIZES = (512, 256, 128, 64, 32, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """What `rotate` made.

    Attributes:
        path: The model's folder.
        parent: The model that was rotated.
        purpose: ``"prefixes"`` or ``"binary"``.
        fingerprint: Fingerprint of the new model.
        dimension: Length of its vectors.
        whiten: How far the scatter inside passages was evened out, 0 to 1.
        sif: The weight parameter of tokens; None if tokens were not weighted.
        source: Where the texts come from.
        passages: Number of passages that the directions were computed from.
        sentences: Number of their sentences.
        measured: Number of passages that were kept apart and measured with.
        before: Share of sentences that find their own passage first, for each size (and
            ``"binary"``, codes of one bit), by the parent's vectors.
        after: The same, by those of the new model.
        seconds: Time taken.
        notes: What a user should know.
    """

    path: str
    parent: str
    purpose: str
    fingerprint: str
    dimension: int
    whiten: float
    sif: float | None
    source: str
    passages: int
    sentences: int
    measured: int
    before: dict[str, float]
    after: dict[str, float]
    seconds: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"rotated {self.parent} for {self.purpose} in {self.seconds:,.1f} s, from "
            f"{self.passages:,} passages with {self.sentences:,} sentences of {self.source}"
        ]
        if self.measured:
            lines.append(
                f"sentences that find their own passage first, of {self.measured:,} kept apart:"
            )
            lines += [
                f"  {size:>6}  before {self.before[size]:.3f}  after {after:.3f}"
                for size, after in self.after.items()
            ]
        lines += [f"note: {note}" for note in self.notes]
        lines += [
            f"{self.path}: {self.dimension} dimensions, fingerprint {self.fingerprint}",
            f"next: qdrant-static ingest FILES --encoder {self.path}",
        ]
        return "\n".join(lines)


def rotate(
    encoder: AnyEncoder,
    texts: TrainingTexts | Iterable[str],
    *,
    out: str | os.PathLike[str],
    for_: str = "prefixes",
    dimension: int | None = None,
    whiten: float = 0.0,
    sif: float | None = None,
    seed: int = 0,
) -> Rotation:
    """Rotate the vectors of a static model for a corpus, without labels and without a teacher.

    Without ``dimension``, ``whiten`` and ``sif`` all cosines of whole vectors stay as they are.

    Args:
        encoder: A static model, or its name for `load_encoder`. An int8 table becomes float32.
        texts: The corpus: a sample of its passages is enough.
        out: The folder to write.
        for_: ``"prefixes"``: the first dimensions tell passages apart best, so that any static
            model can be cut like a Matryoshka model (`discriminant_directions`). ``"binary"``: the
            signs keep most of a vector (`binary_directions`); prefixes of it are not good.
        dimension: Keep this number of dimensions; None for all. For ``"binary"``, the best
            dimensions are chosen first.
        whiten: 0 to 1: how far directions in which the sentences of one passage differ are scaled
            down. 0.75 helps most models that were not fitted to the corpus; it changes the whole
            vectors.
        sif: Weigh tokens by ``sif / (sif + p)``, with p the token's share of the corpus, and take
            out the direction that all passages share (Arora, Liang and Ma, 2017,
            https://openreview.net/forum?id=SyK00v5xx, who use 1e-3). Both are multiplied into the
            table, and change the whole vectors.
        seed: Of what is drawn by chance.

    Raises:
        ArgumentError: If an option is out of range, the encoder is not a static model, there are
            no texts, or the folder holds something else.
    """
    started = time.monotonic()
    _check(for_, whiten, sif)
    folder = Path(rules.location("out", out)).expanduser().absolute()
    require_ours(folder)
    parent = TableModel.from_encoder(as_encoder(encoder))
    rules.check_integer("dimension", dimension, least=2, greatest=parent.dimension, optional=True)
    given = texts if isinstance(texts, TrainingTexts) else TrainingTexts.of(texts)
    fitted, kept = _split(given.passages, seed)
    changed = parent if sif is None else _weighed(parent, fitted, sif)
    size = parent.dimension if dimension is None else dimension
    axes = corpus_axes(changed, fitted, for_=for_, size=size, whiten=whiten, seed=seed)
    made = changed.with_table((changed.table.astype(np.float64) @ axes.matrix).astype(np.float32))
    measure = own_passages(kept, seed=seed)
    before, after = _figures(parent, made, measure, for_)
    notes = _notes(axes.passages, size, axes.sentences, whiten)
    card = {
        "kind": "rotated",
        "recipe": {
            "for": for_, "dimension": size, "whiten": whiten, "sif": sif, "seed": seed,
        },
        "corpus": {
            "source": given.source, "digest": given.digest, "passages": axes.passages,
            "sentences": axes.sentences,
        },
        "figures": {
            "own_passage_found_first": {"measured": len(measure), "before": before, "after": after}
        },
    }  # fmt: skip
    return Rotation(
        path=str(folder),
        parent=parent.parent,
        purpose=for_,
        fingerprint=save_model(made, folder, card),
        dimension=size,
        whiten=whiten,
        sif=sif,
        source=given.source,
        passages=axes.passages,
        sentences=axes.sentences,
        measured=len(measure),
        before=before,
        after=after,
        seconds=time.monotonic() - started,
        notes=notes,
    )


def _check(for_: str, whiten: float, sif: float | None) -> None:
    rules.check_choice("for", for_, PURPOSES)
    if not rules.is_number(whiten) or not 0 <= whiten <= 1:
        raise ArgumentError(field="whiten", problem=f"{whiten!r} is not within 0 to 1")
    if sif is not None and (not rules.is_number(sif) or sif <= 0):
        raise ArgumentError(field="sif", problem=f"{sif!r} is not a number above 0; usual is 0.001")


def _split(passages: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Draw the passages that the directions are computed from, and others to measure with.

    Of few passages, all are computed from, and none are kept apart.
    """
    order = np.random.default_rng(seed).permutation(len(passages))
    kept = min(_MEASURED, len(passages) // 10) if len(passages) >= 100 else 0
    chosen = np.sort(order[kept : kept + MOST_PASSAGES])
    return [passages[row] for row in chosen], [passages[row] for row in np.sort(order[:kept])]


def _weighed(model: TableModel, passages: Sequence[str], sif: float) -> TableModel:
    """Return the model with token weights, and without the direction that all passages share."""
    shares = np.asarray(model.counts(passages).sum(axis=0), np.float64).ravel()
    shares /= max(float(shares.sum()), 1e-12)
    table = model.table * (sif / (sif + shares))[:, None]
    weighed = model.with_table(table)
    common = common_direction(weighed.vectors(passages).astype(np.float64))
    return model.with_table(table - np.outer(table @ common, common))


def _figures(
    parent: TableModel, made: TableModel, measure: OwnPassages, for_: str
) -> tuple[dict[str, float], dict[str, float]]:
    """Measure both models at the sizes that the new one has."""
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    if not len(measure):
        return before, after
    sizes = [made.dimension, *(one for one in _SIZES if one < made.dimension and for_ != "binary")]
    for model, figures in ((parent, before), (made, after)):
        queries, rests = model.vectors(measure.queries), model.vectors(measure.rests)
        for size in sizes:
            figures[str(size)] = round(found_first(_cut(queries, size), _cut(rests, size)), 4)
        if for_ == "binary":
            codes = (_signs(queries[:, : sizes[0]]), _signs(rests[:, : sizes[0]]))
            figures["binary"] = round(found_first(*codes), 4)
    return before, after


def _cut(vectors: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return normalize(vectors[:, :size])


def _signs(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(vectors > 0, np.float32(1), np.float32(-1))


def _notes(passages: int, size: int, sentences: int, whiten: float) -> tuple[str, ...]:
    notes = []
    if passages < size:
        notes.append(
            f"{passages:,} passages cannot determine {size} directions: those after the first "
            f"{passages:,} are in no particular order"
        )
    if not sentences:
        notes.append(
            "no passage has two sentences, so that the directions are those of a principal "
            f"component analysis{', and whitening changed nothing' if whiten else ''}"
        )
    return tuple(notes)
